"""A likeness of Con-GAN: crops of defects with their masks, from a contrastive GAN, pasted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from asbench.imaging.colour import MEANING, Colour
from asbench.parameters import parameter
from asbench.types import LearnedSynthesizer
from synth_store.types import UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    # For one GPU and an hour: half of the channels, a third of the steps.
    "mid": {"widths": (256, 128, 64, 32), "steps": 20_000},
    # Minutes on one core: crops of 32 x 32 pixels, few channels, few steps. So slow a discriminator
    # as the paper's stays undecided in them; so coarse a crop has no grain, so the normal's shows.
    "tiny-scratch": {
        "side": 32,
        "widths": (64, 48, 32),
        "latent": 32,
        "images": 8,
        "steps": 1500,
        "critic_lr": 8e-4,
        "masks": 16,
        "blend": "mixed",
    },
}


@dataclass(frozen=True)
class Congan(LearnedSynthesizer):
    """Generate crops of defects by a GAN that is kept from copying, and paste them onto normals.

    A likeness, not the method: its code is not public and its text could not be read in full. Known
    are its three parts, which are here, on a SAGAN of 64 x 64 pixels with learning rates of 4e-4
    and 1e-4: every batch, real or generated, reaches the discriminator through the same random
    transform (shared data augmentation); its features, weighted by where it looks, are to have one
    mean for real and generated images (feature attention matching); and on a sphere a generated
    image is to lie near another transform of itself and far from transforms of real ones (the
    contrastive loss), since with ten images a GAN copies. Layers, weights, temperature and the
    hinge loss are ours.

    The paper generates whole images of one class for classification, without masks. Ours generates
    the surroundings of a defect, with its mask as a fourth plane, all types of a category in one
    network that is told the type; a crop takes the size of a real defect of that type, is put on
    the object of a normal, and joined to it inside the mask, by Poisson's equation or a soft edge.
    The mask is where that changed the normal by `least` levels. None where the mask is empty, fits
    nowhere, or no change can be seen.
    """

    title = "Con-GAN (likeness)"
    paper = (
        "Du, Gao and Li, A Contrastive GAN With Data Augmentation for Surface Defect Recognition "
        "Under Limited Data, IEEE TIM 72, 2023"
    )
    url = "https://doi.org/10.1109/TIM.2022.3232649"
    family = "GAN-based"
    local = True
    encoding = "residual"
    learns_from = "few-shot defects"
    needs = frozenset({"foreground"})

    side: int = parameter(64, "Side of a crop, in pixels: 4, doubled once for each of `widths`.")
    widths: tuple[int, ...] = parameter(
        (512, 256, 128, 64),
        "Channels of the generator from 4 x 4 on; the discriminator's, backwards.",
    )
    latent: int = parameter(128, "Numbers that a crop is made from.")
    images: int = parameter(16, "Crops of one step.")
    steps: int = parameter(60_000, "Steps, of generator and discriminator each.")
    lr: float = parameter(4e-4, "Learning rate of the generator (Adam, 0 and 0.9).")
    critic_lr: float = parameter(1e-4, "Learning rate of the discriminator.")
    margin: float = parameter(1.3, "Side of a crop, as a multiple of its defect's box.")
    smallest: float = parameter(0.125, "Side of the smallest crop, as a share of the image's.")
    matching: float = parameter(1.0, "Weight of feature attention matching.")
    contrast: float = parameter(0.1, "Weight of the contrastive loss.")
    temperature: float = parameter(0.1, "Of the contrastive loss.")
    masks: int = parameter(64, "Sizes of real defects that are kept for each type, at most.")
    blend: Literal["poisson", "mixed", "soft"] = parameter(
        "poisson",
        "How the inside of a mask joins the normal: by the crop's gradients, by the larger of "
        "crop's and normal's, which keeps the normal's grain, or by a soft edge.",
        rendering=True,
    )
    least: int = parameter(
        4, "Grey levels of change below which a pixel stays the normal's.", rendering=True
    )
    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 8 or self.side != 4 << len(self.widths):
            raise UserError(
                f"congan: side={self.side} must be 4 doubled once for each of "
                f"widths={self.widths!r}, 8 or more each."
            )
        for name in ("latent", "images", "steps", "masks", "batch"):
            low = 2 if name == "images" else 1
            if getattr(self, name) < low:
                raise UserError(f"congan: {name}={getattr(self, name)} must be {low} or more.")
        for name in ("lr", "critic_lr", "temperature"):
            if getattr(self, name) <= 0:
                raise UserError(f"congan: {name}={getattr(self, name)} must be above 0.")
        if self.margin < 1 or not 0 < self.smallest <= 1:
            raise UserError(
                f"congan: margin={self.margin} must be 1 or more, and smallest={self.smallest} lie "
                "in 0 < smallest <= 1."
            )
        if min(self.matching, self.contrast) < 0 or not 1 <= self.least <= 255:
            raise UserError(
                f"congan: matching={self.matching} and contrast={self.contrast} must be 0 or "
                f"more, and least={self.least} lie in 1..255."
            )

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.congan.model import ConganModel

        (own,) = kinds.values()
        return ConganModel(self, own)
