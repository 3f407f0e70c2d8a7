"""Figures 8 and 10, and section 4.3's scatter: what the share of anomalous items does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import matplotlib as mpl
import pandas as pd

from asbench.quality.statistics import pearson
from asbench.report.drawing import (
    SERIES,
    Curve,
    Drawing,
    curves,
    lanes,
    listed,
    new_axes,
    percent,
    style,
    title,
)
from asbench.report.paper.grid import SETTING, ScoreGrid
from asbench.report.paper.plots.cells import lacks, single_gaps
from asbench.report.paper.plots.labels import label_points
from asbench.report.paper.relations import RatioStudy
from asbench.report.tables import TITLES
from asbench.results.frame import across, by_label

By = Literal["method", "detector"]
METRIC = "image_auroc"
"""What the paper compares ratios by."""


def draw_curves(grid: ScoreGrid, study: RatioStudy, by: By) -> Drawing:
    """Return figure 10 for one data set: by method or by detector, against the ratio."""
    lines = study.by_ratio
    if by == "detector":
        lines = across(study.cells, "methods").unstack("ratio")
    name = f"fig10-{study.dataset.replace('@', '-')}-{by}"
    shown = [Curve(str(label), study.ratios, list(line)) for label, line in lines.iterrows()]
    figure = curves(shown, METRIC, name)
    over = "detectors" if by == "method" else "methods"
    caption = f"{TITLES[METRIC]} on {study.dataset} against the ratio, by {by}: means over {over}"
    told = [f"{curve.label}: {_at(study.ratios, curve.values)}" for curve in shown]
    missing = _missing(grid, study)
    return Drawing(name, "10", caption, f"{caption}. {listed(told)}.", figure, missing)


def draw_stability(grid: ScoreGrid, study: RatioStudy) -> Drawing:
    """Return mean against range over ratios, a point a method, with Pearson's r and p (§4.3)."""
    spreads = study.spreads.dropna(subset=["range"])
    name = f"stability-{study.dataset.replace('@', '-')}"
    x, y = list(100 * spreads["mean"]), list(100 * spreads["range"])
    fit = correlation_text(x, y)
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 3.1)
        axes.plot(x, y, "o", color=SERIES[0], ms=6)
        axes.set_xlabel(f"Mean {title(METRIC)} over ratios")
        axes.set_ylabel("Highest − lowest (points)")
        axes.grid(alpha=0.2)
        axes.margins(0.12, 0.12)
        axes.set_ylim(bottom=0)
        label_points(axes, x, y, list(spreads.index))
    caption = f"Do better methods mind the ratio less? {study.dataset}: {fit}"
    told = [
        f"{m} {percent(mean)}, range {percent(spread)}"
        for m, mean, spread in spreads[["mean", "range"]].itertuples(name=None)
    ]
    missing = _missing(grid, study)
    return Drawing(name, "", caption, f"{caption}. {listed(told)}.", figure, missing)


def without(grid: ScoreGrid, metric: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Return, by data set and detector, (at ratio 0, mean over methods at the default ratio)."""
    none = grid.cells[metric].reindex(_nothing(grid)).droplevel(["methods", "ratio"])
    some = across(grid.every_single(metric), "methods")
    return {pair: (value, some.get(pair, math.nan)) for pair, value in by_label(none).items()}


def draw_without(grid: ScoreGrid, metric: str) -> Drawing:
    """Return figure 8: each detector without anomalies, and its mean over methods with them."""
    pairs = without(grid, metric)
    name = f"fig8-{metric}"
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.8, 0.9 + 0.2 * len(pairs) + 0.28 * len(grid.datasets))
        y, ticks = 0.0, []
        for dataset in grid.datasets:
            axes.annotate(
                dataset,
                (0, y - 0.75),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                fontweight="bold",
                fontsize=8.5,
                va="center",
            )
            for detector in grid.detectors:
                none, some = (100 * value for value in pairs[dataset, detector])
                axes.plot([none, some], [y, y], "-", color=SERIES[7], lw=1)
                axes.plot([none], [y], "o", color=SERIES[1], ms=5.5, mfc="none")
                axes.plot([some], [y], "o", color=SERIES[0], ms=5.5)
                ticks.append((y, detector))
                y += 1
            y += 1.3
        lanes(axes, ticks, metric)
        axes.set_ylim(y - 1.6, -1.3)
        axes.set_xlabel(f"{title(metric)}: ○ without anomalies, ● mean over methods")
    told = [
        f"{t} on {d}: {percent(none)} without, {percent(some)} with"
        for (d, t), (none, some) in pairs.items()
    ]
    caption = f"{TITLES[metric]} without synthetic anomalies (ratio 0) and with them"
    missing = lacks(grid, _nothing(grid), grid.cells[metric])
    missing += single_gaps(grid, metric)
    return Drawing(name, "8", caption, f"{caption}. {listed(told)}.", figure, missing)


def correlation_text(x: Sequence[float], y: Sequence[float]) -> str:
    """Return `r = −0.90, p = 0.0001, n = 12` (Pearson, two-sided), or why there is none."""
    if len(x) < 3:
        return f"too few points for a correlation (n = {len(x)})"
    if len(set(x)) == 1 or len(set(y)) == 1:
        return f"no correlation: all values are alike (n = {len(x)})"
    test = pearson(x, y)
    return f"r = {test.r:.2f}, p = {test.p:.2g}, n = {test.n}".replace("= -", "= −")


def _at(ratios: Sequence[float], values: Sequence[float]) -> str:
    return ", ".join(f"{percent(v)} at {r:g}" for r, v in zip(ratios, values, strict=True))


def _missing(grid: ScoreGrid, study: RatioStudy) -> tuple[str, ...]:
    axes = [study.dataset], study.ratios, study.detectors, study.by_ratio.index
    wanted = pd.MultiIndex.from_product(axes, names=("dataset", "ratio", "detector", "methods"))
    return lacks(grid, wanted.reorder_levels(SETTING), grid.cells[METRIC])


def _nothing(grid: ScoreGrid) -> pd.MultiIndex:
    """Return the settings of training without anomalies."""
    axes = grid.datasets, grid.detectors, [""], [0.0]
    return pd.MultiIndex.from_product(axes, names=SETTING)
