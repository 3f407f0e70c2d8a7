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
    for form in ("NFC", "NFD") if not path.exists() else ():
        if (other := Path(unicodedata.normalize(form, str(path)))).exists():
            return other
    return path
