"""Names beside points, where they hide least."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from asbench.report.drawing import INK

_SIZE = 7.5
_PLACES = [
    (dx * reach, dy * reach * 0.8)
    for reach in (6.0, 15.0, 26.0, 38.0)
    for dx, dy in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
]


class _Box(NamedTuple):
    left: float
    low: float
    right: float
    high: float

    def overlap(self, other: _Box) -> float:
        wide = min(self.right, other.right) - max(self.left, other.left)
        tall = min(self.high, other.high) - max(self.low, other.low)
        return wide * tall if wide > 0 and tall > 0 else 0.0


def label_points(axes: Any, x: Sequence[float], y: Sequence[float], names: Sequence[str]) -> None:
    """Write each name where it covers least of other names and points; a far one gets a line.

    Call it when the axes' limits are what they will be.
    """
    figure = axes.figure
    wide, tall = 0.82 * 72 * figure.get_figwidth(), 0.8 * 72 * figure.get_figheight()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    at = [
        ((a - left) / (right - left) * wide, (b - low) / (high - low) * tall)
        for a, b in zip(x, y, strict=True)
    ]
    taken = [_Box(a - 4, b - 4, a + 4, b + 4) for a, b in at]
    frame = _Box(0, 0, wide, tall)
    order = sorted(range(len(at)), key=lambda i: (-_near(at, i), at[i], names[i]))
    for i in order:
        place = min(_PLACES, key=lambda p, i=i: _cost(_box(at[i], p, names[i]), p, taken, frame))  # type: ignore[misc]
        taken.append(_box(at[i], place, names[i]))
        far = max(map(abs, place)) > 10
        axes.annotate(
            names[i],
            (x[i], y[i]),
            xytext=place,
            textcoords="offset points",
            ha=_side(place[0], "left", "center", "right"),
            va=_side(place[1], "bottom", "center", "top"),
            fontsize=_SIZE,
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": INK, "shrinkA": 0, "shrinkB": 3}
            if far
            else None,
        )


def _box(point: tuple[float, float], place: tuple[float, float], name: str) -> _Box:
    wide, tall = 0.56 * _SIZE * len(name), 1.15 * _SIZE
    a, b = point[0] + place[0], point[1] + place[1]
    left = (
        a
        - {"left": 0, "center": wide / 2, "right": wide}[_side(place[0], "left", "center", "right")]
    )
    low = (
        b
        - {"bottom": 0, "center": tall / 2, "top": tall}[_side(place[1], "bottom", "center", "top")]
    )
    return _Box(left, low, left + wide, low + tall)


def _cost(box: _Box, place: tuple[float, float], taken: Sequence[_Box], frame: _Box) -> float:
    outside = (box.right - box.left) * (box.high - box.low) - box.overlap(frame)
    return sum(box.overlap(t) for t in taken) + outside + 0.3 * max(map(abs, place))


def _near(at: Sequence[tuple[float, float]], i: int) -> int:
    return sum(abs(a - at[i][0]) < 40 and abs(b - at[i][1]) < 14 for a, b in at)


def _side(offset: float, more: str, none: str, less: str) -> str:
    return more if offset > 0 else less if offset < 0 else none
