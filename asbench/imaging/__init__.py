"""Pure array functions that synthesizers and data sets share."""
