"""Which figures a grid of scores gives rise to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asbench.report.drawing import Drawing
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots import (
    heatmaps,
    mixtures,
    radars,
    ranks,
    ratios,
    robustness,
    scatters,
)
from asbench.report.paper.relations import Quality, pairings, ratio_studies

DRAWN = ("image_auroc", "pixel_ap")
"""The paper draws one metric of images and one of pixels."""
SPOKES = 3
"""Fewer methods than this make no radar."""


def overview(grid: ScoreGrid) -> list[Drawing]:
    """Return figures 2-6 and the Pareto plot, as far as the grid spans what they compare.

    A radar needs three methods; a mean over data sets two of them; a spread two values.
    """
    found: list[Drawing] = []
    many = len(grid.datasets) > 1
    for metric in _defined(grid, DRAWN):
        if len(grid.methods) >= SPOKES:
            found += [radars.overall(grid, metric)] if many else []
            found += [radars.of_dataset(grid, d, metric) for d in grid.datasets]
        if len(grid.methods) > 1 and (many or len(grid.detectors) > 1):
            found += [heatmaps.over_datasets(grid, metric)] if many else []
            found.append(heatmaps.over_detectors(grid, metric))
            found += [robustness.draw(grid, metric, "datasets")] if many else []
            several = len(grid.detectors) > 1
            found += [robustness.draw(grid, metric, "detectors")] if several else []
    if len(grid.methods) >= SPOKES and len(_defined(grid, DRAWN)) == 2:
        found.append(scatters.draw_pareto(grid))
    ranked = ranks.draw(grid, DRAWN[0])
    found += [ranked] if ranked else []
    return _marked(sorted(found, key=lambda d: int(d.paper or 99)), grid)


def of_ratios(grid: ScoreGrid) -> list[Drawing]:
    """Return figures 8 and 10 and the scatter of section 4.3, where ratios were compared."""
    found: list[Drawing] = []
    metrics = _defined(grid, DRAWN)
    if (grid.scores["parts"] == 0).any() and grid.methods:
        found += [ratios.draw_without(grid, metric) for metric in metrics]
    for study in ratio_studies(grid):
        if len(study.detectors) > 1 or len(study.by_ratio) > 1:
            found += [ratios.draw_curves(grid, study, "method")]
            found += [ratios.draw_curves(grid, study, "detector")]
        if len(study.by_ratio) >= SPOKES:
            found.append(ratios.draw_stability(grid, study))
    return _marked(found, grid)


def of_mixtures(grid: ScoreGrid) -> list[Drawing]:
    """Return figure 13, two metrics of each detector that was trained on mixtures."""
    cells = grid.at_default
    mixed = set(cells[cells.index.isin(grid.mixtures, level="methods")].index.unique("detector"))
    found = [
        mixtures.draw(grid, detector, metric)
        for detector in grid.detectors
        if detector in mixed
        for metric in _defined(grid, DRAWN)
    ]
    return _marked(found, grid)


def of_quality(grid: ScoreGrid, quality: Quality | None) -> list[Drawing]:
    """Return figure 11, one panel a quality score and data set."""
    found = [scatters.draw_quality(p) for p in pairings(grid, quality or {}) if len(p.x) > 1]
    return _marked(found, grid)


def figures(grid: ScoreGrid, quality: Quality | None = None) -> list[Drawing]:
    """Return all figures that a grid gives rise to."""
    return [
        *overview(grid),
        *of_ratios(grid),
        *of_quality(grid, quality),
        *of_mixtures(grid),
    ]


def _marked(drawings: Sequence[Drawing], grid: ScoreGrid) -> list[Drawing]:
    """Return the drawings, which say so where checkpoints were selected on the test set."""
    if not grid.selected:
        return list(drawings)
    mark = "(selected on the test set)"
    return [replace(d, caption=f"{d.caption} {mark}", told=f"{d.told} {mark}") for d in drawings]


def _defined(grid: ScoreGrid, metrics: Sequence[str]) -> list[str]:
    return [m for m in metrics if grid.scores[m].notna().any()]
