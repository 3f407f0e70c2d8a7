"""Figure 6: mean and variance of each method, over data sets and over detectors."""

from __future__ import annotations

import math
from typing import Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from asbench.report.drawing import SERIES, Drawing, listed, percent, style, title
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots.cells import single_gaps
from asbench.report.tables import TITLES
from asbench.results.frame import across

Over = Literal["datasets", "detectors"]


def robustness(grid: ScoreGrid, metric: str, over: Over) -> pd.DataFrame:
    """Return each method's spread over data sets (of its mean over detectors), or the reverse.

    Columns mean and variance (sample, n - 1), in 0..1; NaN where one of the values lacks.
    """
    other = {"datasets": "detector", "detectors": "dataset"}[over]
    values = across(grid.every_single(metric), other).unstack("methods")[[*grid.methods]]
    mean, variance = values.mean(skipna=False), values.var(skipna=False)
    return pd.DataFrame({"mean": mean, "variance": variance})


def draw(grid: ScoreGrid, metric: str, over: Over) -> Drawing:
    """Return means and variances beside each other, the method with the highest mean on top."""
    spreads = robustness(grid, metric, over)
    # Gaps last, equals by name.
    ordered = spreads.sort_index().sort_values("mean", ascending=False, kind="stable")
    order, means, variances = list(ordered.index), ordered["mean"], 1e4 * ordered["variance"]
    name = f"fig6-{over}-{metric}"
    words = {"datasets": "data sets", "detectors": "detectors"}[over]
    other = {"datasets": "detectors", "detectors": "data sets"}[over]
    at = np.arange(len(order))
    with mpl.rc_context(style(name)):
        figure = Figure(figsize=(5.4, 0.9 + 0.24 * len(order)), layout="constrained")
        figure.patch.set_visible(False)
        left, right = figure.subplots(1, 2, sharey=True)
        left.plot(100 * means, at, "o", color=SERIES[0], ms=6)
        left.set_xlabel(f"Mean {title(metric)}")
        left.set_yticks(at, order)
        right.barh(at, variances, height=0.55, color=SERIES[1])
        right.set_xlabel("Variance (squared points)")
        for axes in (left, right):
            axes.patch.set_visible(False)
            axes.grid(axis="x", alpha=0.2)
            axes.tick_params(axis="y", length=0)
        for axes, values in ((left, means), (right, variances)):
            for y, value in enumerate(values):
                if math.isnan(value):
                    axes.text(0.02, y, "–", transform=axes.get_yaxis_transform(), va="center")
        left.set_ylim(len(order) - 0.5, -0.5)
    told = [
        f"{m} {percent(mean)}, variance {1e4 * variance:.2f}"
        for m, mean, variance in spreads.itertuples(name=None)
    ]
    caption = f"{TITLES[metric]} over {words}: mean and variance of each method’s mean over {other}"
    missing = single_gaps(grid, metric)
    return Drawing(name, "6", caption, f"{caption}. {listed(told)}.", figure, missing)
