"""A change laid onto a normal: its mask is what changed, whatever is laid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.imaging.laying import around, laid, reach


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 16, 40]), st.integers(1, 20))
def test_the_mask_is_what_changed_and_only_where_it_may(seed: int, side: int, least: int) -> None:
    rng = np.random.default_rng(seed)
    normal = rng.integers(0, 256, (40, 32, 3)).astype(np.uint8)
    change = rng.normal(0, 30, (side, side, 3)).astype(np.float32)
    within = rng.random((40, 32)) < 0.5
    before = normal.copy()
    sample = laid(normal, change, within, least)
    assert np.array_equal(normal, before)
    if sample is None:
        return
    differs = (sample.image != normal).any(axis=2)
    assert np.array_equal(differs, sample.mask)
    assert not (differs & ~within).any()
    clipped = (sample.image == 0) | (sample.image == 255)
    by = np.abs(sample.image.astype(int) - normal).max(axis=2)
    assert by[sample.mask & ~clipped.any(axis=2)].min(initial=255) >= least


def test_nothing_is_laid_where_nothing_shows() -> None:
    normal = np.full((16, 16, 3), 90, np.uint8)
    faint = np.full((8, 8, 3), 3, np.float32)
    assert laid(normal, faint, None, 4) is None
    assert laid(normal, 10 * faint, np.zeros((16, 16), np.bool_), 4) is None
    whole = laid(normal, 10 * faint, None, 4)
    assert whole is not None
    assert whole.mask.all()


def test_weights_are_one_on_the_mask_and_end_within_reach() -> None:
    mask = np.zeros((30, 30), np.bool_)
    mask[10:14, 10:14] = True
    weights = around(mask, 3)
    assert (weights[mask] == 1).all()
    rows = np.flatnonzero(weights.any(axis=1))
    assert rows.min() >= 10 - 6
    assert rows.max() <= 13 + 6
    assert 0 < weights[12, 16] < 1
    assert np.array_equal(around(mask, 0), mask.astype(np.float32))


def test_a_change_reaches_around_its_mask_and_not_beyond_the_object() -> None:
    mask, found = np.zeros((64, 64), np.bool_), np.zeros((64, 64), np.bool_)
    mask[20:30, 20:30], found[:, 24:] = True, True
    weights = reach(mask, found)
    assert weights is not None
    assert (weights[mask & found] == 1).all()
    assert not weights[~found].any()
    assert 0 < weights[25, 31] < 1
    assert not weights[:, 34:].any()
    everywhere = reach(mask, np.zeros_like(found))
    assert everywhere is not None
    assert np.array_equal(everywhere * found, weights)


@pytest.mark.parametrize(("first", "lies"), [(27, True), (28, False)])
def test_a_mask_of_which_less_than_a_quarter_is_on_the_object_is_beside_it(
    first: int, lies: bool
) -> None:
    mask, found = np.zeros((64, 64), np.bool_), np.zeros((64, 64), np.bool_)
    mask[20:30, 20:30], found[:, first:] = True, True
    assert (reach(mask, found) is not None) is lies


def test_a_mask_that_covers_a_small_object_is_on_it() -> None:
    mask, found = np.ones((64, 64), np.bool_), np.zeros((64, 64), np.bool_)
    found[10:20, 10:20] = True
    weights = reach(mask, found)
    assert weights is not None
    assert np.array_equal(weights > 0, found)
