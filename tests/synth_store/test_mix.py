"""Mixtures: what is parsed and refused, and what the stream of items promises for all of them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_store import Mix, Schedule, UserError

pytestmark = pytest.mark.slow

PROPORTIONS = st.fractions(0, 1, max_denominator=997)
WEIGHTS = st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)


def mix_of(weights: list[Fraction]) -> Mix:
    return Mix.parse(",".join(f"m{k}:{w}" for k, w in enumerate(weights)))


@st.composite
def schedules(draw: st.DrawFn, most: int = 40) -> Schedule:
    weights = draw(st.lists(WEIGHTS, min_size=1, max_size=most))
    return Schedule(
        mix=mix_of(weights),
        ratio=draw(st.one_of(PROPORTIONS, st.sampled_from([Fraction(0), Fraction(1)]))),
        normals=draw(st.integers(1, 60)),
        sizes=tuple(draw(st.integers(1, 30)) for _ in weights),
        seed=draw(st.integers(0, 9)),
    )


def stream(schedule: Schedule, blocks: int) -> tuple[list[int], list[int]]:
    items = [schedule.block(b) for b in range(blocks)]
    sources = [int(o) for block in items for o in block.source]
    return sources, [int(i) for block in items for i in block.index]


# --- parse ---


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("draem", {"draem": Fraction(1)}),
        ("draem:0.5,fractal:0.5", {"draem": Fraction(1, 2), "fractal": Fraction(1, 2)}),
        ("b:1, a:1", {"a": Fraction(1, 2), "b": Fraction(1, 2)}),
        ("a,b:3", {"a": Fraction(1, 4), "b": Fraction(3, 4)}),
        ("a:1/3,b:2/3", {"a": Fraction(1, 3), "b": Fraction(2, 3)}),
        ("a:0.1,b:0.2", {"a": Fraction(1, 3), "b": Fraction(2, 3)}),
        (
            "nsa@asbench:1e-3,nsa: 1",
            {"nsa": Fraction(1000, 1001), "nsa@asbench": Fraction(1, 1001)},
        ),
    ],
)
def test_weights_are_exact_and_divided_by_their_sum(text: str, shares: dict[str, Fraction]) -> None:
    assert dict(Mix.parse(text).shares) == shares
    assert Mix.parse(text).names == tuple(sorted(shares))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mix '': method '' is not a name"),
        ("a,,b", "mix 'a,,b': method '' is not a name"),
        ("Draem:1", "mix 'Draem:1': method 'Draem' is not a name: use lower-case letters"),
        ("a:x", "mix 'a:x': the weight 'x' of a is not a number; write for example a:0.5."),
        ("a:", "mix 'a:': the weight '' of a is not a number"),
        ("a:1/0", "mix 'a:1/0': the weight '1/0' of a is not a number"),
        ("a:nan", "mix 'a:nan': the weight 'nan' of a is not a number"),
        ("a:inf", "mix 'a:inf': the weight 'inf' of a is not a number"),
        ("a:1:2", "mix 'a:1:2': the weight '1:2' of a is not a number"),
        ("a:0,b", "mix 'a:0,b': the weight of a is 0; it must be greater than 0. Leave a out"),
        ("a:-0.5", "mix 'a:-0.5': the weight of a is -0.5; it must be greater than 0."),
        ("a:1,a:2", "mix 'a:1,a:2' names a twice: give each method one weight."),
    ],
)
def test_a_wrong_mix_names_its_wrong_part(text: str, message: str) -> None:
    with pytest.raises(UserError, match="^" + re.escape(message)):
        Mix.parse(text)


@given(st.lists(WEIGHTS, min_size=1, max_size=40))
def test_a_mix_reads_back_from_its_text(weights: list[Fraction]) -> None:
    mix = mix_of(weights)
    assert Mix.parse(str(mix)) == mix
    assert sum(share for _, share in mix.shares) == 1


def test_the_text_of_a_mix_is_the_one_people_write() -> None:
    assert str(Mix.parse("fractal:2,draem:2")) == "draem:0.5,fractal:0.5"
    assert str(Mix.parse("a:1,b:2")) == "a:1/3,b:2/3"
    assert str(Mix()) == ""


# --- what a schedule refuses ---


@pytest.mark.parametrize(
    ("mix", "ratio", "normals", "sizes", "message"),
    [
        ("a", Fraction(3, 2), 4, (4,), "ratio 1.5 is impossible: choose from 0 to 1."),
        ("a", Fraction(-1, 2), 4, (4,), "ratio -0.5 is impossible: choose from 0 to 1."),
        ("a", Fraction(1, 2), 0, (4,), "there are no training normals to schedule."),
        ("a", Fraction(1, 2), 4, (0,), "mix a:1 needs one non-empty set each, not sizes (0,)."),
        ("a,b", Fraction(1, 2), 4, (4,), "mix a:0.5,b:0.5 needs one non-empty set each"),
        (None, Fraction(1, 2), 4, (), "ratio 0.5 needs a mix: add for example --mix draem:1."),
    ],
)
def test_an_impossible_schedule_is_refused(
    mix: str | None, ratio: Fraction, normals: int, sizes: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match="^" + re.escape(message)):
        Schedule(Mix.parse(mix) if mix else Mix(), ratio, normals, sizes, 0)


# --- what the stream promises ---


@settings(max_examples=60, deadline=None)
@given(schedules(), st.integers(1, 12))
def test_counts_stay_within_one_item_of_exact(schedule: Schedule, blocks: int) -> None:
    before = np.zeros(len(schedule.shares), int)
    for number in range(blocks):
        items = schedule.block(number)
        assert len(items.source) == len(items.index) == schedule.normals
        before = before + np.bincount(items.source, minlength=len(before))
        for given_, share in zip(before, schedule.shares, strict=True):
            assert abs(int(given_) - share * schedule.normals * (number + 1)) < 1
        assert schedule.counts(schedule.normals * (number + 1)) == list(before)


@settings(max_examples=40, deadline=None)
@given(schedules(most=6), st.integers(1, 12))
def test_every_origin_is_walked_without_replacement(schedule: Schedule, blocks: int) -> None:
    sources, indices = stream(schedule, blocks)
    for number, size in enumerate((schedule.normals, *schedule.sizes)):
        walked = [i for o, i in zip(sources, indices, strict=True) if o == number]
        counts = np.bincount(np.array(walked, int), minlength=size)
        assert len(counts) == size
        assert counts.max() - counts.min() <= 1


def test_passes_are_whole_when_a_block_takes_a_whole_set() -> None:
    """Within a block the order is shuffled, so passes show only where they end with a block."""
    schedule = Schedule(Mix.parse("a"), Fraction(1, 2), 20, (10,), 0)
    orders = []
    for number in range(4):
        items = schedule.block(number)
        order = [int(i) for i in items.index[items.source == 1]]
        assert sorted(order) == list(range(10))
        orders.append(tuple(order))
    assert len(set(orders)) == 4


@settings(max_examples=60, deadline=None)
@given(schedules(most=5), st.integers(1, 150), st.integers(0, 6))
def test_a_batch_is_a_slice_of_the_stream(schedule: Schedule, batch: int, step: int) -> None:
    blocks = -(-batch * (step + 1) // schedule.normals)
    sources, indices = stream(schedule, blocks)
    here = slice(step * batch, (step + 1) * batch)
    items = schedule.batch_at(step, batch)
    assert items.source.tolist() == sources[here]
    assert items.index.tolist() == indices[here]


@settings(max_examples=40, deadline=None)
@given(schedules(most=5), st.integers(0, 300))
def test_counts_are_those_of_the_stream(schedule: Schedule, items: int) -> None:
    sources, _ = stream(schedule, -(-items // schedule.normals))
    counted = np.bincount(np.array(sources[:items], int), minlength=len(schedule.shares))
    assert schedule.counts(items) == counted.tolist()


def test_a_later_step_needs_no_earlier_one() -> None:
    """A resumed training asks a fresh process for step 1000 first."""
    ask = Schedule(Mix.parse("a:1,b:2"), Fraction(3, 10), 17, (5, 7), 4)
    walked = [ask.batch_at(step, 8).index.tolist() for step in range(60)]
    other = Schedule(Mix.parse("b:4,a:2"), Fraction(3, 10), 17, (5, 7), 4)
    assert other == ask
    assert [other.batch_at(step, 8).index.tolist() for step in reversed(range(60))] == walked[::-1]


@given(st.integers(1, 50), st.integers(0, 5))
def test_ratio_zero_needs_no_set_and_gives_every_normal_once_a_block(
    normals: int, seed: int
) -> None:
    items = Schedule(Mix(), Fraction(0), normals, (), seed).block(3)
    assert not items.source.any()
    assert sorted(items.index.tolist()) == list(range(normals))


def test_ratio_zero_draws_nothing_from_a_set_that_is_there() -> None:
    assert Schedule(Mix.parse("a"), Fraction(0), 10, (3,), 0).counts(1000) == [1000, 0]


def test_ratio_one_draws_no_normal() -> None:
    assert Schedule(Mix.parse("a:3,b:1"), Fraction(1), 10, (3, 4), 0).counts(1000) == [0, 750, 250]


def test_small_shares_are_served_in_the_long_run() -> None:
    """Rounding every block alone would never draw a source due once in a thousand items."""
    schedule = Schedule(Mix.parse("a:999,rare:1"), Fraction(1), 10, (50, 50), 0)
    assert schedule.counts(10_000) == [0, 9990, 10]


def test_seeds_order_the_stream_otherwise_with_equal_counts() -> None:
    one, two = (Schedule(Mix.parse("a"), Fraction(1, 2), 30, (30,), seed) for seed in (0, 1))
    assert one.block(0).index.tolist() != two.block(0).index.tolist()
    assert one.counts(30) == two.counts(30)


def test_threads_may_ask_at_once() -> None:
    """A prefetch thread asks for batches while the training counts what it saw."""
    asked = Schedule(Mix.parse("a:1,b:1,c:5"), Fraction(2, 7), 14, (9, 9, 9), 0)
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(asked.counts, [14 * 2000] * 8))
    assert counts == [counts[0]] * 8
    assert sum(counts[0]) == 14 * 2000


def test_the_stream_is_golden() -> None:
    """Equal seeds must give equal trainings in every later version."""
    schedule = Schedule(Mix.parse("a:1,b:2"), Fraction(1, 2), 8, (5, 7), 0)
    assert stream(schedule, 2) == GOLDEN_STREAM


GOLDEN_STREAM = (
    [0, 2, 2, 0, 0, 2, 1, 0, 2, 0, 0, 0, 1, 1, 0, 2],
    [1, 5, 0, 0, 2, 3, 1, 5, 2, 6, 3, 7, 3, 4, 4, 4],
)
