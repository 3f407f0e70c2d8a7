"""The grid that tables, figures and answers read: scores without doubles, their means, the gaps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from asbench.data import published
from asbench.report.paper import as_printed
from asbench.report.paper.scores import (
    PLACE,
    Expected,
    class_counts,
    missing,
    plain,
    settle,
    whole,
)
from asbench.results.frame import across, by_label, means

COMPARABLE_VARIANTS = ("asbench", "coloured", "published")
"""Variants of methods that are what the paper ran."""
SETTING = ["dataset", "detector", "methods", "ratio"]
"""What a cell of a table or a point of a figure is about."""


class Best(NamedTuple):
    """The highest value among `of` detectors, and the detectors that reach it."""

    value: float
    detectors: tuple[str, ...]
    of: int


@dataclass(frozen=True, eq=False)
class ScoreGrid:
    """Scores, one per training, and what they leave out.

    scores: as `asbench.results.frame`, by category where known; whole: those of them that the
    means over categories are made of; weights: equation 1's; ratios: each detector's default;
    datasets, detectors, methods, mixtures (with their parts): in reading order, with those that
    are only expected; missing: expected trainings without a score; notes: sentences; selected:
    whether the checkpoints were selected on the test set.
    """

    scores: pd.DataFrame
    whole: pd.DataFrame
    weights: Mapping[str, int]
    ratios: Mapping[str, float]
    datasets: tuple[str, ...]
    detectors: tuple[str, ...]
    methods: tuple[str, ...]
    mixtures: Mapping[str, tuple[str, ...]]
    missing: tuple[Expected, ...]
    notes: tuple[str, ...]
    selected: bool = False

    @cached_property
    def printed(self) -> bool:
        """Whether the scores are the paper's: of its Table 4 the best detector alone is known."""
        return bool((self.scores["source"] == "paper").any())

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The mean over seeds of each data set's mean, by `SETTING`; a column per metric.

        Mixes of unequal shares are left out: `methods` names equal ones.
        """
        even = self.whole[self.whole["shares"] == ""]
        return means(means(even, [*SETTING, "seed", "synth_seed"]), SETTING)

    @cached_property
    def at_default(self) -> pd.DataFrame:
        """The cells of methods and mixtures, by data set, detector and methods, at each detector's
        default ratio."""
        cells = self.cells.reset_index("ratio")
        own = cells.index.get_level_values("detector").map(self.ratios)
        trained = cells.index.get_level_values("methods") != ""
        return cells[(cells["ratio"] == own) & trained].drop(columns="ratio")

    def singles(self, metric: str) -> pd.Series[float]:
        """Return the cells of single methods at the default ratios, of those that there are."""
        cells = self.at_default[metric]
        return cells[cells.index.isin(self.methods, level="methods")]

    def every_single(self, metric: str) -> pd.Series[float]:
        """Return `singles` of every data set, detector and method of the grid, NaN for a gap."""
        axes = self.datasets, self.detectors, self.methods
        return self.singles(metric).reindex(pd.MultiIndex.from_product(axes, names=SETTING[:3]))

    def best_of_detectors(self, metric: str) -> dict[tuple[str, str], Best]:
        """Return Table 4's cells by (data set, method); undefined values do not compete."""
        by_detector: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        for (dataset, detector, method), value in by_label(self.singles(metric).dropna()).items():
            by_detector[dataset, method][detector] = value
        return {key: _best(values) for key, values in by_detector.items()}

    def mean_of_detectors(self, metric: str) -> dict[tuple[str, str], float]:
        """Return the unweighted mean over detectors by (data set, method); NaN where one lacks."""
        return by_label(across(self.singles(metric), "detector"))

    def weighted(self, values: Mapping[tuple[str, str], float]) -> dict[str, float]:
        """Return equation 1 by method, of values by (data set, method); NaN where one lacks."""
        pairs = pd.MultiIndex.from_product((self.datasets, self.methods), names=("dataset", "of"))
        table = pd.Series([values.get(pair, math.nan) for pair in pairs], pairs)
        return by_label(across(table, "dataset", self.weights))

    @cached_property
    def runs(self) -> Mapping[tuple[str, str, str], Mapping[float, list[str]]]:
        """By data set, detector and methods, then by ratio: the ids behind a cell, seed by seed."""
        order = [*SETTING, "seed", "synth_seed", "category"]
        even = self.whole[self.whole["shares"] == ""].sort_values(order)
        runs: dict[tuple[str, str, str], dict[float, list[str]]] = {}
        rows = even[[*SETTING, "run"]].itertuples(index=False, name=None)
        for dataset, detector, methods, ratio, run in rows:
            by_ratio = runs.setdefault((dataset, detector, methods), {})
            by_ratio.setdefault(ratio, []).append(run)
        return runs

    @cached_property
    def caveats(self) -> Mapping[tuple[str, str, str, float | None], frozenset[str]]:
        """By setting, why it must not stand beside a printed number; nothing where it may."""
        about = ["subset", "reduced", "caveats"]
        phrases: defaultdict[tuple[str, str, str, float | None], set[str]] = defaultdict(set)
        rows = self.whole[[*SETTING, *about]].drop_duplicates().itertuples(index=False, name=None)
        for dataset, detector, methods, ratio, *told in rows:
            phrases[dataset, detector, methods, ratio] |= _caveats(
                dataset, detector, methods, *told
            )
        return {setting: frozenset(why) for setting, why in phrases.items()}


def score_grid(
    scores: pd.DataFrame, expected: Iterable[Expected] = (), *, selected: bool = False
) -> ScoreGrid:
    """Build the grid of some scores: of last checkpoints, or of those selected on the test set.

    expected: without them, all categories of a data set are expected of whatever one of them has.
    Raises ValueError for scores of both subsets of the test images in one grid.
    """
    if len(subsets := set(scores["subset"])) > 1:
        raise ValueError(f"scores on {' and '.join(sorted(subsets))} do not compare")
    kept, notes = settle(scores.reset_index(drop=True), selected)
    trainings = list(expected)
    categories: defaultdict[str, set[str]] = defaultdict(set)
    for training in trainings:
        categories[training.dataset].add(training.category)
    named = [*kept["methods"].unique(), *(training.methods for training in trainings)]
    mixes = sorted(
        {tuple(methods.split(" + ")) for methods in named if methods},
        key=lambda mix: (len(mix), mix),
    )
    weights = class_counts(kept)
    for name, of in categories.items():
        known = published.table3().get(plain(name))
        weights[name] = known.categories if known else len(of)
    return ScoreGrid(
        scores=kept,
        whole=whole(kept, categories),
        weights=weights,
        ratios=default_ratios(kept),
        datasets=tuple(sorted({*kept["dataset"], *categories}, key=_dataset_order)),
        detectors=tuple(sorted({*kept["detector"], *(t.detector for t in trainings)})),
        methods=tuple(mix[0] for mix in mixes if len(mix) == 1),
        mixtures={" + ".join(mix): mix for mix in mixes if len(mix) > 1},
        missing=tuple(missing(kept, trainings or _implied(kept))),
        notes=notes,
        selected=selected,
    )


def default_ratios(scores: pd.DataFrame) -> dict[str, float]:
    """Return the ratio at which each detector is compared: where most single methods stand.

    Among equals the published one, then the one nearest to a half.
    """
    counts = scores[scores["parts"] == 1].groupby(["detector", "ratio"]).size()
    theirs = published.default_ratios()

    def preference(detector: str, ratio: float) -> tuple[float, bool, float, float]:
        own = theirs.get(plain(detector))
        return -counts[detector, ratio], ratio != own, abs(ratio - 0.5), ratio

    detectors = sorted({detector for detector, _ in counts.index})
    return {d: min(preference(d, ratio) for ratio in counts[d].index)[-1] for d in detectors}


def _caveats(
    dataset: str, detector: str, methods: str, subset: str, reduced: bool, told: tuple[str, ...]
) -> set[str]:
    """Say why a score must not stand beside a printed one, a phrase each; nothing where it may."""
    why = set(told)
    if reduced:
        why.add("a reduced network")
    if subset != "full":
        why.add("the held-out test set")
    if plain(dataset) != dataset:
        why.add(f"another split ({dataset})")
    if plain(detector) not in as_printed.DETECTORS or plain(dataset) not in as_printed.DATASETS:
        why.add("not in the paper")
    for name in methods.split(" + ") if methods else ():
        method, _, variant = name.partition("@")
        if method not in as_printed.METHODS:
            why.add("not in the paper")
        elif variant and variant not in COMPARABLE_VARIANTS:
            why.add(f"another method ({name})")
    return why


def _best(values: Mapping[str, float]) -> Best:
    highest = max(values.values())
    return Best(highest, tuple(sorted(d for d, v in values.items() if v == highest)), len(values))


def _implied(scores: pd.DataFrame) -> list[Expected]:
    named = scores.groupby("dataset")["category"].unique()
    others = scores[PLACE].assign(category="").drop_duplicates().sort_values(PLACE)
    return [
        Expected(*training)._replace(category=category)
        for training in others.itertuples(index=False, name=None)
        for category in sorted(named[training[0]])
    ]


def _dataset_order(name: str) -> tuple[int, str]:
    known = as_printed.DATASETS
    return (known.index(plain(name)) if plain(name) in known else len(known)), name
