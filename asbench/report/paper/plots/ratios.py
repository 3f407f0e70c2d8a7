"""Figures 8 and 10, and section 4.3's scatter: what the share of anomalous items does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from asbench.quality import statistics
from asbench.report.drawing import SERIES, Drawing, listed, new_axes, percent, series, style, title
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots.cells import all_singles, lacks, mean_defined
from asbench.report.paper.plots.labels import label_points
from asbench.report.paper.relations import RatioStudy
from asbench.report.paper.scores import Setting
from asbench.report.tables import TITLES

By = Literal["method", "detector"]
METRIC = "image_auroc"
"""What the paper compares ratios by."""


def by_detector(grid: ScoreGrid, study: RatioStudy) -> dict[str, tuple[float, ...]]:
    """Return each detector's image AUROC by ratio, the mean over the study's methods."""
    cells = grid.cells(METRIC)
    return {
        t: tuple(
            mean_defined(
                cells.get(Setting(study.dataset, t, (m,), r), math.nan) for m in study.by_ratio
            )
            for r in study.ratios
        )
        for t in study.detectors
    }


def draw_curves(grid: ScoreGrid, study: RatioStudy, by: By) -> Drawing:
    """Return figure 10 for one data set: by method or by detector, against the ratio."""
    lines = study.by_ratio if by == "method" else by_detector(grid, study)
    name, at = f"fig10-{study.dataset.replace('@', '-')}-{by}", study.ratios
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 3.1 if by == "detector" else 3.7)
        for place, (label, values) in enumerate(lines.items()):
            line = [100 * v for v in values]
            axes.plot(at, line, lw=1.3, ms=4.5, label=label, **series(place))
        axes.set_xticks(at, [f"{ratio:g}" for ratio in at])
        axes.set_xlabel("Share of anomalous items")
        axes.set_ylabel(title(METRIC))
        axes.grid(axis="y", alpha=0.2)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        figure.legend(loc="outside lower center", ncols=3, fontsize=8.5)
    over = "detectors" if by == "method" else "methods"
    caption = f"{TITLES[METRIC]} on {study.dataset} against the ratio, by {by}: means over {over}"
    told = [f"{n}: {_at(at, v)}" for n, v in lines.items()]
    missing = _missing(grid, study)
    return Drawing(name, "10", caption, f"{caption}. {listed(told)}.", figure, missing)


def draw_stability(grid: ScoreGrid, study: RatioStudy) -> Drawing:
    """Return mean against range over ratios, a point a method, with Pearson's r and p (§4.3)."""
    found = {m: s for m, s in study.spreads.items() if not math.isnan(s.range)}
    name = f"stability-{study.dataset.replace('@', '-')}"
    x, y = [100 * s.mean for s in found.values()], [100 * s.range for s in found.values()]
    fit = correlation_text(x, y)
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 3.1)
        axes.plot(x, y, "o", color=SERIES[0], ms=6)
        axes.set_xlabel(f"Mean {title(METRIC)} over ratios")
        axes.set_ylabel("Highest − lowest (points)")
        axes.grid(alpha=0.2)
        axes.margins(0.12, 0.12)
        axes.set_ylim(bottom=0)
        label_points(axes, x, y, list(found))
    caption = f"Do better methods mind the ratio less? {study.dataset}: {fit}"
    told = [f"{m} {percent(s.mean)}, range {percent(s.range)}" for m, s in found.items()]
    missing = _missing(grid, study)
    return Drawing(name, "", caption, f"{caption}. {listed(told)}.", figure, missing)


def without(grid: ScoreGrid, metric: str) -> dict[tuple[str, str], tuple[float, float]]:
    """Return, by data set and detector, (at ratio 0, mean over methods at the default ratio)."""
    cells, singles = grid.cells(metric), grid.singles(metric)
    found = {}
    for d in grid.datasets:
        for t in grid.detectors:
            none = cells.get(Setting(d, t, (), 0.0), math.nan)
            some = mean_defined(
                singles.get(Setting(d, t, (m,), None), math.nan) for m in grid.methods
            )
            found[d, t] = none, some
    return found


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
                none, some = (100 * v for v in pairs[dataset, detector])
                axes.plot([none, some], [y, y], "-", color=SERIES[7], lw=1)
                axes.plot([none], [y], "o", color=SERIES[1], ms=5.5, mfc="none")
                axes.plot([some], [y], "o", color=SERIES[0], ms=5.5)
                ticks.append((y, detector))
                y += 1
            y += 1.3
        axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set_ylim(y - 1.6, -1.3)
        axes.set_xlabel(f"{title(metric)}: ○ without anomalies, ● mean over methods")
        axes.grid(axis="x", alpha=0.2)
    told = [
        f"{t} on {d}: {percent(a)} without, {percent(b)} with" for (d, t), (a, b) in pairs.items()
    ]
    caption = f"{TITLES[metric]} without synthetic anomalies (ratio 0) and with them"
    wanted = [Setting(d, t, (), 0.0) for d in grid.datasets for t in grid.detectors]
    missing = lacks(grid, wanted, grid.cells(metric))
    missing += lacks(grid, all_singles(grid), grid.singles(metric))
    return Drawing(name, "8", caption, f"{caption}. {listed(told)}.", figure, missing)


def correlation_text(x: Sequence[float], y: Sequence[float]) -> str:
    """Return `r = −0.90, p = 0.0001, n = 12` (Pearson, two-sided), or why there is none."""
    if len(x) < 3:
        return f"too few points for a correlation (n = {len(x)})"
    if len(set(x)) == 1 or len(set(y)) == 1:
        return f"no correlation: all values are alike (n = {len(x)})"
    found = statistics.pearson(x, y)
    return f"r = {found.r:.2f}, p = {found.p:.2g}, n = {found.n}".replace("= -", "= −")


def _at(ratios: Sequence[float], values: Sequence[float]) -> str:
    return ", ".join(f"{percent(v)} at {r:g}" for r, v in zip(ratios, values, strict=True))


def _missing(grid: ScoreGrid, study: RatioStudy) -> tuple[str, ...]:
    wanted = [
        Setting(study.dataset, t, (m,), r)
        for r in study.ratios
        for t in study.detectors
        for m in study.by_ratio
    ]
    return lacks(grid, wanted, grid.cells(METRIC))
