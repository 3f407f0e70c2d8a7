"""The artwork of the demo's circuit board: copper, openings, print, holes, and where parts sit.

Lengths are image pixels from the board's centre; rasters hold FINE pixels per image pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.scenes.lettering import letters
from asbench.imaging.scenes.strands import Path

FINE = 2
EXTENT = 352
"""Image pixels a raster is wide: more than the view, so that it may shift and turn."""
SIDE = EXTENT * FINE

Raster = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Part:
    """A chip soldered on two pads: `r` a resistor, `c` a capacitor; turned by quarter turns."""

    kind: str
    x: float
    y: float
    upright: bool
    name: str

    def pads(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return the centres of the two pads."""
        dx, dy = (0, 11) if self.upright else (11, 0)
        return (self.x - dx, self.y - dy), (self.x + dx, self.y + dy)

    def label(self) -> tuple[float, float]:
        """Return where the name is printed."""
        return (self.x, self.y - 27) if self.upright else (self.x, self.y - 16)


PARTS = (
    Part("r", -112, -76, False, "R1"),
    Part("r", -112, -40, False, "R2"),
    Part("c", -118, 4, True, "C1"),
    Part("c", -84, 30, True, "C2"),
    Part("r", -112, 84, False, "R3"),
    Part("c", -64, 92, True, "C3"),
    Part("r", -16, 106, False, "R4"),
    Part("c", 34, 92, True, "C4"),
    Part("r", 92, -82, False, "R5"),
    Part("c", 130, -66, True, "C5"),
    Part("c", 98, -30, False, "C6"),
    Part("r", 98, 14, False, "R6"),
    Part("r", 98, 52, False, "R7"),
    Part("c", 92, 102, False, "C7"),
)
CHIP = (0.0, 8.0, 82.0)
"""Centre and side of the square microcontroller."""
PIN_PITCH = 9.0
PINS = 8
"""Pins on each of its sides."""
HEADER = tuple((-112.0 + 26 * k, -128.0) for k in range(8))
VIAS = ((-140, -12), (-140, 112), (-40, -86), (6, -92), (46, -74), (140, 28), (64, 124), (140, 82),
        (-64, -16), (60, -6), (62, 36), (-58, 56), (-88, 126), (8, 136))  # fmt: skip


def pins() -> list[tuple[float, float, bool]]:
    """Return each pin's centre and whether it points up or down."""
    cx, cy, side = CHIP
    out = side / 2 + 6
    centres = []
    for k in range(PINS):
        along = (k - (PINS - 1) / 2) * PIN_PITCH
        centres += [(cx + along, cy - out, True), (cx + along, cy + out, True)]
        centres += [(cx - out, cy + along, False), (cx + out, cy + along, False)]
    return centres


def to_raster(points: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """Return points (image pixels from the centre) as raster coordinates in 1/16 pixel."""
    return np.round((np.asarray(points, np.float64) * FINE + SIDE / 2) * 16).astype(np.int32)


def box(x: float, y: float, w: float, h: float, turn: float = 0) -> Path:
    """Return the corners of a rectangle centred at (x, y)."""
    cosine, sine = np.cos(turn), np.sin(turn)
    corners = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    turned = corners @ np.array([[cosine, sine], [-sine, cosine]])
    return np.asarray(turned + np.array([x, y]), np.float32)


def fill(raster: Raster, corners: npt.ArrayLike, value: int = 255) -> None:
    """Fill a convex shape, smooth-edged."""
    cv2.fillConvexPoly(raster, to_raster(corners), value, cv2.LINE_AA, 4)


def disc(raster: Raster, x: float, y: float, radius: float, value: int = 255) -> None:
    """Fill a disc, smooth-edged."""
    centre = to_raster([x, y])
    at = (int(centre[0]), int(centre[1]))
    cv2.circle(raster, at, round(radius * FINE * 16), value, -1, cv2.LINE_AA, 4)


def line(raster: Raster, path: npt.ArrayLike, width: float, value: int = 255) -> None:
    """Draw a line, smooth-edged."""
    points = [to_raster(path)]
    cv2.polylines(raster, points, False, value, max(round(width * FINE), 1), cv2.LINE_AA, 4)


def write(raster: Raster, text: str, x: float, y: float, height: float, turn: float = 0) -> None:
    """Print a text centred at (x, y)."""
    for glyph in letters(text, x, y, height, turn):
        for stroke in glyph:
            line(raster, stroke, max(height / 6.5, 1.0))


def _elbow(a: tuple[float, float], b: tuple[float, float], level_first: bool) -> list[list[float]]:
    """Return a trace from `a` to `b`: one straight piece and one at 45 degrees."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    cut = min(abs(dx), abs(dy))
    step = np.array([np.sign(dx), np.sign(dy)]) * cut
    middle = np.array(b) - step if level_first else np.array(a) + step
    return [list(a), [float(middle[0]), float(middle[1])], list(b)]


@cache
def traces() -> tuple[tuple[list[list[float]], float], ...]:
    """Return the copper traces as (path, width): every pin to the nearest free pad or via."""
    ends = [p for part in PARTS for p in part.pads()] + [(float(x), float(y)) for x, y in VIAS]
    ends += list(HEADER)
    routed: list[tuple[list[list[float]], float]] = []
    free = list(ends)
    for x, y, up in pins():
        cx, cy, _ = CHIP
        away = np.array([0, np.sign(y - cy)]) if up else np.array([np.sign(x - cx), 0])
        out = np.array([x, y]) + away * 10
        ahead = [e for e in free if np.dot(np.array(e) - out, away) > 2]
        if not ahead:
            continue
        near = min(ahead, key=lambda e: float(np.abs(np.array(e) - out).sum()))
        free.remove(near)
        path = [[x, y], *_elbow((float(out[0]), float(out[1])), near, not up)]
        routed.append((path, 2.0))
    for a, b in zip(HEADER[::2], ((-112, -76), (-40, -86), (6, -92), (92, -82)), strict=True):
        routed.append((_elbow(a, b, False), 3.2))
    return tuple(routed)


@cache
def artwork() -> Raster:
    """Return the bare board's layers: uint8 (SIDE, SIDE, 4), copper, opening, silk, hole."""
    copper, opening, silk, hole = (np.zeros((SIDE, SIDE), np.uint8) for _ in range(4))
    keep_off = np.zeros_like(copper)
    for path, width in traces():
        line(copper, path, width)
        line(keep_off, path, width + 5)
    for part in PARTS:
        for x, y in part.pads():
            wide, tall = (15, 12) if part.upright else (12, 15)
            fill(copper, box(x, y, wide + 1.5, tall + 1.5))
            fill(opening, box(x, y, wide, tall))
            fill(keep_off, box(x, y, wide + 7, tall + 7))
    for x, y, up in pins():
        w, h = (4.6, 15) if up else (15, 4.6)
        fill(copper, box(x, y, w, h))
        fill(opening, box(x, y, w, h))
        fill(keep_off, box(x, y, w + 6, h + 6))
    for x, y in HEADER:
        disc(copper, x, y, 9.5)
        disc(opening, x, y, 9)
        disc(keep_off, x, y, 13)
        disc(hole, x, y, 4.6)
    for x, y in VIAS:
        disc(copper, x, y, 4.6)
        disc(keep_off, x, y, 7)
        disc(hole, x, y, 1.7)
    cx, cy, side = CHIP
    fill(keep_off, box(cx, cy, side + 34, side + 34))
    pour = cv2.bitwise_not(keep_off)
    copper = np.maximum(copper, pour)
    _print(silk)
    return np.asarray(cv2.merge((copper, opening, silk, hole)), np.uint8)


def _print(silk: Raster) -> None:
    for part in PARTS:
        write(silk, part.name, *part.label(), 9)
        for sign in (-1, 1):
            dx, dy = (9.5 * sign, 0) if part.upright else (0, 9.5 * sign)
            half = (0, 4) if part.upright else (4, 0)
            bar = [
                [part.x + dx - half[0], part.y + dy - half[1]],
                [part.x + dx + half[0], part.y + dy + half[1]],
            ]
            line(silk, bar, 1.2)
    cx, cy, side = CHIP
    for sx, sy in ((-1, 1), (1, 1), (1, -1)):
        corner = np.array([cx + sx * (side / 2 + 15), cy + sy * (side / 2 + 15)])
        line(silk, [corner - (sx * 9, 0), corner, corner - (0, sy * 9)], 1.4)
    disc(silk, cx - side / 2 - 13, cy - side / 2 - 13, 3.2)
    write(silk, "U1", cx + side / 2 + 6, cy - side / 2 - 24, 10)
    frame = box((HEADER[0][0] + HEADER[-1][0]) / 2, HEADER[0][1], 26 * 8, 25)
    line(silk, np.concatenate([frame, frame[:1]]), 1.4)
    write(silk, "J1", 112, -128, 10)
    for text, x, y, height in TITLES:
        write(silk, text, x, y, height)


TITLES = (("ASB-2", -8.0, 138.0, 13.0), ("+5V", -142.0, -108.0, 9.0))
