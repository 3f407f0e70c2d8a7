"""Two sets under one key: the same set, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from synth_store.errors import OtherIdentity, OtherVersions


def refuse_other_identity(
    where: str, stored: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Raise OtherIdentity, naming each difference, unless the stored set has this identity."""
    # Through JSON, as the stored one went: a tuple is the list it became.
    here = json.loads(json.dumps(dict(identity)))
    names = sorted({*stored["identity"], *here})
    other = {n: (stored.get(n), here.get(n)) for n in names if stored.get(n) != here.get(n)}
    if other:
        raise OtherIdentity(where, other)


def refuse_other_versions(
    where: str, stored: Mapping[str, str], versions: Mapping[str, str]
) -> None:
    """Raise OtherVersions, naming each difference, unless a set was begun under them."""
    names = sorted({*stored, *versions})
    other = {n: (stored.get(n), versions.get(n)) for n in names if stored.get(n) != versions.get(n)}
    if other:
        raise OtherVersions(where, other)
