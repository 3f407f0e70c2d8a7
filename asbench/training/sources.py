"""What a run trains on: a mixture's stored sets, found, counted, and what is kept out."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

from asbench import plugins
from asbench.data.excluded import Marks, marked
from asbench.data.set_record import record_of
from asbench.data.validation_part import VALIDATION_MOST, validation_part
from asbench.evaluation.kept_normals import kept_normals
from asbench.mend import regenerate_command
from asbench.types import REAL, Item
from synth_store import (
    BernoulliSchedule,
    Mix,
    Schedule,
    StoredSet,
    StoreError,
    StoreKey,
    Stream,
    SynthStore,
    UserError,
)

STREAMS: Mapping[str, type[Stream]] = {"exact": Schedule, "bernoulli": BernoulliSchedule}
"""How items are drawn, by the ratio's mode."""


@dataclass(frozen=True)
class Sources:
    """A mixture with its sets, in the mixture's order, and how many samples of each may train."""

    mix: Mix
    sets: tuple[StoredSet, ...]
    sizes: tuple[int, ...]
    resolved: tuple[tuple[str, str], ...] = ()
    """Bare names of the mixture with the one stored variant that each was taken for."""
    kept_out: float = 0.0
    """The share of normals that is kept out of training, and with them what was drawn on them."""
    excluded: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By method, samples that somebody left out; a method without one is not there."""

    def schedule(self, ratio: Fraction, normals: int, seed: int, mode: str = "exact") -> Stream:
        """Return the stream of items that a training at this ratio sees; mode: of `STREAMS`."""
        return STREAMS[mode](self.mix, ratio, normals, self.sizes, seed)

    @property
    def saw_defects(self) -> tuple[str, ...]:
        """The ids of the real defects that the sets were made from, all that any of them saw."""
        return tuple(sorted(set().union(*(record_of(s).saw_defects for s in self.sets))))

    def refuse_leaks(self, items: Sequence[Item], store: SynthStore) -> None:
        """Raise UserError if a set saw a defect that is not few-shot among these test items.

        Photographs added to a folder later can shift its few-shot third: scored as held out would
        then be what trained.
        """
        allowed = {item.id for item in items if item.few_shot}
        for stored in self.sets:
            seen = record_of(stored).saw_defects
            if other := [id_ for id_ in seen if id_ not in allowed]:
                raise UserError(
                    f"{stored.key}/{stored.category} was made from {len(other)} real defects that "
                    f"are not in the few-shot third now ({', '.join(other[:3])}"
                    f"{', ...' if len(other) > 3 else ''}): the data set has changed. Make it anew "
                    f"with\n  {regenerate_command(store, stored.key, stored.category)} --replace"
                )

    @property
    def indices(self) -> list[Sequence[int]]:
        """Which samples of every set train, in the order in which the stream counts them."""
        return [
            trained(s, self.kept_out, self.excluded.get(s.key.method, ()))[:size]
            for s, size in zip(self.sets, self.sizes, strict=True)
        ]

    def validation_parts(self) -> list[tuple[StoredSet, Sequence[int]]]:
        """Return the samples of every set that no training sees: thresholds come from them."""
        return [
            (s, kept_samples(s, self.kept_out, self.excluded.get(s.key.method, ())))
            for s in self.sets
        ]


def find_sources(
    store: SynthStore,
    dataset: str,
    category: str,
    mix: Mix,
    seed: int,
    pool: int | None,
    *,
    origin: Sequence[str] | None = None,
    kept_out: float = 0.0,
    marks: Marks | None = None,
) -> Sources:
    """Find a mixture's sets in the store; `pool` limits each to the first that may train.

    kept_out: share of the normals that are kept out of training, see `kept_normals`; marks: samples
    that are left out of it.

    origin: the options that name the data set on the command line, where `--dataset` and its key
    do not: a folder has a path.

    A bare name means itself; where only one variant of it is stored, it means that one. Raises
    StoreError naming every set that is missing or unfinished with the command that makes it,
    UserError for a method that is neither stored nor known, where two variants could be meant, and
    where a set has fewer samples to train on than `pool`, or not those that are marked.
    """
    if pool is not None and pool < 1:
        raise UserError(f"pool {pool} leaves nothing to train on: give a number from 1 up.")
    if seed < 0:
        raise UserError(f"synth seed {seed} is negative: use 0, 1, 2, ...")
    stored = {
        k.method
        for k, c in store.sets()
        if (k.dataset, c) == (dataset, category)
        and k == _key(dataset, k.method, seed)
        and store.count(k, c)
    }
    shares, missing, resolved = [], [], []
    for name, share in mix.shares:
        variants = sorted(m for m in stored if m.partition("@")[0] == name)
        if name in stored:
            shares.append((name, share))
        elif len(variants) == 1:
            shares.append((variants[0], share))
            resolved.append((name, variants[0]))
        elif variants:
            raise UserError(
                f"mix {mix}: {name} could mean {' or '.join(variants)}, which are both stored for "
                f"{dataset}/{category}: name the one you mean."
            )
        else:
            missing.append(name)
    if missing:
        for name in missing:
            if name != REAL:
                plugins.check("asbench.synthesizers", name)
        lines = "\n".join(
            f"  {regenerate_command(store, _key(dataset, name, seed), category, origin)}"
            for name in missing
        )
        raise StoreError(
            f"mix {mix} names {', '.join(missing)}, which the store at {store.root} does not hold "
            f"for {dataset}/{category} (set seed {seed}). Make what is missing with\n{lines}"
        )
    stored_mix = Mix(tuple(sorted(shares)))
    if len({name for name, _ in stored_mix.shares}) != len(stored_mix.shares):
        raise UserError(f"mix {mix} comes down to one set twice ({stored_mix}): name each once.")
    sets = tuple(store.read(_key(dataset, n, seed), category) for n in stored_mix.names)
    with naming_the_mend(store):
        excluded = marked(sets, marks or {})
    sizes = tuple(
        _trained(store, s, pool, origin, kept_out, excluded.get(s.key.method, ())) for s in sets
    )
    return Sources(stored_mix, sets, sizes, tuple(resolved), kept_out, excluded)


def _key(dataset: str, method: str, seed: int) -> StoreKey:
    """Return a set's key: real defects have no seed, and are stored at 0."""
    return StoreKey(dataset, method, 0 if method == REAL else seed)


def _trained(
    store: SynthStore,
    stored: StoredSet,
    pool: int | None,
    origin: Sequence[str] | None,
    kept_out: float,
    excluded: Collection[int],
) -> int:
    """Return how many samples of a set may train."""
    with naming_the_mend(store):
        at_hand = len(trained(stored, kept_out, excluded))
    if not at_hand and excluded:
        raise UserError(
            f"{stored.key}/{stored.category}: none of its {stored.count} samples may train once "
            f"the {len(excluded)} marked ones are left out: unmark some, or make more of them."
        )
    if not at_hand:
        raise UserError(
            f"{stored.key}/{stored.category}: none of its {stored.count} samples may train, for "
            "all were drawn on normals that are kept out for the threshold. Make more of them, or "
            "train on all normals with --kept-out 0."
        )
    if pool is not None and pool > at_hand and stored.key.method == REAL:
        raise UserError(
            f"pool {pool} is more than {stored.key}/{stored.category} can give: there are "
            f"{stored.count} few-shot defects with a mask, of which {at_hand} may train. Give a "
            f"pool of {at_hand} or less, or leave it out."
        )
    if pool is not None and pool > at_hand:
        # Taking what is there would call two points of a scaling study different that are not.
        count = round(pool * trainable(stored.count) / at_hand) + VALIDATION_MOST
        line = regenerate_command(store, stored.key, stored.category, origin, count)
        raise UserError(
            f"pool {pool} is more than {stored.key}/{stored.category} can give: {at_hand} of its "
            f"{stored.count} samples may train, {'the last ' if not kept_out else ''}"
            f"{stored.count - at_hand} are kept back for thresholds. Give a smaller pool, or make "
            f"more with\n"
            f"  {line}"
        )
    return at_hand if pool is None else pool


def trainable(count: int) -> int:
    """Return how many samples of a set of `count` may train."""
    return validation_part(count).start


@contextmanager
def naming_the_mend(store: SynthStore) -> Iterator[None]:
    """Add to what a damaged store says the command that finds and mends it."""
    try:
        yield
    except StoreError as error:
        line = shlex.join(["asbench", "store", "verify", "--store", str(store.root)])
        raise StoreError(f"{error} See what is damaged and how to mend it: `{line}`.") from error


def trained(stored: StoredSet, kept_out: float, excluded: Collection[int] = ()) -> Sequence[int]:
    """Return which samples of a set may train, in ascending order; none that is `excluded`.

    Not its validation part, and none that was drawn on a normal that is kept out: it carries that
    one's pixels. A set with backgrounds of its own has no such samples; it was fitted on all.
    """
    part = range(trainable(stored.count))
    kept = set(kept_normals(stored.normals, kept_out))
    if not kept or stored.clean is not None:
        return _without(part, excluded)
    return _without([i for i in part if stored.source_of(i) not in kept], excluded)


def _without(part: Sequence[int], excluded: Collection[int]) -> Sequence[int]:
    return [i for i in part if i not in excluded] if excluded else part


def kept_samples(
    stored: StoredSet, kept_out: float, excluded: Collection[int] = ()
) -> Sequence[int]:
    """Return the samples of a set that stand for anomalies when a threshold is chosen.

    The first that were drawn on kept-out normals, at most `VALIDATION_MOST`; the validation part
    where no normal is kept out or none of the samples was drawn on one.
    """
    kept = set(kept_normals(stored.normals, kept_out))
    own = kept and stored.clean is None
    drawn = [i for i in range(stored.count) if stored.source_of(i) in kept] if own else []
    drawn = [i for i in drawn if i not in excluded]
    return drawn[:VALIDATION_MOST] or _without(validation_part(stored.count), excluded)
