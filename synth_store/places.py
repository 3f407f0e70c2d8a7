"""Where a store lies: a folder, which is read and written, or an object store, which is read."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from synth_store.errors import ReadOnly
from synth_store.local import LocalPath
from synth_store.remote import SCHEME, RemotePath
from synth_store.types import StoreError

Place = LocalPath | RemotePath
"""A folder or file of a store. Both kinds have the same words; what writes takes a LocalPath."""


def place(root: Path | RemotePath | str) -> Place:
    """Return the place that a path or text names: `s3://bucket/prefix`, or a folder.

    Raises StoreError for an URL of another kind, which would else become a folder of that name.
    """
    if isinstance(root, LocalPath | RemotePath):
        return root
    if isinstance(root, str) and root.startswith(SCHEME):
        return RemotePath.parse(root)
    if isinstance(root, str) and "://" in root:
        raise StoreError(f"{root} is no place for a store: name a folder, or s3://BUCKET/PREFIX.")
    return LocalPath(root)


def absolute(root: Path | RemotePath | str) -> Place:
    """Return a place as every process finds it, wherever it stands."""
    named = place(root)
    return named if named.remote else LocalPath(os.path.abspath(str(named)))


def writable(where: Place) -> LocalPath:
    """Return a place that may be written; raises ReadOnly for one on an object store."""
    if isinstance(where, RemotePath):
        raise ReadOnly(where.store)
    return where


def below(path: Place, folder: Place) -> tuple[str, ...]:
    """Return the parts of a path below a folder of the same store."""
    return PurePosixPath(str(path)).relative_to(str(folder)).parts
