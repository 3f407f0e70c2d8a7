"""The grid that tables, figures and answers read: scores without doubles, their means, the gaps."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from asbench.data import published
from asbench.report.paper import as_printed, scores
from asbench.report.paper.scores import Place, Score, Setting, plain

COMPARABLE_VARIANTS = ("asbench",)
"""Variants of methods that are what the paper ran."""


class Best(NamedTuple):
    """The highest value among `of` detectors, and the detectors that reach it."""

    value: float
    detectors: tuple[str, ...]
    of: int


@dataclass(frozen=True)
class ScoreGrid:
    """Scores, one per place, and what they leave out.

    scores: by category where known; means: over categories, by data set; weights: equation 1's;
    ratios: each detector's default; datasets, detectors, methods, mixtures: in reading order, with
    those that are only expected; missing: expected places without a score; notes: sentences;
    selected: whether the checkpoints were selected on the test set.
    """

    scores: tuple[Score, ...]
    means: tuple[Score, ...]
    weights: Mapping[str, int]
    ratios: Mapping[str, float]
    datasets: tuple[str, ...]
    detectors: tuple[str, ...]
    methods: tuple[str, ...]
    mixtures: tuple[tuple[str, ...], ...]
    missing: tuple[Place, ...]
    notes: tuple[str, ...]
    selected: bool = False

    @property
    def printed(self) -> bool:
        """Whether the scores are the paper's: of its Table 4 the best detector alone is known."""
        return any(s.source == "paper" for s in self.scores)

    def cells(self, metric: str) -> dict[Setting, float]:
        """Return the mean over seeds of each data set's mean, at every ratio and mix."""
        return scores.means(self.means, metric)

    def singles(self, metric: str) -> dict[Setting, float]:
        """Return the cells of single methods at each detector's default ratio (ratio None)."""
        cells = {s: v for s, v in self.cells(metric).items() if len(s.mix) == 1}
        return scores.at_default(cells, self.ratios)

    def hybrids(self, metric: str) -> dict[Setting, float]:
        """Return the cells of single methods and mixtures at each detector's default ratio."""
        cells = {s: v for s, v in self.cells(metric).items() if s.mix}
        return scores.at_default(cells, self.ratios)

    def best_of_detectors(self, metric: str) -> dict[tuple[str, str], Best]:
        """Return Table 4's cells by (data set, method); undefined values do not compete."""
        found: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        for setting, value in self.singles(metric).items():
            if not math.isnan(value):
                found[setting.dataset, setting.mix[0]][setting.detector] = value
        return {key: _best(values) for key, values in found.items()}

    def mean_of_detectors(self, metric: str) -> dict[tuple[str, str], float]:
        """Return the unweighted mean over detectors by (data set, method); NaN where one lacks."""
        means = scores.average(self.singles(metric), "detector")
        return {(s.dataset, s.mix[0]): v for s, v in means.items()}

    def weighted(self, values: Mapping[tuple[str, str], float]) -> dict[str, float]:
        """Return equation 1 by method, of values by (data set, method); NaN where one lacks."""
        weights = [self.weights[d] for d in self.datasets]
        return {
            m: scores.mean([values.get((d, m), math.nan) for d in self.datasets], weights)
            for m in self.methods
        }

    @cached_property
    def unlike(self) -> Mapping[Setting, frozenset[str]]:
        """By setting, why it must not stand beside a printed number; nothing where it may."""
        found: defaultdict[Setting, set[str]] = defaultdict(set)
        for score in self.means:
            found[score.setting].update(unlike(score))
        return {setting: frozenset(why) for setting, why in found.items()}


def score_grid(
    found: Sequence[Score], expected: Iterable[tuple[Any, ...]] = (), *, selected: bool = False
) -> ScoreGrid:
    """Build the grid of some scores: of last checkpoints, or of those selected on the test set.

    expected: places as `scores.Place`, or plain tuples of its first six or all seven parts.
    Without them, all categories of a data set are expected of whatever one of them has.
    Raises ValueError for scores of both subsets of the test images in one grid.
    """
    if len(subsets := {s.subset for s in found}) > 1:
        raise ValueError(f"scores on {' and '.join(sorted(subsets))} do not compare")
    settled = scores.settle(found, selected)
    places = [tuple(place) for place in expected]
    categories: defaultdict[str, set[str]] = defaultdict(set)
    for place in places:
        categories[str(place[0])].add(str(place[1]))
    seen = [s.place for s in settled.scores]
    kept = tuple(sorted(settled.scores, key=lambda s: (s.place, s.shares)))
    wanted = places or _implied(settled.scores)
    every = [*seen, *(Place(*p) for p in places)]
    mixes = sorted({p.mix for p in every if p.mix}, key=lambda m: (len(m), m))
    weights = scores.class_counts(settled.scores)
    for name, named in categories.items():
        known = published.table3().get(plain(name))
        weights[name] = known.categories if known else len(named)
    return ScoreGrid(
        scores=kept,
        means=tuple(scores.dataset_means(kept, categories)),
        weights=weights,
        ratios=default_ratios(settled.scores),
        datasets=tuple(sorted({p.dataset for p in every}, key=_dataset_order)),
        detectors=tuple(sorted({p.detector for p in every})),
        methods=tuple(m[0] for m in mixes if len(m) == 1),
        mixtures=tuple(m for m in mixes if len(m) > 1),
        missing=tuple(scores.missing(settled.scores, wanted)),
        notes=settled.notes,
        selected=selected,
    )


def default_ratios(found: Iterable[Score]) -> dict[str, float]:
    """Return the ratio at which each detector is compared: where most single methods stand.

    Among equals the published one, then the one nearest to a half.
    """
    counts: defaultdict[str, Counter[float]] = defaultdict(Counter)
    for score in found:
        if len(score.mix) == 1:
            counts[score.detector][score.ratio] += 1
    theirs = published.default_ratios()

    def preference(detector: str, ratio: float) -> tuple[float, bool, float, float]:
        own = theirs.get(plain(detector))
        return -counts[detector][ratio], ratio != own, abs(ratio - 0.5), ratio

    return {d: min(preference(d, r) for r in of)[-1] for d, of in sorted(counts.items())}


def unlike(score: Score) -> set[str]:
    """Say why a score must not stand beside a printed one, a phrase each; nothing where it may."""
    found = set(score.unlike)
    if score.reduced:
        found.add("a reduced network")
    if score.subset != "full":
        found.add("the held-out test set")
    if plain(score.dataset) != score.dataset:
        found.add(f"another split ({score.dataset})")
    if (
        plain(score.detector) not in as_printed.DETECTORS
        or plain(score.dataset) not in as_printed.DATASETS
    ):
        found.add("not in the paper")
    for name in score.mix:
        method, _, variant = name.partition("@")
        if method not in as_printed.METHODS:
            found.add("not in the paper")
        elif variant and variant not in COMPARABLE_VARIANTS:
            found.add(f"another method ({name})")
    return found


def _best(values: Mapping[str, float]) -> Best:
    highest = max(values.values())
    return Best(highest, tuple(sorted(d for d, v in values.items() if v == highest)), len(values))


def _implied(found: Sequence[Score]) -> list[Place]:
    named: defaultdict[str, set[str]] = defaultdict(set)
    for score in found:
        if score.category:
            named[score.dataset].add(score.category)
    whole = {s.place._replace(category="") for s in found if s.category}
    return [p._replace(category=c) for p in sorted(whole) for c in sorted(named[p.dataset])]


def _dataset_order(name: str) -> tuple[int, str]:
    known = as_printed.DATASETS
    return (known.index(plain(name)) if plain(name) in known else len(known)), name
