"""How well draws agree with a law: p-values, and what of many p-values is left to doubt.

A law may leave a number open within bounds, as `5.5 %` says no more than 5.45..5.55 %: its p-value
is then the largest of all within them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

Numbers = npt.NDArray[np.floating] | npt.NDArray[np.integer] | Sequence[float] | Sequence[int]
FEWEST = 8
"""Expected draws below which the bins of a chi-square are merged."""


def share(hits: int, draws: int, low: float, high: float | None = None) -> float:
    """Exact binomial test that each draw hits with a probability within low..high."""
    nearest = float(np.clip(hits / draws, low, low if high is None else high))
    return float(stats.binomtest(hits, draws, nearest).pvalue)


def mean(values: Numbers, low: float, high: float | None = None) -> float:
    """Two-sided z-test that the mean of the law lies within low..high."""
    drawn = np.asarray(values, float)
    nearest = float(np.clip(drawn.mean(), low, low if high is None else high))
    error = drawn.std(ddof=1) / len(drawn) ** 0.5
    return float(2 * stats.norm.sf(abs(drawn.mean() - nearest) / error))


def uniform(values: Numbers, low: float = 0.0, high: float = 1.0) -> float:
    """Kolmogorov and Smirnov's test that values are uniform over low..high."""
    return float(stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue)


def follows(values: Numbers, law: Numbers) -> float:
    """Kolmogorov and Smirnov's test that values have the law that another sample was drawn from."""
    return float(stats.ks_2samp(values, law).pvalue)


def counts(values: Numbers, law: Mapping[int, float]) -> float:
    """Chi-square test that whole numbers have the probabilities of a law; 0 for one outside it.

    Neighbouring numbers are merged until every bin expects a few draws.
    """
    drawn = np.asarray(values, np.int64)
    if not set(drawn.tolist()) <= {number for number, chance in law.items() if chance > 0}:
        return 0.0
    observed, expected = [0.0], [0.0]
    for number in sorted(law):
        if expected[-1] >= FEWEST:
            observed.append(0.0)
            expected.append(0.0)
        observed[-1] += float((drawn == number).sum())
        expected[-1] += law[number] * len(drawn)
    if len(expected) > 1 and expected[-1] < FEWEST:
        observed[-2:], expected[-2:] = [sum(observed[-2:])], [sum(expected[-2:])]
    return float(stats.chisquare(observed, expected).pvalue)


def even(numbers: range) -> dict[int, float]:
    """Return the law under which every number of a range is equally likely."""
    return {number: 1 / len(numbers) for number in numbers}


def tally(values: npt.NDArray[np.integer]) -> dict[int, float]:
    """Return the law of a whole number drawn evenly from `values`, every case written out."""
    numbers, times = np.unique(values, return_counts=True)
    return dict(zip(numbers.tolist(), (times / values.size).tolist(), strict=True))


def unrelated(first: Numbers, second: Numbers) -> float:
    """Spearman's test that two draws have nothing to do with each other."""
    return float(stats.spearmanr(first, second).pvalue)


def rejected(p_values: Mapping[str, float], level: float) -> dict[str, float]:
    """Return those that Holm's step-down procedure rejects, all together at `level`.

    If every law holds, one or more are returned with at most this probability.
    """
    found = {}
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        if p > level / (len(p_values) - place):
            break
        found[name] = p
    return found


def alike(hits: int, others: int, draws: int) -> float:
    """Fisher's exact test that two laws, drawn from equally often, hit with one probability."""
    table = [[hits, draws - hits], [others, draws - others]]
    return float(stats.fisher_exact(table).pvalue)
