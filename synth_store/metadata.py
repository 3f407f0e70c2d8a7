"""The store's `zarr.json` files: written whole, replaced at once, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

from synth_store.places import Place, below
from synth_store.types import StoreError

VERSION = 1
"""Version of the store's format: one number for layout, codecs and attributes."""

ATTRIBUTES = "asbench"
"""Under this name stand the store's own attributes in a group's `attributes`."""

Json = dict[str, Any]


def encode(document: Mapping[str, Any]) -> bytes:
    """Return the one way a document is written, so that every changed byte shows."""
    return (_indented(document, "\n") + "\n").encode()


def _indented(value: Any, line: str) -> str:
    """Return what `json.dumps(value, indent=1)` does, in a third of its time.

    line: a line's end with the indent of the value. A store of many sets is listed and opened by
    this: whatever is read is written again, and compared.
    """
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, Mapping):
        if not value:
            return "{}"
        inner = f"{line} "
        pairs = (f"{_key(k)}: {_indented(v, inner)}" for k, v in value.items())
        return "{" + inner + f",{inner}".join(pairs) + line + "}"
    if isinstance(value, list | tuple):
        if not value:
            return "[]"
        inner = f"{line} "
        return "[" + inner + f",{inner}".join(_indented(v, inner) for v in value) + line + "]"
    return json.dumps(value)


def _key(key: Any) -> str:
    # Of keys that are no texts json makes texts in ways of its own.
    return encode_basestring_ascii(
        key if isinstance(key, str) else next(iter(json.loads(json.dumps({key: 0}))))
    )


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
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(f"{path} is missing.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    return attributes_in(content, path)


def attributes_in(content: bytes, path: Place) -> Json:
    """Return the store's attributes in the bytes of a group; raises StoreError if damaged."""
    try:
        document = json.loads(content)
        attributes: Json = document["attributes"][ATTRIBUTES]
        undamaged = isinstance(attributes, dict) and encode(group(attributes)) == content
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(f"{path} is damaged: it is not a group of this store.") from None
    if not undamaged:
        raise StoreError(f"{path} is damaged: its attributes do not match their checksum.")
    return attributes


def write_if_other(path: Place, data: bytes) -> None:
    """Write a file atomically unless it holds these bytes already."""
    if not path.exists() or path.read_bytes() != data:
        path.write(data)


def write_parents(root: Place, folder: Place) -> None:
    """Write an empty group at every level between a store's root and `folder`."""
    parts = below(folder, root)
    for depth in range(1, len(parts)):
        write_if_other(root.joinpath(*parts[:depth], "zarr.json"), encode(group()))
