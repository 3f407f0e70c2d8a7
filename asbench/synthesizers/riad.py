"""RIAD: a random third of the image's cells, blacked out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging.cells import enlarge, partition
from asbench.imaging.masks import differs
from asbench.parameters import parameter
from asbench.types import Canvas, PerSample
from synth_store.types import Mask, Sample, UserError

VARIANTS = {
    # What the unofficial code fills with: 0 after normalising to -1..1.
    "grey": {"fill": "grey"},
    # Nearer to a defect: the third of the cells of one window of a sixteenth of the image.
    "window": {"fraction": 1 / 16},
}


@dataclass(frozen=True)
class Riad(PerSample):
    """Black out one of three random sets of cells; the mask is those cells.

    RIAD is a reconstruction method: it cuts the image into cells of k x k pixels, k one of 2, 4, 8
    and 16 at 256, divides them at random into three disjoint sets, and learns to paint each set
    from the other two. It has no anomalies and no labels. The paper lists it among the methods that
    simulate anomalies by blacking out patches, without code or results, so what is here is our
    definition: one sample shows one of the three sets in black, and its mask is that set, a third
    of the image, scattered.

    That is unlike any defect. `fraction`, ours as well, takes the set from the cells of one window
    that covers this share of the image, at a random place: a cluster of black cells. Where cells
    do not divide the image, those at the bottom and right are cut off.
    None where black cells change nothing to be seen, as on a black background.
    """

    title = "RIAD"
    paper = (
        "Zavrtanik, Kristan and Skocaj, Reconstruction by Inpainting for Visual Anomaly "
        "Detection, Pattern Recognition 112, 2021"
    )
    url = "https://doi.org/10.1016/j.patcog.2020.107706"
    family = "patch augmentation"

    sides: tuple[float, ...] = parameter(
        (2 / 256, 4 / 256, 8 / 256, 16 / 256),
        "Sides of a cell, as shares of the image's shorter side: one is drawn for each sample.",
    )
    sets: int = parameter(3, "The cells are divided into this many sets, of which one is covered.")
    fraction: float = parameter(
        1.0, "Share of the image over which the cells are divided; below 1, a window's."
    )
    fill: Literal["black", "grey"] = parameter("black", "Colour of the cells; grey is 128.")

    def __post_init__(self) -> None:
        if not self.sides or not all(0 < side <= 0.5 for side in self.sides):
            raise UserError(
                f"riad: sides={self.sides} must be one or more, each 0 < side <= 0.5 (a share of "
                "the shorter side)."
            )
        if self.sets < 1:
            raise UserError(f"riad: sets={self.sets} must be at least 1.")
        if not 0 < self.fraction <= 1:
            raise UserError(f"riad: fraction={self.fraction} must lie in 0 < fraction <= 1.")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        mask = self._mask(normal.shape[0], normal.shape[1], rng)
        image = normal.copy()
        level = np.full_like(normal, 128 if self.fill == "grey" else 0)
        cv2.copyTo(level, mask.view(np.uint8), image)
        return Sample(image, mask) if differs(image, normal) else None

    def _mask(self, height: int, width: int, rng: np.random.Generator) -> Mask:
        share = self.sides[int(rng.integers(len(self.sides)))]
        side = max(1, round(share * min(height, width)))
        rows, columns = -(-height // side), -(-width // side)
        tall, wide = (max(1, round(n * self.fraction**0.5)) for n in (rows, columns))
        top, left = int(rng.integers(rows - tall + 1)), int(rng.integers(columns - wide + 1))
        covered: Mask = np.zeros((rows, columns), np.bool_)
        window = covered[top : top + tall, left : left + wide]
        window[...] = partition(tall, wide, self.sets, rng) == 0
        return enlarge(covered, side, height, width)
