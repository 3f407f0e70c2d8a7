"""The stream of independent draws: frequencies, purity, independence of the exact stream."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from synth_store import BernoulliSchedule, Mix, Schedule, UserError

MIX = Mix.parse("a:1,b:3")


def schedule(ratio: str = "0.3", normals: int = 40, seed: int = 7) -> BernoulliSchedule:
    return BernoulliSchedule(MIX, Fraction(ratio), normals, (5, 11), seed)


def within(count: int, of: int, share: float) -> bool:
    """Whether a count lies in the central 99.9 % of its binomial."""
    low, high = stats.binom.interval(0.999, of, share)
    return bool(low <= count <= high)


@pytest.mark.parametrize("ratio", ["0.05", "0.3", "0.5", "0.9"])
def test_every_origin_comes_as_often_as_its_binomial_allows(ratio: str) -> None:
    asked, items = schedule(ratio), 20_000
    counts = asked.counts(items)
    assert sum(counts) == items
    for count, share in zip(counts, asked.shares, strict=True):
        assert within(count, items, float(share))
    assert counts != Schedule(MIX, Fraction(ratio), 40, (5, 11), 7).counts(items)


def test_items_are_drawn_uniformly_with_replacement() -> None:
    asked = schedule("0.5", normals=20)
    blocks = [asked.block(b) for b in range(500)]
    source = np.concatenate([b.source for b in blocks])
    index = np.concatenate([b.index for b in blocks])
    for k, size in enumerate((20, 5, 11)):
        drawn = np.bincount(index[source == k])
        assert len(drawn) == size
        assert stats.chisquare(drawn).pvalue > 1e-3
    # a pass without replacement would give each of the 20 normals once before any twice
    assert any(len(set(b.index[b.source == 0])) < (b.source == 0).sum() for b in blocks[:5])


def test_items_do_not_depend_on_those_before_them() -> None:
    asked = schedule("0.5", normals=30)
    anomalous = np.concatenate([asked.block(b).source for b in range(700)]) > 0
    follows = int((anomalous[1:] & anomalous[:-1]).sum())
    assert within(follows, len(anomalous) - 1, 0.25)
    # the counts of blocks spread as a binomial's, where the exact stream's do not spread at all
    spread = anomalous.reshape(-1, 30).sum(axis=1).var()
    assert 0.8 < spread / (30 * 0.25) < 1.2


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 50), st.integers(1, 13), st.integers(0, 200))
def test_a_batch_is_a_slice_of_the_stream(normals: int, batch: int, step: int) -> None:
    asked = schedule(normals=normals)
    found = asked.batch_at(step, batch)
    last = -(-(step + 1) * batch // normals)
    source = np.concatenate([schedule(normals=normals).block(b).source for b in range(last)])
    index = np.concatenate([schedule(normals=normals).block(b).index for b in range(last)])
    here = slice(step * batch, (step + 1) * batch)
    assert np.array_equal(found.source, source[here])
    assert np.array_equal(found.index, index[here])
    counts = asked.counts((step + 1) * batch)
    assert counts == np.bincount(source[: (step + 1) * batch], minlength=3).tolist()


def test_the_seed_the_block_and_the_kind_of_stream_decide() -> None:
    one = schedule().block(2)
    assert np.array_equal(one.source, schedule().block(2).source)
    for other in (schedule(seed=8).block(2), schedule().block(3)):
        assert not np.array_equal(one.index, other.index)
    exact = Schedule(MIX, Fraction("0.3"), 40, (5, 11), 7)
    assert exact != schedule()
    assert not np.array_equal(exact.block(2).source, one.source)


def test_the_ends_of_the_ratio_are_never_missed() -> None:
    assert schedule("0").counts(5000) == [5000, 0, 0]
    assert schedule("1").counts(5000)[0] == 0
    assert BernoulliSchedule(Mix(), Fraction(0), 9, (), 0).counts(30) == [30]


def test_what_cannot_be_drawn_is_refused_as_by_the_exact_stream() -> None:
    with pytest.raises(UserError, match=r"ratio 1\.5 is impossible"):
        schedule("1.5")
    with pytest.raises(UserError, match="needs a mix"):
        BernoulliSchedule(Mix(), Fraction(1, 2), 9, (), 0)


def test_the_stream_of_a_seed_never_changes() -> None:
    found = schedule().batch_at(9, 8)
    assert found.source.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert found.index.tolist() == [5, 1, 38, 7, 18, 0, 26, 8]
