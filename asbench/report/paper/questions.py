"""The paper's four questions, answered from the scores: statistic, n, interval and verdict.

A verdict says whether the paper's claim holds for these scores; "too few runs" where they decide
neither way, for absence of proof is no proof of absence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from asbench.quality.statistics import (
    Friedman,
    Interval,
    Pearson,
    bootstrap,
    critical_difference,
    friedman,
    holm,
    least_significant_r,
    p_of_r,
    pearson,
    r_interval,
    ranked,
    t_interval,
)
from asbench.report.paper import as_printed
from asbench.report.paper.blocks import ENOUGH, Blocks, blocks, units
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.mixture_gains import gains
from asbench.report.paper.relations import QualityByMethod, pairings
from asbench.report.paper.sheet import Entry, Sheet, number
from asbench.report.tables import TITLES
from synth_store.rng import address_rng

Verdict = Literal["holds", "does not hold", "too few runs"]
ALPHA = 0.05
MARGIN = 0.01
"""The difference of a score that is worth having: one point of a hundred."""
WEAK = 0.3
"""The |r| up to which a correlation counts as none."""


@dataclass(frozen=True, slots=True)
class Question:
    """number: 1 to 4; part: "" or a letter; claim: what the paper says."""

    number: int
    part: str
    text: str
    claim: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question answered.

    verdict: on the claim; statistic: with its p; n: how many `unit`; interval: of `interval_of`,
    None where there is none; why: a sentence that leads to the verdict; sheet: the numbers behind.
    """

    question: Question
    verdict: Verdict
    statistic: str
    n: int
    unit: str
    interval: Interval | None
    interval_of: str
    why: str
    sheet: Sheet | None = None
    notes: tuple[str, ...] = ()


def answers(
    grid: ScoreGrid,
    quality: QualityByMethod | None = None,
    *,
    metric: str = "image_auroc",
    margin: float = MARGIN,
) -> list[Answer]:
    """Answer the four questions; the fourth in two parts. Equal scores give equal answers."""
    correlated = {
        (p.dataset, p.metric): pearson(p.x, p.y)
        for p in pairings(grid, quality or {})
        if len(p.x) > 3
    }
    return [
        methods(grid, metric, address_rng("answer", 1)),
        ratios(grid, metric, margin),
        correlations(correlated),
        *mixtures(grid, metric, margin, address_rng("answer", 4)),
    ]


def paper_answers() -> list[Answer]:
    """Answer the questions that the paper's printed numbers suffice for: the first and the third.

    Methods by its Table 4 over data sets, best of detectors; quality by its Table 9.
    """
    from asbench.report.paper.grid import score_grid

    n = len(as_printed.METHODS)
    theirs = {at: Pearson(c.r, p_of_r(c.r, n), n) for at, c in as_printed.table9().items()}
    first = methods(score_grid(as_printed.table4()), "image_auroc", address_rng("answer", 1))
    return [first, correlations(theirs)]


def methods(grid: ScoreGrid, metric: str, rng: np.random.Generator) -> Answer:
    """Question 1: Friedman over methods, Nemenyi's critical difference of their mean ranks."""
    table = method_blocks(grid, metric)
    asked = Question(
        1,
        "",
        "Does one synthesis method win everywhere?",
        "No single method dominates across all data sets and detectors.",
    )
    if table is None or not table.enough or len(table.columns) < 3:
        return _too_few(asked, table, f"It takes {ENOUGH} blocks and three methods.")
    test = friedman(table.values)
    n, k = table.values.shape
    gap = critical_difference(k, n, ALPHA)
    order = sorted(range(k), key=lambda c: (test.ranks[c], table.columns[c]))
    first, second = order[:2]
    ranks = ranked(table.values)
    interval = bootstrap(ranks[:, second] - ranks[:, first], rng)
    wins = int((ranks[:, first] == ranks.min(axis=1)).sum())
    lead = test.ranks[second] - test.ranks[first]
    alone = lead > gap or wins == n
    with_it = sum(test.ranks[c] - test.ranks[first] <= gap for c in order[1:])
    why = (
        f"{table.columns[first]} leads with mean rank {test.ranks[first]:.2f} and is the best of "
        f"{wins} of {n} {table.unit}; {with_it} of the other {k - 1} methods lie within the "
        f"critical difference of {gap:.2f}."
    )
    return Answer(
        question=asked,
        verdict="does not hold" if alone else "holds",
        statistic=f"Friedman χ²({k - 1}) = {test.statistic:.2f}, {_p(test.p)}; "
        f"Nemenyi critical difference {gap:.2f} at {ALPHA:g}",
        n=n,
        unit=table.unit,
        interval=interval,
        interval_of=f"{TITLES[metric]}: mean rank of the second minus that of the first, 95 %",
        why=why,
        sheet=_rank_sheet(table, test, order, gap),
        notes=table.notes,
    )


def method_blocks(grid: ScoreGrid, metric: str) -> Blocks | None:
    """Return the methods' scores at the default ratios, in complete blocks."""
    if grid.printed:
        best = {pair: of.value for pair, of in grid.best_of_detectors(metric).items()}
        table = pd.Series(best).rename_axis(["place", "method"]).unstack()
        return blocks(table.assign(detector="").set_index("detector", append=True))
    scores = grid.scores
    at_default = scores["ratio"] == scores["detector"].map(grid.ratios)
    return blocks(units(scores[at_default & (scores["parts"] == 1)], metric, "methods"))


def ratios(grid: ScoreGrid, metric: str, margin: float = MARGIN) -> Answer:
    """Question 2: Friedman over ratios, and two one-sided t tests of each pair within the margin.

    Equivalence of a pair is a 90 % interval of its mean difference inside the margin.
    """
    table = ratio_blocks(grid, metric)
    asked = Question(
        2,
        "",
        "Does the ratio of anomalous items matter?",
        "The share of synthetic anomalies has no significant influence on detection.",
    )
    if table is None or not table.enough:
        return _too_few(asked, table, f"It takes {ENOUGH} blocks with two ratios above 0.")
    test = friedman(table.values)
    n, k = table.values.shape
    pairs = []
    for a, b in itertools.combinations(range(k), 2):
        differences = table.values[:, b] - table.values[:, a]
        interval = t_interval(differences, 1 - 2 * ALPHA)
        pairs.append((a, b, float(differences.mean()), interval))
    same = all(interval.within(margin) for *_, interval in pairs)
    a, b, widest, interval = max(pairs, key=lambda pair: abs(pair[2]))
    differ = not same and test.p < ALPHA
    inside = sum(interval.within(margin) for *_, interval in pairs)
    why = (
        f"{inside} of {len(pairs)} pairs of ratios are equivalent within {margin:g}; the widest "
        f"mean difference is {_signed(widest)}, from {table.columns[a]} to {table.columns[b]}."
    )
    return Answer(
        question=asked,
        verdict="holds" if same else "does not hold" if differ else "too few runs",
        statistic=f"Friedman χ²({k - 1}) = {test.statistic:.2f}, {_p(test.p)}; margin {margin:g}",
        n=n,
        unit=table.unit,
        interval=interval,
        interval_of=f"{TITLES[metric]}: {table.columns[b]} minus {table.columns[a]}, 90 %",
        why=why,
        sheet=_pair_sheet(table, pairs, margin),
        notes=table.notes,
    )


def ratio_blocks(grid: ScoreGrid, metric: str) -> Blocks | None:
    """Return single methods' scores by ratio above 0, in complete blocks.

    Only trainings that ran at several ratios count.
    """
    scores = grid.scores[(grid.scores["parts"] == 1) & (grid.scores["ratio"] > 0)]
    told = scores["ratio"].map("{:g}".format)
    table = units(scores.assign(ratio=told), metric, "ratio", ["methods"])
    return blocks(table[table.count(axis=1) > 1])


def correlations(measured: Mapping[tuple[str, str], Pearson]) -> Answer:
    """Question 3: Pearson's r over methods, by (data set, quality metric), corrected by Holm.

    None counts as absent unless its whole 95 % interval lies within ±`WEAK`.
    """
    asked = Question(
        3,
        "",
        "Does image quality predict detection?",
        "There is no correlation between quality metrics and detection.",
    )
    defined = {at: c for at, c in measured.items() if not math.isnan(c.r) and c.n >= ENOUGH}
    if not defined:
        why = f"It takes {ENOUGH} methods with quality and detection on one data set."
        return _too_few(asked, None, why, unit="correlations")
    corrected = dict(zip(defined, holm([c.p for c in defined.values()]).tolist(), strict=True))
    intervals = {at: r_interval(c.r, c.n) for at, c in defined.items()}
    strongest = min(defined, key=lambda at: (defined[at].p, at))
    c, alike = defined[strongest], all(i.within(WEAK) for i in intervals.values())
    significant = sum(p < ALPHA for p in corrected.values())
    bare = sum(c.p < ALPHA for c in defined.values())
    least = least_significant_r(c.n)
    why = (
        f"{bare} of {len(defined)} correlations have p < {ALPHA:g}, {significant} after Holm's "
        f"correction; over {c.n} methods no |r| below {least:.2f} could be told from none."
    )
    name = f"{strongest[1]} on {strongest[0]}"
    return Answer(
        question=asked,
        verdict="does not hold" if significant else "holds" if alike else "too few runs",
        statistic=f"strongest: {name}, r = {_signed(c.r)}, {_p(c.p)}, "
        f"Holm {_p(corrected[strongest])} of {len(defined)} tests",
        n=c.n,
        unit="methods",
        interval=intervals[strongest],
        interval_of=f"r of {name}, 95 %",
        why=why,
        sheet=_correlation_sheet(defined, corrected, intervals),
    )


def mixtures(
    grid: ScoreGrid, metric: str, margin: float, rng: np.random.Generator
) -> tuple[Answer, Answer]:
    """Question 4: each mixture's paired difference to its theoretical mean and its best single."""
    measured = gains(grid, metric, rng)
    texts = (
        ("a", "mean", "theoretical mean", "Mixtures exceed the theoretical mean of their parts."),
        ("b", "best", "best single", "Mixtures improve on the best of their parts."),
    )
    answered = []
    for part, name, other, claim in texts:
        asked = Question(4, part, "Is a mixture better than its parts?", claim)
        gain = measured.get(name)
        if gain is None or gain.n < ENOUGH:
            why = f"It takes {ENOUGH} blocks with a mixture and all of its parts."
            answer = _too_few(asked, None, why, n=gain.n if gain else 0, unit="blocks")
            answered.append(answer)
            continue
        over, low = gain.overall, gain.interval.low
        none = gain.interval.high < 0 or (low <= 0 and gain.interval.within(margin))
        up = sum(g.difference > 0 for g in gain.each)
        sure = sum(g.difference > 0 and g.corrected < ALPHA for g in gain.each)
        answered.append(
            Answer(
                question=asked,
                verdict="holds" if low > 0 else "does not hold" if none else "too few runs",
                statistic=f"mean difference {_signed(over)}, Wilcoxon {_p(gain.p)}",
                n=gain.n,
                unit=gain.unit,
                interval=gain.interval,
                interval_of=f"{TITLES[metric]}: mixture minus {other}, 95 %, bootstrap",
                why=f"{up} of {len(gain.each)} mixtures lie above their {other}, {sure} of them "
                "significantly after Holm's correction.",
                sheet=gain.sheet(other),
                notes=gain.notes,
            )
        )
    return answered[0], answered[1]


def _too_few(
    asked: Question,
    table: Blocks | None,
    why: str,
    *,
    n: int = 0,
    unit: str = "blocks",
) -> Answer:
    return Answer(
        question=asked,
        verdict="too few runs",
        statistic="",
        n=n if table is None else len(table.values),
        unit=unit if table is None else table.unit,
        interval=None,
        interval_of="",
        why=why,
        notes=() if table is None else table.notes,
    )


def _rank_sheet(table: Blocks, test: Friedman, order: list[int], gap: float) -> Sheet:
    best = test.ranks[order[0]]
    rows = tuple(
        (
            Entry(table.columns[c]),
            number(test.ranks[c], 2),
            number(float(table.values[:, c].mean())),
            Entry("yes" if test.ranks[c] - best <= gap else "no"),
        )
        for c in order
    )
    head = ("Method", "Mean rank", "Mean", "Within the critical difference of the first")
    return Sheet("question1", "Ranks of methods", head, rows)


def _pair_sheet(
    table: Blocks, pairs: list[tuple[int, int, float, Interval]], margin: float
) -> Sheet:
    rows = tuple(
        (
            Entry(f"{table.columns[b]} − {table.columns[a]}"),
            number(difference),
            number(interval.low),
            number(interval.high),
            Entry("yes" if interval.within(margin) else "no"),
        )
        for a, b, difference, interval in pairs
    )
    head = ("Ratios", "Mean difference", "90 % from", "to", f"Within ±{margin:g}")
    return Sheet("question2", "Pairs of ratios", head, rows)


def _correlation_sheet(
    measured: Mapping[tuple[str, str], Pearson],
    corrected: Mapping[tuple[str, str], float],
    intervals: Mapping[tuple[str, str], Interval],
) -> Sheet:
    rows = tuple(
        (
            Entry(at[0]),
            Entry(at[1]),
            number(c.r),
            number(intervals[at].low),
            number(intervals[at].high),
            number(c.p),
            number(corrected[at]),
            Entry(str(c.n), c.n),
        )
        for at, c in measured.items()
    )
    head = ("Data set", "Quality metric", "r", "95 % from", "to", "p", "Holm p", "n")
    return Sheet("question3", "Quality and detection", head, rows)


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _p(value: float) -> str:
    return "p < 0.0001" if value < 1e-4 else f"p = {value:.4f}"
