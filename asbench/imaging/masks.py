"""What a mask may claim: whether a change can be seen."""

from __future__ import annotations

import cv2

from synth_store.types import Image

VISIBLE = 4
"""Grey levels, of 255, by which some value must differ for a change to count as visible.

Above the rounding of blends and colour conversions; 1.6 % of the full range.
"""


def visible(image: Image, clean: Image, levels: int = VISIBLE) -> bool:
    """Return whether any value of two uint8 (H, W, 3) images differs by at least `levels`."""
    return bool(cv2.absdiff(image, clean).max() >= levels)
