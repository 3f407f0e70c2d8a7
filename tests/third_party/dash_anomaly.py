"""Dash: a short bar of another grey."""

from dataclasses import dataclass

import numpy as np

from asbench.parameters import parameter
from asbench.types import Canvas, PerSample
from synth_store import Sample

VARIANTS = {"long": {"length": 0.6}}


@dataclass(frozen=True)
class Dash(PerSample):
    """Invert a horizontal bar; None where that cannot be seen, as on middle grey."""

    title = "Dash"
    paper = "No paper: a test of plugins"
    url = "https://github.com/M-3LAB/ASBench"
    family = "patch augmentation"

    length: float = parameter(0.3, "Length of the bar, as a share of the image's width.")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        image = canvas.normal.copy()
        height, width = image.shape[:2]
        long, thick = max(1, round(self.length * width)), max(1, height // 16)
        top, left = int(rng.integers(height - thick + 1)), int(rng.integers(width - long + 1))
        mask = np.zeros((height, width), np.bool_)
        mask[top : top + thick, left : left + long] = True
        image[mask] = 255 - image[mask]
        seen = np.abs(image.astype(int) - canvas.normal)[mask].max() >= 4
        return Sample(image, mask) if seen else None
