"""AnomalyDiffusion: latent diffusion that learns a real defect's look, its place and its mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asbench.fitting.latent_method import PUBLISHED, LatentMethod
from asbench.imaging.colour import MEANING, Colour
from asbench.parameters import parameter
from asbench.types import Need, PretrainedFile
from synth_store.types import UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

LDM = PretrainedFile(
    name="ldm",
    published="ldm-text2im-large-256",
    source="https://huggingface.co/CompVis/ldm-text2im-large-256 (the whole folder)",
    instead="anomalydiffusion@mid-scratch (one GPU, a day) or @tiny-scratch",
    smallest="tiny-scratch",
)
LDM_NETWORKS: dict[str, Any] = {**PUBLISHED, "words": 1280}
"""The networks that the published weights are of."""

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    "mid-scratch": {
        "weights": "none",
        "side": 128,
        "coder_widths": (64, 128, 256),
        "widths": (96, 192, 384),
        "words": 256,
        "locator_width": 32,
        "locator_units": (2, 2, 2, 2),
        "images": 16,
        "steps": 20_000,
        "lr": 5e-3,
        "mask_steps": 3_000,
        "mask_lr": 5e-3,
    },
    "tiny-scratch": {
        "weights": "none",
        "side": 64,
        "coder_widths": (16, 32),
        "coder_layers": 1,
        "coder_attention": False,
        "coder_steps": 450,
        "coder_lr": 2e-3,
        "widths": (24, 64),
        "layers": 1,
        "attention": (2,),
        "heads": 4,
        "words": 32,
        "groups": 8,
        "prior_images": 8,
        "prior_steps": 600,
        "prior_lr": 1e-3,
        "locator_width": 8,
        "locator_units": (1, 1, 1, 1),
        "images": 8,
        "steps": 300,
        # At 1e-2 the loss of the looks doubles from step 180 on.
        "lr": 3e-3,
        "mask_images": 8,
        "mask_steps": 60,
        "mask_lr": 1e-2,
        # Pictures of masks by so small a network are grey: the authors' 0.8 keeps crumbs of them.
        "mask_threshold": 0.0,
        "masks": 32,
        "mask_walk": 15,
        "walk": 20,
        # So small an autoencoder blurs the image, and paints beyond its mask.
        "laid": "change",
    },
}


@dataclass(frozen=True)
class Anomalydiffusion(LatentMethod):
    """Repaint the inside of a generated mask by a diffusion model that was told the defect's look.

    A frozen latent diffusion model is steered by words alone. For every pair of category and
    defect type four vectors stand for the defect's look; a spatial encoder turns a mask into four
    more. Both are learned from the few-shot defects by textual inversion, with a loss that counts
    inside the mask only, over all pairs together (part A). Sixteen vectors for every pair stand
    for its masks, learned the same way from the masks as pictures (part B), and `masks` of them are
    sampled at the end of the fit, thresholded and kept, those that touch the border widely, are
    almost nothing or cover most of the image being refused.

    A sample draws a defect type, one of its masks and all noise, and walks back from noise while
    the outside of the mask is held at the normal's latent. So its background is not the normal but
    what the autoencoder makes of it: this is the sample's `clean` image, with source -1, so that
    the two differ by the defect and not by the autoencoder's blur. The authors store that image
    too. A pair without an accepted mask is not drawn. None where the mask's inside shows no change.

    The plain method starts from CompVis's text-to-image model of 1.45 billion parameters.
    Variants called `-scratch` have no such prior, which is the point of the method: they train an
    autoencoder and a U-Net with a vocabulary of a few words on the normals, drawn masks, and
    normals with a drawn, filled shape for the word "anomaly", and the autoencoder on the few-shot
    defects too; then these are frozen, and A and B follow as published. Their defects are as good
    as so small a model.

    `laid=change`, which `@tiny-scratch` does, is ours: what the two decoded images differ by, on
    the mask and up to 6 pixels of 256 around it, is laid onto the normal, which keeps its detail
    and its colours; the mask is where that changed it by `least` grey levels. Masks are sampled for
    no normal in particular: of a type's, those alone are drawn of which a quarter or more lies on
    the object, and of these what lies beside it is left out. Decoded whole, so small a network
    shifts the background's colours and paints defects twice as wide as their masks.

    The third of the defects is strict: the authors' appearance model sees one image more, which
    their evaluation scores too. Crops are taken of images at the store's size, not at 512 pixels.
    """

    title = "AnomalyDiffusion"
    paper = (
        "Hu, Zhang, Yi, Du, Chen, Liu, Wang and Wang, AnomalyDiffusion: Few-Shot Anomaly Image "
        "Generation with Diffusion Model, AAAI 2024"
    )
    url = "https://arxiv.org/abs/2312.05767"
    family = "diffusion-based"
    generates = True
    joint = True
    learns_from = "few-shot defects"
    pixel_version = 2

    weights: Literal["ldm", "none"] = parameter(
        "ldm", "What is frozen: CompVis's text-to-image model, or one fitted from nothing."
    )
    words: int = parameter(1280, "Length of a word's vector.")
    look_words: int = parameter(4, "Vectors that stand for a defect's look.")
    place_words: int = parameter(4, "Vectors that stand for a mask as the spatial encoder sees it.")
    locator_width: int = parameter(64, "Channels of the spatial encoder's first stage.")
    locator_units: tuple[int, int, int, int] = parameter(
        (3, 4, 14, 3), "Residual units of the spatial encoder's stages."
    )
    images: int = parameter(4, "Images of a step of part A.")
    steps: int = parameter(300_000, "Steps of part A, over all pairs together.")
    lr: float = parameter(0.02, "Learning rate of part A (Adam).")
    augment: float = parameter(
        0.5, "Share of part A's steps whose images are flipped, turned and cropped."
    )
    mask_words: int = parameter(16, "Vectors that stand for the masks of a pair.")
    mask_images: int = parameter(4, "Masks of a step of part B.")
    mask_steps: int = parameter(30_001, "Steps of part B for every pair.")
    mask_lr: float = parameter(0.02, "Learning rate of part B (AdamW).")
    masks: int = parameter(500, "Masks that are sampled and kept for every pair.")
    mask_tries: int = parameter(
        8, "Times as many masks are sampled, at most, to find `masks` that are not refused."
    )
    mask_walk: int = parameter(100, "Sampling steps of a mask.")
    guidance: float = parameter(5.0, "Classifier-free guidance of a mask's sampling.")
    mask_threshold: float = parameter(
        0.8, "A mask is where the mean of the channels, in -1..1, exceeds this."
    )
    mask_border: float = parameter(
        1 / 3, "Refused: masks on more than this share of one of the image's four borders."
    )
    area_low: float = parameter(0.0002, "Refused: masks of a smaller share of the image.")
    area_high: float = parameter(0.6, "Refused: masks of a larger share of the image.")
    precision: Literal["float32", "bfloat16"] = parameter(
        "float32", "Of the networks' arithmetic while they are fitted; weights stay float32."
    )
    walk: int = parameter(200, "Sampling steps of an image.", rendering=True)
    reweighting: bool = parameter(
        False,
        "Adaptive attention re-weighting: words weigh more where the mask still shows the normal. "
        "The authors advise it for texture-like defects.",
        rendering=True,
    )
    paste_background: bool = parameter(
        False,
        "Put the normal's own pixels outside of the mask, dilated by 9 pixels of 256 and "
        "feathered, into the sample and its clean image.",
        rendering=True,
    )
    laid: Literal["decoded", "change"] = parameter(
        "decoded",
        "What the sample is: the decoded image, its clean image decoded too, as published; or the "
        "normal with what the two differ by, and as mask where that shows.",
        rendering=True,
    )
    least: int = parameter(
        6, "Of a laid change: grey levels below which the normal stays.", rendering=True
    )
    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        self._check_networks()
        self._check_fitting()
        for name in ("walk", "mask_walk"):
            if not 1 <= getattr(self, name) <= 500:
                raise UserError(
                    f"anomalydiffusion: {name}={getattr(self, name)} must lie in 1 <= {name} <= "
                    "500."
                )
        if not 0 < self.mask_border <= 1 or not 0 <= self.augment <= 1:
            raise UserError(
                f"anomalydiffusion: mask_border={self.mask_border} must lie in 0 < mask_border <= "
                f"1, and augment={self.augment} in 0 <= augment <= 1."
            )
        if not 1 <= self.least <= 255:
            raise UserError(f"anomalydiffusion: least={self.least} must lie in 1..255.")
        if not 0 <= self.area_low < self.area_high <= 1:
            raise UserError(
                f"anomalydiffusion: area_low={self.area_low} and area_high={self.area_high} must "
                "satisfy 0 <= area_low < area_high <= 1 (shares of the image)."
            )

    def _check_networks(self) -> None:
        wrong = [name for name, value in LDM_NETWORKS.items() if getattr(self, name) != value]
        if self.weights == "ldm" and wrong:
            raise UserError(
                f"anomalydiffusion: weights=ldm are of another network than {wrong[0]}="
                f"{getattr(self, wrong[0])!r}: add --set weights=none."
            )
        if self.side < 16 or self.side & (self.side - 1):
            raise UserError(
                f"anomalydiffusion: side={self.side} must be a power of 2, 16 or more: the spatial "
                "encoder halves it down to one pixel."
            )
        if self.weights == "none":
            self._check_fresh()

    def _check_fitting(self) -> None:
        words = ("look_words", "place_words", "mask_words", "locator_width")
        counts = ("images", "steps", "mask_images", "mask_steps", "masks", "mask_tries")
        self._check_at_least_one(*words, *counts)
        self._check_positive("lr", "mask_lr")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"foreground"}) if self.laid == "change" else frozenset()

    @property
    def pretrained(self) -> tuple[PretrainedFile, ...]:
        return (LDM,) if self.weights == "ldm" else ()

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.anomalydiffusion.networks import AnomalydiffusionModel

        return AnomalydiffusionModel(self, kinds, pretrained.get(LDM.name))
