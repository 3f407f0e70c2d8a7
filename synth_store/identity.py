"""Two sets under one key: the same set, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from synth_store.types import StoreError


def refuse_other_identity(
    where: str, stored: Mapping[str, Any], identity: Mapping[str, Any]
) -> None:
    """Raise StoreError, naming each difference, unless the stored set has this identity."""
    # Through JSON, as the stored one went: a tuple is the list it became.
    here = json.loads(json.dumps(dict(identity)))
    names = sorted({*stored["identity"], *here})
    other = [name for name in names if stored.get(name) != here.get(name)]
    if other:
        listed = "; ".join(f"{n}: stored {stored.get(n)}, here {here.get(n)}" for n in other)
        raise StoreError(
            f"{where} is stored with another identity ({listed}): name this parameter set with "
            "--variant, choose another --seed, or overwrite what is stored with --replace."
        )


def refuse_other_versions(
    where: str, stored: Mapping[str, str], versions: Mapping[str, str]
) -> None:
    """Raise StoreError, naming each difference, unless the set was begun under these versions."""
    other = [n for n in sorted({*stored, *versions}) if stored.get(n) != versions.get(n)]
    if other:
        listed = "; ".join(f"{n} {stored.get(n)} then, {versions.get(n)} now" for n in other)
        raise StoreError(
            f"{where} was begun under other library versions ({listed}), so new samples might not "
            "match the old: install those versions, or render all of it anew with --replace."
        )
