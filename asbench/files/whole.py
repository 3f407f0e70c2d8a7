"""Folders written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from synth_store.types import UserError


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which gets its name when all is written, and else is gone.

    What a killed call left of it goes first. Raises UserError naming what cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as error:
        where = error.filename or folder
        raise UserError(f"cannot write {where}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def size_of(folder: Path, without: Collection[str] = ()) -> tuple[int, int]:
    """Return how many files lie below a folder, and their bytes; `without`: endings not counted."""
    files = (path for path in folder.rglob("*") if path.suffix not in without and path.is_file())
    sizes = [path.stat().st_size for path in files]
    return len(sizes), sum(sizes)
