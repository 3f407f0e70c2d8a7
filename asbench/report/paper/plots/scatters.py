"""Figure 11, quality against detection; and ours, image level against pixel level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.ticker import MaxNLocator

from asbench.report.drawing import SERIES, Drawing, listed, new_axes, percent, style, title
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots.cells import single_gaps
from asbench.report.paper.plots.labels import label_points
from asbench.report.paper.plots.ratios import correlation_text
from asbench.report.paper.relations import Pairing
from asbench.results.frame import across


def draw_quality(pairs: Pairing, told: str = "") -> Drawing:
    """Return one panel of figure 11; told: its statistic, Pearson's uncorrected where empty."""
    x, y = list(pairs.x), [100 * v for v in pairs.y]
    slug = "".join(c if c.isalnum() else "-" for c in f"{pairs.dataset}-{pairs.metric}")
    name = f"fig11-{slug}"
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(3.2, 2.5)
        axes.plot(x, y, "o", color=SERIES[0], ms=5)
        axes.set_xlabel(pairs.metric)
        axes.set_ylabel(title("image_auroc"))
        axes.grid(alpha=0.2)
        axes.margins(0.2, 0.18)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        label_points(axes, x, y, list(pairs.methods))
    caption = f"{pairs.metric} on {pairs.dataset}: {told or correlation_text(x, y)}"
    points = [f"{m} {a:.4g}, {b:.1f}" for m, a, b in zip(pairs.methods, x, y, strict=True)]
    return Drawing(name, "11", caption, f"{caption}. {listed(points)}.", figure)


def pareto(grid: ScoreGrid, x: str, y: str) -> dict[str, tuple[float, float, bool]]:
    """Return (x, y, whether no other method beats it in both) of each method.

    Means over detectors of equation 1's means over data sets, in 0..1.
    """
    axes = grid.methods, grid.detectors
    every = pd.MultiIndex.from_product(axes, names=("methods", "detector"))
    values: dict[str, tuple[float, float]] = {}
    both = [across(grid.singles(metric), "dataset", grid.weights) for metric in (x, y)]
    means = [across(m.swaplevel().reindex(every), "detector") for m in both]
    for method in grid.methods:
        at = means[0][method], means[1][method]
        if not any(map(math.isnan, at)):
            values[method] = at
    return {m: (*at, not _beaten(at, list(values.values()))) for m, at in values.items()}


def draw_pareto(grid: ScoreGrid, x: str = "image_auroc", y: str = "pixel_ap") -> Drawing:
    """Return image level against pixel level; a line joins the methods that none beats in both."""
    points = pareto(grid, x, y)
    name = f"pareto-{x}-{y}"
    front = sorted((v[:2] for v in points.values() if v[2]), key=lambda at: at[0])
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 3.4)
        axes.plot(
            [100 * a for a, _ in front], [100 * b for _, b in front], "-", color=SERIES[1], lw=1.2
        )
        for on_front, fill in ((True, SERIES[1]), (False, "none")):
            at = [v for v in points.values() if v[2] is on_front]
            axes.plot(
                [100 * a for a, _, _ in at],
                [100 * b for _, b, _ in at],
                "D" if on_front else "o",
                color=SERIES[1 if on_front else 0],
                mfc=fill,
                ms=6,
            )
        axes.set_xlabel(title(x))
        axes.set_ylabel(title(y))
        axes.grid(alpha=0.2)
        axes.margins(0.12, 0.1)
        ends = [[100 * v[i] for v in points.values()] for i in (0, 1)]
        label_points(axes, ends[0], ends[1], [*points])
    best = [m for m, v in points.items() if v[2]]
    caption = f"Image level against pixel level; ◆ beaten by no method in both: {', '.join(best)}"
    told = [f"{m} {percent(a)}, {percent(b)}" for m, (a, b, _) in points.items()]
    missing = single_gaps(grid, x)
    return Drawing(name, "", caption, f"{caption}. {listed(told)}.", figure, missing)


def _beaten(at: tuple[float, float], others: Sequence[tuple[float, float]]) -> bool:
    return any(o != at and o[0] >= at[0] and o[1] >= at[1] for o in others)
