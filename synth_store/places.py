"""Where a store lies: a folder, which is read and written, or an object store, which is read."""

from __future__ import annotations

import os
import shlex
from collections.abc import Hashable, Iterator
from pathlib import Path

from synth_store.remote import SCHEME, RemotePath
from synth_store.types import StoreError

Place = Path | RemotePath
"""A folder or file of a store. All that reads uses what both have; all that writes, a Path."""


def place(root: Place | str) -> Place:
    """Return the place a text names: `s3://bucket/prefix`, or a folder.

    Raises StoreError for an URL of another kind, which would else become a folder of that name.
    """
    if not isinstance(root, str):
        return root
    if root.startswith(SCHEME):
        return RemotePath.parse(root)
    if "://" in root:
        raise StoreError(f"{root} is no place for a store: name a folder, or s3://BUCKET/PREFIX.")
    return Path(root)


def absolute(root: Place | str) -> Place:
    """Return a place as every process finds it, wherever it stands."""
    found = place(root)
    return found if isinstance(found, RemotePath) else Path(os.path.abspath(found))


def writable(where: Place) -> Path:
    """Return a place that may be written; raises StoreError for one on an object store."""
    if isinstance(where, RemotePath):
        raise StoreError(
            f"the store at {where.store} is on an object store, which is read and not written: "
            f"write to a folder, then copy it there with `{copy_line(where)}`."
        )
    return where


def copy_line(where: RemotePath, folder: str = "asbench-store") -> str:
    """Return the command that brings a folder's store to an object store."""
    return shlex.join(["asbench", "store", "copy", folder, where.store])


def copy_back_line(where: RemotePath, folder: str = "asbench-store") -> str:
    """Return the command that brings the store on an object store to a folder."""
    return shlex.join(["asbench", "store", "copy", where.store, folder])


def below(path: Place, folder: Place) -> tuple[str, ...]:
    """Return the parts of a path below a folder of the same store."""
    if isinstance(path, RemotePath):
        assert isinstance(folder, RemotePath)
        return path.relative_to(folder).parts
    assert isinstance(folder, Path)
    return path.relative_to(folder).parts


def files(folder: Place) -> Iterator[tuple[Place, int]]:
    """Yield every file below a folder with its size in bytes."""
    if isinstance(folder, RemotePath):
        yield from folder.files()
    else:
        for path in folder.rglob("*"):
            if path.is_file():
                yield path, path.stat().st_size


def state(path: Place) -> Hashable | None:
    """Return what is another when a file was written anew; None where there is none."""
    if isinstance(path, RemotePath):
        return path.e_tag() or None
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
