"""Whether an anomaly shows: no stored sample may claim one that cannot be seen."""

from __future__ import annotations

import cv2
import numpy as np

from synth_store.types import Image, Mask

LEVELS = 4
"""Grey levels, of 255, by which a pixel must differ in some channel to count as changed."""
SHARE = 0.05
"""The share of the mask that must have changed."""


def visible(image: Image, clean: Image, mask: Mask) -> bool:
    """Say whether `image` differs from `clean` noticeably within `mask`.

    image, clean: uint8 (H, W, 3); mask: bool (H, W). False for an empty mask.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return False
    band = slice(rows[0], rows[-1] + 1)
    changed = (cv2.absdiff(image[band], clean[band]) >= LEVELS).any(axis=2)
    inside = mask[band]
    return bool(np.count_nonzero(changed & inside) >= SHARE * np.count_nonzero(inside))
