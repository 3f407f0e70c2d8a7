"""The pictures of the galleries as PNG: images, and layers to lay over them."""

from __future__ import annotations

from io import BytesIO

import cv2
import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from synth_store.types import Image, Mask

_LEVELS = 48
"""Steps of a heat map: fewer than eyes tell apart, so that a map takes a few kilobytes."""
_KERNEL = np.ones((3, 3), np.uint8)


def encode(image: Image) -> bytes:
    """Return an image, uint8 (H, W, 3), as PNG."""
    return _png(Pillow.fromarray(image))


def encode_indexed(indices: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8]) -> bytes:
    """Return indices, uint8 (H, W), into a palette, uint8 (n, 4) RGBA, as PNG."""
    height, width = indices.shape
    picture = Pillow.frombytes("P", (width, height), np.ascontiguousarray(indices).tobytes())
    picture.putpalette(palette[:, :3].tobytes())
    return _png(picture, transparency=palette[:, 3].tobytes())


def size(data: bytes) -> tuple[int, int]:
    """Return the (width, height) of a PNG or WebP; raises ValueError for anything else."""
    try:
        with Pillow.open(BytesIO(data), formats=("PNG", "WEBP")) as picture:
            return picture.size
    except OSError as error:
        raise ValueError("neither PNG nor WebP") from error


def outline(mask: Mask) -> Mask:
    """Return the pixels of a mask, bool (H, W), that touch its outside or the picture's edge."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inside = cv2.erode(mask.astype(np.uint8), cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & ~inside.astype(np.bool_)


def outline_layer(mask: Mask) -> bytes:
    """Return the ground truth as a layer over its image: a light line on a dark one, else clear."""
    line = outline(mask)
    near = cv2.dilate(line.astype(np.uint8), _KERNEL)
    indices = np.where(line, 2, near).astype(np.uint8)
    palette = np.array([(0, 0, 0, 0), (0, 0, 0, 150), (255, 255, 255, 255)], np.uint8)
    return encode_indexed(indices, palette)


def heat_layer(map_: npt.NDArray[np.floating], low: float, high: float, mask: Mask) -> bytes:
    """Return an anomaly map (H, W) as a layer over its image, the ground truth's outline in it.

    `low` is dark and `high` bright (the `inferno` scale); values beyond either end take its colour,
    NaN that of `low`.
    """
    span = (high - low) or 1.0
    share = np.clip((map_.astype(np.float32) - low) / span, 0.0, 1.0)
    indices = np.rint(np.nan_to_num(share) * (_LEVELS - 1)).astype(np.uint8)
    indices[outline(mask)] = _LEVELS
    return encode_indexed(indices, _heat_palette())


def _heat_palette() -> npt.NDArray[np.uint8]:
    at = np.linspace(0, 1, _LEVELS)
    heat = np.asarray(mpl.colormaps["inferno"](at) * 255).round().astype(np.uint8)
    heat[:, 3] = (255 * (0.42 + 0.5 * at)).round()
    return np.concatenate([heat, np.full((1, 4), 255, np.uint8)])


def _png(picture: Pillow.Image, **options: bytes) -> bytes:
    out = BytesIO()
    picture.save(out, "PNG", optimize=True, **options)
    return out.getvalue()
