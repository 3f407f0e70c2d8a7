"""Thin bent lines: fibres that lie on a scene, and the paths that scratches and cracks take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.scenes.camera import SIZE, Field, Radiance, mix

Path = npt.NDArray[np.float32]
"""Points (n, 2) of a line, x and y in pixels."""

_FINE = 3
"""Lines are drawn this many times finer than the image and averaged down."""


@dataclass(frozen=True, eq=False)
class Strands:
    """Fibres of one yarn: paths, width in pixels, colour (linear RGB), height over the ground."""

    paths: tuple[Path, ...]
    width: float
    colour: npt.NDArray[np.float32]
    lift: float = 1.5


def wander(
    rng: np.random.Generator,
    start: tuple[float, float],
    heading: float,
    length: float,
    bend: float,
) -> Path:
    """Return a smooth random path: `length` pixels long, its heading turning by about `bend` rad.

    The curvature is itself a random walk, as in a springy fibre.
    """
    pieces = max(int(length / 2), 4)
    turns = np.cumsum(rng.normal(0, 1, pieces)) / np.sqrt(pieces)
    turns += rng.normal(0, 0.7)
    angles = heading + bend * (np.cumsum(turns) / pieces - turns[0] / pieces)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * (length / pieces)
    return np.asarray(np.array(start) + np.cumsum(points, 0), np.float32)


def cover(paths: Sequence[Path], width: float) -> Field:
    """Return how much of each pixel the lines cover: float32 (SIZE, SIZE), 0..1."""
    fine = np.zeros((SIZE * _FINE, SIZE * _FINE), np.uint8)
    points = [np.round((path + 0.5) * (_FINE * 16)).astype(np.int32) for path in paths]
    cv2.polylines(fine, points, False, 255, max(round(width * _FINE), 1), cv2.LINE_8, 4)
    small = cv2.resize(fine, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) * np.float32(1 / 255)


def lay(
    radiance: Radiance, strands: Sequence[Strands], light: tuple[float, float, float], sheen: float
) -> Radiance:
    """Return the scene with fibres on it: a soft shadow, a dark body, a lit ridge of `sheen`."""
    for strand in strands:
        body = cover(strand.paths, strand.width)
        away = np.array(light[:2]) / light[2] * strand.lift
        move = np.array([[1, 0, -away[0]], [0, 1, -away[1]]])
        shadow = cv2.warpAffine(body, move, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
        shadow = cv2.GaussianBlur(shadow, (0, 0), 0.6 + 0.35 * strand.lift)
        dim = 1 - 0.6 * np.minimum(shadow, 1)
        radiance = np.asarray(radiance * dim, np.float32)
        toward = (np.array(light[:2]) * (0.2 * strand.width)).astype(np.float32)
        ridge = cover([path + toward for path in strand.paths], 0.45 * strand.width)
        radiance = mix(radiance, 0.75 * strand.colour, body)
        lit_part = np.asarray(0.8 * np.minimum(ridge, body), np.float32)
        radiance = mix(radiance, strand.colour + np.float32(sheen), lit_part)
    return radiance
