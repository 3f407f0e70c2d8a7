"""DRAEM's texture augmenter: three of ten operations, on a whole image or at some pixels alone.

Source: Zavrtanik et al., DRAEM, ICCV 2021; the ranges are those of its published code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging import augment as do
from asbench.imaging.augment import Histograms, Table, look_up
from synth_store.types import Image

Places = npt.NDArray[np.intp]
"""Flat numbers of pixels: row * width + column."""

TOGETHER = 64
"""Pixels are handled in whole multiples of this, so that OpenCV's vector code takes them all."""
SQUARE = np.ones((3, 3), np.uint8)
PIXEL = np.dtype("V3")
UNCOUNTED = np.zeros((256, 3), np.int64)


@dataclass(frozen=True, slots=True)
class Levelwise:
    """Sends the levels of every channel through a table.

    counts: whether the table follows from the histograms of the image; else they are not looked at.
    """

    table_of: Callable[[Histograms], Table]
    counts: bool = False

    def __call__(self, image: Image) -> Image:
        return look_up(image, self.table_of(do.histograms(image) if self.counts else UNCOUNTED))


@dataclass(frozen=True, slots=True)
class Pixelwise:
    """Changes the colours of one pixel at a time."""

    change: Callable[[Image], Image]

    def __call__(self, image: Image) -> Image:
        return self.change(image)


@dataclass(frozen=True, slots=True)
class Sharpened:
    """Looks at a pixel's eight neighbours."""

    factor: float

    def __call__(self, image: Image) -> Image:
        return do.sharpness(image, self.factor)


@dataclass(frozen=True, slots=True)
class Turned:
    """Looks at four pixels elsewhere."""

    degrees: float

    def __call__(self, image: Image) -> Image:
        return do.rotate(image, self.degrees)


Step = Levelwise | Pixelwise | Sharpened | Turned


def _gamma(rng: np.random.Generator) -> Step:
    red, green, blue = rng.uniform(0.5, 2.0, 3)
    return Levelwise(lambda _: do.gamma_table((red, green, blue)))


def _brightness(rng: np.random.Generator) -> Step:
    space = do.SPACES[rng.integers(len(do.SPACES))]
    factor, add = rng.uniform(0.8, 1.2), int(rng.integers(-30, 31))
    first = bool(rng.random() < 0.5)
    return Pixelwise(lambda image: do.brightness(image, space, factor, add, multiply_first=first))


def _sharpness(rng: np.random.Generator) -> Step:
    return Sharpened(rng.uniform(0, 2))


def _hue_saturation(rng: np.random.Generator) -> Step:
    hue, saturation = (int(drawn) for drawn in rng.integers(-50, 51, 2))
    return Pixelwise(lambda image: do.hue_saturation(image, hue, saturation))


def _solarise(rng: np.random.Generator) -> Step:
    applied, threshold = rng.random() < 0.5, rng.uniform(32, 128)
    return Levelwise(lambda _: do.solarise_table(threshold) if applied else do.IDENTITY)


def _posterise(rng: np.random.Generator) -> Step:
    bits = int(rng.integers(1, 9))
    return Levelwise(lambda _: do.posterise_table(bits))


def _invert(rng: np.random.Generator) -> Step:
    return Levelwise(lambda _: do.IDENTITY[::-1].copy())


def _autocontrast(rng: np.random.Generator) -> Step:
    cut = int(rng.integers(0, 21))
    return Levelwise(lambda counted: do.autocontrast_table(counted, cut), counts=True)


def _equalise(rng: np.random.Generator) -> Step:
    return Levelwise(do.equalise_table, counts=True)


def _rotation(rng: np.random.Generator) -> Step:
    return Turned(rng.uniform(-45, 45))


OPERATIONS: tuple[Callable[[np.random.Generator], Step], ...] = (
    _gamma,
    _brightness,
    _sharpness,
    _hue_saturation,
    _solarise,
    _posterise,
    _invert,
    _autocontrast,
    _equalise,
    _rotation,
)
"""The ten operations of DRAEM's augmenter: each draws its own parameters and gives what it does."""


def draw_steps(rng: np.random.Generator) -> list[Step]:
    """Draw three of the ten `OPERATIONS`, distinct, and their parameters in the order drawn."""
    return [OPERATIONS[i](rng) for i in rng.choice(len(OPERATIONS), 3, replace=False)]


def augment(image: Image, rng: np.random.Generator) -> Image:
    """Return the image after the steps drawn: uint8 (h, w, 3). Never writes into `image`."""
    for step in draw_steps(rng):
        image = step(image)
    return image


def augment_at(image: Image, rng: np.random.Generator, places: Places) -> Image:
    """Return the pixels that `augment` gives at some places, to the bit: uint8 (n, 3).

    Draws from `rng` what `augment` does. A mask covers a twentieth of an image, and most of the
    operations can do with its pixels: tables wait until somebody looks, counted ones need the
    histograms alone, and a turned image is asked only for what will be seen of it.
    """
    steps = draw_steps(rng)
    if image.shape[1] % TOGETHER or not 0 < 2 * len(places) <= image.size // 3:
        # Rows that end in scalar code round HSV otherwise; and most of an image is best done whole.
        for step in steps:
            image = step(image)
        return taken(image, places)
    table: Table | None = None
    counted: Histograms | None = None
    compact = False
    for number, (step, seen) in enumerate(zip(steps, _seen(steps, image, places), strict=True)):
        if isinstance(step, Levelwise):
            if step.counts:
                counted = do.histograms(image) if counted is None else counted
                found = step.table_of(_moved(counted, table))
            else:
                found = step.table_of(UNCOUNTED)
            table = found if table is None else _after(table, found)
            continue
        ends = all(isinstance(later, Pixelwise | Levelwise) for later in steps[number + 1 :])
        if isinstance(step, Pixelwise):
            if compact or seen is None:
                image = step(_looked_up(image, table))
            elif ends:
                image, compact = step(_looked_up(_gathered(image, places), table)), True
            else:
                image = _put(image, seen, step(_looked_up(_gathered(image, seen), table)))
        else:
            image = _looked_up(image, table)
            if isinstance(step, Turned) and seen is not None and turns_alike():
                some = _turned(image, seen, step.degrees)
                image, compact = (some, True) if ends else (_put(image, seen, some), False)
            else:
                image = step(image)
        table = counted = None
    image = image if compact else _gathered(image, places)
    return _looked_up(image, table).reshape(-1, 3)[: len(places)]


def taken(image: Image, places: Places) -> Image:
    """Return the pixels of an image at some places: uint8 (n, 3)."""
    return image.reshape(-1, 3).take(places, axis=0, mode="clip")


def _seen(steps: Sequence[Step], image: Image, places: Places) -> list[Places | None]:
    """Return for each step where its result will be looked at; None for everywhere.

    Worked out only as far back as a step asks.
    """
    shape = image.shape[0], image.shape[1]
    found: list[Places | None] = [places]
    for number in range(len(steps) - 1, 0, -1):
        step, after = steps[number], found[0]
        before: Places | None = None
        asked = any(isinstance(earlier, Pixelwise | Turned) for earlier in steps[:number])
        if not asked or after is None or (isinstance(step, Levelwise) and step.counts):
            pass
        elif isinstance(step, Sharpened):
            before = _around(shape, after)
        elif isinstance(step, Turned):
            x, y = do.turned_from(shape, after, step.degrees)
            column = np.minimum(np.maximum(x, 0), shape[1] - 1).astype(np.intp)
            row = np.minimum(np.maximum(y, 0), shape[0] - 1).astype(np.intp)
            before = _around(shape, row * shape[1] + column)
        else:
            before = after
        if before is not None and 2 * len(before) > image.size // 3:
            before = None
        found.insert(0, before)
    return found


def _around(shape: tuple[int, int], places: Places) -> Places:
    """Return the places and their eight neighbours."""
    marked = np.zeros(shape, np.uint8)
    marked.reshape(-1)[places] = 1
    return np.flatnonzero(cv2.dilate(marked, SQUARE).view(np.bool_))


def _moved(counted: Histograms, table: Table | None) -> Histograms:
    """Return what becomes of histograms when the image goes through a table."""
    if table is None:
        return counted
    to = np.broadcast_to(table[:, None] if table.ndim == 1 else table, (256, 3))
    moved = np.empty((256, 3), np.int64)
    for channel in range(3):
        moved[:, channel] = np.bincount(to[:, channel], counted[:, channel], 256)
    return moved


def _after(first: Table, then: Table) -> Table:
    """Return one table for two."""
    if 1 in (first.ndim, then.ndim):
        return then[first]
    return np.take_along_axis(then, first.astype(np.intp), axis=0)


def _looked_up(image: Image, table: Table | None) -> Image:
    return image if table is None else look_up(image, table)


def _gathered(image: Image, places: Places) -> Image:
    """Return the pixels at some places as one row of a whole multiple of `TOGETHER`."""
    row = np.zeros((1, -(-len(places) // TOGETHER) * TOGETHER, 3), np.uint8)
    image.reshape(-1, 3).take(places, axis=0, out=row[0, : len(places)], mode="clip")
    return row


def _put(image: Image, places: Places, pixels: Image) -> Image:
    """Return a copy of an image with other pixels at some places: those of a row, its first."""
    copy = image.copy()
    put(copy, places, pixels.reshape(-1, 3)[: len(places)])
    return copy


def put(image: Image, places: Places, pixels: Image) -> None:
    """Write pixels, uint8 (n, 3), into a contiguous image at some places."""
    image.reshape(-1).view(PIXEL).put(places, pixels.reshape(-1).view(PIXEL), mode="clip")


def _turned(image: Image, places: Places, degrees: float) -> Image:
    """Return what `rotate` gives at some places, as `_gathered` does."""
    padded = np.zeros(-(-len(places) // TOGETHER) * TOGETHER, np.intp)
    padded[: len(places)] = places
    x, y = do.turned_from((image.shape[0], image.shape[1]), padded, degrees)
    found = cv2.remap(
        image,
        x.reshape(-1, TOGETHER),
        y.reshape(-1, TOGETHER),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return np.asarray(found, np.uint8).reshape(1, -1, 3)


@cache
def turns_alike() -> bool:
    """Say whether OpenCV turns an image and looks up some of its pixels by the same arithmetic.

    So do version 5's vector codes; elsewhere images are turned whole, and no byte is another.
    """
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2 * TOGETHER, 2 * TOGETHER, 3), np.uint8)
    everywhere = np.arange(image.shape[0] * image.shape[1])
    return all(
        np.array_equal(
            _turned(image, everywhere, degrees).reshape(image.shape), do.rotate(image, degrees)
        )
        for degrees in rng.uniform(-45, 45, 4)
    )
