"""A source blended in through a Perlin mask, anywhere or on the object alone.

What DRAEM, DeSTSeg, MemSeg, GLASS, DiffusionAD and TransFusion have in common; they differ in
source, opacity and where the mask may fall.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from asbench.imaging.augmenter import Places, put, taken
from asbench.imaging.colour import Colouring
from asbench.imaging.masks import differs
from asbench.imaging.perlin import draw_mask
from asbench.parameters import parameter
from asbench.types import Canvas
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


@dataclass(frozen=True, kw_only=True)
class PerlinOverlay(Colouring):
    """A method whose masks are rotated Perlin noise above a threshold.

    Raises UserError, naming the method, for parameters out of range. A method that keeps to the
    object by default declares `foreground` anew.
    """

    exponent_low: int = parameter(0, "Perlin cells per axis are 2^k: the smallest k.")
    exponent_high: int = parameter(5, "Perlin cells per axis are 2^k: the largest k.")
    threshold: float = parameter(0.5, "Noise above this is anomalous.")
    max_degrees: float = parameter(90.0, "The noise is rotated by up to this angle either way.")
    foreground: float = parameter(0.0, "Share of samples whose mask keeps to the object.")

    def __post_init__(self) -> None:
        exponents = self.exponent_low, self.exponent_high
        check_parameters(type(self).__name__.lower(), exponents, self.threshold, self.foreground)

    def within(self, canvas: Canvas, rng: np.random.Generator) -> Mask | None:
        """Return what a sample's mask may cover, bool (H, W); None where it may fall anywhere."""
        return canvas.foreground if on_object(self.foreground, rng) else None

    def region(
        self, canvas: Canvas, rng: np.random.Generator, *, two_sided: bool = False
    ) -> Mask | None:
        """Return a mask, bool (H, W), that is not empty; None where 20 were."""
        height, width, _ = canvas.normal.shape
        return draw_region(
            height,
            width,
            rng,
            within=self.within(canvas, rng),
            exponents=(self.exponent_low, self.exponent_high),
            threshold=self.threshold,
            max_degrees=self.max_degrees,
            two_sided=two_sided,
        )


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
    check_share(method, foreground)


def check_share(method: str, foreground: float) -> None:
    """Raise UserError naming the method unless `foreground` is a share."""
    if not 0 <= foreground <= 1:
        raise UserError(
            f"{method}: foreground={foreground} must lie in 0 <= foreground <= 1 (the share of "
            "samples whose mask keeps to the object)."
        )


def check_weights(method: str, beta_low: float, beta_high: float) -> None:
    """Raise UserError naming the method unless a weight of the normal image is drawn from these."""
    if not 0 <= beta_low <= beta_high < 1:
        raise UserError(
            f"{method}: beta_low={beta_low} and beta_high={beta_high} must satisfy "
            "0 <= beta_low <= beta_high < 1 (1 would leave the image as it is)."
        )


def check_textures(method: str, texture_share: float) -> None:
    """Raise UserError naming the method unless `texture_share` is a share."""
    if not 0 <= texture_share <= 1:
        raise UserError(
            f"{method}: texture_share={texture_share} must lie in 0 <= texture_share <= 1, a share "
            "of samples."
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
    two_sided: bool = False,
) -> Mask | None:
    """Return a Perlin mask that is not empty: bool (height, width); None after `MASK_DRAWS`.

    within: as for `redrawn`. The other arguments are those of `perlin.draw_mask`.
    """

    def draw() -> Mask:
        return draw_mask(
            height,
            width,
            rng,
            exponents=exponents,
            threshold=threshold,
            max_degrees=max_degrees,
            two_sided=two_sided,
        )

    return redrawn(draw, within)


def redrawn(draw: Callable[[], Mask], within: Mask | None) -> Mask | None:
    """Return the first mask drawn that is not empty: bool (H, W); None after `MASK_DRAWS`.

    draw: gives a mask that may be written into. within: bool (H, W), all that it may cover; where
    that is less than 1 % of the image it restricts nothing.
    """
    if within is not None:
        within = believed(within)
    for _ in range(MASK_DRAWS):
        mask = draw()
        if within is not None:
            mask &= within
        if mask.any():
            return mask
    return None


def believed(foreground: Mask) -> Mask | None:
    """Return a foreground, bool (H, W); None for one so small that it is taken for none."""
    return foreground if np.count_nonzero(foreground) >= SMALLEST * foreground.size else None


def draw_pixel(rng: np.random.Generator, mask: Mask) -> tuple[int, int]:
    """Draw a (row, column) uniformly from the pixels of a mask; of the whole where it is empty."""
    inside = np.flatnonzero(mask)
    place = int(rng.integers(len(inside) or mask.size))
    row, column = divmod(int(inside[place]) if len(inside) else place, mask.shape[1])
    return row, column


def blend(normal: Image, source: Image, mask: Mask, beta: float) -> Image | None:
    """Return beta I + (1 - beta) S inside the mask, I outside; None where no change is visible.

    normal I, source S: uint8 (H, W, 3); mask: bool (H, W), contiguous; beta: weight of the normal
    image, 0..1. Rounded to the nearest level.
    """
    image = normal.copy()
    mixed = cv2.addWeighted(normal, beta, source, 1 - beta, 0) if beta else source
    cv2.copyTo(mixed, mask.view(np.uint8), image)
    return image if differs(image, normal) else None


def blend_at(normal: Image, source: Image, places: Places, beta: float) -> Image | None:
    """Return what `blend` does, given the source's pixels at a mask's places alone: uint8 (n, 3).

    places: flat numbers of the mask's pixels, row * width + column.
    """
    own = taken(normal, places)
    mixed = np.asarray(cv2.addWeighted(own, beta, source, 1 - beta, 0), np.uint8)
    if not differs(mixed, own):
        return None
    image = normal.copy()
    put(image, places, mixed)
    return image
