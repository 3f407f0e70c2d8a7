"""The statistics behind the report's answers: pure functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from asbench.quality.correlation import p_of_r, pearson_rows

Floats = npt.NDArray[np.float64]
DRAWS = 2000
"""Bootstrap samples of an interval."""


class Interval(NamedTuple):
    low: float
    high: float

    def within(self, margin: float) -> bool:
        """Whether the interval lies in [-margin, margin]."""
        return -margin <= self.low and self.high <= margin


class Friedman(NamedTuple):
    """Friedman's test of k columns over n rows (Friedman 1937), ties at their mean rank.

    ranks: the mean rank of each column, 1 = highest value; statistic: corrected for ties, chi
    square with k - 1 degrees of freedom under the null; NaN where every row is tied throughout.
    """

    statistic: float
    p: float
    ranks: tuple[float, ...]
    n: int
    k: int


def friedman(values: npt.ArrayLike) -> Friedman:
    """Test whether columns differ, rows being blocks: (n, k), no NaN, n >= 2 and k >= 2.

    Raises ValueError for anything else.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or np.isnan(table).any():
        raise ValueError(f"blocks × treatments without NaN, at least 2 × 2, not {table.shape}")
    n, k = table.shape
    ranks = ranked(table)
    mean = ranks.mean(axis=0)
    ties = sum(int((c**3 - c).sum()) for c in (np.unique(r, return_counts=True)[1] for r in ranks))
    shrunk = 1 - ties / (n * k * (k**2 - 1))
    if shrunk == 0:
        return Friedman(math.nan, math.nan, tuple(map(float, mean)), n, k)
    chi = 12 * n / (k * (k + 1)) * float(((mean - (k + 1) / 2) ** 2).sum()) / shrunk
    return Friedman(chi, float(stats.chi2.sf(chi, k - 1)), tuple(map(float, mean)), n, k)


def ranked(values: npt.ArrayLike) -> Floats:
    """Return each row's ranks, (n, k): 1 = highest value, ties at their mean rank."""
    ranks: Floats = stats.rankdata(-np.asarray(values, dtype=np.float64), axis=1)
    return ranks


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's: mean ranks over n blocks that lie further apart differ (Demšar 2006).

    The quantile is that of the studentized range of k means at infinite degrees of freedom,
    divided by the square root of 2.
    """
    quantile = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(k * (k + 1) / (6 * n))


def alike(ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
    """Return the bars of a critical-difference diagram: places, by rank, not told apart.

    Every maximal run of two and more in order of rank whose ends differ by at most `difference`.
    """
    order = sorted(range(len(ranks)), key=lambda place: (ranks[place], place))
    bars: list[tuple[int, ...]] = []
    covered = 0
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and ranks[order[end + 1]] - ranks[order[start]] <= difference:
            end += 1
        if end > start and end + 1 > covered:
            bars.append(tuple(order[start : end + 1]))
            covered = end + 1
    return bars


class Pearson(NamedTuple):
    """Pearson's r over n pairs, and its two-sided p from t with n - 2 degrees of freedom."""

    r: float
    p: float
    n: int


def pearson(x: npt.ArrayLike, y: npt.ArrayLike) -> Pearson:
    """Correlate two arrays (n,), n >= 3; r and p are NaN where one of them does not vary."""
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 3:
        raise ValueError(f"two equal arrays of three and more values, not {a.shape} and {b.shape}")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return Pearson(math.nan, math.nan, len(a))
    r = float(pearson_rows(a[None], b[None])[0])
    return Pearson(r, p_of_r(r, len(a)), len(a))


def r_interval(r: float, n: int, confidence: float = 0.95) -> Interval:
    """Return the confidence interval of Pearson's r by Fisher's z, n >= 4."""
    if abs(r) >= 1:
        return Interval(r, r)
    half = float(stats.norm.ppf((1 + confidence) / 2)) / math.sqrt(n - 3)
    return Interval(math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))


def least_significant_r(n: int, alpha: float = 0.05) -> float:
    """Return the smallest |r| over n pairs that reaches significance."""
    t = float(stats.t.ppf(1 - alpha / 2, n - 2))
    return t / math.sqrt(n - 2 + t * t)


def t_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Return Student's interval of the mean of values (n,), n >= 2."""
    sample = np.asarray(values, dtype=np.float64)
    half = float(stats.t.ppf((1 + confidence) / 2, len(sample) - 1))
    half *= float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return Interval(float(sample.mean()) - half, float(sample.mean()) + half)


def bootstrap(
    values: npt.ArrayLike,
    rng: np.random.Generator,
    confidence: float = 0.95,
    statistic: Callable[[Floats], Floats] = lambda drawn: drawn.mean(axis=1),
) -> Interval:
    """Return the percentile interval of a statistic over rows drawn with replacement.

    values: (n,) or (n, k); statistic: from (draws, n) or (draws, n, k) to (draws,); the mean.
    """
    rows = np.asarray(values, dtype=np.float64)
    drawn = rows[rng.integers(len(rows), size=(DRAWS, len(rows)))]
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(drawn), [tail, 1 - tail])
    return Interval(float(low), float(high))


def signed_rank(differences: npt.ArrayLike) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test, zeros ranked and split (Pratt).

    1 where nothing differs; exact without ties and zeros up to 50 pairs, as scipy decides.
    """
    values = np.asarray(differences, dtype=np.float64)
    if not values.any():
        return 1.0
    return float(stats.wilcoxon(values, zero_method="zsplit", method="auto").pvalue)
