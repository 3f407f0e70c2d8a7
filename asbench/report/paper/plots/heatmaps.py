"""Figure 5: heat maps of methods against data sets and against detectors."""

from __future__ import annotations

import math

import matplotlib as mpl
import numpy as np
import pandas as pd

from asbench.report.drawing import FAINT, Drawing, listed, new_axes, percent, style
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots.cells import single_gaps
from asbench.report.tables import TITLES
from asbench.results.frame import across


def over_datasets(grid: ScoreGrid, metric: str) -> Drawing:
    """Return methods × data sets, each cell the mean over detectors."""
    means = across(grid.every_single(metric), "detector").unstack("dataset")
    caption = f"{TITLES[metric]} (%) by method and data set, mean over {_detectors(grid)}"
    table = means.reindex(grid.methods)[[*grid.datasets]]
    return _draw(table, f"fig5-datasets-{metric}", caption, single_gaps(grid, metric))


def over_detectors(grid: ScoreGrid, metric: str) -> Drawing:
    """Return methods × detectors, each cell the plain mean over data sets."""
    means = across(grid.singles(metric), "dataset").unstack("detector")
    caption = f"{TITLES[metric]} (%) by method and detector, mean over {_datasets(grid)}"
    table = means.reindex(index=grid.methods, columns=grid.detectors)
    return _draw(table, f"fig5-detectors-{metric}", caption, single_gaps(grid, metric))


def _draw(means: pd.DataFrame, name: str, caption: str, missing: tuple[str, ...]) -> Drawing:
    methods, columns = list(means.index), list(means.columns)
    table = 100 * means.to_numpy()
    told = [
        f"{m}: " + ", ".join(f"{c} {percent(v)}" for c, v in row.items())
        for m, row in means.iterrows()
    ]
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(1.9 + 0.62 * len(columns), 0.75 + 0.27 * len(methods))
        shown = np.ma.masked_invalid(table)
        mesh = axes.pcolormesh(shown, cmap="cividis", edgecolors="none")
        for y, x in np.ndindex(table.shape):
            _label(axes, mesh, x, y, float(table[y, x]))
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
        axes.set_yticks(np.arange(len(methods)) + 0.5, methods)
        if max(map(len, columns)) > 8:
            axes.tick_params(axis="x", rotation=35)
            for label in axes.get_xticklabels():
                label.set_ha("right")
                label.set_rotation_mode("anchor")
        axes.invert_yaxis()
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return Drawing(name, "5", caption, f"{caption}. {listed(told)}.", figure, missing)


def _label(axes: mpl.axes.Axes, mesh: mpl.cm.ScalarMappable, x: int, y: int, value: float) -> None:
    """Write a value on its cell, dark on light and light on dark, or hatch the gap."""
    if math.isnan(value):
        axes.add_patch(
            mpl.patches.Rectangle((x, y), 1, 1, fill=False, hatch="////", lw=0, edgecolor=FAINT)
        )
        axes.text(x + 0.5, y + 0.5, "–", ha="center", va="center")
        return
    red, green, blue, _ = mesh.to_rgba(np.array(value))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    colour = "#ffffff" if dark else "#000000"
    axes.text(
        x + 0.5, y + 0.5, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=8.5
    )


def _detectors(grid: ScoreGrid) -> str:
    count = len(grid.detectors)
    return f"{count} detectors" if count > 1 else grid.detectors[0]


def _datasets(grid: ScoreGrid) -> str:
    count = len(grid.datasets)
    return f"{count} data sets, each alike" if count > 1 else grid.datasets[0]
