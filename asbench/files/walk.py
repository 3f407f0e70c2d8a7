"""The files below a folder: one walk for all who read images, so that all see the same ones."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from asbench.files.images import SUFFIXES
from asbench.files.names import shown
from synth_store.types import UserError

_LEFT_BEHIND = frozenset({"@eadir", "#recycle", "$recycle.bin", "system volume information"})
"""Folders that storage servers and Windows leave, in lower case; macOS's begin with __MACOSX."""


def walk(root: Path, suffixes: Collection[str] = SUFFIXES) -> Iterator[Path]:
    """Yield the files below a folder that end in one of `suffixes`, in the order of sorted paths.

    Passed over, whatever they hold: hidden names (`._x`, `.DS_Store`, `.ipynb_checkpoints`) and
    folders that archivers and servers leave (`__MACOSX`, `@eaDir`). Links to folders are followed,
    but not into a folder that holds the link. A link to a file that is gone is yielded, for it was
    meant. Names may be of any bytes, those that are not UTF-8 as Python's surrogates.
    Raises UserError for a folder that cannot be listed.
    """
    return _below(root, suffixes, (Path(os.path.realpath(root)),))


def _below(folder: Path, suffixes: Collection[str], above: tuple[Path, ...]) -> Iterator[Path]:
    """Walk one folder; `above`: where it and those that lead to it really lie, itself the last."""
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{shown(folder)} cannot be listed: {error.strerror}.") from error
    for entry in entries:
        name, path = entry.name, folder / entry.name
        if name.startswith((".", "__MACOSX")) or name.lower() in _LEFT_BEHIND:
            continue
        if not path.is_dir():
            if path.suffix.lower() in suffixes:
                yield path
            continue
        real = Path(os.path.realpath(path)) if entry.is_symlink() else above[-1] / name
        if not any(holder.is_relative_to(real) for holder in above):
            yield from _below(path, suffixes, (*above, real))
