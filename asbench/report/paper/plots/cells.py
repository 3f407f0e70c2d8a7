"""Which cells of a grid a figure lacks, and means that gaps pass through."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from asbench.report.paper import scores
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.scores import Setting

Cells = Mapping[Setting, float]


def all_singles(
    grid: ScoreGrid, datasets: Sequence[str] = (), ratio: float | None = None
) -> list[Setting]:
    """Return every setting of single methods that a grid without gaps has."""
    return [
        Setting(dataset, detector, (method,), ratio)
        for dataset in datasets or grid.datasets
        for detector in grid.detectors
        for method in grid.methods
    ]


def lacks(grid: ScoreGrid, wanted: Iterable[Setting], cells: Cells) -> tuple[str, ...]:
    """Say which wanted cells are undefined or not there, and how many categories they miss."""
    gaps = [s for s in wanted if math.isnan(cells.get(s, math.nan))]
    if not gaps:
        return ()
    trained: defaultdict[tuple[object, ...], set[str]] = defaultdict(set)
    categories: defaultdict[str, set[str]] = defaultdict(set)
    for s in grid.scores:
        trained[s.dataset, s.detector, s.mix, s.ratio].add(s.category)
        categories[s.dataset].add(s.category)
    return tuple(_lack(grid, s, s in cells, trained, categories[s.dataset]) for s in gaps)


def _lack(
    grid: ScoreGrid,
    setting: Setting,
    undefined: bool,
    trained: Mapping[tuple[object, ...], set[str]],
    categories: set[str],
) -> str:
    told = f"{scores.title(setting.mix)} with {setting.detector} on {setting.dataset}"
    if setting.ratio is not None and setting.mix:
        told += f" at ratio {setting.ratio:g}"
    if undefined:
        return f"{told} (undefined)"
    ratio = grid.ratios.get(setting.detector) if setting.ratio is None else setting.ratio
    have = trained.get((*setting[:3], ratio), set())
    if not have or have >= categories:
        return told
    return f"{told} ({len(categories - have)} of {len(categories)} categories)"


def mean_defined(values: Iterable[float]) -> float:
    """Return the mean, NaN where one of them is or there is none."""
    kept = list(values)
    return math.fsum(kept) / len(kept) if kept else math.nan


def sample_variance(values: Sequence[float]) -> float:
    """Return the sample variance (n - 1), NaN for fewer than two values or an undefined one."""
    if len(values) < 2:
        return math.nan
    mean = mean_defined(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
