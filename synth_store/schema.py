"""What the attributes of a store's groups must be: their checksum says only that no bit flipped.

Each is read whole and held to its kind here, so that what reads on may rely on it. Counts are held
to what can be: a number of samples that no disk holds is refused before room is made for them.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from synth_store.errors import OtherAddress, OtherFormat
from synth_store.metadata import VERSION, Json, read_attributes
from synth_store.places import Place
from synth_store.types import Geometry, StoreError, UserError

MOST = 10**9
"""Samples of one category, and sides of an image in pixels: more than any disk holds."""
MOST_SHARD = 65536
"""Samples in one shard."""
ENCODINGS = ("residual", "plain")

_HEX = re.compile("[0-9a-f]{64}")
Rule = tuple[str, Callable[[Any], bool]]
"""What a value must be, in words and as a test."""


def _whole(least: int, most: int) -> Rule:
    return f"a whole number from {least} to {most}", lambda v: type(v) is int and least <= v <= most


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _all_text(values: Any) -> bool:
    return all(isinstance(one, str) for one in values)


_TEXT: Rule = ("a text", lambda v: isinstance(v, str))
_TRUTH: Rule = ("true or false", lambda v: isinstance(v, bool))
_DIGEST: Rule = ("64 hexadecimal digits", _is_digest)
_MAPPING: Rule = ("a mapping", lambda v: isinstance(v, dict))
_TEXTS: Rule = ("a list of texts", lambda v: isinstance(v, list) and _all_text(v))

_NORMALS: Mapping[str, Rule] = {
    "ids": _TEXTS,
    "shard": _whole(1, MOST_SHARD),
    "digest": _DIGEST,
    "foreground_digest": _DIGEST,
}
_SET: Mapping[str, Rule] = {
    "encoding": ("residual or plain", lambda v: v in ENCODINGS),
    "generated": _TRUTH,
    "normals": _DIGEST,
    "identity": _TEXTS,
    "shard": _whole(1, MOST_SHARD),
    "versions": ("texts by name", lambda v: isinstance(v, dict) and _all_text(v.values())),
    "target": _whole(0, MOST),
    "count": _whole(0, MOST),
    "digest": ("64 hexadecimal digits or null", lambda v: v is None or _is_digest(v)),
    "complete": _TRUTH,
}
_RECORDED: Mapping[str, Rule] = {
    "record": _MAPPING,
    "parameters": _MAPPING,
    "visible": _MAPPING,
    "textures": _MAPPING,
    "fit": _MAPPING,
    "method": _TEXT,
    "pixel_version": _whole(0, MOST),
}
"""What the program that writes a set records of it: each may be missing."""
_SHAPES: Rule = (
    "names with three sides each",
    lambda v: isinstance(v, list) and bool(v) and all(map(_is_shape, v)),
)
_FEATURES: Mapping[str, Rule] = {
    "identity": _MAPPING,
    "levels": _SHAPES,
    "versions": _MAPPING,
    "created": _TEXT,
    "of": (
        "a count and a digest",
        lambda v: (
            isinstance(v, dict)
            and type(v.get("count")) is int
            and 0 <= v["count"] <= MOST
            and _is_digest(v.get("digest"))
        ),
    ),
}


def _is_shape(level: Any) -> bool:
    if not (isinstance(level, list) and len(level) == 2 and isinstance(level[0], str)):
        return False
    name, sides = level
    return (
        name not in ("", ".", "..")
        and not set(name) & {"/", "\0"}
        and isinstance(sides, list)
        and len(sides) == 3
        and all(type(side) is int and 1 <= side <= MOST_SHARD for side in sides)
    )


def read_root(root: Place) -> Geometry:
    """Return the geometry of a store; raises StoreError for one of another version or damaged."""
    attributes = read_attributes(root)
    if attributes.get("version") != VERSION:
        raise OtherFormat(root, attributes.get("version"), VERSION)
    stated = attributes.get("geometry")
    rules = {
        "height": _whole(1, MOST_SHARD),
        "width": _whole(1, MOST_SHARD),
        "resize": _TEXT,
        "scale": ("a number", lambda v: type(v) in (int, float)),
        "overlap": _whole(0, MOST_SHARD),
    }
    path = root / "zarr.json"
    if not isinstance(stated, dict) or not {"height", "width", "resize"} <= stated.keys() <= set(
        rules
    ):
        raise StoreError(f"{path} is damaged: its geometry is {reprlib.repr(stated)}.")
    _hold(stated, {name: rules[name] for name in stated}, path)
    try:
        return Geometry(**stated)
    except UserError as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def read_normals(folder: Place, address: str) -> Json:
    """Return the attributes of normals; raises StoreError where they are damaged or of others.

    Without an address they were written before normals had one, and are taken for these; and
    without `grey`, whether all of them are.
    """
    attributes = _read(folder, "normals", address, _NORMALS)
    _hold(attributes, {"grey": _TRUTH} if "grey" in attributes else {}, folder / "zarr.json")
    return attributes


def read_set(folder: Place, address: str) -> Json:
    """Return the attributes of a category of a set; raises StoreError as `read_normals` does."""
    path, attributes = folder / "zarr.json", _read(folder, "set", address, _SET)
    recorded = {name: rule for name, rule in _RECORDED.items() if name in attributes}
    _hold(attributes, recorded, path)
    lacking = [name for name in attributes["identity"] if name not in attributes]
    if lacking:
        raise StoreError(f"{path} is damaged: its identity names {lacking[0]!r}, which it lacks.")
    count, target = attributes["count"], attributes["target"]
    if count > target or (attributes["digest"] is None) != (count == 0):
        raise StoreError(
            f"{path} is damaged: {count} of {target} samples do not go with the digest "
            f"{attributes['digest']}."
        )
    method = address.split("/")[1]
    if attributes.get("method", method) != method:  # all that a set without an address says of it
        dataset, _, rest = address.split("/", 2)
        raise _other(folder, address, f"{dataset}/{attributes['method']}/{rest}")
    return attributes


def read_features(folder: Place) -> Json:
    """Return the attributes of features; raises StoreError where they are missing or damaged."""
    attributes = read_attributes(folder)
    path = folder / "zarr.json"
    _hold(attributes, {"kind": ("features", lambda v: v == "features"), **_FEATURES}, path)
    return attributes


def _read(folder: Place, kind: str, address: str, rules: Mapping[str, Rule]) -> Json:
    attributes = read_attributes(folder)
    path = folder / "zarr.json"
    stated = attributes.get("address", address)
    if stated != address:
        raise _other(folder, address, str(stated))
    _hold(attributes, {"kind": (kind, lambda v: v == kind), **rules}, path)
    return attributes


def _other(folder: Place, address: str, stated: str) -> OtherAddress:
    return OtherAddress(folder.parents[address.count("/")], address, stated)


def _hold(attributes: Json, rules: Mapping[str, Rule], path: Place) -> None:
    """Raise StoreError for the first attribute that is not what it must be."""
    for name, (what, holds) in rules.items():
        if name not in attributes:
            raise StoreError(f"{path} is damaged: it has no {name!r}.")
        if not holds(attributes[name]):
            value = reprlib.repr(attributes[name])
            raise StoreError(f"{path} is damaged: its {name} is {value}, not {what}.")
