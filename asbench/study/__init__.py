"""Studies: a whole investigation from one file, planned, run, and recorded."""
