"""The image files below a folder: one walk for all who read a folder of photographs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from asbench.files.images import SUFFIXES

TOOLS = frozenset({"__MACOSX", ".ipynb_checkpoints"})
"""Folders that archivers and notebooks leave behind: what they hold are no photographs."""


def walk(root: Path) -> Iterator[Path]:
    """Yield all image files below a folder, sorted; links to folders are followed, each once.

    Hidden files and folders and `TOOLS` are passed over; a link to a file that is gone is not, for
    it was meant. Raises OSError for a folder that cannot be listed.
    """
    yield from sorted(_below(root, set()))


def _below(folder: Path, seen: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    # What lies here comes before what is linked to from here.
    for path in sorted(folder.iterdir(), key=lambda p: (p.is_symlink(), p)):
        if path.name.startswith(".") or path.name in TOOLS:
            continue
        if path.is_dir():
            yield from _below(path, seen)
        elif path.suffix.lower() in SUFFIXES and (path.is_file() or path.is_symlink()):
            yield path
