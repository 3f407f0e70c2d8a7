"""A source blended in through a Perlin mask, anywhere or on the object alone.

What DRAEM, DeSTSeg and MemSeg have in common; they differ in source, opacity and where the mask
may fall.
"""

from __future__ import annotations

import cv2
import numpy as np

from asbench.imaging.masks import differs
from asbench.imaging.perlin import draw_mask
from synth_store.types import Image, Mask, UserError

MASK_DRAWS = 20
"""Masks drawn before a canvas is given up: 5.5 % are empty at the published settings.

Of those kept to an object of a hundredth of the image, 61 % miss it in the middle and 91 % in a
corner, where the turned noise is zero; the generation stage then goes on to other canvases.
"""
SMALLEST = 0.01
"""Share of the image below which a foreground is not believed, so masks fall anywhere."""
MOST_CELLS = 10
"""Largest exponent: 1024 cells per axis, more than any store's geometry resolves."""


def check_parameters(
    method: str, exponents: tuple[int, int], threshold: float, foreground: float
) -> None:
    """Raise UserError naming the method and the first parameter of its masks out of range."""
    low, high = exponents
    if not 0 <= low <= high <= MOST_CELLS:
        raise UserError(
            f"{method}: exponent_low={low} and exponent_high={high} must satisfy "
            f"0 <= exponent_low <= exponent_high <= {MOST_CELLS}."
        )
    if not 0 <= threshold < 1:
        raise UserError(f"{method}: threshold={threshold} must lie in 0 <= threshold < 1.")
    if not 0 <= foreground <= 1:
        raise UserError(
            f"{method}: foreground={foreground} must lie in 0 <= foreground <= 1 (the share of "
            "samples whose mask keeps to the object)."
        )


def on_object(share: float, rng: np.random.Generator) -> bool:
    """Return True with probability `share`, 0..1; nothing is drawn where it is 0 or 1."""
    return share >= 1 or (share > 0 and rng.random() < share)


def draw_region(
    height: int,
    width: int,
    rng: np.random.Generator,
    *,
    within: Mask | None = None,
    exponents: tuple[int, int] = (0, 5),
    threshold: float = 0.5,
    max_degrees: float = 90.0,
) -> Mask | None:
    """Return a Perlin mask that is not empty: bool (height, width); None after `MASK_DRAWS`.

    within: bool (height, width), all that the mask may cover; where it covers less than 1 % of the
    image it restricts nothing. The other arguments are those of `perlin.draw_mask`.
    """
    if within is not None and np.count_nonzero(within) < SMALLEST * height * width:
        within = None
    for _ in range(MASK_DRAWS):
        mask = draw_mask(
            height, width, rng, exponents=exponents, threshold=threshold, max_degrees=max_degrees
        )
        if within is not None:
            mask &= within
        if mask.any():
            return mask
    return None


def blend(normal: Image, source: Image, mask: Mask, beta: float) -> Image | None:
    """Return beta I + (1 - beta) S inside the mask, I outside; None where no change is visible.

    normal I, source S: uint8 (H, W, 3); mask: bool (H, W), contiguous; beta: weight of the normal
    image, 0..1. Rounded to the nearest level.
    """
    image = normal.copy()
    mixed = cv2.addWeighted(normal, beta, source, 1 - beta, 0) if beta else source
    cv2.copyTo(mixed, mask.view(np.uint8), image)
    return image if differs(image, normal) else None
