"""Figures 2-4: radars, one spoke a method, one polygon a detector."""

from __future__ import annotations

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from asbench.report.drawing import Drawing, listed, new_axes, percent, series, style, title
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots.cells import single_gaps
from asbench.report.tables import TITLES
from asbench.results.frame import across, at


def overall(grid: ScoreGrid, metric: str) -> Drawing:
    """Return figure 2: means over data sets weighted by equation 1."""
    means = across(grid.singles(metric), "dataset", grid.weights)
    caption = f"{TITLES[metric]} over all data sets, weighted by their categories (equation 1)"
    missing = single_gaps(grid, metric)
    return _draw(grid, means, metric, f"fig2-{metric}", "2", caption, missing)


def of_dataset(grid: ScoreGrid, dataset: str, metric: str) -> Drawing:
    """Return figure 3 (image AUROC) or 4 (any other metric) of one data set."""
    values = at(grid.every_single(metric), "dataset", dataset)
    paper = "3" if metric == "image_auroc" else "4"
    name = f"fig{paper}-{dataset.replace('@', '-')}-{metric}"
    missing = single_gaps(grid, metric, [dataset])
    return _draw(grid, values, metric, name, paper, f"{TITLES[metric]} on {dataset}", missing)


def _draw(
    grid: ScoreGrid,
    values: pd.Series[float],
    metric: str,
    name: str,
    paper: str,
    caption: str,
    missing: tuple[str, ...],
) -> Drawing:
    angles = np.arange(len(grid.methods)) * 2 * np.pi / len(grid.methods)
    closed = np.append(angles, 0.0)
    told = []
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 3.9, projection="polar")
        axes.set_theta_zero_location("N")
        axes.set_theta_direction(-1)
        for place, detector in enumerate(grid.detectors):
            line = [100 * values.get((detector, m), math.nan) for m in grid.methods]
            axes.plot(
                closed, [*line, line[0]], lw=1.3, ms=4, label=detector, **series(place), zorder=3
            )
            each = [f"{m} {percent(v / 100)}" for m, v in zip(grid.methods, line, strict=True)]
            told.append(f"{detector}: {', '.join(each)}")
        _rings(axes, [100 * v for v in values.dropna()])
        axes.set_xticks(angles, grid.methods)
        for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
            side = math.sin(angle)
            label.set_ha("center" if abs(side) < 0.2 else "left" if side > 0 else "right")
        axes.tick_params(axis="x", pad=2)
        axes.spines["polar"].set_visible(False)
        axes.grid(alpha=0.25)
        figure.legend(loc="outside lower center", ncols=min(4, len(grid.detectors)), fontsize=8.5)
    low = axes.get_ylim()[0]
    caption = f"{caption}; the centre is {low:g} %"
    return Drawing(name, paper, caption, f"{title(metric)}. {listed(told)}.", figure, missing)


def _rings(axes: Any, values: list[float]) -> None:
    """Let the rings span the values in round steps: a radar from zero would be one thick ring."""
    low, high = (min(values), max(values)) if values else (0.0, 100.0)
    step = next((s for s in (1, 2, 5, 10, 20) if (high - low) / s <= 4), 25)
    bottom = max(0, math.floor(low / step) * step - step)
    top = min(100, math.ceil(high / step) * step)
    axes.set_ylim(bottom, max(top, bottom + step))
    rings = np.arange(bottom + step, top + 0.1, step)
    axes.set_yticks(rings, [f"{ring:g}" for ring in rings])
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_rlabel_position(360 / 2 / max(1, len(axes.lines[0].get_xdata()) - 1))
