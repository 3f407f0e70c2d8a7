"""Both ways of sorting give the same values, whichever of them a processor gets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from asbench.evaluation import metrics, sorting
from asbench.evaluation.metrics import pixel_metrics

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def drawn(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    return {
        "spread": rng.gamma(2, 1, 100_000),
        "signed": rng.standard_normal(100_000),
        "tied": np.round(rng.random(100_000) * 9),
        "constant": np.full(100_000, -0.25),
        "zeros": np.where(rng.random(100_000) < 0.5, -0.0, 0.0),
        "every size": np.exp(rng.standard_normal(100_000) * 20),
    }[kind].astype(np.float32)


@pytest.mark.parametrize("filled", [1, sorting.FILLED])
@pytest.mark.parametrize("kind", ["spread", "signed", "tied", "constant", "zeros", "every size"])
def test_the_radix_sort_sorts(kind: str, filled: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "PIECE", 30_000)  # several pieces, the last one smaller
    monkeypatch.setattr(sorting, "FILLED", filled)
    values = drawn(kind)
    expected = np.sort(values)
    sorting.sort_by_radix(values)
    assert np.array_equal(values, expected)


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.integers(0, 60), elements=FINITE))
def test_any_numbers_are_sorted(values: np.ndarray) -> None:
    expected = np.sort(values)
    sorting.sort_by_radix(values)
    assert np.array_equal(values, expected)


@pytest.mark.parametrize("slow", [False, True])
def test_the_choice_changes_no_metric(slow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    masks = rng.random((6, 40, 40)) < 0.05
    maps = rng.random((6, 40, 40), np.float32) + 0.3 * masks.astype(np.float32)
    usual, seen = pixel_metrics(maps, masks), []
    monkeypatch.setattr(sorting, "LEAST", 1)
    monkeypatch.setattr(sorting, "_own_sort_is_slow", lambda: slow)
    monkeypatch.setattr(metrics, "sort", lambda v: (seen.append(v.size), sorting.sort(v)))
    assert pixel_metrics(maps, masks) == usual
    assert sum(seen) == (~masks).sum()


def test_the_measurement_is_short_and_taken_once() -> None:
    assert sorting._own_sort_is_slow() in (False, True)
    assert sorting._own_sort_is_slow.cache_info().currsize == 1
