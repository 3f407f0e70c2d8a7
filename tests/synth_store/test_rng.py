"""Chance is a function of an address: golden first draws, walks over sources, independence of n."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_store import StoreKey, address_rng, sample_rng
from synth_store.rng import source_index

KEY = StoreKey("demo", "fractal", 0)

GOLDEN: dict[tuple[str | int, ...], tuple[list[int], float]] = {
    (): ([1314091520, 1734094004, 1026938057], -2.790569309942973),
    ("order", 0, 0): ([1368643506, 311247548, 2619606986], -0.4087464280814531),
    ("walk", 3, "draem", 1): ([3651861456, 2849074346, 3724062673], 0.8081364293872664),
    ("sample", "demo/fractal/0", "tile", 0, 0): (
        [3759318131, 3521464748, 1942542881],
        0.1440588261103983,
    ),
}
SAMPLE_DRAWS = [3759318131, 3513368983, 2097989314, 1132029177]
SOURCES = [1, 2, 0, 4, 3, 3, 2, 1, 4, 0]
REDRAWN = [2, 4, 0, 4, 4, 0, 3, 2, 1, 2]


@pytest.mark.parametrize("address", list(GOLDEN))
def test_first_draws_are_golden(address: tuple[str | int, ...]) -> None:
    """A changed generator changes every pixel of every stored set: it must not pass unseen."""
    rng = address_rng(*address)
    assert [int(d) for d in rng.integers(0, 2**32, 3)] == GOLDEN[address][0]
    assert rng.standard_normal() == GOLDEN[address][1]


def test_samples_and_sources_are_golden() -> None:
    draws = [int(sample_rng(KEY, "tile", i, a).integers(2**32)) for i in (0, 1) for a in (0, 1)]
    assert draws == SAMPLE_DRAWS
    assert [source_index(KEY, "tile", i, 0, 5) for i in range(10)] == SOURCES
    assert [source_index(KEY, "tile", i, 1, 5) for i in range(10)] == REDRAWN


def test_draws_do_not_depend_on_the_process() -> None:
    """Python's own hash is salted for each process; an address must not be."""
    code = "from synth_store import address_rng; print(address_rng('a', 1, 'b').integers(2**63))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": salt, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for salt in ("1", "2")
    }
    assert found == {f"{address_rng('a', 1, 'b').integers(2**63)}\n"}


@given(st.lists(st.one_of(st.text("abc/", max_size=3), st.integers(0, 99)), min_size=1, max_size=4))
def test_equal_addresses_draw_equal_and_longer_ones_draw_others(address: list[str | int]) -> None:
    draw = address_rng(*address).integers(2**63)
    assert draw == address_rng(*address).integers(2**63)
    assert draw != address_rng(*address, "").integers(2**63)


def test_addresses_cut_elsewhere_are_others() -> None:
    addresses = [("a", "bc"), ("ab", "c"), ("abc",), ("a", "b", "c"), ("abc", "")]
    assert len({int(address_rng(*a).integers(2**63)) for a in addresses}) == len(addresses)


def test_every_part_of_a_samples_address_counts() -> None:
    keys = [KEY, StoreKey("demo", "fractal", 1), StoreKey("demo", "fractal@b", 0)]
    keys.append(StoreKey("demo@b", "fractal", 0))
    draws = {
        int(sample_rng(key, category, index, attempt).integers(2**63))
        for key in keys
        for category in ("tile", "nut")
        for index in (0, 1)
        for attempt in (0, 1)
    }
    assert len(draws) == 4 * 2 * 2 * 2


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
def test_each_normal_serves_once_before_any_twice(normals: int, passes: int, seed: int) -> None:
    key = StoreKey("demo", "fractal", seed)
    sources = [source_index(key, "tile", i, 0, normals) for i in range(passes * normals)]
    for start in range(0, len(sources), normals):
        assert sorted(sources[start : start + normals]) == list(range(normals))


def test_passes_and_seeds_walk_in_other_orders() -> None:
    orders = {
        tuple(source_index(StoreKey("demo", "fractal", seed), "tile", i, 0, 20) for i in part)
        for seed in (0, 1)
        for part in (range(20), range(20, 40))
    }
    assert len(orders) == 4


def test_redraws_reach_every_normal() -> None:
    counts = Counter(source_index(KEY, "tile", 7, attempt, 4) for attempt in range(1, 200))
    assert set(counts) == set(range(4))
    assert min(counts.values()) > 20


def test_streams_of_neighbours_are_uncorrelated() -> None:
    draws = np.array([sample_rng(KEY, "tile", i).standard_normal(2000) for i in range(8)])
    apart = np.corrcoef(draws)[np.triu_indices(8, 1)]
    assert np.abs(apart).max() < 5 / np.sqrt(2000)
