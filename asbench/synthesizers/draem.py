"""DRAEM: augmented textures, blended in through Perlin masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.augmenter import augment_at
from asbench.imaging.overlay import PerlinOverlay, blend, blend_at, check_weights
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Sample

VARIANTS = {
    # ASBench's DeSTSeg pipeline built the texture augmenter and did not apply it; its DRAEM
    # pipeline agrees with the original.
    "asbench-destseg": {"augmented": False, "colour": "as-published"},
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}


@dataclass(frozen=True)
class Draem(PerlinOverlay):
    """Replace the image by a texture inside a Perlin mask, up to a drawn opacity.

    A texture goes through three of ten colour and shape operations; M = rotated Perlin noise above
    a threshold; inside M the image becomes beta I + (1 - beta) T with beta = U(0, 0.8), so the
    texture's opacity is 0.2..1 (DRAEM, section 3.1, equation 1). Where the original returns an
    empty mask labelled normal, the mask is drawn again (anomalib's mend). The original's rotation
    of the normal image with probability 0.3 belongs to training, its share of normal images to the
    ratio. None where the blend changes nothing to be seen.

    `foreground` between 0 (as published, anywhere) and 1 (MemSeg's rule, on the object alone) is
    ours: the paper's Fig. 7 asks which of the two serves better.
    """

    title = "DRAEM"
    paper = (
        "Zavrtanik, Kristan and Skocaj, DRAEM - A Discriminatively Trained Reconstruction "
        "Embedding for Surface Anomaly Detection, ICCV 2021"
    )
    url = "https://arxiv.org/abs/2108.07610"
    family = "random shape noise"

    beta_low: float = parameter(0.0, "Smallest weight of the normal image inside the mask.")
    beta_high: float = parameter(0.8, "Largest weight of the normal image inside the mask.")
    augmented: bool = parameter(True, "Whether the texture goes through three of ten operations.")

    def __post_init__(self) -> None:
        check_weights("draem", self.beta_low, self.beta_high)
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
        texture = canvas.texture(rng)
        if self.augmented:
            places = np.flatnonzero(mask)
            image = blend_at(normal, augment_at(texture, rng, places), places, beta)
        else:
            image = blend(normal, texture, mask, beta)
        return None if image is None else Sample(image, mask)
