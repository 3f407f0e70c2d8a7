"""Text that a terminal shows and does not obey: names of files and values may hold anything."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, changes colours, rings, or turns the direction of writing."""


def printable(text: str) -> str:
    r"""Return a text with control characters but line ends and tabs escaped, as in `\x1b`."""
    return _CONTROL.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
