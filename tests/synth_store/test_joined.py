"""The stream of several categories: in each, ratio and mixture are as exact as in its own."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_store import BernoulliSchedule, Joined, Mix, Schedule

RATIOS = st.fractions(0, 1, max_denominator=12)


@st.composite
def joined(draw: st.DrawFn) -> Joined:
    mix, ratio, seed = Mix.parse("a:1,b:2,c:4"), draw(RATIOS), draw(st.integers(0, 9))
    sizes = st.tuples(*[st.integers(1, 12)] * 3)
    many = draw(st.integers(1, 4))
    parts = [Schedule(mix, ratio, draw(st.integers(1, 25)), draw(sizes), seed) for _ in range(many)]
    return Joined(tuple(parts), seed)


@settings(max_examples=60, deadline=None)
@given(joined(), st.integers(1, 8))
def test_counts_are_within_one_item_of_exact_in_every_category(stream: Joined, blocks: int) -> None:
    shares = [share * part.normals for part in stream.parts for share in part.shares]
    given_ = np.zeros(len(shares), int)
    for number in range(blocks):
        items = stream.block(number)
        assert len(items.source) == stream.length
        given_ += np.bincount(items.source, minlength=len(shares))
        for count, each in zip(given_, shares, strict=True):
            assert abs(int(count) - each * (number + 1)) < 1
        assert stream.counts(stream.length * (number + 1)) == given_.tolist()


@settings(max_examples=30, deadline=None)
@given(joined(), st.integers(0, 5))
def test_a_block_holds_the_items_that_each_category_would_see_alone(
    stream: Joined, number: int
) -> None:
    items, first = stream.block(number), 0
    seen = Counter(zip(items.source.tolist(), items.index.tolist(), strict=True))
    for part in stream.parts:
        alone = part.block(number)
        sources = (alone.source + first).tolist()
        seen.subtract(zip(sources, alone.index.tolist(), strict=True))
        first += len(part.counted)
    assert not any(seen.values())


@settings(max_examples=40, deadline=None)
@given(joined(), st.integers(1, 60), st.integers(0, 6), st.integers(0, 200))
def test_a_batch_is_a_slice_of_the_stream_and_counts_are_its(
    stream: Joined, batch: int, step: int, items: int
) -> None:
    blocks = [stream.block(b) for b in range(-(-max(items, batch * (step + 1)) // stream.length))]
    source = np.concatenate([b.source for b in blocks])
    here = slice(step * batch, (step + 1) * batch)
    given_ = stream.batch_at(step, batch)
    assert given_.source.tolist() == source[here].tolist()
    assert given_.index.tolist() == np.concatenate([b.index for b in blocks])[here].tolist()
    counted = np.bincount(source[:items], minlength=len(stream.counted))
    assert stream.counts(items) == counted.tolist()


def test_items_drawn_one_by_one_join_too() -> None:
    parts = tuple(BernoulliSchedule(Mix.parse("a"), Fraction(1, 2), n, (4,), 1) for n in (5, 8))
    stream = Joined(parts, 1)
    drawn = [stream.block(b).source for b in range(4)]
    counted = np.bincount(np.concatenate(drawn), minlength=4).tolist()
    assert stream.counts(4 * 13) == counted
    assert (sum(counted[:2]), sum(counted[2:])) == (20, 32)
