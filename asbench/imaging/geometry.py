"""Images, masks and anomaly maps between their native size and the geometry of a store.

An axis that shrinks is averaged over areas, an axis that grows is interpolated linearly. The axes
are treated one after the other, because `cv2.INTER_AREA` averages only where neither axis grows:
on a tall strip stretched to a square it would alias.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Geometry, Image, Mask


class Box(NamedTuple):
    """Where a fitted image lies in its frame, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def inside(self) -> tuple[slice, slice]:
        """Index of the image within the frame."""
        rows = slice(self.top, self.top + self.height)
        return rows, slice(self.left, self.left + self.width)


def placement(height: int, width: int, geometry: Geometry) -> Box:
    """Return where an image of `height` x `width` pixels lies in a frame of `geometry`.

    `stretch` fills the frame; `pad` keeps the aspect (each side at least one pixel) and centres,
    the odd pixel going to the bottom and the right. Raises ValueError for tiles, which are many.
    """
    if geometry.tiled:
        raise ValueError(f"{geometry} has no one frame for an image: see asbench.imaging.tiles")
    if geometry.resize == "stretch":
        return Box(0, 0, geometry.height, geometry.width)
    scale = min(geometry.height / height, geometry.width / width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    return Box((geometry.height - tall) // 2, (geometry.width - wide) // 2, tall, wide)


def resize(image: Image, geometry: Geometry) -> Image:
    """Return the image at `geometry`: uint8 (h, w, 3) to uint8 (H, W, 3).

    `pad` repeats the outermost pixels around the image.
    """
    height, width = image.shape[:2]
    box = placement(height, width, geometry)
    resized = scaled(image, box.height, box.width)
    below = geometry.height - box.top - box.height
    right = geometry.width - box.left - box.width
    rows, columns = (box.top, below), (box.left, right)
    if any(rows + columns):
        resized = np.pad(resized, (rows, columns, (0, 0)), mode="edge")
    return resized


def fit_mask(mask: Mask, geometry: Geometry) -> Mask:
    """Return the mask at `geometry`: bool (h, w) to bool (H, W), False on the padding.

    Nearest neighbour at pixel centres. Where that would leave nothing of a mask that marks
    something, every pixel that the marked area touches is set instead: no defect is lost.
    """
    height, width = mask.shape
    box = placement(height, width, geometry)
    frame = np.zeros((geometry.height, geometry.width), bool)
    frame[box.inside] = scaled_mask(mask, box.height, box.width)
    return frame


def scaled_mask(mask: Mask, height: int, width: int) -> Mask:
    """Return a mask at another size, bool (height, width), as `fit_mask` does."""
    levels = mask.astype(np.uint8)
    resized = cv2.resize(levels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    if not resized.any() and mask.any():
        resized = scaled(mask.astype(np.float32), height, width) > 0
    return np.asarray(resized, np.bool_)


def unfit(
    anomaly_map: npt.NDArray[np.floating], geometry: Geometry, height: int, width: int
) -> npt.NDArray[np.float32]:
    """Return an anomaly map at `geometry` laid back onto its native image, padding cut off.

    float (H, W) to float32 (height, width), bilinear: values stay within their range.
    Raises ValueError if the map is not at `geometry`.
    """
    if anomaly_map.shape != (geometry.height, geometry.width):
        raise ValueError(f"the map is {anomaly_map.shape}, the geometry {geometry}")
    box = placement(height, width, geometry)
    inner = np.ascontiguousarray(anomaly_map[box.inside], dtype=np.float32)
    resized: npt.NDArray[Any] = cv2.resize(inner, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized


def scaled(pixels: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Return pixels at another size: axes that shrink by area, then the others linearly.

    Of a grey image one channel is scaled, to the same bytes: OpenCV treats each by itself.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    plane = _grey_plane(pixels)
    if plane is None:
        return _scaled(pixels, height, width)
    return cv2.merge([_scaled(plane, height, width)] * 3)


def _grey_plane(pixels: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """Return the one channel that a grey image, uint8 (h, w, 3), repeats; None for all else."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return None
    first = pixels[0]  # tells nearly every coloured image without a look at the rest
    if not np.array_equal(first[:, 0], first[:, 1]):
        return None
    red, green, blue = cv2.split(pixels)
    return red if np.array_equal(red, green) and np.array_equal(red, blue) else None


def _scaled(pixels: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    tall, wide = pixels.shape[:2]
    shrunk = min(tall, height), min(wide, width)
    if shrunk != (tall, wide):
        pixels = cv2.resize(pixels, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if shrunk != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return pixels
