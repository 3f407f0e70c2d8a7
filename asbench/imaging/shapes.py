"""Lines, dots, walks and cracks: masks with the outlines of scratches, spots, stains and fissures.

Line, dot and walk follow AnoStyler's shapes (So and Kang, AAAI 2026), the crack is our own. Lengths
are pixels of an image whose shorter side has 256, and grow with it. All functions are pure; the
only chance is the generator passed in. A mask may come out empty.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Mask

Size = tuple[int, int]
Points = npt.NDArray[np.float64]
BASE = 256
_SHIFT = 4
"""Bits of a pixel's fraction that OpenCV draws to."""
COUNTS = np.exp(-0.7 * np.arange(1, 6)) / np.exp(-0.7 * np.arange(1, 6)).sum()
"""How likely one to five shapes are."""


def line(rng: np.random.Generator, shape: Size) -> Mask:
    """Draw a scratch: bool `shape`.

    60..200 pixels long, at any place and angle, 1 pixel wide at its ends and 7 in the middle, give
    or take 0.6; every other one wavers about the straight line.
    """
    unit = min(shape) / BASE
    centre, turn = _anywhere(rng, shape), rng.uniform(0, math.pi)
    length, count = rng.uniform(60, 200) * unit, int(rng.integers(20, 40))
    along = np.linspace(-length / 2, length / 2, count)
    across = np.zeros(count)
    if rng.random() < 0.5:
        taps = np.exp(-(np.arange(-2, 3) ** 2) / 8)
        across = np.convolve(rng.normal(0, 14 * unit, count), taps / taps.sum(), "same")
    cos, sin = math.cos(turn), math.sin(turn)
    points = centre + np.stack((along * cos - across * sin, along * sin + across * cos), axis=1)
    widths = 7 - 6 * np.abs(np.linspace(-1, 1, count)) + rng.uniform(-0.6, 0.6, count)
    return _stroke([(points, np.clip(widths, 1, 7) * unit)], shape)


def dot(rng: np.random.Generator, shape: Size) -> Mask:
    """Draw a spot: bool `shape`.

    A polygon of 12..29 corners about a radius of 5..35 pixels, each off it by up to a third;
    stretched by 0.6..1.4 across. Of every other one the corners are rounded.
    """
    unit = min(shape) / BASE
    centre, radius = _anywhere(rng, shape), rng.uniform(5, 35) * unit
    count = int(rng.integers(12, 30))
    angles = np.sort(rng.uniform(0, 2 * math.pi, count))
    stretch, rough = rng.uniform(0.6, 1.4), rng.uniform(0.05, 0.35) * radius
    even = rng.random() >= 0.66
    reach = radius + (rng.uniform(-rough, rough, count) if even else rng.normal(0, rough, count))
    points = np.stack((reach * np.cos(angles) * stretch, reach * np.sin(angles)), axis=1) + centre
    drawn = np.zeros(shape, np.uint8)
    cv2.fillPoly(drawn, [_fixed(points)], 255, shift=_SHIFT)
    if rng.random() < 0.5:
        side = round((3, 5, 7)[int(rng.integers(3))] * unit) | 1
        drawn = cv2.GaussianBlur(drawn, (side, side), 0).astype(np.uint8, copy=False)
    return np.asarray(drawn > 127)


def walk(rng: np.random.Generator, shape: Size) -> Mask:
    """Draw a stain: bool `shape`.

    Where a random walk of 300..18,000 steps, reflected at the border, has been, smoothed by
    2..12 pixels: the largest part in which half of all is visited.
    """
    unit = min(shape) / BASE
    # Drawn on an image of 256 pixels: a walk has no scale of its own.
    small = tuple(max(round(side / unit), 1) for side in shape)
    start = np.array([int(rng.integers(side)) for side in small])
    count = int(rng.integers(300, 18001))
    steps = rng.integers(-1, 2, (count, 2), dtype=np.int8).cumsum(axis=0, dtype=np.int64)
    path = (steps + start) % (2 * np.array(small))
    rows, columns = (
        np.where(place < side, place, 2 * side - 1 - place)
        for place, side in zip(path.T, small, strict=True)
    )
    visited = np.zeros(small, np.float32)
    visited[rows, columns] = 1
    sigma = rng.uniform(2, 12)
    side = round(2 * sigma) | 1
    stain = (cv2.GaussianBlur(visited, (side, side), sigma) > 0.5).astype(np.uint8)
    if rng.random() < 0.5:
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        stain = cv2.morphologyEx(stain, cv2.MORPH_CLOSE, cross).astype(np.uint8)
    largest = _largest(stain).astype(np.float32)
    return np.asarray(cv2.resize(largest, shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5)


def mixed(rng: np.random.Generator, shape: Size) -> Mask:
    """Draw one to five lines, dots or walks together, fewer more often: bool `shape`."""
    count = 1 + int(rng.choice(len(COUNTS), p=COUNTS))
    whole: Mask = np.zeros(shape, np.bool_)
    for _ in range(count):
        whole |= (line, dot, walk)[int(rng.integers(3))](rng, shape)
    return whole


def crack(rng: np.random.Generator, shape: Size) -> Mask:
    """Draw a crack that branches: bool `shape`. Ours.

    50..190 pixels long, bending as it goes, 1.5..4 pixels wide where it starts and thinner
    towards its tips; branches leave it at 20..65 degrees, and each other once more.
    """
    unit = min(shape) / BASE
    strokes: list[tuple[Points, npt.NDArray[np.float64]]] = []
    open_ends = [
        (
            _anywhere(rng, shape),
            rng.uniform(0, 2 * math.pi),
            rng.uniform(50, 190),
            rng.uniform(1.5, 4),
            0,
        )
    ]
    while open_ends:
        start, heading, length, width, depth = open_ends.pop()
        count = max(round(length / _STEP), 2)
        kinks = rng.normal(0, 0.38, count)
        drift = np.cumsum(rng.normal(0, 0.07, count))
        angles = heading + drift + kinks
        steps = np.stack((np.cos(angles), np.sin(angles)), axis=1) * _STEP * unit
        points = np.vstack((start, start + np.cumsum(steps, axis=0)))
        widths = np.linspace(width, width / 3, count + 1)
        strokes.append((points, np.maximum(widths, 1) * unit))
        if depth == 2:
            continue
        for place in np.flatnonzero(rng.random(count) < _BRANCHING):
            side = 1 if rng.random() < 0.5 else -1
            turned = heading + drift[place] + side * rng.uniform(0.35, 1.13)
            left = (count - place) * _STEP * rng.uniform(0.3, 0.8)
            open_ends.append((points[place], turned, left, widths[place] * 0.7, depth + 1))
    return _stroke(strokes, shape)


_STEP = 5.0
"""Pixels between a crack's corners."""
_BRANCHING = 0.055
"""Share of a crack's corners at which a branch leaves it."""


def _anywhere(rng: np.random.Generator, shape: Size) -> Points:
    """Draw a point of the image: (x, y)."""
    row, column = rng.random(2)
    return np.array((column * shape[1], row * shape[0]))


def _fixed(points: Points) -> npt.NDArray[np.int32]:
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


def _stroke(strokes: list[tuple[Points, npt.NDArray[np.float64]]], shape: Size) -> Mask:
    """Return polylines, each (n, 2) as (x, y) with the width at each corner, as a mask."""
    drawn = np.zeros(shape, np.uint8)
    for points, widths in strokes:
        ends = _fixed(points)
        for first, second, width in zip(ends[:-1], ends[1:], widths, strict=False):
            thick = max(int(width), 1)
            cv2.line(drawn, first.tolist(), second.tolist(), 255, thick, cv2.LINE_AA, _SHIFT)
    return np.asarray(drawn > 127)


def _largest(drawn: npt.NDArray[np.uint8]) -> Mask:
    """Return the largest 8-connected part of a mask; an empty one as it is."""
    count, labels, parts, _ = cv2.connectedComponentsWithStats(drawn, connectivity=8)
    if count == 1:
        return drawn.astype(np.bool_)
    return np.asarray(labels == 1 + int(parts[1:, cv2.CC_STAT_AREA].argmax()))
