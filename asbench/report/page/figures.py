"""Figures of single runs as SVG text: ratio curves, mixtures against their singles, loss curves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.ticker import MaxNLocator

from asbench.report.drawing import INK, MARKERS, SERIES, as_svg, new_axes, style
from asbench.report.tables import TITLES, ResultRow, mix_title
from asbench.results import Run
from asbench.results.frame import context


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mix beside the rows of its components, alike in everything else."""

    mix: ResultRow
    singles: tuple[ResultRow, ...]


def with_ratios(rows: Iterable[ResultRow]) -> list[tuple[ResultRow, ...]]:
    """Return the rows of each mix that stands at two ratios or more, by ratio.

    Rows belong together when they differ in the ratio alone. At ratio 0 no mix is read, so that
    row opens the curve of every mix.
    """
    curves: defaultdict[str, list[ResultRow]] = defaultdict(list)
    none: dict[str, ResultRow] = {}
    for row in rows:
        if row.mix:
            curves[context(row.runs[0], "ratio")].append(row)
        else:
            none[context(row.runs[0], "ratio", "mix", "sets")] = row
    found = []
    for curve in curves.values():
        start = none.get(context(curve[0].runs[0], "ratio", "mix", "sets"))
        points = [*curve, *([start] if start else [])]
        if len(points) > 1:
            found.append(tuple(sorted(points, key=lambda row: row.ratio)))
    return found


def mixtures(rows: Sequence[ResultRow]) -> list[Mixture]:
    """Return every mix whose components all stand alone too, at equal settings and stored sets."""
    singles = {
        (context(r.runs[0], "mix", "sets"), *r.runs[0].decides["sets"].items()): r
        for r in rows
        if len(r.mix) == 1
    }
    found = []
    for row in rows:
        if len(row.mix) < 2:
            continue
        settings, sets = context(row.runs[0], "mix", "sets"), row.runs[0].decides["sets"]
        parts = [singles.get((settings, (name, sets[name]))) for name in sorted(row.mix)]
        whole = tuple(part for part in parts if part)
        if len(whole) == len(parts):
            found.append(Mixture(row, whole))
    return found


def ratio_curve(curves: Sequence[Sequence[ResultRow]], metric: str, name: str) -> str:
    """Return `metric` against the share of anomalous items, one line per mix.

    curves: as `with_ratios` gives them. Lines join the means, dots are the single seeds.
    """
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 2.9)
        ratios = sorted({row.ratio for rows in curves for row in rows})
        apart = 0.012 * (ratios[-1] - ratios[0])  # or the dots of several mixes hide one another
        for place, rows in enumerate(curves):
            colour, marker = SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]
            title = _named(rows)
            rows = [row for row in rows if not math.isnan(row.cells[metric].mean)]
            for row in rows:
                values = [100 * value for value in row.cells[metric].values]
                if len(values) > 1:
                    x = row.ratio + apart * (place - (len(curves) - 1) / 2)
                    axes.plot([x] * len(values), values, ".", color=colour, ms=4.5, alpha=0.6)
            means = [100 * row.cells[metric].mean for row in rows]
            axes.plot(
                [row.ratio for row in rows],
                means,
                marker=marker,
                color=colour,
                lw=1.4,
                ms=5,
                label=title,
            )
        axes.set_xlabel("Share of anomalous items")
        axes.set_ylabel(f"{TITLES[metric]} (%)")
        if len(ratios) <= 9:
            axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
        axes.grid(axis="y", alpha=0.15)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        figure.legend(loc="outside lower center", ncols=min(3, len(curves)), fontsize=8.5)
        told = "; ".join(_told(rows, metric) for rows in curves)
        return as_svg(figure, name, f"{TITLES[metric]} against the anomalous share. {told}.")


def mixture_plot(found: Sequence[Mixture], metric: str, name: str) -> str:
    """Return each mix beside its components alone and their mean, one group of lines per mix.

    Points on a shared axis that need not begin at zero, where bars would have to: the differences
    are small beside the values. Large marks are means over seeds, dots are the single seeds.
    """
    lines = [line for mixture in found for line in _lines(mixture, metric)]
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 0.7 + 0.26 * (len(lines) + len(found) - 1))
        y, ticks, values_seen = 0.0, [], [v for *_, values in lines for v in values]
        for mixture in found:
            for title, kind, values in _lines(mixture, metric):
                mean = math.fsum(values) / len(values)
                colour = SERIES[("single", "mix").index(kind)] if kind != "mean" else INK
                marker = {"single": "o", "mix": "D", "mean": "|"}[kind]
                axes.plot([mean], [y], marker, color=colour, ms=10 if kind == "mean" else 6)
                if kind != "mean":
                    axes.plot(values, [y] * len(values), ".", color=colour, ms=4, alpha=0.55)
                axes.annotate(
                    f"{mean:.1f}",
                    (1, y),
                    xycoords=("axes fraction", "data"),
                    xytext=(6, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8.5,
                )
                ticks.append((y, title))
                y += 1
            y += 1
        axes.set_yticks([at for at, _ in ticks], [title for _, title in ticks])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_ylim(y - 1.4, -0.6)
        room = 0.08 * ((max(values_seen) - min(values_seen)) or 1)
        axes.set_xlim(min(values_seen) - room, max(values_seen) + room)
        axes.set_xlabel(f"{TITLES[metric]} (%)")
        axes.grid(axis="both", alpha=0.15)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        told = "; ".join(f"{title} {math.fsum(v) / len(v):.1f}" for title, _, v in lines)
        return as_svg(figure, name, f"{TITLES[metric]} of mixtures and of their parts: {told}.")


def loss_curve(run: Run, name: str) -> str:
    """Return a run's training loss against its steps; logarithmic where it spans 50-fold."""
    points = [(step, loss) for step, loss in run.losses if not math.isnan(loss)]
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(3.4, 1.7)
        axes.plot(*zip(*points, strict=True), color=SERIES[0], lw=1.2)
        losses = [loss for _, loss in points]
        if min(losses) > 0 and max(losses) > 50 * min(losses):
            axes.set_yscale("log")
        axes.set_xlabel("Step")
        axes.set_ylabel("Loss")
        axes.grid(axis="y", alpha=0.15)
        first, last = points[0], points[-1]
        told = f"from {first[1]:.3g} at step {first[0]} to {last[1]:.3g} at step {last[0]}"
        return as_svg(figure, name, f"Training loss {told}.")


def _lines(mixture: Mixture, metric: str) -> list[tuple[str, str, list[float]]]:
    singles = [
        (_named([row]), "single", [100 * v for v in row.cells[metric].values])
        for row in mixture.singles
    ]
    mean = math.fsum(100 * row.cells[metric].mean for row in mixture.singles) / len(singles)
    mixed = [100 * v for v in mixture.mix.cells[metric].values]
    title = f"{_named([mixture.mix])}, ratio {mixture.mix.ratio:g}"
    return [*singles, ("mean of singles", "mean", [mean]), (title, "mix", mixed)]


def _named(rows: Sequence[ResultRow]) -> str:
    """Return what tells a curve or a line from others: its mix, settings and how it was chosen."""
    row = max(rows, key=lambda row: (len(row.mix), len(row.settings)))
    told = [f"{name} {value}" for name, value in row.settings.items()]
    told += ["selected on test"] if row.selected_on_test else []
    return ", ".join([mix_title(row.mix), *told])


def _told(rows: Sequence[ResultRow], metric: str) -> str:
    points = [
        f"{100 * row.cells[metric].mean:.1f} at {row.ratio:g}"
        for row in rows
        if not math.isnan(row.cells[metric].mean)
    ]
    return f"{_named(rows)}: {', '.join(points) or 'undefined'}"
