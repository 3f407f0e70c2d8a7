"""Where a composed anomaly is: a mask of each kind, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from asbench.imaging import regions, shapes
from asbench.imaging.overlay import believed
from asbench.imaging.patches import Size
from asbench.imaging.perlin import draw_mask
from asbench.imaging.superpixels import superpixel
from asbench.types import Canvas
from synth_store.types import Mask

Bounds = tuple[float, float]


class Parameters(Protocol):
    """What masks go by, of the parameters of `Compose`."""

    @property
    def area(self) -> Bounds | None: ...
    @property
    def aspect(self) -> Bounds | None: ...
    @property
    def max_degrees(self) -> float: ...
    @property
    def exponents(self) -> tuple[int, int]: ...
    @property
    def threshold(self) -> float: ...
    @property
    def anywhere(self) -> bool: ...
    @property
    def mirrored(self) -> bool: ...
    @property
    def foreground(self) -> float: ...


Draw = Callable[[Parameters, Canvas, Size, np.random.Generator], Mask]

AREA: Bounds = (0.02, 0.15)
AREAS: dict[str, Bounds] = {
    "strip": (0.002, 0.02),
    "rectangles": (0.0025, 0.029),
    "superpixel": (0.005, 0.05),
}
"""Shares of the image that a mask takes unless it is told, where not `AREA`."""
ASPECT: Bounds = (0.3, 1 / 0.3)
ASPECTS: dict[str, Bounds] = {"strip": (0.05, 0.2), "rectangles": (0.4, 2.5)}
MOST_RECTANGLES = 4


def _rectangle(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    return regions.rectangle(rng, shape, *_size(method, "rectangle"))


def _rectangles(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    whole: Mask = np.zeros(shape, np.bool_)
    for _ in range(int(rng.integers(1, MOST_RECTANGLES + 1))):
        whole |= regions.rectangle(rng, shape, *_size(method, "rectangles"))
    return whole


def _disc(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    return regions.disc(rng, shape, _size(method, "disc")[0])


def _strip(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    return regions.strip(rng, shape, *_size(method, "strip"), method.max_degrees)


def _cells(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    return regions.cells(rng, shape, _size(method, "cells")[0])


def _fractal(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    return regions.fractal(rng, shape, _size(method, "fractal")[0], method.max_degrees)


def _superpixel(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    # About a pixel of the object, where all that lies off it would be cut away.
    among = believed(canvas.foreground) if method.foreground == 1 else None
    return superpixel(rng, canvas.normal, _size(method, "superpixel")[0], among)


def _real(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    return regions.moved(
        rng,
        canvas.defect(rng),
        anywhere=method.anywhere,
        mirrored=method.mirrored,
        max_degrees=method.max_degrees,
    )


def _perlin(method: Parameters, canvas: Canvas, shape: Size, rng: np.random.Generator) -> Mask:
    return draw_mask(
        *shape,
        rng,
        exponents=method.exponents,
        threshold=method.threshold,
        max_degrees=method.max_degrees,
    )


def _plain(draw: Callable[[np.random.Generator, Size], Mask]) -> Draw:
    """Return a mask that no parameter changes."""
    return lambda method, canvas, shape, rng: draw(rng, shape)


MASKS: dict[str, Draw] = {
    "perlin": _perlin,
    "rectangle": _rectangle,
    "rectangles": _rectangles,
    "disc": _disc,
    "strip": _strip,
    "cells": _cells,
    "fractal": _fractal,
    "line": _plain(shapes.line),
    "dot": _plain(shapes.dot),
    "walk": _plain(shapes.walk),
    "shapes": _plain(shapes.mixed),
    "crack": _plain(shapes.crack),
    "superpixel": _superpixel,
    "real": _real,
}
"""What draws each mask, by its name: bool `shape`, that may be written into."""


def _size(method: Parameters, name: str) -> tuple[Bounds, Bounds]:
    """Return the bounds of a mask's area and of its width / height."""
    area = method.area or AREAS.get(name, AREA)
    return area, method.aspect or ASPECTS.get(name, ASPECT)
