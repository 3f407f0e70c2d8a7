"""The paper from our runs: its tables, its figures, its questions, beside what it prints."""
