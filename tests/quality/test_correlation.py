"""Coefficients against scipy, corrections against sums done by hand, intervals that repeat."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asbench.quality.statistics import (
    Correlation,
    Estimate,
    benjamini_hochberg,
    corrected,
    correlate,
    holm,
    leave_one_out,
    off_diagonal_mean,
)

pytestmark = pytest.mark.slow

X = np.array([0.31, 0.52, 0.11, 0.93, 0.47, 0.47, 0.82, 0.05, 0.66, 0.74, 0.21, 0.58])
Y = np.array([0.81, 0.84, 0.79, 0.97, 0.90, 0.83, 0.88, 0.80, 0.85, 0.95, 0.86, 0.82])


def test_coefficients_and_p_are_scipys() -> None:
    found = correlate(X, Y, resamples=10)
    one, two = stats.pearsonr(X, Y), stats.spearmanr(X, Y)
    assert found.n == 12
    assert found.pearson.value == pytest.approx(one.statistic, abs=1e-12)
    assert found.pearson.p == pytest.approx(one.pvalue, rel=1e-9)
    assert found.spearman.value == pytest.approx(two.statistic, abs=1e-12)
    assert found.spearman.p == pytest.approx(two.pvalue, rel=1e-9)


def test_a_printed_p_follows_from_its_r() -> None:
    # The paper's section 4.3: r = -0.902409 over 12 methods, p = 0.000059.
    r, n = -0.902409, 12
    x = stats.zscore(np.arange(n))
    z = stats.zscore(np.cos(np.arange(n)) - x * np.mean(np.cos(np.arange(n)) * x))
    found = correlate(x, r * x + math.sqrt(1 - r * r) * z, resamples=10)
    assert found.pearson.value == pytest.approx(r, abs=1e-9)
    assert found.pearson.p == pytest.approx(5.906e-5, rel=1e-3)


def test_a_perfect_order_is_no_more_certain_than_chance_allows() -> None:
    x = np.arange(8.0)
    assert correlate(x, x**3, resamples=10).spearman.p == pytest.approx(2 / math.factorial(8))


def test_intervals_repeat_with_the_seed_and_hold_the_coefficient() -> None:
    one, again, other = (correlate(X, Y, seed=s, resamples=500) for s in (3, 3, 4))
    assert one == again
    assert one.pearson.low != other.pearson.low
    assert one.pearson.low < one.pearson.value < one.pearson.high
    assert one.spearman.low < one.spearman.value < one.spearman.high


def test_the_interval_is_that_of_scipys_bootstrap() -> None:
    found = correlate(X, Y, resamples=4000).pearson
    reference = stats.bootstrap(
        (X, Y),
        lambda a, b: stats.pearsonr(a, b).statistic,
        paired=True,
        vectorized=False,
        n_resamples=500,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert found.low == pytest.approx(reference.low, abs=0.06)
    assert found.high == pytest.approx(reference.high, abs=0.03)


def test_resamples_without_spread_are_left_out() -> None:
    lone = np.array([0.0] * 7 + [1.0])
    found = correlate(lone, np.arange(8.0), resamples=1000)
    missed = (7 / 8) ** 8  # of the one point that differs
    assert found.resamples == pytest.approx(1000 * (1 - missed), abs=60)
    assert math.isfinite(found.pearson.low)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 3, 5, 4], "too few: 5 points, 8 are needed"),
        ([1], [2], "too few: 1"),
        ([2] * 9, range(9), "all 9 are alike"),
    ],
)
def test_what_cannot_be_tested_says_why(x: list[float], y: list[float], reason: str) -> None:
    found = correlate(x, y)
    assert found.reason == found.verdict() == reason
    assert math.isnan(found.pearson.p)
    assert math.isnan(found.spearman.low)


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        correlate([1, math.nan], [1, 2])
    with pytest.raises(ValueError, match="alike"):
        correlate([1, 2], [1, 2, 3])


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = [0.01, 0.04, math.nan, 0.03, 0.005]
    # Sorted: 0.005 0.01 0.03 0.04. Holm: x4 x3 x2 x1, never falling. BH: x4/1 x4/2 x4/3 x4/4.
    np.testing.assert_allclose(holm(p), [0.03, 0.06, np.nan, 0.06, 0.02])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, 0.04, np.nan, 0.04, 0.02])


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=12))
def test_corrections_are_bounded_and_bh_is_scipys(p: list[float]) -> None:
    strict, lenient = holm(p), benjamini_hochberg(p)
    np.testing.assert_allclose(lenient, stats.false_discovery_control(p), rtol=1e-12)
    assert (strict >= np.array(p)).all()
    assert (strict <= np.minimum(1, np.array(p) * len(p)) + 1e-15).all()
    assert (lenient <= strict + 1e-15).all()


def test_a_family_counts_what_was_tested_alone() -> None:
    def tested(p: float) -> Correlation:
        return Correlation(9, Estimate(0.5, p), Estimate(0.5, p))

    few = Correlation(3, Estimate(0.9), Estimate(0.9), reason="too few")
    one, none, two = corrected([tested(0.01), few, tested(0.2)])
    assert (one.pearson.holm, two.pearson.holm) == (0.02, 0.2)
    assert math.isnan(none.pearson.holm)
    assert (one.verdict(), two.verdict(), none.verdict()) == (
        "correlated",
        "not shown",
        "too few",
    )


def test_a_row_without_its_own_column() -> None:
    matrix = [[100, 1, 2], [3, 100, 4], [5, 6, 100]]
    np.testing.assert_allclose(off_diagonal_mean(matrix), [1.5, 3.5, 5.5])
    with pytest.raises(ValueError, match="square"):
        off_diagonal_mean([[1, 2]])


def test_leaving_a_method_out_takes_its_row_and_its_column() -> None:
    rng = np.random.default_rng(0)
    matrix, truth = rng.random((6, 6)), rng.random(6)
    for i, rho in enumerate(leave_one_out(matrix, truth)):
        kept = [k for k in range(6) if k != i]
        means = [np.mean([matrix[a, b] for b in kept if b != a]) for a in kept]
        assert rho == pytest.approx(stats.spearmanr(means, truth[kept]).statistic)
    assert np.isnan(leave_one_out(matrix[:3, :3], truth[:3])).all()


def test_statistics_and_records_import_no_torch() -> None:
    code = (
        "import sys, asbench.quality.statistics, asbench.quality.quality_vs_detection;"
        "import asbench.quality.cross_matrix;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
