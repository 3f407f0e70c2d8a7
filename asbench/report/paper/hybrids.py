"""Mixtures beside their parts: the theoretical mean and the best single (figure 13)."""

from __future__ import annotations

import math
from typing import NamedTuple

from asbench.report.paper.comparison import grid_notes
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.scores import Setting, average, mean, title
from asbench.report.paper.sheet import Entry, Sheet, number
from asbench.report.tables import TITLES


class Hybrid(NamedTuple):
    """A mixture under one detector, weighted over the data sets by equation 1.

    singles: of its parts, in the order of `mix`; theoretical: their unweighted mean; best: the
    highest of them, with its method. NaN where a data set lacks one of them.
    """

    detector: str
    mix: tuple[str, ...]
    value: float
    singles: tuple[float, ...]
    theoretical: float
    best: float
    best_single: str


def hybrids(grid: ScoreGrid, metric: str) -> list[Hybrid]:
    """Return the mixtures of every detector at its default ratio.

    Equation 1 runs over the data sets that have any mixture.
    """
    cells = grid.hybrids(metric)
    used = {s.dataset for s in cells if len(s.mix) > 1}
    found = average({s: v for s, v in cells.items() if s.dataset in used}, "dataset", grid.weights)
    there = {(s.detector, s.mix) for s in found if len(s.mix) > 1}
    return [
        _hybrid(found, detector, mix)
        for detector in grid.detectors
        for mix in grid.mixtures
        if (detector, mix) in there
    ]


def hybrid_table(grid: ScoreGrid, metric: str = "image_auroc") -> Sheet:
    """Return the numbers of figure 13, which the paper draws and does not print."""
    rows = tuple(
        (
            Entry(h.detector),
            Entry(title(h.mix)),
            number(h.value),
            number(h.theoretical),
            number(h.value - h.theoretical),
            number(h.best, mark=h.best_single),
            number(h.value - h.best),
        )
        for h in hybrids(grid, metric)
    )
    differences = ("Theoretical mean", "Difference", "Best single", "Difference to it")
    head = ("Detector", "Mixture", TITLES[metric], *differences)
    notes = (
        "In 0..1, weighted over data sets by equation 1. Theoretical mean: of the parts trained "
        "with alone; best single: the best of them.",
        *grid_notes(grid),
    )
    return Sheet(f"hybrids-{metric}", f"Mixtures, {TITLES[metric]}", head, rows, notes)


def _hybrid(cells: dict[Setting, float], detector: str, mix: tuple[str, ...]) -> Hybrid:
    parts = [cells.get(Setting("", detector, (name,), None), math.nan) for name in mix]
    gap = any(map(math.isnan, parts))
    best = math.nan if gap else max(parts)
    return Hybrid(
        detector=detector,
        mix=mix,
        value=cells[Setting("", detector, mix, None)],
        singles=tuple(parts),
        theoretical=mean(parts),
        best=best,
        best_single="" if gap else mix[parts.index(best)],
    )
