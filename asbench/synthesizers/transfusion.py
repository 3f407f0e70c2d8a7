"""TransFusion: opaque textures, or the image itself in shuffled cells, in large Perlin masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.augmenter import augment
from asbench.imaging.cells import shuffle_cells
from asbench.imaging.overlay import PerlinOverlay, blend, check_textures
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Sample, UserError

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}


@dataclass(frozen=True)
class Transfusion(PerlinOverlay):
    """Replace the image by a source where Perlin noise is far from zero, on the object.

    As DRAEM's mask, but of both signs: where the rotated noise is above .5 or below -.5, cut down
    to the object, so twice as large. By a fair coin the source is a texture through three of ten
    operations, or the image itself, its 8 x 8 cells in random order. It is opaque: the paper's
    anomalies become transparent by the steps of its diffusion model, which is a detector's matter.
    The published foregrounds are its authors' files; here they are the store's. None where 20 masks
    missed the object, or the source changes nothing to be seen.
    """

    title = "TransFusion"
    paper = (
        "Fucka, Zavrtanik and Skocaj, TransFusion - A Transparency-Based Diffusion Model for "
        "Anomaly Detection, ECCV 2024"
    )
    url = "https://arxiv.org/abs/2311.09999"
    family = "random shape noise"

    texture_share: float = parameter(
        0.5, "Share of samples whose source is a texture; the others show the image in cells."
    )
    cells: int = parameter(8, "The image is cut into this many cells along each axis.")
    threshold: float = parameter(0.5, "Noise farther from zero than this is anomalous.")
    foreground: float = parameter(1.0, "Share of samples whose mask keeps to the object.")

    def __post_init__(self) -> None:
        check_textures("transfusion", self.texture_share)
        if not 2 <= self.cells <= 64:
            raise UserError(f"transfusion: cells={self.cells} must lie in 2 <= cells <= 64.")
        super().__post_init__()

    @property
    def needs(self) -> frozenset[Need]:
        asked: dict[Need, bool] = {
            "textures": self.texture_share > 0,
            "foreground": self.foreground > 0,
        }
        return frozenset(need for need, so in asked.items() if so)

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        mask = self.region(canvas, rng, two_sided=True)
        if mask is None:
            return None
        if rng.random() < self.texture_share:
            source = augment(canvas.texture(rng), rng)
        else:
            source = shuffle_cells(normal, rng.permutation(self.cells**2), self.cells)
        image = blend(normal, source, mask, 0)
        return None if image is None else Sample(image, mask)
