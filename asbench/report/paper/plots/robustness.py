"""Figure 6: mean and variance of each method, over data sets and over detectors."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from asbench.report.drawing import SERIES, Drawing, listed, percent, style, title
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots.cells import all_singles, lacks, mean_defined, sample_variance
from asbench.report.paper.scores import Setting
from asbench.report.tables import TITLES

Over = Literal["datasets", "detectors"]


class Robust(NamedTuple):
    """Mean and sample variance (n - 1) of a method's n values, in 0..1; NaN where one lacks."""

    mean: float
    variance: float
    n: int


def robustness(grid: ScoreGrid, metric: str, over: Over) -> dict[str, Robust]:
    """Return each method's spread over data sets (of its mean over detectors), or the reverse."""
    cells = grid.singles(metric)
    found = {}
    for method in grid.methods:
        rows = [
            [cells.get(Setting(d, t, (method,), None), math.nan) for t in grid.detectors]
            for d in grid.datasets
        ]
        lines = rows if over == "datasets" else [list(c) for c in zip(*rows, strict=True)]
        values = [mean_defined(line) for line in lines]
        found[method] = Robust(mean_defined(values), sample_variance(values), len(values))
    return found


def draw(grid: ScoreGrid, metric: str, over: Over) -> Drawing:
    """Return means and variances beside each other, the method with the highest mean on top."""
    found = robustness(grid, metric, over)
    order = sorted(found, key=lambda m: (math.isnan(found[m].mean), -found[m].mean, m))
    name = f"fig6-{over}-{metric}"
    words = {"datasets": "data sets", "detectors": "detectors"}[over]
    other = {"datasets": "detectors", "detectors": "data sets"}[over]
    at = np.arange(len(order))
    with mpl.rc_context(style(name)):
        figure = Figure(figsize=(5.4, 0.9 + 0.24 * len(order)), layout="constrained")
        figure.patch.set_visible(False)
        left, right = figure.subplots(1, 2, sharey=True)
        left.plot([100 * found[m].mean for m in order], at, "o", color=SERIES[0], ms=6)
        left.set_xlabel(f"Mean {title(metric)}")
        left.set_yticks(at, order)
        variances = [1e4 * found[m].variance for m in order]
        right.barh(at, variances, height=0.55, color=SERIES[1])
        right.set_xlabel("Variance (squared points)")
        for axes in (left, right):
            axes.patch.set_visible(False)
            axes.grid(axis="x", alpha=0.2)
            axes.tick_params(axis="y", length=0)
        for axes, values in ((left, [found[m].mean for m in order]), (right, variances)):
            for y, value in enumerate(values):
                if math.isnan(value):
                    axes.text(0.02, y, "–", transform=axes.get_yaxis_transform(), va="center")
        left.set_ylim(len(order) - 0.5, -0.5)
    told = [f"{m} {percent(r.mean)}, variance {1e4 * r.variance:.2f}" for m, r in found.items()]
    caption = f"{TITLES[metric]} over {words}: mean and variance of each method’s mean over {other}"
    missing = lacks(grid, all_singles(grid), grid.singles(metric))
    return Drawing(name, "6", caption, f"{caption}. {listed(told)}.", figure, missing)
