"""The streams of several categories as one, for a detector that learns from all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np

from synth_store.mix import Items, ItemStream
from synth_store.rng import address_rng


@dataclass(frozen=True)
class Joined(ItemStream):
    """Several streams as one: each of its blocks is one block of every part, in shuffled order.

    So a category weighs by its normals, and within it ratio and mixture are what its own stream's
    are: exact to one item at every block's end, where that is. Its items are those that it would
    see in a training of its own. Sources are counted part by part.
    """

    parts: tuple[ItemStream, ...]
    seed: int

    @property
    def length(self) -> int:
        """The items of a block: of one block of every part."""
        return sum(part.length for part in self.parts)

    @property
    def counted(self) -> tuple[int, ...]:
        """How many things each source has, part by part."""
        return tuple(count for part in self.parts for count in part.counted)

    def block(self, number: int) -> Items:
        """Return the items of one block, `length` of them."""
        return _block(self, number)

    def counts(self, items: int) -> list[int]:
        """Return how many of the first `items` of the stream come from each source."""
        blocks, rest = divmod(items, self.length)
        whole = [n for part in self.parts for n in part.counts(blocks * part.length)]
        if not rest:
            return whole
        more = np.bincount(self.block(blocks).source[:rest], minlength=len(whole))
        return [int(n) for n in np.array(whole) + more]


@lru_cache(maxsize=16)
def _block(stream: Joined, number: int) -> Items:
    first = accumulate((len(part.counted) for part in stream.parts), initial=0)
    blocks = [part.block(number) for part in stream.parts]
    source = np.concatenate([b.source + begin for b, begin in zip(blocks, first, strict=False)])
    index = np.concatenate([b.index for b in blocks])
    order = address_rng("joint", stream.seed, number).permutation(stream.length)
    return Items(source[order], index[order])
