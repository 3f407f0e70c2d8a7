"""Pretrained weights of learned synthesizers: found on this machine, named by their content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from asbench.types import PretrainedFile
from synth_store.types import UserError


def find_weights(
    title: str,
    wanted: Sequence[PretrainedFile],
    given: Mapping[str, Path],
    line: Callable[[str], str] | None = None,
) -> dict[str, Path]:
    """Return where each wanted file or folder lies, by its name.

    Taken from `given`, else from the folder `ASBENCH_WEIGHTS`. Raises UserError for one that is in
    neither, saying where to get it and which variant does without, and for one that was given and
    serves nothing. title: of the method, for the errors; line: the command that fits a variant, by
    the variant's name, for the errors too.
    """
    names = [file.name for file in wanted]
    for name in given:
        if name not in names:
            raise UserError(
                f"weights of {name!r} are of no use to {title}: it takes "
                f"{', '.join(names) or 'none at these parameters'}."
            )
    return {file.name: _find(title, file, given, line) for file in wanted}


def _find(
    title: str,
    file: PretrainedFile,
    given: Mapping[str, Path],
    line: Callable[[str], str] | None,
) -> Path:
    base = os.environ.get("ASBENCH_WEIGHTS")
    path = given.get(file.name) or (Path(base) / file.published if base else None)
    if path is not None and path.exists():
        return path
    looked = f"not at {path}" if path is not None else "not on this machine"
    small = f"; the smallest: `{line(file.smallest)}`" if line and file.smallest else ""
    raise UserError(
        f"{title} starts from {file.published}, which is {looked}: get it from {file.source} and "
        f"give it with --weights {file.name}=PATH, or put it into a folder and name that in "
        f"ASBENCH_WEIGHTS; or use {file.instead} instead{small}."
    )


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files with their names, in order of name."""
    stamp = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        stamp.update(f"{file.relative_to(path)}\x1f".encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                stamp.update(block)
    return stamp.hexdigest()
