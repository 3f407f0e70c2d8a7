"""Figure 13: mixtures beside the theoretical mean of their parts and the best of them."""

from __future__ import annotations

import math

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D

from asbench.report.drawing import INK, SERIES, Drawing, lanes, listed, new_axes, percent, style
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.hybrids import hybrids
from asbench.report.paper.plots.cells import lacks
from asbench.report.tables import TITLES


def draw(grid: ScoreGrid, detector: str, metric: str) -> Drawing:
    """Return figure 13 of one detector.

    A bar runs from the theoretical mean to what the mixture reached: its length is the gain, so no
    axis need begin at zero.
    """
    shown = [h for h in hybrids(grid, metric) if h.detector == detector]
    name = f"fig13-{detector.replace('@', '-')}-{metric}"
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.8, 1.15 + 0.27 * len(shown))
        for y, hybrid in enumerate(shown):
            score, theory, best = hybrid.value, hybrid.theoretical, hybrid.best
            gain = score - theory
            colour = SERIES[0] if not gain < 0 else SERIES[1]
            axes.barh([y], [100 * gain], left=[100 * theory], height=0.5, color=colour, alpha=0.45)
            axes.plot([100 * theory], [y], "|", color=INK, ms=11)
            axes.plot([100 * score], [y], "D", color=colour, ms=5.5)
            axes.plot([100 * best], [y], "o", color=INK, mfc="none", ms=6)
            if math.isnan(score):
                axes.text(0.01, y, "–", transform=axes.get_yaxis_transform(), va="center")
        lanes(axes, [(y, _short(h.mix)) for y, h in enumerate(shown)], metric)
        axes.use_sticky_edges = False  # or a bar's foot lies on the frame
        axes.margins(x=0.08)
        figure.legend(
            handles=[
                Line2D([], [], marker="D", ls="", color=SERIES[0], label="mixture"),
                Line2D([], [], marker="|", ls="", color=INK, ms=10, label="mean of its parts"),
                Line2D([], [], marker="o", ls="", color=INK, mfc="none", label="best part"),
            ],
            loc="outside lower center",
            ncols=3,
            fontsize=8.5,
        )
    told = [
        f"{' + '.join(h.mix)} {percent(h.value)}, mean of parts {percent(h.theoretical)}, "
        f"best part {percent(h.best)}"
        for h in shown
    ]
    cells = grid.at_default[metric]
    mixed = cells[cells.index.isin(grid.mixtures, level="methods")]
    datasets = sorted(mixed.index.unique("dataset"))
    over = "data sets, weighted by equation 1" if len(datasets) > 1 else datasets[0]
    caption = f"{TITLES[metric]} of mixtures with {detector} over {over}"
    parts = sorted({m for h in shown for m in h.mix})
    axes = datasets, [detector], [*(" + ".join(h.mix) for h in shown), *parts]
    missing = lacks(grid, pd.MultiIndex.from_product(axes, names=cells.index.names), cells)
    return Drawing(name, "13", caption, f"{caption}. {listed(told)}.", figure, missing)


def _short(mix: tuple[str, ...]) -> str:
    text = " + ".join(mix)
    return text if len(text) < 34 else "\n+ ".join([" + ".join(mix[:2]), " + ".join(mix[2:])])
