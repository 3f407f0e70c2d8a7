"""Photographs as tiles: where they lie, how they are cut, how their maps become one.

A photograph is scaled, then covered by windows of the geometry's size, row by row. Neighbours start
`side - overlap` pixels apart; the last of a row and of a column is moved inward until it ends with
the photograph. Only one that is smaller than a window is padded, below and to the right, by its
outermost pixels.

Maps are blended by weights that rise linearly over the middle half of the overlap. The quarter at a
tile's edge, where networks see the end of the tile and nothing beyond, counts only where no other
tile shows the pixel. Weights are divided by what all tiles weigh at a pixel: their sum is 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.geometry import scaled, scaled_mask
from synth_store.types import Geometry, Image, Mask

Map = npt.NDArray[np.float32]
Pixels = TypeVar("Pixels", Image, Mask, Map)


LEAST = 1e-6
"""What a tile weighs at its edge: all that there is at the edge of a photograph, else nothing."""


class Place(NamedTuple):
    """Where a tile begins, in pixels of the scaled photograph."""

    top: int
    left: int


@dataclass(frozen=True)
class Grid:
    """The tiles of a photograph of `height` x `width` pixels."""

    height: int
    width: int
    geometry: Geometry

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the scaled photograph."""
        scale = self.geometry.scale
        return max(1, round(self.height * scale)), max(1, round(self.width * scale))

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of what is cut: the scaled photograph, at least a window."""
        tall, wide = self.size
        return max(tall, self.geometry.height), max(wide, self.geometry.width)

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """Where tiles begin, from the top."""
        return starts(self.padded[0], self.geometry.height, self.geometry.overlap)

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Where tiles begin, from the left."""
        return starts(self.padded[1], self.geometry.width, self.geometry.overlap)

    @property
    def places(self) -> tuple[Place, ...]:
        """The places of all tiles, row by row."""
        return tuple(Place(*place) for place in product(self.rows, self.columns))


def places(size: tuple[int, ...], geometry: Geometry) -> tuple[Place, ...]:
    """Return the places of the tiles of what `scale_image` made, by its (height, width)."""
    down = starts(size[0], geometry.height, geometry.overlap)
    across = starts(size[1], geometry.width, geometry.overlap)
    return tuple(Place(*place) for place in product(down, across))


def starts(length: int, side: int, overlap: int) -> tuple[int, ...]:
    """Return where windows of `side` begin that cover `length`, which is no less."""
    step = side - overlap
    return tuple(min(i * step, length - side) for i in range(1 + -(-(length - side) // step)))


def scale_image(image: Pixels, geometry: Geometry) -> Pixels:
    """Return a photograph as tiles are cut from it: uint8 (h, w, 3), at least a window large.

    Maps are scaled alike: float32 (h, w).
    """
    grid = Grid(image.shape[0], image.shape[1], geometry)
    resized: Pixels = scaled(image, *grid.size)
    return _padded(resized, grid)


def scale_mask(mask: Mask, geometry: Geometry) -> Mask:
    """Return a mask as tiles are cut from it, False on the padding: bool (h, w)."""
    grid = Grid(mask.shape[0], mask.shape[1], geometry)
    return _padded(scaled_mask(mask, *grid.size), grid, mode="constant")


def scale_object(mask: Mask, height: int, width: int, geometry: Geometry) -> Mask:
    """Return where the object of a photograph is on what tiles are cut from: bool (h, w).

    mask: found at any size of the photograph, whose native one is `height` x `width`. It goes on
    over the padding, as the pixels do.
    """
    grid = Grid(height, width, geometry)
    return _padded(scaled_mask(mask, *grid.size), grid)


def window(pixels: Pixels, place: Place, geometry: Geometry) -> Pixels:
    """Return the tile at a place of a scaled photograph or mask: (H, W, ...), a view."""
    rows = slice(place.top, place.top + geometry.height)
    view: Pixels = pixels[rows, place.left : place.left + geometry.width]
    return view


def cut(image: Image, geometry: Geometry) -> Iterator[Image]:
    """Yield the tiles of a photograph, uint8 (h, w, 3), in the order of its places."""
    whole = scale_image(image, geometry)
    for place in Grid(image.shape[0], image.shape[1], geometry).places:
        yield window(whole, place, geometry)


def blend(maps: Iterable[Map], grid: Grid) -> Map:
    """Return the tiles' maps as one of the scaled photograph: float32 (h, w).

    maps: float32 (H, W), one for each of the grid's places, in their order.
    """
    geometry = grid.geometry
    down = dict(zip(grid.rows, _weights(grid.rows, geometry.height, geometry.overlap), strict=True))
    across = dict(
        zip(grid.columns, _weights(grid.columns, geometry.width, geometry.overlap), strict=True)
    )
    whole = np.zeros(grid.padded, np.float32)
    for place, one in zip(grid.places, maps, strict=True):
        view = whole[place.top :, place.left :][: geometry.height, : geometry.width]
        view += one * down[place.top][:, None] * across[place.left]
    tall, wide = grid.size
    return whole[:tall, :wide]


def enlarge(blended: Map, height: int, width: int) -> Map:
    """Return a scaled photograph's map at its native size: float32 (height, width), bilinear."""
    if blended.shape == (height, width):
        return blended
    return np.asarray(cv2.resize(blended, (width, height), interpolation=cv2.INTER_LINEAR))


def around(image: Image, mask: Mask, geometry: Geometry) -> tuple[Image, Mask]:
    """Return the window with the largest defect of a photograph in its middle, and its mask.

    uint8 (h, w, 3) and bool (h, w) to (H, W, 3) and (H, W). Without a defect it is the photograph's
    middle.
    """
    whole, marked = scale_image(image, geometry), scale_mask(mask, geometry)
    place = pointed_at(marked, geometry)
    return window(whole, place, geometry).copy(), window(marked, place, geometry).copy()


def pointed_at(marked: Mask, geometry: Geometry) -> Place:
    """Return where the window begins that has a scaled mask's largest region in its middle."""
    y, x = (side / 2 for side in marked.shape)
    if marked.any():
        _, _, boxes, centres = cv2.connectedComponentsWithStats(marked.astype(np.uint8))
        x, y = centres[1 + int(np.argmax(boxes[1:, cv2.CC_STAT_AREA]))]
    return centred(y, x, marked.shape, geometry)


def centred(y: float, x: float, size: tuple[int, ...], geometry: Geometry) -> Place:
    """Return where the window begins that has a pixel in its middle, as far as it can."""
    top = min(max(0, round(y - geometry.height / 2)), size[0] - geometry.height)
    left = min(max(0, round(x - geometry.width / 2)), size[1] - geometry.width)
    return Place(top, left)


def _weights(begins: tuple[int, ...], side: int, overlap: int) -> list[Map]:
    """Return the share that each tile has in the pixels along one axis: float32 (side,) each."""
    rising = np.arange(1, side + 1)
    margin = overlap // 4
    inward = np.minimum(rising, rising[::-1]) - margin
    ramp = np.clip(inward / (overlap - 2 * margin + 1), LEAST, 1)
    total = np.zeros(begins[-1] + side)
    for begin in begins:
        total[begin : begin + side] += ramp
    return [(ramp / total[begin : begin + side]).astype(np.float32) for begin in begins]


def _padded(pixels: Pixels, grid: Grid, mode: str = "edge") -> Pixels:
    below, right = (p - s for p, s in zip(grid.padded, grid.size, strict=True))
    if not (below or right):
        return pixels
    around = ((0, below), (0, right), *(((0, 0),) if pixels.ndim == 3 else ()))
    padded: Pixels = np.pad(pixels, around, mode=mode)  # type: ignore[call-overload]
    return padded
