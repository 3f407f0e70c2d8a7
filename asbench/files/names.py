"""Names as a file system holds them, of any bytes, made text that can be printed and compared."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path, PurePath


def shown(path: PurePath | str) -> str:
    r"""Return a path as text that can be printed and stored: bytes that are no UTF-8 as `\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def composed(name: str) -> str:
    """Return a name in Unicode's form C: macOS takes letters and their accents apart."""
    return unicodedata.normalize("NFC", name)


def on_disk(path: Path) -> Path:
    """Return the path in the Unicode form in which the file is there; as it is if it is in none."""
    # os.path's answers are no for a name that no file can have, where pathlib raises OSError.
    for form in ("NFC", "NFD") if not os.path.exists(path) else ():
        if os.path.exists(other := unicodedata.normalize(form, str(path))):
            return Path(other)
    return path


def is_file(path: Path) -> bool:
    """Return whether a path that a document names is a file; no for what none can be called."""
    return os.path.isfile(path)
