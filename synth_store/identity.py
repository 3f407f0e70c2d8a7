"""Two sets under one key: the same set, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from synth_store.errors import OtherIdentity, OtherVersions


def refuse_other_identity(
    where: str, stored: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Raise OtherIdentity, naming each difference, unless the stored set has this identity."""
    # Through JSON, as the stored one went: a tuple is the list it became.
    here = json.loads(json.dumps(dict(identity)))
    other = _differences(stored, here, {*stored["identity"], *here})
    if other:
        raise OtherIdentity(where, other)


def _differences(
    stored: Mapping[str, Any], here: Mapping[str, Any], names: Iterable[str]
) -> dict[str, tuple[Any, Any]]:
    """Return what differs by name: both values, and of two mappings only what differs in them."""
    other: dict[str, tuple[Any, Any]] = {}
    for name in sorted(names):
        there, asked = stored.get(name), here.get(name)
        if isinstance(there, dict) and isinstance(asked, dict):
            inner = _differences(there, asked, {*there, *asked})
            there, asked = ({n: pair[side] for n, pair in inner.items()} for side in (0, 1))
        if there != asked:
            other[name] = there, asked
    return other


def refuse_other_versions(
    where: str, stored: Mapping[str, str], versions: Mapping[str, str]
) -> None:
    """Raise OtherVersions, naming each difference, unless a set was begun under them."""
    names = sorted({*stored, *versions})
    other = {n: (stored.get(n), versions.get(n)) for n in names if stored.get(n) != versions.get(n)}
    if other:
        raise OtherVersions(where, other)
