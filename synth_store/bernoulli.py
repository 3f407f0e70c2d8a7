"""The stream of training items as published code draws it: every item independently."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synth_store.mix import Items, Stream
from synth_store.rng import address_rng


@dataclass(frozen=True)
class BernoulliSchedule(Stream):
    """The stream whose items are independent draws.

    Each is anomalous with probability `ratio`; then its set is drawn by weight, and the sample, or
    the normal, uniformly with replacement. So counts are binomial, and an image may come twice
    before another has come once.
    """

    def block(self, number: int) -> Items:
        """Return the items of one block, `normals` of them."""
        return _block(self, number)

    def counts(self, items: int) -> list[int]:
        """Return how many of the first `items` of the stream come from each source."""
        counts = np.zeros(len(self.shares), np.int64)
        for start in range(0, items, self.normals):
            source = _draw(self, start // self.normals).source[: items - start]
            counts += np.bincount(source, minlength=len(counts))
        return [int(c) for c in counts]


def _draw(schedule: BernoulliSchedule, number: int) -> Items:
    rng = address_rng("bernoulli", schedule.seed, number)
    # Source k is drawn in [edges[k - 1], edges[k]) of [0, 1): a source without a share never is.
    edges = [float(sum(schedule.shares[:k])) for k in range(1, len(schedule.shares))]
    source = np.searchsorted(edges, rng.random(schedule.normals), side="right")
    sizes = np.array([schedule.normals, *schedule.sizes])
    return Items(source, rng.integers(sizes[source]))


_block = lru_cache(maxsize=16)(_draw)
"""Kept for `block` alone: counting walks the whole training and would push out what is in use."""
