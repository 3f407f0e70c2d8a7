"""What AnomalyDiffusion's samples are made of, once two images are decoded."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from asbench.imaging.laying import laid, reach
from asbench.types import Canvas
from synth_store import Sample
from synth_store.types import Image, Mask

MARGIN = 9 / 256
"""Of the image: how far a mask grows where the background is pasted, and how wide it is blurred."""


def change_laid(canvas: Canvas, change: Tensor, mask: Mask, least: int) -> Sample | None:
    """Return the normal with a change, float (3, s, s) of -2..2, on its mask and close by it.

    None where the mask is empty: none of its type's lies on this normal's object.
    """
    within = reach(mask, canvas.foreground) if mask.any() else None
    if within is None:
        return None
    levels = (change.permute(1, 2, 0).float() * 127.5).numpy()
    sample = laid(canvas.normal, levels, within, least)
    return sample and Sample(sample.image, sample.mask, canvas.normal.copy())


def pasted(normal: Image, image: Image, mask: Mask) -> Image:
    """Return `image` inside the mask and around it, `normal` elsewhere, with a soft change."""
    reach = max(1, round(MARGIN * max(mask.shape)))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    grown = cv2.dilate(mask.astype(np.float32), square)
    share = np.maximum(cv2.blur(grown, (2 * reach + 1, 2 * reach + 1)), mask)[..., None]
    mixed: Image = np.rint(normal + share * (image.astype(np.float32) - normal)).astype(np.uint8)
    return mixed
