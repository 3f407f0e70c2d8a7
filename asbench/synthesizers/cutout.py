"""CutOut: one square, filled with black."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging.colour import Colouring
from asbench.imaging.masks import differs
from asbench.parameters import parameter
from asbench.types import Canvas
from synth_store.types import Image, Mask, Sample, UserError

VARIANTS = {
    # The regulariser's own setting on CIFAR-10: 16 of 32 pixels, and 0 after mean/std
    # normalisation, which is the mean colour.
    "cifar": {"length_low": 0.5, "length_high": 0.5, "fill": "mean"},
}


@dataclass(frozen=True)
class Cutout(Colouring):
    """Cover one square at a random place; the mask is the part of it inside the image.

    The paper regularises classifiers and has no anomalies, masks or setting for them: it blanks a
    square of fixed size (16 of CIFAR's 32 pixels) whose centre is uniform over the image, so that
    it may lie partly outside. The plain name is what anomaly benchmarks, ASBench among them, made
    of it: the side uniform over 20..50 pixels of 256 and black; odd sides keep the pixel that two
    roundings down cost there. `cutout@cifar` is the paper's own.
    None where the square changes nothing to be seen, as on a black background.
    """

    title = "CutOut"
    paper = (
        "DeVries and Taylor, Improved Regularization of Convolutional Neural Networks with "
        "Cutout, arXiv 2017"
    )
    url = "https://arxiv.org/abs/1708.04552"
    family = "patch augmentation"

    length_low: float = parameter(
        20 / 256, "Smallest side of the square, as a share of the image's shorter side."
    )
    length_high: float = parameter(
        50 / 256, "Largest side of the square, as a share of the image's shorter side."
    )
    fill: Literal["black", "mean", "random"] = parameter(
        "black", "Colour of the square: black, the mean colour of the image, or a random one."
    )

    def __post_init__(self) -> None:
        if not 0 < self.length_low <= self.length_high <= 1:
            raise UserError(
                f"cutout: length_low={self.length_low} and length_high={self.length_high} must "
                "satisfy 0 < length_low <= length_high <= 1 (shares of the shorter side)."
            )

    @property
    def colours(self) -> bool:
        return self.fill == "random"

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        box = self._box(normal.shape[0], normal.shape[1], rng)
        image = normal.copy()
        image[box] = self._colour(normal, rng)
        if not differs(image[box], normal[box]):
            return None
        mask: Mask = np.zeros(normal.shape[:2], np.bool_)
        mask[box] = True
        return Sample(image, mask)

    def _box(self, height: int, width: int, rng: np.random.Generator) -> tuple[slice, slice]:
        """Draw the square: centre uniform over the image, clipped to it, so never empty."""
        side = min(height, width)
        low, high = (max(1, round(share * side)) for share in (self.length_low, self.length_high))
        length = int(rng.integers(low, high + 1))
        top, left = (int(rng.integers(n)) - length // 2 for n in (height, width))
        return (
            slice(max(top, 0), min(top + length, height)),
            slice(max(left, 0), min(left + length, width)),
        )

    def _colour(self, normal: Image, rng: np.random.Generator) -> Image:
        if self.fill == "random":
            return rng.integers(0, 256, 3, dtype=np.uint8)
        mean = cv2.mean(normal)[:3] if self.fill == "mean" else (0, 0, 0)
        return np.array([round(value) for value in mean], np.uint8)
