"""Closed curves through random points, half angular and half smooth: DefectMaker's outlines.

Source: Lyu, Mo and Wong, REB, Knowledge-Based Systems 2024, as its public code draws them.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Mask

Points = npt.NDArray[np.float64]
SMOOTHNESS = (0.2, 0.3, 0.4)
"""How far control points lie from a corner, as a share of the way that keeps the curve tight."""
INNER = np.arange(1, 12) / 12
_SHIFT = 4


def curve(corners: Points, smoothness: float, smooth: npt.NDArray[np.bool_]) -> Points:
    """Return a closed curve of cubic Bezier segments through corners, as points: (m, 2).

    corners: (n, 2), in order. Of a segment that `smooth`, bool (n,), leaves out only the start is
    kept, so that it is straight to where the next point lies; of the others eleven inner points.
    A corner's control points lie on the line through it along the middles of its two sides.
    """
    following = np.roll(corners, -1, axis=0)
    middles = (corners + following) / 2
    lengths = np.linalg.norm(following - corners, axis=1)
    before, length_before = np.roll(middles, 1, axis=0), np.roll(lengths, 1)
    share = length_before / np.maximum(length_before + lengths, 1e-9)
    between = before + (middles - before) * share[:, None]
    leaving = corners + (middles - between) * smoothness
    arriving = np.roll(corners + (before - between) * smoothness, -1, axis=0)
    t = INNER[:, None]
    points = []
    for k, bent in enumerate(smooth):
        if not bent:
            points.append(corners[k : k + 1])
            continue
        points.append(
            (1 - t) ** 3 * corners[k]
            + 3 * (1 - t) ** 2 * t * leaving[k]
            + 3 * (1 - t) * t**2 * arriving[k]
            + t**3 * following[k]
        )
    return np.concatenate(points)


def blob(rng: np.random.Generator, height: int, width: int, corners: tuple[int, int]) -> Mask:
    """Draw a shape that fills its box from side to side: bool (height, width).

    corners: bounds of their number, both ends included. They are uniform in a square, joined in the
    order of their angle about their mean; a segment is bent or straight by a fair coin.
    """
    count = int(rng.integers(corners[0], corners[1] + 1))
    placed = rng.uniform(0, 1, (count, 2))
    towards = placed - placed.mean(axis=0)
    placed = placed[np.argsort(np.arctan2(towards[:, 1], towards[:, 0]))]
    smoothness = SMOOTHNESS[int(rng.integers(len(SMOOTHNESS)))]
    outline = curve(placed, smoothness, rng.random(count) < 0.5)
    low, high = outline.min(axis=0), outline.max(axis=0)
    outline = (outline - low) / np.maximum(high - low, 1e-9) * (width - 1, height - 1)
    drawn = np.zeros((height, width), np.uint8)
    cv2.fillPoly(drawn, [np.rint(outline * (1 << _SHIFT)).astype(np.int32)], 1, shift=_SHIFT)
    return drawn.view(np.bool_)
