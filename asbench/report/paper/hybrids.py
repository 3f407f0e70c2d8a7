"""Mixtures beside their parts: the theoretical mean and the best single (figure 13)."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from asbench.report.paper.comparison import grid_notes
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.sheet import Entry, Sheet, number
from asbench.report.tables import TITLES
from asbench.results.frame import across, at


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
    cells = grid.at_default[metric]
    used = cells[cells.index.isin(grid.mixtures, level="methods")].index.unique("dataset")
    means = across(cells[cells.index.isin(used, level="dataset")], "dataset", grid.weights)
    return [
        _hybrid(at(means, "detector", detector), detector, mix)
        for detector in grid.detectors
        for methods, mix in grid.mixtures.items()
        if (detector, methods) in means.index
    ]


def hybrid_table(grid: ScoreGrid, metric: str = "image_auroc") -> Sheet:
    """Return the numbers of figure 13, which the paper draws and does not print."""
    rows = tuple(
        (
            Entry(h.detector),
            Entry(" + ".join(h.mix)),
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


def _hybrid(means: pd.Series[float], detector: str, mix: tuple[str, ...]) -> Hybrid:
    parts = means.reindex(mix)
    best = parts.max(skipna=False)
    return Hybrid(
        detector=detector,
        mix=mix,
        value=means[" + ".join(mix)],
        singles=tuple(parts),
        theoretical=parts.mean(skipna=False),
        best=best,
        best_single="" if parts.hasnans else str(parts.idxmax()),
    )
