"""Tables, figures and a page from finished runs. Reads results, runs nothing, needs no torch."""
