"""DiffusionAD: textures, or the image itself in shuffled strips, blended in on the object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asbench.imaging.augmenter import augment
from asbench.imaging.overlay import PerlinOverlay, blend, check_textures, check_weights
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Image, Sample, UserError

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}
CATEGORIES = {
    # The published code shows textures alone on textures, and on the zipper.
    f"mvtec/{category}": {"texture_share": 1.0}
    for category in ("carpet", "grid", "leather", "tile", "wood", "zipper")
}


@dataclass(frozen=True)
class Diffusionad(PerlinOverlay):
    """Blend a source into the image where a Perlin mask meets the object.

    MemSeg's synthesis with other numbers. M = rotated Perlin noise above a threshold, cut down to
    the object. By a fair coin the source is a texture or the image itself, either through three of
    ten operations; the image is then cut into strips: of eight columns the even ones are shuffled
    among themselves, and the odd ones behind them, then the rows likewise. Inside M the image
    becomes beta I + (1 - beta) S, beta = U(0.2, 0.8). On MVTec AD's textures and the zipper the
    source is always a texture, as published.

    The published code keeps textures to foregrounds of the carpet's, on other categories too; here
    the object is the store's. None where 20 masks missed it, or the blend changes nothing to be
    seen.
    """

    title = "DiffusionAD"
    paper = (
        "Zhang, Wang, Wu and Jiang, DiffusionAD: Norm-Guided One-Step Denoising Diffusion for "
        "Anomaly Detection, TPAMI 2025"
    )
    url = "https://arxiv.org/abs/2303.08730"
    family = "random shape noise"

    beta_low: float = parameter(0.2, "Smallest weight of the normal image inside the mask.")
    beta_high: float = parameter(0.8, "Largest weight of the normal image inside the mask.")
    texture_share: float = parameter(
        0.5, "Share of samples whose source is a texture; the others show the image in strips."
    )
    strips: int = parameter(8, "The image is cut into this many columns, then rows.")
    foreground: float = parameter(1.0, "Share of samples whose mask keeps to the object.")

    def __post_init__(self) -> None:
        check_weights("diffusionad", self.beta_low, self.beta_high)
        check_textures("diffusionad", self.texture_share)
        if not 2 <= self.strips <= 64:
            raise UserError(f"diffusionad: strips={self.strips} must lie in 2 <= strips <= 64.")
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
        mask = self.region(canvas, rng)
        if mask is None:
            return None
        if rng.random() < self.texture_share:
            source = augment(canvas.texture(rng), rng)
        else:
            source = self._strips(self._strips(augment(normal, rng), 1, rng), 0, rng)
        image = blend(normal, source, mask, rng.uniform(self.beta_low, self.beta_high))
        return None if image is None else Sample(image, mask)

    def _strips(self, image: Image, axis: int, rng: np.random.Generator) -> Image:
        """Cut along an axis; shuffle the even strips, and after them the odd ones."""
        strips = np.array_split(image, self.strips, axis=axis)
        order = [k for first in (0, 1) for k in rng.permutation(range(first, self.strips, 2))]
        return np.concatenate([strips[k] for k in order], axis=axis)
