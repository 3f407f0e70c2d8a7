"""GLASS: textures blended in through two Perlin masks, joined, crossed or alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from asbench.imaging import augment
from asbench.imaging.colour import grey
from asbench.imaging.overlay import PerlinOverlay, blend, redrawn
from asbench.imaging.perlin import draw_mask
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Image, Mask, Sample, UserError

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}


@dataclass(frozen=True)
class Glass(PerlinOverlay):
    """Blend an augmented texture into the object through one Perlin mask, or two.

    The local anomaly synthesis of GLASS, without the noise that it adds to features: two of DRAEM's
    masks are drawn; their union, their intersection or the first alone, a third each, is cut down
    to the object. A texture goes through three of nine operations (contrast, brightness, saturation
    with hue, either flip, grey, autocontrast, equalisation, a turn by up to 45 degrees); inside the
    mask the image becomes beta I + (1 - beta) T, with beta from a normal law of mean .5 and
    deviation .1, cut to .2..0.8 (sections 3.3 and A.1, and the public code). So half of a texture
    shows, where DRAEM's opacities are even over .2..1.

    The published code finds the object by masks prepared by its authors for every category; here it
    is the store's. Textures are cropped there, and here at the store's geometry like all others.
    None where 20 masks were empty, or the blend changes nothing to be seen.
    """

    title = "GLASS"
    paper = (
        "Chen, Luo, Lv and Zhang, A Unified Anomaly Synthesis Strategy with Gradient Ascent for "
        "Industrial Anomaly Detection and Localization, ECCV 2024"
    )
    url = "https://arxiv.org/abs/2407.09359"
    family = "random shape noise"

    beta_mean: float = parameter(0.5, "Mean weight of the normal image inside the mask.")
    beta_std: float = parameter(0.1, "Standard deviation of that weight.")
    beta_low: float = parameter(0.2, "Weights below this become this.")
    beta_high: float = parameter(0.8, "Weights above this become this.")
    union: float = parameter(1 / 3, "Share of masks that are the union of two.")
    intersection: float = parameter(1 / 3, "Share of masks that are the intersection of two.")
    augmented: bool = parameter(True, "Whether the texture goes through three of nine operations.")
    foreground: float = parameter(1.0, "Share of samples whose mask keeps to the object.")

    def __post_init__(self) -> None:
        if not 0 <= self.beta_low <= self.beta_mean <= self.beta_high < 1:
            raise UserError(
                f"glass: beta_low={self.beta_low}, beta_mean={self.beta_mean} and "
                f"beta_high={self.beta_high} must satisfy 0 <= beta_low <= beta_mean <= beta_high "
                "< 1 (1 would leave the image as it is)."
            )
        if not 0 <= self.beta_std <= 1:
            raise UserError(f"glass: beta_std={self.beta_std} must lie in 0 <= beta_std <= 1.")
        shares = self.union, self.intersection
        if min(shares) < 0 or sum(shares) > 1:
            raise UserError(
                f"glass: union={self.union} and intersection={self.intersection} must be shares "
                "that are 1 together at most."
            )
        super().__post_init__()

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"textures", "foreground"} if self.foreground else {"textures"})

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        shape = normal.shape[0], normal.shape[1]
        mask = redrawn(lambda: self._mask(shape, rng), self.within(canvas, rng))
        if mask is None:
            return None
        texture = canvas.texture(rng)
        if self.augmented:
            for chosen in rng.choice(len(OPERATIONS), 3, replace=False):
                texture = OPERATIONS[chosen](texture, rng)
        drawn = rng.normal(self.beta_mean, self.beta_std)
        image = blend(normal, texture, mask, float(np.clip(drawn, self.beta_low, self.beta_high)))
        return None if image is None else Sample(image, mask)

    def _mask(self, shape: tuple[int, int], rng: np.random.Generator) -> Mask:
        first, second = (
            draw_mask(
                *shape,
                rng,
                exponents=(self.exponent_low, self.exponent_high),
                threshold=self.threshold,
                max_degrees=self.max_degrees,
            )
            for _ in range(2)
        )
        joint = rng.random()
        if joint < self.union:
            return np.asarray(first | second)
        return np.asarray(first & second) if joint < self.union + self.intersection else first


def _saturation_and_hue(image: Image, rng: np.random.Generator) -> Image:
    saturated = augment.adjust_saturation(image, rng.uniform(0.8, 1.2))
    return augment.adjust_hue(saturated, rng.uniform(-0.2, 0.2))


OPERATIONS: tuple[Callable[[Image, np.random.Generator], Image], ...] = (
    lambda image, rng: augment.adjust_contrast(image, rng.uniform(0.8, 1.2)),
    lambda image, rng: augment.adjust_brightness(image, rng.uniform(0.8, 1.2)),
    _saturation_and_hue,
    lambda image, rng: np.asarray(cv2.flip(image, 1), np.uint8),
    lambda image, rng: np.asarray(cv2.flip(image, 0), np.uint8),
    lambda image, rng: grey(image),
    lambda image, rng: augment.autocontrast(image, 0),
    lambda image, rng: augment.equalise(image),
    lambda image, rng: augment.rotate(image, rng.uniform(-45, 45)),
)
"""The nine operations of GLASS's augmenter, each drawing its own parameters."""
