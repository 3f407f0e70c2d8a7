"""CutPaste-Scar: a thin, turned strip of the image, moved to another place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from asbench.imaging.augment import jitter
from asbench.imaging.masks import differs
from asbench.imaging.patches import Size, paste, place, rotate
from asbench.parameters import parameter
from asbench.types import Canvas, PerSample
from synth_store.types import Image, Sample, UserError

VARIANTS = {
    # ASBench's copies paste the whole turned box, its empty corners as black triangles, label all
    # of it, turn by less and leave the jitter out: a box with dark corners rather than a scar.
    "asbench": {"jitter": 0.0, "max_degrees": 30.0, "corners": "black"},
}


@dataclass(frozen=True)
class CutPasteScar(PerSample):
    """Cut a strip, jitter its colours, turn it, paste it elsewhere on the same image.

    Sizes are those of the published code, 2..16 by 10..25 pixels of 256, as shares of the shorter
    side. Only the strip is pasted, through the alpha of its rotation, and the mask is the strip.
    None where it cannot be told from what it covers.
    """

    title = "CutPaste-Scar"
    paper = (
        "Li, Sohn, Yoon and Pfister, CutPaste: Self-Supervised Learning for Anomaly Detection and "
        "Localization, CVPR 2021"
    )
    url = "https://arxiv.org/abs/2104.04015"
    family = "patch augmentation"
    pixel_version = 2

    width_low: float = parameter(2 / 256, "Smallest width, as a share of the shorter side.")
    width_high: float = parameter(16 / 256, "Largest width, as a share of the shorter side.")
    height_low: float = parameter(10 / 256, "Smallest height, as a share of the shorter side.")
    height_high: float = parameter(25 / 256, "Largest height, as a share of the shorter side.")
    max_degrees: float = parameter(45.0, "The strip is turned by up to this angle either way.")
    jitter: float = parameter(
        0.1, "Strength of the strip's jitter in brightness, contrast, saturation and hue; 0: none."
    )
    corners: Literal["transparent", "black"] = parameter(
        "transparent", "The corners of the turned strip's box: left out, or pasted and labelled."
    )

    def __post_init__(self) -> None:
        for side in ("width", "height"):
            low, high = getattr(self, f"{side}_low"), getattr(self, f"{side}_high")
            if not 0 < low <= high <= 1:
                raise UserError(
                    f"cutpaste_scar: {side}_low={low} and {side}_high={high} must satisfy "
                    f"0 < {side}_low <= {side}_high <= 1 (shares of the shorter side)."
                )
        if not 0 <= self.max_degrees <= 180:
            raise UserError(
                f"cutpaste_scar: max_degrees={self.max_degrees} must lie in 0 <= degrees <= 180."
            )
        if not 0 <= self.jitter <= 0.5:
            raise UserError(f"cutpaste_scar: jitter={self.jitter} must lie in 0 <= jitter <= 0.5.")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        strip, alpha = rotate(
            self._strip(normal, rng), rng.uniform(-self.max_degrees, self.max_degrees)
        )
        size = strip.shape[0], strip.shape[1]
        at = place(rng, size, (normal.shape[0], normal.shape[1]))
        image, mask = paste(normal, strip, at, alpha if self.corners == "transparent" else None)
        box = slice(at[0], at[0] + size[0]), slice(at[1], at[1] + size[1])
        return Sample(image, mask) if differs(image[box], normal[box]) else None

    def _strip(self, normal: Image, rng: np.random.Generator) -> Image:
        shape = normal.shape[0], normal.shape[1]
        across, along = rng.random(2)
        size = self._size(shape, across, along)
        top, left = place(rng, size, shape)
        strip = normal[top : top + size[0], left : left + size[1]]
        s = self.jitter
        return jitter(strip, rng, brightness=s, contrast=s, saturation=s, hue=s) if s else strip

    def _size(self, shape: Size, across: float, along: float) -> Size:
        side = min(shape)
        width = self.width_low + across * (self.width_high - self.width_low)
        height = self.height_low + along * (self.height_high - self.height_low)
        # A single row of pixels may fall between those of the turned grid.
        return max(round(height * side), 2), max(round(width * side), 2)
