"""What all figures share: colours, type, a record, and its SVG and PNG.

Ink is `currentColor` and the series are CSS variables with a fallback, so a page can set both for
light and dark; text stays text. Equal inputs give equal text. Ids carry the figure's name, so that
several figures can stand in one page.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from asbench.report.tables import TITLES

SERIES = ("#2b7bba", "#d55e00", "#009e73", "#b5608f", "#8a6d00", "#3aa6c9", "#7a5cc0", "#6f6f6f")
"""Colours told apart by colour-blind eyes (after Okabe and Ito), legible on white and on black."""
DARK = ("#5aa6e0", "#f0813a", "#2fbf94", "#d98bb8", "#d3b13d", "#63c5e4", "#a68cf0", "#a3a3a3")
"""The same colours for a dark ground."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
"""One shape beside each colour, so that no series is told by colour alone."""
DASHES = ("-", "--", ":")
"""A further series of the same colour is told by its line."""
INK, FAINT = "#010101", "#020202"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_ATTRIBUTE = re.compile(r'="[^"]*"')


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A figure.

    name: unique in a report, and its file's name; paper: the paper's figure it answers to, `2` or
    `11`, empty for ours; caption: one line; told: the same in words and numbers, for those who do
    not see it; missing: what the grid lacks that would be drawn, a phrase each.
    """

    name: str
    paper: str
    caption: str
    told: str
    figure: Figure = field(repr=False)
    missing: tuple[str, ...] = ()

    def svg(self) -> str:
        """Return an SVG element for a page, which sets the colours by its CSS."""
        return as_svg(self.figure, self.name, self.told)

    def svg_file(self) -> str:
        """Return a whole SVG file: legible on light and dark grounds by itself."""
        light, dark = (
            "".join(f"--series-{n}:{c};" for n, c in enumerate(colours, 1))
            for colours in (SERIES, DARK)
        )
        style = (
            f"<style>svg{{color:#1d1d1b;background:#fff;{light}}}"
            f"@media(prefers-color-scheme:dark){{svg{{color:#e8e6e1;background:#17181a;{dark}}}}}"
            "</style>"
        )
        return self.svg().replace("</title>", f"</title>{style}", 1)

    def png(self, dots: int = 144) -> bytes:
        """Return the figure as PNG on white, `dots` per inch."""
        out = io.BytesIO()
        with mpl.rc_context(style(self.name)):
            self.figure.patch.set_visible(True)
            self.figure.savefig(
                out, format="png", dpi=dots, facecolor="white", metadata={"Software": None}
            )
            self.figure.patch.set_visible(False)
        return out.getvalue()


def style(name: str) -> Any:
    """Return matplotlib's settings of one figure; its ids are salted with the figure's name."""
    return {
        "svg.hashsalt": name,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.6,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.family": "DejaVu Sans",  # ships with matplotlib: the layout is alike on every machine
        "font.size": 9.0,
        "grid.color": FAINT,
        "grid.linewidth": 0.5,
        "hatch.color": FAINT,
        "hatch.linewidth": 0.4,
        "legend.frameon": False,
        "svg.fonttype": "none",
        "text.color": INK,
        "xtick.color": INK,
        "xtick.major.size": 3.0,
        "xtick.major.width": 0.6,
        "ytick.color": INK,
        "ytick.major.size": 3.0,
        "ytick.major.width": 0.6,
    }


def new_axes(width: float, height: float, **options: Any) -> tuple[Figure, Any]:
    """Return a figure of (width, height) inches with one clear axes; options: as `add_subplot`."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot(**options)
    axes.patch.set_visible(False)
    return figure, axes


def series(place: int) -> dict[str, Any]:
    """Return colour, marker and dash of the series at a place, all three told apart."""
    return {
        "color": SERIES[place % len(SERIES)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": DASHES[(place // len(SERIES)) % len(DASHES)],
    }


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric in 0..1 by ratio; dots: the single seeds at each ratio, where they are shown."""

    label: str
    ratios: Sequence[float]
    values: Sequence[float]
    dots: Sequence[Sequence[float]] = ()


def curves(shown: Sequence[Curve], metric: str, name: str) -> Figure:
    """Draw a metric against the share of anomalous items, a line each."""
    with mpl.rc_context(style(name)):
        figure, axes = new_axes(4.6, 2.5 + 0.3 * math.ceil(len(shown) / 3))
        ratios = sorted({ratio for curve in shown for ratio in curve.ratios})
        apart = 0.012 * (ratios[-1] - ratios[0])  # or the dots of several mixes hide one another
        for place, curve in enumerate(shown):
            look = series(place)
            for ratio, dots in zip(curve.ratios, curve.dots, strict=False):
                if len(dots) > 1:
                    x = ratio + apart * (place - (len(shown) - 1) / 2)
                    each = [100 * value for value in dots]
                    axes.plot([x] * len(each), each, ".", color=look["color"], ms=4.5, alpha=0.6)
            line = [100 * value for value in curve.values]
            axes.plot(curve.ratios, line, lw=1.3, ms=4.5, label=curve.label, **look)
        axes.set_xlabel("Share of anomalous items")
        axes.set_ylabel(title(metric))
        if len(ratios) <= 9:
            axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
        axes.grid(axis="y", alpha=0.2)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        figure.legend(loc="outside lower center", ncols=min(3, len(shown)), fontsize=8.5)
    return figure


def lanes(axes: Any, names: Sequence[tuple[float, str]], metric: str) -> None:
    """Name the lanes of a plot of marks, top to bottom, and what the marks measure.

    names: (y, name). Points on a shared axis that need not begin at zero, where bars would have to:
    the differences are small beside the values.
    """
    axes.set_yticks([y for y, _ in names], [name for _, name in names])
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.set_ylim(names[-1][0] + 0.6, -0.6)
    axes.set_xlabel(title(metric))
    axes.grid(axis="x", alpha=0.2)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def title(metric: str) -> str:
    """Return a metric's name with its unit."""
    return f"{TITLES[metric]} (%)"


def percent(value: float) -> str:
    """Return a score in 0..1 as per cent, or a dash."""
    return f"{100 * value:.1f}" if value == value else "–"


def listed(parts: Sequence[str], most: int = 60) -> str:
    """Return parts as one sentence, the rest of very many as their count."""
    shown = "; ".join(parts[:most])
    return f"{shown}; and {len(parts) - most} more" if len(parts) > most else shown


def as_svg(figure: Figure, name: str, told: str) -> str:
    """Return a figure as an SVG element that reads `told` out loud."""
    out = io.StringIO()
    bare: Mapping[str, None] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(style(name)):
        figure.savefig(out, format="svg", metadata=bare)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = text.replace(INK, "currentColor").replace(FAINT, "currentColor")
    for place, colour in enumerate(SERIES, start=1):
        text = text.replace(colour, f"var(--series-{place}, {colour})")
    text = text.replace("'DejaVu Sans'", "var(--figure-font, 'DejaVu Sans'), sans-serif")
    # A hundredth of a point is below any screen's pixel, and half of the file.
    text = _ATTRIBUTE.sub(lambda a: _NUMBER.sub(_short, a[0]), text)
    head = f'<svg role="img" aria-labelledby="{name}-told" '
    return text.replace("<svg ", head, 1).replace(
        ">", f'><title id="{name}-told">{escape(told)}</title>', 1
    )


def _short(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
