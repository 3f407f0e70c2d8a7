"""Cells of CSV files that a spreadsheet shows and does not run: a name may begin as a formula does.

Such a text is written behind an apostrophe, as spreadsheets themselves mark a text, and read again
without it. Numbers are never marked.
"""

from __future__ import annotations

_RUNS = ("=", "+", "-", "@", "\t", "\r")
_MARKED = (*_RUNS, "'")


def cell(text: str) -> str:
    """Return a text as a cell that is not run."""
    return f"'{text}" if text.startswith(_MARKED) else text


def uncell(text: str) -> str:
    """Return what `cell` was given; a text of an earlier release, which marked none, as it is."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_MARKED) else text
