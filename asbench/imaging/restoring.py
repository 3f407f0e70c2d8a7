"""What a defective image might show without its defect: the likest normal, blended in."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.poisson import blend_within, source_gradients, to_bytes
from synth_store.types import Image, Mask

RESTORED_VERSION = 1
"""Part of the identity of stored real defects: raised whenever `restored` changes a pixel."""
GROWTH = 0.01
SMALL = 32
"""Normals are compared at this height and width: what they show, not its grain."""


def restored(image: Image, mask: Mask, normal: Image) -> Image:
    """Return the image with the normal's content in place of the defect: uint8 (H, W, 3).

    The mask, bool (H, W), is grown by a hundredth of the shorter side, since what lies at its edge
    is often defective too. Inside, the normal's differences between neighbours are kept and meet
    the image all around (Poisson's equation), so that light and colour fit; along the image's
    border, where there is nothing to meet, the normal's pixels stand as they are.
    """
    reach = max(1, round(GROWTH * min(mask.shape)))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    grown = cv2.dilate(mask.view(np.uint8), square).astype(np.bool_)
    inner = grown.copy()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    out = image.copy()
    out[grown & ~inner] = normal[grown & ~inner]
    out[inner] = to_bytes(blend_within(out, normal, inner, source_gradients))[inner]
    return out


def thumbnails(images: Iterable[Image]) -> npt.NDArray[np.float32]:
    """Return the images at 32 x 32, to compare others with: float32 (N, 32, 32, 3), 0..255."""
    return np.stack([_shrunk(image.astype(np.float32)) for image in images])


def likest(image: Image, mask: Mask, small: npt.NDArray[np.float32]) -> int:
    """Return which of the normals is most like the image outside the mask; the first of equals.

    small: the normals' `thumbnails`. Least squares over the cells that the mask leaves free,
    weighted by how free; over all of them where it leaves none.
    """
    free = 1 - _shrunk(mask.astype(np.float32))
    weight = (free if free.any() else np.ones_like(free))[..., None]
    apart = weight * (_shrunk(image.astype(np.float32)) - small) ** 2
    return int(np.argmin(apart.sum(axis=(1, 2, 3))))


def _shrunk(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.resize(pixels, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.float32)
