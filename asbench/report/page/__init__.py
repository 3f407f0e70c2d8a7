"""The page: everything the runs say, in one self-contained HTML file."""
