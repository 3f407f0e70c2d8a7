"""DFMGAN: a GAN of the normals, whose features a gated branch changes where a defect is to be."""

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
    # For one GPU and a day: 1000 and 150 thousand images.
    "mid": {
        "side": 128,
        "gate": 32,
        "base": 8192,
        "most": 256,
        "images": 32,
        "steps": 31_250,
        "defect_steps": 4_688,
        "penalty": 0.1024,
    },
    # A quarter of an hour on one core. So few steps need larger ones, and a discriminator held back
    # by more than the authors' rule (0.2), which else is done before the generator has begun.
    "tiny-scratch": {
        "side": 64,
        "gate": 16,
        "base": 1024,
        "most": 64,
        "latent": 64,
        "images": 4,
        "steps": 3000,
        "defect_steps": 500,
        "lr": 0.005,
        "penalty": 10.0,
        "path_weight": 0.0,
    },
}


@dataclass(frozen=True)
class Dfmgan(LearnedSynthesizer):
    """Draw a normal image and a defect on it by a GAN, which gives the mask with it.

    StyleGAN2 learns the category's normals first. Then, with all of it frozen, a branch of residual
    blocks learns from a few real defects of one type and their masks: its first block gives a mask,
    and where that is open, the branch's features are added to the generator's at every level of
    `gate` pixels or more (Defect-aware Feature Manipulation). A second discriminator sees image and
    mask together, and a mode-seeking loss keeps masks apart. Without the branch, the same noise
    gives the sample's own normal image, its `clean`.

    The published method fits a generator for each defect type; here each type has its own branch,
    discriminators and steps, and all of a category share the frozen backbone. A sample's type is
    drawn evenly. The mask is the first block's, enlarged and filtered. A level's gate is open where
    the mask has a pixel in its cell; as published it is open where the first block's values are
    positive, and a lone such cell, which enlarging loses, shows in the image and not in the mask.
    The backbone's convolutions carry changes up to 9 of the network's pixels beyond the gate (3
    where `gate` is half of `side`). None where the mask is empty.

    Own implementation from the formulas. Discriminators are augmented adaptively by most of ADA's
    geometry and colours, sampled bilinearly, and the gradient penalty is taken at augmented images;
    the second stage stands on the running average of the backbone; noise maps are drawn for every
    sample. Nothing of it was trained before, so `-scratch` in a variant's name says what holds for
    all of them.
    """

    title = "DFMGAN"
    paper = (
        "Duan, Hong, Niu and Zhang, Few-Shot Defect Image Generation via Defect-Aware Feature "
        "Manipulation, AAAI 2023"
    )
    url = "https://arxiv.org/abs/2303.02389"
    family = "GAN-based"
    generates = True
    pixel_version = 2
    encoding = "residual"
    learns_from = "few-shot defects"

    side: int = parameter(256, "Side of the network's images, in pixels.")
    gate: int = parameter(64, "Side of the first level with defect features, in pixels.")
    base: int = parameter(16384, "Channels of a level are this by its side, at most `most`.")
    most: int = parameter(
        512, "Largest number of channels; the matching discriminator's a quarter."
    )
    latent: int = parameter(512, "Length of the noise and of the codes.")
    images: int = parameter(16, "Images of one step.")
    steps: int = parameter(187_500, "Steps on the normals: 3000 thousand images.")
    defect_steps: int = parameter(25_000, "Steps on each defect type: 400 thousand images.")
    lr: float = parameter(0.0025, "Learning rate of Adam.")
    penalty: float = parameter(
        0.8192, "Weight of the gradient penalty, by the authors' rule 0.0002 side^2 / images."
    )
    path_weight: float = parameter(2.0, "Weight of the path length penalty; 0 for none.")
    seeking: float = parameter(0.1, "Weight of the mode-seeking loss.")
    augment: Literal["ada", "none"] = parameter(
        "ada", "How the discriminator's images are augmented: as often as it needs it, or never."
    )
    ada_kimg: float = parameter(
        500.0, "Thousand images in which the probability to augment moves by 1, on normals."
    )
    defect_ada_kimg: float = parameter(100.0, "The same, on defects.")
    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        if self.side < 16 or self.side & (self.side - 1):
            raise UserError(f"dfmgan: side={self.side} must be a power of 2, 16 or more.")
        gates = [1 << power for power in range(3, self.side.bit_length())]
        if self.gate not in gates:
            raise UserError(
                f"dfmgan: gate={self.gate} must be the side of a level: choose from "
                f"{', '.join(map(str, gates))}."
            )
        if self.most < 4 or self.base < 4 * self.side:
            raise UserError(
                f"dfmgan: most={self.most} and base={self.base} must satisfy most >= 4 and base >= "
                f"4 x side, so that every level has channels."
            )
        if self.images < 2 or self.images % 2:
            raise UserError(
                f"dfmgan: images={self.images} must be even: the halves are set against each other."
            )
        for name in ("latent", "steps", "defect_steps", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"dfmgan: {name}={getattr(self, name)} must be 1 or more.")
        for name in ("lr", "ada_kimg", "defect_ada_kimg"):
            if getattr(self, name) <= 0:
                raise UserError(f"dfmgan: {name}={getattr(self, name)} must be above 0.")
        for name in ("penalty", "path_weight", "seeking"):
            if getattr(self, name) < 0:
                raise UserError(f"dfmgan: {name}={getattr(self, name)} must be 0 or more.")

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.dfmgan.networks import DfmganModel

        (own,) = kinds.values()
        return DfmganModel(self, own)
