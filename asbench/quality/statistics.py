"""The statistics behind answers and correlations: pure functions of arrays.

Knows nothing of methods, runs or torch. What scipy has is scipy's; here stand what it lacks, and
what keeps few points honest: intervals, and correction for many tests. Spearman's p is never below
2/n!, the least that any order of n points can show. Bootstrap intervals are percentiles over
resamples with replacement (Efron, 1979): with a dozen points they are somewhat too narrow. p values
of one family are corrected by Holm (1979), which bounds the chance of any false finding, and by
Benjamini and Hochberg (1995), which bounds the share of false ones among the found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

LEAST = 8
"""Points below which a coefficient is shown but not tested: at 7, |r| must exceed 0.75 for 5 %."""
RESAMPLES = 10_000
"""Resamples of a correlation's interval."""
DRAWS = 2000
"""Resamples of any other."""
LEVEL = 0.95
ALPHA = 0.05

Floats = npt.NDArray[np.float64]


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
    mean = tuple(map(float, ranks.mean(axis=0)))
    if (ranks == (k + 1) / 2).all():
        return Friedman(math.nan, math.nan, mean, n, k)
    if k > 2:
        test = stats.friedmanchisquare(*table.T)
        return Friedman(float(test.statistic), float(test.pvalue), mean, n, k)
    wins = np.sign(table[:, 0] - table[:, 1])  # scipy takes three columns and more
    chi = float(wins.sum() ** 2 / np.count_nonzero(wins))
    return Friedman(chi, float(stats.chi2.sf(chi, 1)), mean, n, k)


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


def not_told_apart(ranks: Sequence[float], difference: float) -> list[tuple[int, ...]]:
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
    test = stats.pearsonr(a, b)
    return Pearson(float(test.statistic), float(test.pvalue), len(a))


def p_of_r(r: float, n: int) -> float:
    """Return the two-sided p of Pearson's r over n >= 3 pairs: t = r sqrt((n - 2) / (1 - r^2))."""
    if abs(r) >= 1:
        return 0.0
    return float(2 * stats.t.sf(abs(r) * math.sqrt((n - 2) / (1 - r * r)), n - 2))


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


@dataclass(frozen=True, slots=True)
class Estimate:
    """A coefficient in [-1, 1]: its two-sided p, its interval, and p corrected within its family.

    NaN where undefined or, all but `value`, where the points are too few.
    """

    value: float
    p: float = math.nan
    low: float = math.nan
    high: float = math.nan
    holm: float = math.nan
    bh: float = math.nan


@dataclass(frozen=True, slots=True)
class Correlation:
    """How two columns of `n` points go together.

    resamples: those that the intervals rest on, without the ones in which a column was constant;
    reason: why something is NaN.
    """

    n: int
    pearson: Estimate
    spearman: Estimate
    resamples: int = 0
    reason: str = ""

    def verdict(self, alpha: float = ALPHA) -> str:
        """Return `correlated` where either Holm-corrected p is below `alpha`, else why not."""
        if self.reason:
            return self.reason
        if min(self.pearson.holm, self.spearman.holm) < alpha:
            return "correlated"
        return "not shown"


def correlate(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    least: int = LEAST,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Correlation:
    """Return both coefficients of n points, x and y real (n,), all finite.

    With fewer than `least` points they have neither p nor interval. The same seed gives the same
    intervals. Raises ValueError where lengths differ or a value is not finite.
    """
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"x and y must be (n,) alike, not {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("x and y must be finite: leave out what is not, and say so")
    n = len(a)
    if n < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        nothing = Estimate(math.nan)
        why = f"too few: {n}" if n < 2 else f"all {n} are alike"
        return Correlation(n, nothing, nothing, 0, why)
    r, rho = stats.pearsonr(a, b), stats.spearmanr(a, b)
    values = float(r.statistic), float(rho.statistic)
    if n < max(least, 4):
        few = f"too few: {n} points, {max(least, 4)} are needed"
        return Correlation(n, Estimate(values[0]), Estimate(values[1]), 0, few)
    picks = np.random.default_rng(seed).integers(n, size=(resamples, n))
    drawn = a[picks], b[picks]
    uneven = (np.ptp(drawn[0], axis=1) > 0) & (np.ptp(drawn[1], axis=1) > 0)
    kept = drawn[0][uneven], drawn[1][uneven]
    ranks = stats.rankdata(kept[0], axis=1), stats.rankdata(kept[1], axis=1)
    tails = ((1 - level) / 2, (1 + level) / 2)
    intervals = [map(float, np.quantile(_pearson_rows(*pair), tails)) for pair in (kept, ranks)]
    pearson_ = Estimate(values[0], float(r.pvalue), *intervals[0])
    spearman = Estimate(values[1], max(float(rho.pvalue), 2 / math.factorial(n)), *intervals[1])
    return Correlation(n, pearson_, spearman, int(uneven.sum()))


def corrected(family: Sequence[Correlation]) -> list[Correlation]:
    """Return the same correlations with p corrected over all of them, per coefficient.

    Correlations without a p (too few points) are no tests and do not count.
    """
    adjusted = list(family)
    for name in ("pearson", "spearman"):
        p = [getattr(c, name).p for c in family]
        for i, (one, two) in enumerate(zip(holm(p), benjamini_hochberg(p), strict=True)):
            estimate = replace(getattr(adjusted[i], name), holm=float(one), bh=float(two))
            adjusted[i] = replace(adjusted[i], **{name: estimate})
    return adjusted


def holm(p: npt.ArrayLike) -> Floats:
    """Return p values (m,) corrected by Holm's step-down rule; NaN are no tests and stay NaN.

    Sorted ascending, the k-th of m becomes max over j <= k of (m - j + 1) p_j, at most 1.
    """
    return _stepwise(
        p, lambda ordered, m: np.maximum.accumulate(ordered * np.arange(m, 0, -1, dtype=float))
    )


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Return p values (m,) corrected for the false discovery rate; NaN stay NaN.

    Sorted ascending, the k-th of m becomes min over j >= k of m p_j / j, at most 1.
    """

    def adjust(ordered: Floats, m: int) -> Floats:
        scaled = ordered * m / np.arange(1, m + 1)
        return np.minimum.accumulate(scaled[::-1])[::-1]

    return _stepwise(p, adjust)


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


def off_diagonal_mean(matrix: npt.ArrayLike) -> Floats:
    """Return the mean (n,) of every row of a square matrix (n, n) without its diagonal element."""
    cells = np.asarray(matrix, np.float64)
    if cells.ndim != 2 or cells.shape[0] != cells.shape[1] or len(cells) < 2:
        raise ValueError(f"a square matrix of two rows or more is needed, not {cells.shape}")
    means: Floats = np.where(np.eye(len(cells), dtype=bool), 0, cells).sum(1) / (len(cells) - 1)
    return means


def leave_one_out(matrix: npt.ArrayLike, truth: npt.ArrayLike) -> Floats:
    """Return how `off_diagonal_mean` ranks with the truth without each point in turn.

    matrix: (n, n); truth: (n,). Spearman's rho (n,), the i-th without row and column i; all NaN for
    n below 4, where two points or fewer would remain.
    """
    cells, true = np.asarray(matrix, np.float64), np.asarray(truth, np.float64)
    n = len(cells)
    if n < 4:
        return np.full(n, np.nan)
    without = [np.delete(np.arange(n), i) for i in range(n)]
    predicted = [off_diagonal_mean(cells[np.ix_(kept, kept)]) for kept in without]
    pairs = zip(predicted, without, strict=True)
    return np.array([correlate(x, true[kept], least=n).spearman.value for x, kept in pairs])


def _pearson_rows(x: Floats, y: Floats) -> Floats:
    """Return Pearson's r (m,) of m rows each, (m, n) real; no row constant."""
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    # Scaled first, so that neither tiny nor huge columns leave the range of their squares.
    x /= np.abs(x).max(axis=1, keepdims=True)
    y /= np.abs(y).max(axis=1, keepdims=True)
    r = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    clipped: Floats = np.clip(r, -1, 1)
    return clipped


def _stepwise(p: npt.ArrayLike, adjust: Callable[[Floats, int], Floats]) -> Floats:
    values = np.asarray(p, np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    adjusted = np.full(values.shape, np.nan)
    if len(order):
        adjusted[order] = np.minimum(adjust(values[order], len(order)), 1)
    return adjusted
