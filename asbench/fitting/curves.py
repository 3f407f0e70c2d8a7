"""The losses of a fit as a picture: one panel for each, faint as they came and smoothed."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

COLUMNS = 3
SMOOTHED = 0.1
"""Length of the running mean, as a share of a curve."""


def curves_png(curves: Mapping[str, Sequence[tuple[int, float]]], title: str) -> bytes:
    """Return a PNG of loss curves, (step, value) by `stage/name`.

    Every loss has a scale of its own: their sizes say nothing of each other.
    """
    import matplotlib as mpl  # half a second to import, for one picture at a fit's end
    from matplotlib.figure import Figure

    rows = math.ceil(len(curves) / COLUMNS)
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 8}):
        figure = Figure(figsize=(2.6 * min(COLUMNS, len(curves)), 0.3 + 1.8 * rows), dpi=110)
        figure.set_layout_engine("constrained")
        figure.suptitle(title, fontsize=9)
        panels = figure.subplots(rows, min(COLUMNS, len(curves)), squeeze=False).ravel()
        for axes, (name, curve) in zip(panels, curves.items(), strict=False):
            _draw(axes, name, np.array(curve, np.float64))
        for axes in panels[len(curves) :]:
            axes.set_axis_off()
        out = io.BytesIO()
        figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _draw(axes: Any, name: str, curve: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    steps, values = curve.T
    width = max(1, round(SMOOTHED * len(values)))
    means = np.convolve(values, np.ones(width) / width, mode="valid")
    axes.plot(steps, values, color="#2b7bba", lw=0.6, alpha=0.35)
    axes.plot(steps[width - 1 :], means, color="#2b7bba", lw=1.4)
    axes.set_title(name.replace("/", ": "), fontsize=8)
    # The first steps of a loss are often many times the rest, which would then be a flat line.
    low, high = np.percentile(values, (0, 98))
    room = 0.05 * (high - low) or 0.05
    axes.set_ylim(low - room, high + room)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
