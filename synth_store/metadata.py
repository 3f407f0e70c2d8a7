"""The store's `zarr.json` files: written whole, replaced at once, checked when read."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from synth_store.places import Place, below, writable
from synth_store.types import StoreError

VERSION = 1
"""Version of the store's format: one number for layout, codecs and attributes."""

ATTRIBUTES = "asbench"
"""Under this name stand the store's own attributes in a group's `attributes`."""

Json = dict[str, Any]


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the one way a document is written, so that every changed byte shows."""
    return (json.dumps(document, indent=1, ensure_ascii=True) + "\n").encode()


def group(attributes: Mapping[str, Any] | None = None) -> Json:
    """Return the `zarr.json` of a group; its attributes carry their own SHA-256."""
    document: Json = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    if attributes is not None:
        document["attributes"] = {ATTRIBUTES: dict(attributes), "sha256": _digest(attributes)}
    return document


def _digest(attributes: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()


def read_attributes(folder: Place) -> Json:
    """Return the store's attributes of a group; raises StoreError if missing or damaged."""
    path = folder / "zarr.json"
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path} is missing.") from None
    return attributes_in(found, path)


def attributes_in(found: bytes, path: Place) -> Json:
    """Return the store's attributes in the bytes of a group; raises StoreError if damaged."""
    try:
        document = json.loads(found)
        attributes: Json = document["attributes"][ATTRIBUTES]
        undamaged = encode(group(attributes)) == found
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{path} is damaged: it is not a group of this store.") from None
    if not undamaged:
        raise StoreError(f"{path} is damaged: its attributes do not match their checksum.")
    return attributes


@contextmanager
def locked(root: Place) -> Iterator[None]:
    """Hold the store's lock; the system releases it when a process dies.

    Metadata is changed, and finished shards are put in place, under it; samples are rendered and
    encoded outside of it, so it is never held for long. Raises StoreError where it cannot be taken.
    """
    try:
        # No lock file of its own: Zarr tools that walk the store would warn of it.
        file = (writable(root) / "zarr.json").open("r+b")
    except OSError as error:
        raise StoreError(f"cannot write to the store at {root}: {error.strerror}.") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomically(where: Place, data: bytes, *, keep: bool = False) -> None:
    """Write a file under a temporary name and rename it into place; leaves nothing else behind.

    A file that is there already is replaced, or with `keep` left as it is. Raises StoreError naming
    the place when the disk is full or refuses.
    """
    path = writable(where)
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(data)
            if keep:
                with suppress(FileExistsError):
                    os.link(temporary, path)
            else:
                temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}.") from error


def remove_abandoned(folder: Path) -> None:
    """Delete the temporary files that killed processes of this host left below `folder`."""
    for path in folder.rglob(f".*.{socket.gethostname()}.*.partial"):
        process = path.name.rsplit(".", 2)[1]
        if process.isdecimal() and not _alive(int(process)):
            path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_if_other(path: Place, data: bytes) -> None:
    """Write a file atomically unless it holds these bytes already."""
    if not path.exists() or path.read_bytes() != data:
        write_atomically(path, data)


def write_parents(root: Place, folder: Place) -> None:
    """Write an empty group at every level between a store's root and `folder`."""
    parts = below(folder, root)
    for depth in range(1, len(parts)):
        write_if_other(root.joinpath(*parts[:depth], "zarr.json"), encode(group()))
