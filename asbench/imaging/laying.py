"""A change that a network made, laid onto the store's own normal; its mask is what changed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.geometry import scaled
from asbench.imaging.masks import largest_change, visible
from asbench.imaging.overlay import believed
from asbench.imaging.placement import lies_on
from synth_store import Sample
from synth_store.types import Image, Mask

Float = npt.NDArray[np.float32]
FEATHER = 6 / 256
"""Of the image: how far around its mask a laid change may reach."""


def laid(normal: Image, change: Float, within: Mask | Float | None, least: int) -> Sample | None:
    """Return the normal with a change, and where it changed; None where that cannot be seen.

    normal: uint8 (H, W, 3); change: float32 (h, w, 3) in grey levels, enlarged to the normal's
    size; within: what it may touch, bool (H, W), or weights 0..1; None for all. least: grey levels
    below which, in all channels, a pixel stays as it is.
    """
    height, width = normal.shape[:2]
    by = scaled(change, height, width)
    if within is not None:
        by = by * within[..., None].astype(np.float32)
    by = np.where(np.abs(by).max(axis=2, keepdims=True) >= least, by, 0)
    image = np.clip(np.rint(normal + by), 0, 255).astype(np.uint8)
    mask = largest_change(image, normal) > 0
    return Sample(image, mask) if visible(image, normal, mask) else None


def around(mask: Mask, reach: int) -> Float:
    """Return weights that are 1 on a mask and fall to 0 within `reach` pixels: float32 (H, W)."""
    if reach < 1:
        return mask.astype(np.float32)
    square = (2 * reach + 1, 2 * reach + 1)
    grown = cv2.dilate(mask.astype(np.float32), np.ones(square, np.uint8))
    return np.maximum(cv2.blur(grown, square), mask).astype(np.float32)


def reach(mask: Mask, foreground: Mask) -> Float | None:
    """Return what a change about a mask may touch, as weights 0..1: float32 (H, W).

    mask, foreground: bool (H, W), the object found; one so small that it is not believed counts as
    none. The mask, and less and less of 6 pixels of 256 around it, all of that on the object. None
    where less than a quarter of the mask, or of the object where that is smaller, lies on it: what
    would be left is a sliver, not what the network drew.
    """
    weights = around(mask, round(FEATHER * max(mask.shape)))
    on = believed(foreground)
    if on is None:
        return weights
    return weights * on if lies_on(mask, on) else None
