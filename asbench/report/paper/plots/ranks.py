"""The critical-difference diagram: mean ranks, and which methods the Nemenyi test tells apart.

Source: J. Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006.
"""

from __future__ import annotations

import math

import matplotlib as mpl

from asbench.quality.statistics import critical_difference, friedman, not_told_apart
from asbench.report.drawing import INK, SERIES, Drawing, listed, new_axes, style
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.questions import method_blocks
from asbench.report.tables import TITLES


def draw(grid: ScoreGrid, metric: str) -> Drawing | None:
    """Return the diagram of mean ranks, 1 = best; bars by Nemenyi's test at 5 %.

    Over the blocks of the report's first question; None where they are too few to decide.
    """
    measured = method_blocks(grid, metric)
    if measured is None or not measured.enough or len(measured.columns) < 3:
        return None
    test = friedman(measured.values)
    difference = critical_difference(test.k, test.n)
    ranks = dict(zip(measured.columns, test.ranks, strict=True))
    joined = [
        [measured.columns[place] for place in bar] for bar in not_told_apart(test.ranks, difference)
    ]
    name = f"ranks-{metric}"
    order = sorted(ranks, key=lambda m: (ranks[m], m))
    half = math.ceil(len(order) / 2)
    lowest = -0.32 * (len(joined) + 1)
    height = 0.75 + 0.21 * half + 0.12 * len(joined)
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(5.4, height)
        top = math.ceil(max(ranks.values()))
        axes.plot([1, top], [0, 0], "-", color=INK, lw=0.8)
        for tick in range(1, top + 1):
            axes.plot([tick, tick], [0, 0.12], "-", color=INK, lw=0.8)
            axes.text(tick, 0.2, f"{tick}", ha="center", va="bottom", fontsize=8.5)
        margin = 0.04 * (top - 1)
        for place, method in enumerate(order):
            left = place < half
            row = place if left else len(order) - 1 - place
            y = lowest - 0.5 * row - 0.25
            end = 1 - margin if left else top + margin
            rank = ranks[method]
            axes.plot([rank, rank, end], [0, y, y], "-", color=INK, lw=0.6)
            axes.text(
                end + (-0.3 if left else 0.3) * margin,
                y,
                f"{method} {rank:.1f}" if left else f"{rank:.1f} {method}",
                ha="right" if left else "left",
                va="center",
                fontsize=8.5,
            )
        for level, members in enumerate(joined):
            y = -0.32 * (level + 1)
            ends = [ranks[members[0]] - 0.06, ranks[members[-1]] + 0.06]
            axes.plot(ends, [y, y], "-", color=SERIES[1], lw=3, solid_capstyle="round")
        axes.plot([1, 1 + difference], [1.0, 1.0], "-", color=SERIES[1], lw=1.6)
        axes.text(1, 1.08, f"critical difference {difference:.2f}", va="bottom", fontsize=8.5)
        room = 0.32 * (top - 1)
        axes.set_xlim(1 - room, top + room)
        axes.set_axis_off()
    caption = (
        f"Mean ranks by {TITLES[metric]} within {test.n} {measured.unit}, 1 is best; a bar joins "
        "methods that the Nemenyi test at 5 % does not tell apart"
    )
    told = [f"{m} {ranks[m]:.2f}" for m in order]
    alike = [", ".join(members) for members in joined]
    words = f"{caption}. Critical difference {difference:.2f}. {listed(told)}."
    return Drawing(name, "", caption, f"{words} Not told apart: {listed(alike) or 'none'}.", figure)
