"""FractalAD: a recoloured patch, pasted through the shape of a random fractal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging.augment import jitter
from asbench.imaging.augmenter import put, taken
from asbench.imaging.colour import Colouring
from asbench.imaging.ifs import attractor, from_bank, thicken
from asbench.imaging.masks import differs
from asbench.imaging.patches import Size, paste, place, rotate
from asbench.parameters import parameter
from asbench.types import Canvas
from synth_store.types import Image, Mask, Sample, UserError

VARIANTS = {
    "online": {"online": True},
    # ASBench never looks for the object, whatever the category.
    "asbench": {"object_mode": False, "colour": "as-published", "masks": "as-published"},
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    # Masks that are grown beyond what was pasted even where nothing fills them: as published.
    "published-masks": {"masks": "as-published"},
    # Both.
    "published": {"colour": "as-published", "masks": "as-published"},
}
CATEGORIES = {
    f"mvtec/{category}": {"object_mode": True}
    for category in ("capsule", "pill", "screw", "toothbrush", "zipper")
}
MARGIN = 0.1
"""Share of each side, at both ends, that patches keep free of."""
SIZE_DRAWS = 20
"""Patch sizes drawn before an object is given up that leaves no room for any."""


@dataclass(frozen=True)
class Fractal(Colouring):
    """Cut a square, change its colours, turn it, paste it elsewhere through a random fractal.

    The square (10..50 % of the shorter side) keeps to the image's central 80 %. Its colours change
    in one of three ways: a slight jitter, a strong change of brightness and contrast, or one or two
    channels scaled by U(0, 2). It is mirrored by fair coins and turned by 15..75 degrees, and only
    its pixels on the attractor of a random iterated function system are pasted. Half of the samples
    get Gaussian noise over what was pasted, grown by three pixels of 256; there the mask is all of
    that. The published mask is grown in the other half too, over a rim in which nothing changed, a
    third to a half of it: here it is what was pasted, and `masks` = as-published or the variant
    `fractal@published-masks` is the published one.

    Mended: channels scaled past 255 are clipped where the original wraps; the jitter of the whole
    image, which ASBench applies to anomalous images alone and so gives the label away, is left to
    training. In object mode the square is sized by the object and centred on it; where the
    original looks for such a place in a loop without end, the sample is None.

    The attractor comes from a bank of 512 systems under the square's eight symmetries;
    `fractal@online` draws a new system for every sample, at about three times the cost.
    """

    title = "FractalAD"
    paper = (
        "Xia et al., FractalAD: A Simple Industrial Anomaly Detection Method Using Fractal Anomaly "
        "Generation and Backbone Knowledge Distillation, IJCNN 2024"
    )
    url = "https://arxiv.org/abs/2301.12739"
    family = "random shape noise"
    needs = frozenset({"foreground"})

    side_low: float = parameter(0.1, "Smallest square, as a share of the image's shorter side.")
    side_high: float = parameter(0.5, "Largest square, as a share of the image's shorter side.")
    object_mode: bool = parameter(
        False, "Size the square by the object and centre its source and destination on it."
    )
    object_low: float = parameter(
        0.05, "Object mode: smallest square, as a share of the object's shorter side."
    )
    object_high: float = parameter(
        1.5, "Object mode: largest square, as a share of the object's shorter side."
    )
    degrees_low: float = parameter(15.0, "Smallest turn of the square, counter-clockwise.")
    degrees_high: float = parameter(75.0, "Largest turn of the square.")
    growth: float = parameter(
        3 / 256,
        "What noise covers, beyond what was pasted: this share of the shorter side, at least one "
        "pixel.",
    )
    masks: Literal["as-changed", "as-published"] = parameter(
        "as-changed",
        "as-changed: without noise the mask is what was pasted; as-published: it is grown all the "
        "same.",
    )
    noise_share: float = parameter(0.5, "Share of samples with noise inside the mask.")
    noise_sigma: float = parameter(10.0, "Standard deviation of the noise, in grey levels.")
    online: bool = parameter(False, "Draw a new fractal for every sample, not one of the bank.")

    def __post_init__(self) -> None:
        for name, limit in (("side", 1), ("object", 2), ("degrees", 360)):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if not 0 <= low <= high <= limit or high == 0:
                raise UserError(
                    f"fractal: {name}_low={low} and {name}_high={high} must satisfy "
                    f"0 <= {name}_low <= {name}_high <= {limit}, and {name}_high > 0."
                )
        if not 0 <= self.growth <= 0.1:
            raise UserError(f"fractal: growth={self.growth} must lie in 0 <= growth <= 0.1.")
        if not (0 <= self.noise_share <= 1 and self.noise_sigma >= 0):
            raise UserError(
                f"fractal: noise_share={self.noise_share} must lie in 0..1 and "
                f"noise_sigma={self.noise_sigma} must be at least 0."
            )

    @property
    def pixel_version(self) -> int:
        # New attractors are laid together of their own parts since the third.
        return 3 if self.online else 2

    @property
    def keeps_to_object(self) -> bool:
        return self.object_mode

    @property
    def wide_masks(self) -> bool:
        return self.masks == "as-published"

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        square = self._square(canvas, rng)
        if square is None:
            return None
        side, (top, left), at = square
        patch = recolour(normal[top : top + side, left : left + side], rng)
        down, right = rng.random(2) < 0.5
        patch = patch[:: -1 if down else 1, :: -1 if right else 1]
        turned, alpha = rotate(
            patch, rng.uniform(self.degrees_low, self.degrees_high), expand=False
        )
        fractal = attractor(rng, side) if self.online else from_bank(rng, side)
        image, pasted = paste(normal, turned, at, alpha & thicken(fractal, rng))
        # A fractal that shows nothing (an empty stamp, a plain background) is not saved by noise.
        box = slice(at[0], at[0] + side), slice(at[1], at[1] + side)
        if not differs(image[box], normal[box]):
            return None
        grown = grow(pasted, max(1, round(self.growth * min(pasted.shape))))
        if rng.random() < self.noise_share:
            add_noise(image, grown, self.noise_sigma, rng)
            return Sample(image, grown)
        return Sample(image, grown if self.wide_masks else pasted)

    def _square(self, canvas: Canvas, rng: np.random.Generator) -> tuple[int, Size, Size] | None:
        """Draw side, source and destination of the square; None where an object has no room."""
        shape = canvas.normal.shape[0], canvas.normal.shape[1]
        # Where no object was found the stored foreground is the whole image.
        if self.object_mode and not canvas.foreground.all():
            return self._square_on_object(canvas.foreground, rng)
        shorter = min(shape)
        side = max(int(rng.uniform(self.side_low, self.side_high) * shorter), 1)
        return (
            side,
            place(rng, (side, side), shape, MARGIN),
            place(rng, (side, side), shape, MARGIN),
        )

    def _square_on_object(
        self, foreground: Mask, rng: np.random.Generator
    ) -> tuple[int, Size, Size] | None:
        shorter = shorter_side(foreground)
        for _ in range(SIZE_DRAWS):
            side = max(int(rng.uniform(self.object_low, self.object_high) * shorter), 1)
            if side > min(foreground.shape):
                continue
            half = side // 2
            height, width = foreground.shape
            rows, columns = np.nonzero(
                foreground[half : height - side + half + 1, half : width - side + half + 1]
            )
            if len(rows):
                source, there = rng.integers(len(rows), size=2)
                return (
                    side,
                    (int(rows[source]), int(columns[source])),
                    (int(rows[there]), int(columns[there])),
                )
        return None


def shorter_side(foreground: Mask) -> float:
    """Return the shorter side of the smallest rectangle around the largest part; 0 for none."""
    outlines, _ = cv2.findContours(
        foreground.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    if not outlines:
        return 0.0
    return float(min(cv2.minAreaRect(max(outlines, key=cv2.contourArea))[1]))


def recolour(patch: Image, rng: np.random.Generator) -> Image:
    """Return the patch in other colours, one of FractalAD's three ways with equal chance."""
    way = rng.integers(3)
    if way == 0:
        return jitter(patch, rng, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2)
    if way == 1:
        return jitter(patch, rng, brightness=1.0, contrast=1.0, saturation=0.0, hue=0.0)
    factors = np.ones(3)
    # Two draws with replacement: the same channel drawn twice is scaled twice.
    for channel in rng.integers(3, size=2):
        factors[channel] *= rng.uniform(0, 2)
    table = np.minimum(np.arange(256)[:, None] * factors, 255).astype(np.uint8)
    return cv2.LUT(patch, table[None]).astype(np.uint8, copy=False)


def grow(mask: Mask, pixels: int) -> Mask:
    """Return the mask dilated by a square of `pixels` on every side."""
    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return cv2.dilate(
        mask.view(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0
    ).view(np.bool_)


def add_noise(image: Image, mask: Mask, sigma: float, rng: np.random.Generator) -> None:
    """Add Gaussian noise to `image`, in place, inside the mask, the same to all channels."""
    places = np.flatnonzero(mask)
    levels = taken(image, places) + rng.normal(0, sigma, (len(places), 1))
    put(image, places, np.clip(np.rint(levels), 0, 255).astype(np.uint8))
