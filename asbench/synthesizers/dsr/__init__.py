"""DSR: normals whose codes, in a vector-quantised autoencoder, are exchanged for distant ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asbench.imaging.colour import MEANING, Colour
from asbench.imaging.overlay import check_parameters
from asbench.parameters import parameter
from asbench.types import LearnedSynthesizer, PretrainedFile
from synth_store.types import UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

VQVAE = PretrainedFile(
    name="vqvae",
    published="vq_model_pretrained_128_4096.pckl",
    source="https://github.com/VitjanZ/DSR_anomaly_detection",
    instead="dsr@full-scratch (a GPU), @mid-scratch (one GPU, an hour) or @tiny-scratch",
    rendering=False,
    smallest="tiny-scratch",
)
VQVAE_NETWORK: dict[str, Any] = {
    "width": 128,
    "blocks": 2,
    "block_width": 64,
    "codes": 4096,
    "length": 128,
}
"""The network that the published weights are of."""

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    "full-scratch": {"weights": "none", "steps": 100_000},
    "mid-scratch": {
        "weights": "none",
        "side": 128,
        "width": 64,
        "block_width": 32,
        "codes": 1024,
        "length": 64,
        "steps": 20_000,
    },
    # A few minutes on one core: its codebook is a sixteenth of the published one.
    "tiny-scratch": {
        "weights": "none",
        "side": 128,
        "width": 32,
        "block_width": 16,
        "codes": 256,
        "length": 32,
        "images": 8,
        "steps": 700,
        "lr": 2e-3,
    },
}


@dataclass(frozen=True)
class Dsr(LearnedSynthesizer):
    """Exchange an image's codes inside a Perlin mask for others far from what the encoder saw.

    An autoencoder in the manner of VQ-VAE-2 describes an image by two grids of codes, one to each
    4 x 4 pixels and a coarser one to each 8 x 8, and has learned from normals alone. Where the mask
    is, a code drawn from the nearest share s of the codebook, without the very nearest `drop`,
    takes the place of the one that fits; s is drawn for either grid. Half of the samples exchange
    the codes of both grids, the others those of one. So an anomaly is made of what the codebook
    knows, where it does not belong, and s turns it from faint to strong.

    The published method shows its detector the decoded image whole, blurred by the autoencoder, and
    as a mask the cells of the grid. Ours takes over the change alone: what the decoder makes of the
    exchanged codes less what it makes of the right ones is enlarged and laid onto the store's own
    normal, which keeps its detail; the mask is where that change reaches `least` grey levels, on
    the object where one was found, and the rest stays as it is. So masks hold what changed.

    The plain method renders with the authors' weights, which ImageNet taught: its fit learns
    nothing, and measures how well they show the normals. Variants called `-scratch` fit the
    autoencoder on the normals of all categories together; codes that nothing uses are put where
    something is, which is ours. None where the mask misses the object, or no change can be seen.
    """

    title = "DSR"
    paper = (
        "Zavrtanik, Kristan and Skocaj, DSR: A Dual Subspace Re-Projection Network for Surface "
        "Anomaly Detection, ECCV 2022"
    )
    url = "https://arxiv.org/abs/2208.01521"
    family = "autoencoder-based"
    local = True
    encoding = "residual"
    joint = True
    needs = frozenset({"foreground"})

    weights: Literal["vqvae", "none"] = parameter(
        "vqvae", "What the autoencoder starts from: the authors' weights, or nothing."
    )
    side: int = parameter(256, "Side of the network's images, in pixels.")
    width: int = parameter(128, "Channels of the encoders and the decoder.")
    blocks: int = parameter(2, "Residual blocks of each of them.")
    block_width: int = parameter(64, "Channels inside a residual block.")
    codes: int = parameter(4096, "Codes of either grid's codebook.")
    length: int = parameter(128, "Length of a code.")
    images: int = parameter(32, "From scratch: images of one step.")
    steps: int = parameter(1, "From scratch: steps; with the authors' weights, of measuring.")
    lr: float = parameter(3e-4, "From scratch: learning rate of Adam; it falls along a cosine.")
    decay: float = parameter(0.99, "Of the running averages that codes are.")
    commitment: float = parameter(0.25, "Weight of the features' distance to their codes.")
    strength_low: float = parameter(
        0.2, "Smallest share s of the codebook that codes are drawn from.", rendering=True
    )
    strength_high: float = parameter(1.0, "Largest share s.", rendering=True)
    drop: float = parameter(
        0.05, "Share of the codebook, the nearest codes, that is not drawn.", rendering=True
    )
    both: float = parameter(
        0.5, "Share of samples in which the codes of both grids are exchanged.", rendering=True
    )
    least: int = parameter(
        8, "Grey levels of the change below which the image stays as it is.", rendering=True
    )
    exponent_low: int = parameter(
        0, "Perlin cells per axis are 2^k: the smallest k.", rendering=True
    )
    exponent_high: int = parameter(
        5, "Perlin cells per axis are 2^k: the largest k.", rendering=True
    )
    threshold: float = parameter(0.5, "Noise above this is anomalous.", rendering=True)
    max_degrees: float = parameter(
        90.0, "The Perlin noise is rotated by up to this angle either way.", rendering=True
    )
    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        wrong = [name for name, value in VQVAE_NETWORK.items() if getattr(self, name) != value]
        if self.weights == "vqvae" and wrong:
            raise UserError(
                f"dsr: weights=vqvae are of another network than {wrong[0]}="
                f"{getattr(self, wrong[0])!r}: add --set weights=none."
            )
        if self.weights == "none" and self.steps < 2:
            raise UserError(
                f"dsr: weights=none learn nothing in steps={self.steps}: say how many steps, as in "
                "--set steps=100000."
            )
        if self.side < 8 or self.side % 8:
            raise UserError(f"dsr: side={self.side} must be a multiple of 8, 8 or more.")
        low = {"blocks": 0, "width": 2, "codes": 2}
        for name in ("width", "blocks", "block_width", "codes", "length", "images", "steps"):
            if getattr(self, name) < low.get(name, 1):
                raise UserError(
                    f"dsr: {name}={getattr(self, name)} must be {low.get(name, 1)} or more."
                )
        if self.batch < 1 or self.lr <= 0 or self.commitment < 0:
            raise UserError(
                f"dsr: batch={self.batch} must be 1 or more, lr={self.lr} above 0 and "
                f"commitment={self.commitment} 0 or more."
            )
        if not 0 < self.decay < 1 or not 0 <= self.both <= 1 or not 1 <= self.least <= 255:
            raise UserError(
                f"dsr: decay={self.decay} must lie in 0 < decay < 1, both={self.both} in "
                f"0 <= both <= 1 and least={self.least} in 1 <= least <= 255."
            )
        if not 0 <= self.drop < self.strength_low <= self.strength_high <= 1:
            raise UserError(
                f"dsr: drop={self.drop}, strength_low={self.strength_low} and strength_high="
                f"{self.strength_high} must satisfy 0 <= drop < strength_low <= strength_high <= 1."
            )
        check_parameters("dsr", (self.exponent_low, self.exponent_high), self.threshold, 1.0)

    @property
    def pretrained(self) -> tuple[PretrainedFile, ...]:
        return (VQVAE,) if self.weights == "vqvae" else ()

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.dsr.model import DsrModel

        return DsrModel(self, pretrained.get(VQVAE.name))
