"""Correlation over few points, with what keeps it honest: intervals, and correction for many tests.

Takes plain arrays and knows nothing of methods, runs or torch.

Pearson's r has its two-sided p from t = r sqrt((n - 2) / (1 - r^2)) with n - 2 degrees of freedom;
Spearman's rho the same on ranks (ties share their mean rank), but never below 2/n!, the least that
any order of n points can show. Intervals are percentiles over
resamples of the points with replacement (Efron, 1979): with a dozen points they are somewhat too
narrow. p values of one family are corrected by Holm (1979), which bounds the chance of any false
finding, and by Benjamini and Hochberg (1995), which bounds the share of false ones among the found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

LEAST = 8
"""Points below which a coefficient is shown but not tested: at 7, |r| must exceed 0.75 for 5 %."""
RESAMPLES = 10_000
LEVEL = 0.95
ALPHA = 0.05

Floats = npt.NDArray[np.float64]


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
    columns = (a, b), (stats.rankdata(a), stats.rankdata(b))
    values = [float(pearson_rows(one[None], two[None])[0]) for one, two in columns]
    if n < max(least, 4):
        few = f"too few: {n} points, {max(least, 4)} are needed"
        return Correlation(n, Estimate(values[0]), Estimate(values[1]), 0, few)
    picks = np.random.default_rng(seed).integers(n, size=(resamples, n))
    drawn = a[picks], b[picks]
    uneven = (np.ptp(drawn[0], axis=1) > 0) & (np.ptp(drawn[1], axis=1) > 0)
    kept = drawn[0][uneven], drawn[1][uneven]
    ranked = stats.rankdata(kept[0], axis=1), stats.rankdata(kept[1], axis=1)
    tails = ((1 - level) / 2, (1 + level) / 2)
    intervals = [map(float, np.quantile(pearson_rows(*pair), tails)) for pair in (kept, ranked)]
    pearson = Estimate(values[0], p_of_r(values[0], n), *intervals[0])
    spearman = Estimate(values[1], max(p_of_r(values[1], n), 2 / math.factorial(n)), *intervals[1])
    return Correlation(n, pearson, spearman, int(uneven.sum()))


def corrected(family: Sequence[Correlation]) -> list[Correlation]:
    """Return the same correlations with p corrected over all of them, per coefficient.

    Correlations without a p (too few points) are no tests and do not count.
    """
    found = list(family)
    for name in ("pearson", "spearman"):
        p = [getattr(c, name).p for c in family]
        for i, (one, two) in enumerate(zip(holm(p), benjamini_hochberg(p), strict=True)):
            estimate = replace(getattr(found[i], name), holm=float(one), bh=float(two))
            found[i] = replace(found[i], **{name: estimate})
    return found


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


def off_diagonal_mean(matrix: npt.ArrayLike) -> Floats:
    """Return the mean (n,) of every row of a square matrix (n, n) without its diagonal element."""
    cells = np.asarray(matrix, np.float64)
    if cells.ndim != 2 or cells.shape[0] != cells.shape[1] or len(cells) < 2:
        raise ValueError(f"a square matrix of two rows or more is needed, not {cells.shape}")
    found: Floats = np.where(np.eye(len(cells), dtype=bool), 0, cells).sum(1) / (len(cells) - 1)
    return found


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


def p_of_r(r: float, n: int) -> float:
    """Return the two-sided p of Pearson's r over n >= 3 pairs: t = r sqrt((n - 2) / (1 - r^2))."""
    if abs(r) >= 1:
        return 0.0
    return float(2 * stats.t.sf(abs(r) * math.sqrt((n - 2) / (1 - r * r)), n - 2))


def pearson_rows(x: Floats, y: Floats) -> Floats:
    """Return Pearson's r (m,) of m rows each, (m, n) real; no row constant."""
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    # Scaled first, so that neither tiny nor huge columns leave the range of their squares.
    x /= np.abs(x).max(axis=1, keepdims=True)
    y /= np.abs(y).max(axis=1, keepdims=True)
    r = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    found: Floats = np.clip(r, -1, 1)
    return found


def _stepwise(p: npt.ArrayLike, adjust: Callable[[Floats, int], Floats]) -> Floats:
    values = np.asarray(p, np.float64)
    tested = np.flatnonzero(~np.isnan(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    found = np.full(values.shape, np.nan)
    if len(order):
        found[order] = np.minimum(adjust(values[order], len(order)), 1)
    return found
