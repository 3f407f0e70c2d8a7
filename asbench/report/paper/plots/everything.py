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
from asbench.report.paper.relations import QualityByMethod, pairings, ratio_studies

DRAWN = ("image_auroc", "pixel_ap")
"""The paper draws one metric of images and one of pixels."""
SPOKES = 3
"""Fewer methods than this make no radar."""


def overview(grid: ScoreGrid) -> list[Drawing]:
    """Return figures 2-6 and the Pareto plot, as far as the grid spans what they compare.

    A radar needs three methods; a mean over data sets two of them; a spread two values.
    """
    drawings: list[Drawing] = []
    many = len(grid.datasets) > 1
    for metric in _defined(grid, DRAWN):
        if len(grid.methods) >= SPOKES:
            drawings += [radars.overall(grid, metric)] if many else []
            drawings += [radars.of_dataset(grid, d, metric) for d in grid.datasets]
        if len(grid.methods) > 1 and (many or len(grid.detectors) > 1):
            drawings += [heatmaps.over_datasets(grid, metric)] if many else []
            drawings.append(heatmaps.over_detectors(grid, metric))
            drawings += [robustness.draw(grid, metric, "datasets")] if many else []
            several = len(grid.detectors) > 1
            drawings += [robustness.draw(grid, metric, "detectors")] if several else []
    if len(grid.methods) >= SPOKES and len(_defined(grid, DRAWN)) == 2:
        drawings.append(scatters.draw_pareto(grid))
    ranked = ranks.draw(grid, DRAWN[0])
    drawings += [ranked] if ranked else []
    return _marked(sorted(drawings, key=lambda d: int(d.paper or 99)), grid)


def of_ratios(grid: ScoreGrid) -> list[Drawing]:
    """Return figures 8 and 10 and the scatter of section 4.3, where ratios were compared."""
    drawings: list[Drawing] = []
    metrics = _defined(grid, DRAWN)
    if (grid.scores["parts"] == 0).any() and grid.methods:
        drawings += [ratios.draw_without(grid, metric) for metric in metrics]
    for study in ratio_studies(grid):
        if len(study.detectors) > 1 or len(study.by_ratio) > 1:
            drawings += [ratios.draw_curves(grid, study, "method")]
            drawings += [ratios.draw_curves(grid, study, "detector")]
        if len(study.by_ratio) >= SPOKES:
            drawings.append(ratios.draw_stability(grid, study))
    return _marked(drawings, grid)


def of_mixtures(grid: ScoreGrid) -> list[Drawing]:
    """Return figure 13, two metrics of each detector that was trained on mixtures."""
    cells = grid.at_default
    mixed = set(cells[cells.index.isin(grid.mixtures, level="methods")].index.unique("detector"))
    drawings = [
        mixtures.draw(grid, detector, metric)
        for detector in grid.detectors
        if detector in mixed
        for metric in _defined(grid, DRAWN)
    ]
    return _marked(drawings, grid)


def of_quality(grid: ScoreGrid, quality: QualityByMethod | None) -> list[Drawing]:
    """Return figure 11, one panel a quality score and data set."""
    drawings = [scatters.draw_quality(p) for p in pairings(grid, quality or {}) if len(p.x) > 1]
    return _marked(drawings, grid)


def figures(grid: ScoreGrid, quality: QualityByMethod | None = None) -> list[Drawing]:
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
