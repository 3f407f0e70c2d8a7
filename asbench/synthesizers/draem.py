"""DRAEM: augmented textures, blended in through Perlin masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import cv2
import numpy as np

from asbench.imaging.augment import augment
from asbench.imaging.masks import differs
from asbench.imaging.perlin import draw_mask
from asbench.types import Canvas, Need, PerSample, parameter
from synth_store.types import Sample, UserError

VARIANTS: dict[str, dict[str, Any]] = {
    # ASBench's DeSTSeg pipeline built the texture augmenter and did not apply it; its DRAEM
    # pipeline agrees with the original.
    "asbench-destseg": {"augmented": False},
}
MASK_DRAWS = 10
"""Masks drawn before a canvas is given up: one in twenty is empty at the published settings."""


@dataclass(frozen=True)
class Draem(PerSample):
    """Replace the image by a texture inside a Perlin mask, up to a drawn opacity.

    A texture goes through three of ten colour and shape operations; M = rotated Perlin noise above
    a threshold; inside M the image becomes beta I + (1 - beta) T with beta = U(0, 0.8), so the
    texture's opacity is 0.2..1 (DRAEM, section 3.1, equation 1). Where the original returns an
    empty mask labelled normal, the mask is drawn again (anomalib's mend). The original's rotation
    of the normal image with probability 0.3 belongs to training, its share of normal images to the
    ratio. None where the blend changes nothing to be seen.
    """

    title: ClassVar[str] = "DRAEM"
    paper: ClassVar[str] = (
        "Zavrtanik, Kristan and Skocaj, DRAEM - A Discriminatively Trained Reconstruction "
        "Embedding for Surface Anomaly Detection, ICCV 2021"
    )
    url: ClassVar[str] = "https://arxiv.org/abs/2108.07610"
    paradigm: ClassVar[Literal["hand-crafted", "generative"]] = "hand-crafted"
    family: ClassVar[str] = "random shape noise"
    needs: ClassVar[frozenset[Need]] = frozenset({"textures"})

    beta_low: float = parameter(0.0, "Smallest weight of the normal image inside the mask.")
    beta_high: float = parameter(0.8, "Largest weight of the normal image inside the mask.")
    exponent_low: int = parameter(0, "Perlin cells per axis are 2^k: the smallest k.")
    exponent_high: int = parameter(5, "Perlin cells per axis are 2^k: the largest k.")
    threshold: float = parameter(0.5, "Noise above this is anomalous.")
    max_degrees: float = parameter(90.0, "The noise is rotated by up to this angle either way.")
    augmented: bool = parameter(True, "Whether the texture goes through three of ten operations.")

    def __post_init__(self) -> None:
        if not 0 <= self.beta_low <= self.beta_high < 1:
            raise UserError(
                f"draem: beta_low={self.beta_low} and beta_high={self.beta_high} must satisfy "
                "0 <= beta_low <= beta_high < 1 (1 would leave the image as it is)."
            )
        if not 0 <= self.exponent_low <= self.exponent_high <= 10:
            raise UserError(
                f"draem: exponent_low={self.exponent_low} and exponent_high={self.exponent_high} "
                "must satisfy 0 <= exponent_low <= exponent_high <= 10."
            )
        if not 0 <= self.threshold < 1:
            raise UserError(f"draem: threshold={self.threshold} must lie in 0 <= threshold < 1.")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        for _ in range(MASK_DRAWS):
            mask = draw_mask(
                normal.shape[0],
                normal.shape[1],
                rng,
                exponents=(self.exponent_low, self.exponent_high),
                threshold=self.threshold,
                max_degrees=self.max_degrees,
            )
            if mask.any():
                break
        else:
            return None
        beta = rng.uniform(self.beta_low, self.beta_high)
        texture = canvas.texture(rng)
        if self.augmented:
            texture = augment(texture, rng)
        blend = cv2.addWeighted(normal, beta, texture, 1 - beta, 0)
        image = normal.copy()
        cv2.copyTo(blend, mask.view(np.uint8), image)
        return Sample(image, mask) if differs(image, normal) else None
