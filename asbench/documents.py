"""Files written whole or not at all, and what to say of one that cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from synth_store.types import UserError


def into_place(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written under a temporary name, then renamed: whole, or not there at all.

    Raises UserError naming the file when the disk is full or refuses.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


def damaged(path: Path, error: Exception) -> UserError:
    """Return what to say of a run's file that cannot be read."""
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    return UserError(
        f"{path} cannot be read ({what}): delete its folder and run `asbench train` again."
    )
