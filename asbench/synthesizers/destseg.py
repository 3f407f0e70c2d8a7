"""DeSTSeg: textures as they are, blended in through Perlin masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.colour import Colouring
from asbench.imaging.overlay import blend, check_parameters, draw_region, on_object
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Sample, UserError

VARIANTS = {
    # ASBench's DeSTSeg pipeline: at most 8 cells per axis, so fewer and larger blobs, and an empty
    # mask in one draw of eight. Its MemSeg pipeline keeps the published range.
    "asbench": {"exponent_high": 3, "colour": "as-published"},
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}


@dataclass(frozen=True)
class Destseg(Colouring):
    """Replace the image by a texture inside a Perlin mask, up to a drawn opacity.

    DRAEM's synthesis without its texture augmentation: M = rotated Perlin noise above a threshold;
    inside M the image becomes beta I + (1 - beta) T with beta = U(0, 0.8). The published code
    labels the one sample in twenty whose mask is empty anomalous all the same; here the mask is
    drawn again. Its noise blends neighbouring gradients where the cells do not divide the image;
    this is Perlin noise at any size. The rotations of the normal image belong to training.
    None where the blend changes nothing to be seen.

    `foreground` between 0 (as published, anywhere) and 1 (MemSeg's rule, on the object alone) is
    ours: the paper's Fig. 7 asks which of the two serves better.
    """

    title = "DeSTSeg"
    paper = (
        "Zhang, Li, Li, Huang, Shan and Chen, DeSTSeg: Segmentation Guided Denoising "
        "Student-Teacher for Anomaly Detection, CVPR 2023"
    )
    url = "https://arxiv.org/abs/2211.11317"
    family = "random shape noise"

    beta_low: float = parameter(0.0, "Smallest weight of the normal image inside the mask.")
    beta_high: float = parameter(0.8, "Largest weight of the normal image inside the mask.")
    exponent_low: int = parameter(0, "Perlin cells per axis are 2^k: the smallest k.")
    exponent_high: int = parameter(5, "Perlin cells per axis are 2^k: the largest k.")
    threshold: float = parameter(0.5, "Noise above this is anomalous.")
    max_degrees: float = parameter(90.0, "The noise is rotated by up to this angle either way.")
    foreground: float = parameter(0.0, "Share of samples whose mask keeps to the object.")

    def __post_init__(self) -> None:
        if not 0 <= self.beta_low <= self.beta_high < 1:
            raise UserError(
                f"destseg: beta_low={self.beta_low} and beta_high={self.beta_high} must satisfy "
                "0 <= beta_low <= beta_high < 1 (1 would leave the image as it is)."
            )
        exponents = self.exponent_low, self.exponent_high
        check_parameters("destseg", exponents, self.threshold, self.foreground)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"textures", "foreground"} if self.foreground else {"textures"})

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        mask = draw_region(
            normal.shape[0],
            normal.shape[1],
            rng,
            within=canvas.foreground if on_object(self.foreground, rng) else None,
            exponents=(self.exponent_low, self.exponent_high),
            threshold=self.threshold,
            max_degrees=self.max_degrees,
        )
        if mask is None:
            return None
        beta = rng.uniform(self.beta_low, self.beta_high)
        image = blend(normal, canvas.texture(rng), mask, beta)
        return None if image is None else Sample(image, mask)
