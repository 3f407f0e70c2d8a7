"""DefectDiffu: a diffusion transformer told background, defect and both, block after block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asbench.imaging.colour import MEANING, Colour
from asbench.parameters import parameter
from asbench.types import LearnedSynthesizer, Need, PretrainedFile
from synth_store.types import UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

_INSTEAD = "defectdiffu@mid-scratch (one GPU, a day) or @tiny-scratch"
DIT = PretrainedFile(
    name="dit",
    published="DiT-XL-2-256x256.pt",
    source="https://github.com/facebookresearch/DiT",
    instead=_INSTEAD,
    rendering=False,
    smallest="tiny-scratch",
)
VAE = PretrainedFile(
    name="vae",
    published="sd-vae-ft-mse",
    source="https://huggingface.co/stabilityai/sd-vae-ft-mse (the whole folder)",
    instead=_INSTEAD,
    smallest="tiny-scratch",
)
DIT_NETWORK: dict[str, Any] = {
    "side": 256,
    "patch": 2,
    "width": 1152,
    "heads": 16,
    "blocks": (10, 10, 8),
}
"""The network that the published weights are of; it works on latents of 32 x 32."""

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    "mid-scratch": {
        "weights": "none",
        "side": 128,
        "patch": 8,
        "width": 384,
        "heads": 6,
        "blocks": (4, 4, 4),
        "words": 128,
        "images": 32,
        "steps": 60_000,
        "lr": 1e-4,
        "average": 0.999,
        "laid": "change",
    },
    # Ten minutes on one core: pixels, in place of an autoencoder that would have to be fitted too.
    "tiny-scratch": {
        "weights": "none",
        "side": 64,
        "patch": 4,
        "width": 96,
        "heads": 4,
        "blocks": (2, 2, 2),
        "words": 32,
        "images": 8,
        "steps": 1200,
        "lr": 1e-3,
        "cosine": True,
        "average": 0.98,
        "variance": "posterior",
        "walk": 25,
        "last": 3,
        "laid": "change",
    },
}


@dataclass(frozen=True)
class Defectdiffu(LearnedSynthesizer):
    """Generate image and mask together, with one text for each third of a transformer's blocks.

    The first blocks of a diffusion transformer are told what the product is, the next what the
    defect is, the last both. The blocks of the defect also attend from every patch to the defect's
    one vector, by a softmax over the patches: each head's map says where the defect is. A small
    head makes the mask of all these maps. The loss is that of the noise and of its variance, of the
    mask (0.2), and of the noise inside the mask, weighted 2 to 8 by how far the maps lie outside of
    it. Normals are told "good", and so is a fifth of the defects; a sample is guided by the
    difference of its defect's text to "good".

    The sample's `clean` image, with source -1, is the same noise told "good" all the way: ours,
    since the authors show none. `laid=change`, ours too, because a small network's surfaces are
    coarse, takes over the defect alone: onto the store's own normal, which is then `clean`, on the
    object and in the mask's surroundings, what the two differ by beyond what they differ by
    elsewhere; where that is `least` levels is then the mask. What they differ by elsewhere is no
    defect but the network's noise: None where the mask's inside is not `louder` than it. Decoded,
    the mask is the head's, cut at iterated means as published. None where the mask covers nothing
    or more than `area_high`, where less than `agree` of mask and change lie on each other, or where
    no change can be seen.

    The plain method starts from DiT-XL/2 and works in the latents of Stable Diffusion's
    autoencoder. Its texts are learned vectors, one for each category and for each type's name, in
    place of CLIP's: they cannot name what was not seen. Variants called `-scratch` work on pixels.
    Half of a step's images are defects, where the authors go through all images in turn.
    """

    title = "DefectDiffu"
    paper = (
        "Shi, Wei, Wu, Zhang, Feng and Chen, Few-shot Defect Image Generation based on Consistency "
        "Modeling, ECCV 2024"
    )
    url = "https://arxiv.org/abs/2408.00372"
    family = "diffusion-based"
    generates = True
    joint = True
    learns_from = "few-shot defects"
    pixel_version = 3

    weights: Literal["dit", "none"] = parameter(
        "dit", "What it starts from: DiT-XL/2 and an autoencoder, or nothing, on pixels."
    )
    side: int = parameter(256, "Side of the images, in pixels.")
    patch: int = parameter(2, "Side of a patch: of the latent, from scratch of the image.")
    width: int = parameter(1152, "Channels of the transformer.")
    heads: int = parameter(16, "Attention heads.")
    blocks: tuple[int, int, int] = parameter(
        (10, 10, 8), "Blocks told the category, the defect type, and both."
    )
    words: int = parameter(1024, "Length of the vectors that stand for texts.")
    images: int = parameter(2, "Images of one step.")
    steps: int = parameter(400_000, "Steps of the optimiser (AdamW, weight decay 1e-8).")
    lr: float = parameter(1e-5, "Its learning rate.")
    cosine: bool = parameter(
        False, "Whether the learning rate falls to zero along half a cosine: for short fits."
    )
    average: float = parameter(
        0.9999, "Decay of the running average of the weights, which renders."
    )
    untold: float = parameter(0.2, "Share of the defects that are told good, for guidance.")
    mask_weight: float = parameter(0.2, "Weight of the mask's error.")
    inside: tuple[float, float] = parameter(
        (2.0, 8.0), "Smallest and largest weight of the noise's error inside the mask."
    )
    walk: int = parameter(50, "Steps of sampling, of the 1000 it was fitted on.", rendering=True)
    guidance: float = parameter(
        1.5, "Of the defect's text against good: the defect's strength.", rendering=True
    )
    variance: Literal["learned", "posterior"] = parameter(
        "learned",
        "Of a step of sampling: what the network says, or the smallest it may say.",
        rendering=True,
    )
    last: int = parameter(5, "Last steps whose masks are averaged.", rendering=True)
    laid: Literal["decoded", "change"] = parameter(
        "decoded",
        "What the sample is: the image as it is, as published, or a normal with its change.",
        rendering=True,
    )
    least: int = parameter(
        6, "Of a laid change: grey levels below which the normal stays.", rendering=True
    )
    area_high: float = parameter(
        0.4, "Refused: masks of a larger share of the image.", rendering=True
    )
    agree: float = parameter(
        0.1, "Refused: masks whose overlap (IoU) with the change is smaller.", rendering=True
    )
    louder: float = parameter(
        1.5,
        "Refused, of a laid change: one that is not so many times as large (root mean square) "
        "inside the mask as what else the two images differ by.",
        rendering=True,
    )
    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        wrong = [name for name, value in DIT_NETWORK.items() if getattr(self, name) != value]
        if self.weights == "dit" and wrong:
            raise UserError(
                f"defectdiffu: weights=dit are of another network than {wrong[0]}="
                f"{getattr(self, wrong[0])!r}: add --set weights=none."
            )
        for name in (
            "side",
            "patch",
            "width",
            "heads",
            "words",
            "images",
            "steps",
            "last",
            "batch",
        ):
            if getattr(self, name) < 1:
                raise UserError(f"defectdiffu: {name}={getattr(self, name)} must be 1 or more.")
        if self.side % self.patch or self.width % self.heads or self.width % 4:
            raise UserError(
                f"defectdiffu: side={self.side} must be a multiple of patch={self.patch}, and "
                f"width={self.width} of heads={self.heads} and of 4."
            )
        if min(self.blocks) < 1:
            raise UserError(f"defectdiffu: blocks={self.blocks!r} must be 1 or more each.")
        if not 1 <= self.walk <= 1000 or self.last > self.walk:
            raise UserError(
                f"defectdiffu: walk={self.walk} must lie in 1..1000, and last={self.last} be no "
                "more."
            )
        if self.lr <= 0 or not 0 <= self.average < 1 or not 0 <= self.untold < 1:
            raise UserError(
                f"defectdiffu: lr={self.lr} must be above 0, average={self.average} and "
                f"untold={self.untold} lie in 0..1."
            )
        if self.mask_weight < 0 or not 0 <= self.inside[0] <= self.inside[1]:
            raise UserError(
                f"defectdiffu: mask_weight={self.mask_weight} must be 0 or more, and "
                f"inside={self.inside!r} two weights in order."
            )
        if not 0 < self.area_high <= 1 or not 0 <= self.agree < 1 or not 1 <= self.least <= 255:
            raise UserError(
                f"defectdiffu: area_high={self.area_high} and agree={self.agree} must be shares, "
                f"and least={self.least} lie in 1..255."
            )
        if self.louder < 0:
            raise UserError(f"defectdiffu: louder={self.louder} must be 0 or more.")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"foreground"}) if self.laid == "change" else frozenset()

    @property
    def pretrained(self) -> tuple[PretrainedFile, ...]:
        return (DIT, VAE) if self.weights == "dit" else ()

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.defectdiffu.model import DefectdiffuModel

        return DefectdiffuModel(self, kinds, pretrained)
