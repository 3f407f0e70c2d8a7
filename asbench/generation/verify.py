"""A whole store verified: every byte read and, where asked, samples rendered anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asbench.generation.recompute import Recomputed, recompute
from asbench.mend import regenerate_command
from asbench.progress import Progress, quiet
from asbench.settings import FITS
from asbench.types import REAL
from synth_store import StoreKey, SynthStore, UserError
from synth_store.features import drop
from synth_store.places import writable
from synth_store.selection import FEATURES, select
from synth_store.verify import (
    Fault,
    discard_damaged,
    discard_normals,
    verify_features,
    verify_normals,
    verify_set,
    verify_store,
)


@dataclass
class Verification:
    """What was found: sets read, faults, what was rendered anew, shards deleted.

    mend: the commands that render anew what is damaged or unfinished. `again` and `discarded` are
    by `dataset/method/seed/category`, or of normals `dataset/normal/category`; discarded: None
    where all went that stood there. drop: the commands that drop damaged features, which the next
    training computes anew; dropped: the addresses whose features were. without_address: normals
    and sets of releases that recorded none: where they belong only their place says.
    """

    sets: int
    faults: list[Fault] = field(default_factory=list)
    again: dict[str, Recomputed] = field(default_factory=dict)
    discarded: dict[str, int | None] = field(default_factory=dict)
    mend: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    without_address: list[str] = field(default_factory=list)


def verify(
    store: SynthStore,
    addresses: Iterable[str] = (),
    *,
    count: int = 0,
    discard: bool = False,
    fits: Path | str = FITS,
    progress: Progress = quiet,
) -> Verification:
    """Read every byte below the addresses (for none: of all), with the normals they stand on.

    count: samples of every sound set to render anew and compare; discard: delete shards that hold
    a damaged sample, and whole what is another's or whose metadata is damaged, so that generating
    mends them; fits: where the weights of learned methods are. What cannot be read is a fault, and
    the rest is read. Raises StoreError for an unknown address.
    """
    asked = list(addresses)
    if discard:
        writable(store.root)
    sets = select(store, asked)
    verification = Verification(len(sets), verify_store(store))
    datasets = {key.dataset for key, _ in sets}
    damaged = []
    for dataset, category in store.stored_normals():
        if not asked or dataset in datasets:
            adding = _Adding(f"{dataset}/normal/{category}", progress)
            faults = verify_normals(store, dataset, category, adding)
            verification.faults += faults
            if faults:
                damaged.append((dataset, category))
                verification.mend += _anew(store, dataset, category)
            else:
                _note_address(
                    adding.what, store.normals(dataset, category).attributes, verification
                )
            _verify_features(store, adding.what, verification, discard)
    for key, category in sets:
        _verify(store, key, category, verification, count, discard, fits, progress)
        _verify_features(store, f"{key}/{category}", verification, discard)
    for dataset, category in damaged if discard else ():  # last: sets are read beside them
        discard_normals(store, dataset, category)
        verification.discarded[f"{dataset}/normal/{category}"] = None
    verification.mend = list(dict.fromkeys(verification.mend))
    return verification


def _anew(store: SynthStore, dataset: str, category: str) -> list[str]:
    """Return the commands that write the normals of a category again: of sets drawn on them."""
    drawn_on = [key for key, c in store.sets() if (key.dataset, c) == (dataset, category)]
    return [regenerate_command(store, key, category) for key in drawn_on[:1]]


def _note_address(address: str, attributes: Mapping[str, Any], verification: Verification) -> None:
    if "address" not in attributes:
        verification.without_address.append(address)


def _verify(
    store: SynthStore,
    key: StoreKey,
    category: str,
    verification: Verification,
    count: int,
    discard: bool,
    fits: Path | str,
    progress: Progress,
) -> None:
    address = f"{key}/{category}"
    faults = verify_set(store, key, category, _Adding(address, progress))
    if not faults:
        _note_address(address, store.attributes(key, category), verification)
    if faults:
        verification.mend.append(regenerate_command(store, key, category))
        if discard:
            verification.discarded[address] = discard_damaged(store, key, category)
    elif count and key.method != REAL:  # no method renders what was photographed
        try:
            again = recompute(store, key, category, count, fits=fits)
        except UserError as error:
            verification.faults.append(
                Fault(store.folder(key, category), f"cannot be rendered anew: {error}")
            )
            return
        verification.again[address] = again
        folder = store.folder(key, category)
        faults = [Fault(folder, f"sample {i} differs when rendered anew") for i in again.different]
    verification.faults += faults


def _verify_features(
    store: SynthStore, address: str, verification: Verification, discard: bool
) -> None:
    """Read the features beside normals or a set; damaged ones are dropped whole with `discard`."""
    folder = store.root / address
    faults = verify_features(store, folder)
    verification.faults += faults
    if faults and discard:
        drop(writable(store.root), writable(folder / FEATURES))
        verification.dropped.append(address)
    elif faults:
        line = ["asbench", "store", "rm", "--features", "--store", str(store.root), address]
        verification.drop.append(shlex.join(line))


class _Adding:
    """Adds up what is reported sample by sample."""

    def __init__(self, what: str, progress: Progress) -> None:
        self.what, self.progress, self.done = what, progress, 0

    def __call__(self, step: int, total: int) -> None:
        self.done = min(self.done + step, total)
        self.progress(self.what, self.done, total)
