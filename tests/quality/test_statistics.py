"""Statistics against scipy, printed tables and sums by hand."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asbench.quality import statistics
from asbench.quality.statistics import holm, p_of_r
from synth_store.rng import address_rng


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_is_scipys(ties: bool) -> None:
    values = address_rng("friedman", int(ties)).normal(size=(9, 5))
    if ties:
        values = values.round(0)
    ours, theirs = statistics.friedman(values), stats.friedmanchisquare(*values.T)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-12)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-12)
    assert sum(ours.ranks) == pytest.approx(5 * 6 / 2)


def test_friedman_by_hand() -> None:
    # Ranks (1 = highest) of three rows: 1 2 3, 1 2 3, 1 3 2; rank sums 3, 7, 8.
    found = statistics.friedman([[3, 2, 1], [9, 8, 7], [5, 1, 2]])
    assert found.ranks == pytest.approx((1, 7 / 3, 8 / 3))
    assert found.statistic == pytest.approx(12 / (3 * 3 * 4) * (9 + 49 + 64) - 3 * 3 * 4)
    assert math.isnan(statistics.friedman([[1, 1], [2, 2]]).p)
    with pytest.raises(ValueError, match="without NaN"):
        statistics.friedman([[1, math.nan], [1, 2]])


def test_friedman_of_two_columns_by_hand() -> None:
    # Four wins, one loss, one tie: ranks 1 2, 1 2, 1 2, 1 2, 2 1, 1.5 1.5; rank sums 7.5, 10.5.
    found = statistics.friedman([[2, 1], [3, 1], [4, 1], [5, 1], [1, 6], [7, 7]])
    assert found.ranks == pytest.approx((7.5 / 6, 10.5 / 6))
    # 12 / (n k (k + 1)) x sum of squared rank sums - 3 n (k + 1), over 1 - ties / (n (k^3 - k)).
    plain = 12 / (6 * 2 * 3) * (7.5**2 + 10.5**2) - 3 * 6 * 3
    assert found.statistic == pytest.approx(plain / (1 - 6 / (6 * 6)))
    assert found.p == pytest.approx(stats.chi2.sf(9 / 5, 1))


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (7, 2.949), (10, 3.164)])
def test_critical_differences_are_demsars(k: int, q: float) -> None:
    """Demšar (2006), Table 5(a)."""
    n = 14
    expected = q * math.sqrt(k * (k + 1) / (6 * n))
    assert statistics.critical_difference(k, n) == pytest.approx(expected, rel=4e-4)


def test_bars_of_methods_not_told_apart() -> None:
    assert statistics.not_told_apart([1.0, 4.0, 2.0, 3.1], 1.5) == [(0, 2), (2, 3), (3, 1)]
    assert statistics.not_told_apart([1.0, 1.2, 5.0], 0.5) == [(0, 1)]
    assert statistics.not_told_apart([1, 2, 3], 9) == [(0, 1, 2)]


@given(st.lists(st.floats(1, 12), min_size=1, max_size=9), st.floats(0, 6))
def test_bars_are_the_maximal_groups(ranks: list[float], gap: float) -> None:
    bars = statistics.not_told_apart(ranks, gap)
    for a, b in itertools.combinations(range(len(ranks)), 2):
        together = any(a in bar and b in bar for bar in bars)
        assert together == (abs(ranks[a] - ranks[b]) <= gap)
    assert not any(set(x) < set(y) for x in bars for y in bars)


def test_pearson_and_its_interval_are_scipys() -> None:
    rng = address_rng("pearson", 0)
    x = rng.normal(size=12)
    y = 0.6 * x + rng.normal(size=12)
    ours, theirs = statistics.pearson(x, y), stats.pearsonr(x, y)
    assert (ours.r, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue), rel=1e-9)
    assert statistics.r_interval(ours.r, 12) == pytest.approx(
        theirs.confidence_interval(), rel=1e-9
    )
    assert math.isnan(statistics.pearson([1, 1, 1], [1, 2, 3]).r)
    assert p_of_r(statistics.least_significant_r(12), 12) == pytest.approx(0.05)
    assert statistics.least_significant_r(12) == pytest.approx(0.576, abs=5e-4)  # printed tables


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = holm([0.03, math.nan, 0.02])
    assert corrected[0] == corrected[2] == 0.04
    assert math.isnan(corrected[1])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_t_interval_is_scipys() -> None:
    values = address_rng("t", 0).normal(0.2, 1, 11)
    theirs = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert statistics.t_interval(values, 0.9) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_bootstrap_is_seeded_and_near_the_normal_interval() -> None:
    values = address_rng("sample", 0).normal(1, 2, 400)
    found = statistics.bootstrap(values, address_rng("draws", 1))
    assert found == statistics.bootstrap(values, address_rng("draws", 1))
    assert found != statistics.bootstrap(values, address_rng("draws", 2))
    half = 1.96 * values.std() / 20
    assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_signed_rank_by_hand() -> None:
    # Five positive differences: P(all of one sign) = 2 / 2^5.
    assert statistics.signed_rank([1, 2, 3, 4, 5]) == pytest.approx(2 / 32)
    assert statistics.signed_rank([0, 0, 0]) == 1.0
