"""Figures of single runs as SVG text: ratio curves, mixtures against their singles, loss curves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import matplotlib as mpl

from asbench.report.drawing import INK, SERIES, Curve, as_svg, curves, lanes, new_axes, style
from asbench.report.tables import TITLES, ResultRow
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
    by_mix: defaultdict[str, list[ResultRow]] = defaultdict(list)
    none: dict[str, ResultRow] = {}
    for row in rows:
        if row.mix.names:
            by_mix[context(row.runs[0], "ratio")].append(row)
        else:
            none[context(row.runs[0], "ratio", "mix", "sets")] = row
    joined = []
    for curve in by_mix.values():
        start = none.get(context(curve[0].runs[0], "ratio", "mix", "sets"))
        points = [*curve, *([start] if start else [])]
        if len(points) > 1:
            joined.append(tuple(sorted(points, key=lambda row: row.ratio)))
    return joined


def mixtures(rows: Sequence[ResultRow]) -> list[Mixture]:
    """Return every mix whose components all stand alone too, at equal settings and stored sets."""
    singles = {
        (context(r.runs[0], "mix", "sets"), *r.runs[0].decides["sets"].items()): r
        for r in rows
        if len(r.mix.names) == 1
    }
    complete = []
    for row in rows:
        if len(row.mix.names) < 2:
            continue
        settings, sets = context(row.runs[0], "mix", "sets"), row.runs[0].decides["sets"]
        parts = [singles.get((settings, (name, sets[name]))) for name in row.mix.names]
        whole = tuple(part for part in parts if part)
        if len(whole) == len(parts):
            complete.append(Mixture(row, whole))
    return complete


def ratio_curve(lines: Sequence[Sequence[ResultRow]], metric: str, name: str) -> str:
    """Return `metric` against the share of anomalous items, one line per mix.

    lines: as `with_ratios` gives them. Lines join the means, dots are the single seeds.
    """
    shown, told = [], []
    for rows in lines:
        points = [(row.ratio, row.cells[metric]) for row in rows]
        points = [(ratio, cell) for ratio, cell in points if not math.isnan(cell.mean)]
        label = _named(rows)
        values = [cell.mean for _, cell in points]
        dots = [cell.values for _, cell in points]
        shown.append(Curve(label, [ratio for ratio, _ in points], values, dots))
        each = ", ".join(f"{100 * cell.mean:.1f} at {ratio:g}" for ratio, cell in points)
        told.append(f"{label}: {each or 'undefined'}")
    text = f"{TITLES[metric]} against the anomalous share. {'; '.join(told)}."
    return as_svg(curves(shown, metric, name), name, text)


def mixture_plot(mixtures_: Sequence[Mixture], metric: str, name: str) -> str:
    """Return each mix beside its components alone and their mean, one group of lines per mix.

    Large marks are means over seeds, dots are the single seeds.
    """
    lines = [line for mixture in mixtures_ for line in _lines(mixture, metric)]
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 0.7 + 0.26 * (len(lines) + len(mixtures_) - 1))
        y, ticks, seen = 0.0, [], [v for *_, mean, values in lines for v in (mean, *values)]
        for mixture in mixtures_:
            for title, kind, mean, values in _lines(mixture, metric):
                colour = SERIES[("single", "mix").index(kind)] if kind != "mean" else INK
                marker = {"single": "o", "mix": "D", "mean": "|"}[kind]
                axes.plot([mean], [y], marker, color=colour, ms=10 if kind == "mean" else 6)
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
        axes.spines["left"].set_visible(False)
        lanes(axes, ticks, metric)
        room = 0.08 * ((max(seen) - min(seen)) or 1)
        axes.set_xlim(min(seen) - room, max(seen) + room)
        told = "; ".join(f"{title} {mean:.1f}" for title, _, mean, _ in lines)
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


def _lines(mixture: Mixture, metric: str) -> list[tuple[str, str, float, list[float]]]:
    """Return (name, kind, mean, single seeds) of each line, in per cent."""

    def line(row: ResultRow, kind: str, more: str = "") -> tuple[str, str, float, list[float]]:
        cell = row.cells[metric]
        return f"{_named([row])}{more}", kind, 100 * cell.mean, [100 * v for v in cell.values]

    singles = [line(row, "single") for row in mixture.singles]
    theory = math.fsum(mean for _, _, mean, _ in singles) / len(singles)
    whole = line(mixture.mix, "mix", f", ratio {mixture.mix.ratio:g}")
    return [*singles, ("mean of singles", "mean", theory, []), whole]


def _named(rows: Sequence[ResultRow]) -> str:
    """Return what tells a curve or a line from others: its mix, settings and how it was chosen."""
    row = max(rows, key=lambda row: (len(row.mix.names), len(row.settings)))
    told = [f"{name} {value}" for name, value in row.settings.items()]
    told += ["selected on test"] if row.selected_on_test else []
    return ", ".join([row.mix.title, *told])
