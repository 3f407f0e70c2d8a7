"""CutPaste: a patch of the image, moved to another place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.augment import jitter
from asbench.imaging.masks import differs
from asbench.imaging.patches import paste, place, rectangle
from asbench.parameters import parameter
from asbench.types import Canvas, PerSample
from synth_store.types import Sample, UserError

VARIANTS = {
    # ASBench's copies leave the colour jitter out: on an even texture little is to be seen.
    "asbench": {"jitter": 0.0},
}


@dataclass(frozen=True)
class CutPaste(PerSample):
    """Cut a rectangle, jitter its colours, paste it elsewhere on the same image.

    Source and destination are drawn independently, uniform over the places inside the image, and
    may overlap. The paper classifies whole images and has no masks: the mask is the destination,
    as in ASBench. The jitter of the whole image that the original applies to normal and anomalous
    images alike belongs to training. None where the patch cannot be told from what it covers.
    """

    title = "CutPaste"
    paper = (
        "Li, Sohn, Yoon and Pfister, CutPaste: Self-Supervised Learning for Anomaly Detection and "
        "Localization, CVPR 2021"
    )
    url = "https://arxiv.org/abs/2104.04015"
    family = "patch augmentation"

    area_low: float = parameter(0.02, "Smallest area of the patch, as a share of the image.")
    area_high: float = parameter(0.15, "Largest area of the patch, as a share of the image.")
    aspect_low: float = parameter(0.3, "Smallest width / height of the patch, log-uniform.")
    aspect_high: float = parameter(1 / 0.3, "Largest width / height of the patch, log-uniform.")
    jitter: float = parameter(
        0.1, "Strength of the patch's jitter in brightness, contrast, saturation and hue; 0: none."
    )

    def __post_init__(self) -> None:
        if not 0 < self.area_low <= self.area_high <= 1:
            raise UserError(
                f"cutpaste: area_low={self.area_low} and area_high={self.area_high} must satisfy "
                "0 < area_low <= area_high <= 1 (shares of the image)."
            )
        if not 0 < self.aspect_low <= self.aspect_high:
            raise UserError(
                f"cutpaste: aspect_low={self.aspect_low} and aspect_high={self.aspect_high} must "
                "satisfy 0 < aspect_low <= aspect_high (width / height)."
            )
        if not 0 <= self.jitter <= 0.5:
            raise UserError(f"cutpaste: jitter={self.jitter} must lie in 0 <= jitter <= 0.5.")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        shape = normal.shape[0], normal.shape[1]
        height, width = rectangle(
            rng, shape, (self.area_low, self.area_high), (self.aspect_low, self.aspect_high)
        )
        (top, left), (down, right) = (place(rng, (height, width), shape) for _ in range(2))
        patch = normal[top : top + height, left : left + width]
        s = self.jitter
        if s:
            patch = jitter(patch, rng, brightness=s, contrast=s, saturation=s, hue=s)
        if not differs(patch, normal[down : down + height, right : right + width]):
            return None
        return Sample(*paste(normal, patch, (down, right)))
