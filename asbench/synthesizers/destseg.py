"""DeSTSeg: textures as they are, blended in through Perlin masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.overlay import PerlinOverlay, blend, check_weights
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Sample

VARIANTS = {
    # ASBench's DeSTSeg pipeline: at most 8 cells per axis, so fewer and larger blobs, and an empty
    # mask in one draw of eight. Its MemSeg pipeline keeps the published range.
    "asbench": {"exponent_high": 3, "colour": "as-published"},
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}


@dataclass(frozen=True)
class Destseg(PerlinOverlay):
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

    def __post_init__(self) -> None:
        check_weights("destseg", self.beta_low, self.beta_high)
        super().__post_init__()

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"textures", "foreground"} if self.foreground else {"textures"})

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        mask = self.region(canvas, rng)
        if mask is None:
            return None
        beta = rng.uniform(self.beta_low, self.beta_high)
        image = blend(normal, canvas.texture(rng), mask, beta)
        return None if image is None else Sample(image, mask)
