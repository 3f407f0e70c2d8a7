"""AdaBLDM: blended latent diffusion, told by a trimap where the object and the defect are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from asbench.fitting.latent_method import PUBLISHED, LatentMethod
from asbench.imaging.colour import MEANING, Colour
from asbench.parameters import parameter
from asbench.types import PretrainedFile
from synth_store.types import UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

SD = PretrainedFile(
    name="sd15",
    published="stable-diffusion-v1-5",
    source="https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5 (its folders vae, "
    "unet, text_encoder and tokenizer; CreativeML OpenRAIL-M)",
    instead="adabldm@mid-scratch (one GPU, a day) or @tiny-scratch",
    smallest="tiny-scratch",
)
SD_NETWORKS: dict[str, Any] = {**PUBLISHED, "words": 768, "hint": (16, 32, 96, 256)}
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
        "hint": (16, 32, 96),
        "images": 16,
        "steps": 20_000,
        "lr": 1e-4,
        "laid": "change",
        "adapt_steps": 0,
    },
    # A latent of 32 x 32; so small a decoder is blurred everywhere, so the change alone is laid
    # onto the normal, and nothing is left to adapt to.
    "tiny-scratch": {
        "weights": "none",
        "side": 64,
        "coder_widths": (16, 32),
        "coder_layers": 1,
        "coder_attention": False,
        "coder_steps": 400,
        "coder_lr": 2e-3,
        "widths": (24, 64),
        "layers": 1,
        "attention": (2,),
        "heads": 4,
        "words": 32,
        "groups": 8,
        "hint": (8, 16),
        "prior_images": 8,
        "prior_steps": 500,
        "prior_lr": 1e-3,
        "images": 8,
        "steps": 500,
        "lr": 1e-3,
        "masks": 16,
        "walk": 20,
        "free": 8,
        "edited": 2,
        "guidance": 3.0,
        "laid": "change",
        "adapt_steps": 0,
    },
}


@dataclass(frozen=True)
class Adabldm(LatentMethod):
    """Repaint a normal where a trimap says that a defect is, and mend the decoder for every image.

    A frozen latent diffusion model is steered by a sentence ("a tile with a crack") and by a
    control branch that reads a trimap: background, object, defect. The branch learns from real
    defects of the few-shot third cut out, turned (0 to 360 degrees), scaled (0.85 to 1.15) and put
    elsewhere on a normal's object; it always reads the empty sentence. A sample walks back from
    noise in three stages: free; then, before each step, the outside of the mask is set to the
    normal's latent with as much noise; last, the clean image seen at a step is decoded, its outside
    replaced by the normal's pixels and encoded again. At the end a copy of the decoder is adapted
    to the one image, `adapt_steps` long: outside of the mask to the normal, inside to what it gave
    at first.

    Deviations from the published code. After the last kind of step it adds the noise of the step
    that was just taken, after the last step too, and encodes to a draw; ours adds that of the next,
    none at the end, and encodes to the mean. It squeezes turned defects, by an exchange of sides,
    and places masks unturned; ours follows the paper in both. It has one branch for each defect
    type, ours one for a category, which its sentence tells apart. The paper's first stage, which
    tunes the U-Net to the data set, is not in its code, nor here; 10 % of the sentences are
    withheld in fitting, as in the paper.

    The plain method starts from Stable Diffusion 1.5. Variants called `-scratch` have no such
    prior: they train an autoencoder, a U-Net and words for the category, "anomaly" and "crack" on
    normals with drawn shapes, and then freeze them; the types' words learn with the branch. They
    lay on the store's own normal what the two decoded latents, with and without the defect, differ
    by (`laid`), so that the rest keeps its detail, and the mask is where that can be seen. None
    where the mask does not fit onto the object, or its inside shows no change.
    """

    title = "AdaBLDM"
    paper = (
        "Li, Zhang, Zhang, Chen and Zhou, A Novel Approach to Industrial Defect Generation through "
        "Blended Latent Diffusion Model with Online Adaptation, 2024"
    )
    url = "https://arxiv.org/abs/2402.19330"
    family = "diffusion-based"
    learns_from = "few-shot defects"
    needs = frozenset({"foreground"})

    weights: Literal["sd15", "none"] = parameter(
        "sd15", "What is frozen: Stable Diffusion 1.5, or a model fitted from nothing."
    )
    hint: tuple[int, ...] = parameter(
        (16, 32, 96, 256), "Channels between the trimap and the control branch, halving it each."
    )
    images: int = parameter(4, "Pairs of a step of the control branch.")
    steps: int = parameter(50_000, "Steps of the control branch.")
    lr: float = parameter(1e-5, "Learning rate of the control branch (AdamW).")
    untold: float = parameter(0.1, "Share of the sentences that are withheld in fitting.")
    masks: int = parameter(64, "Masks of each defect type that are kept to render by, at most.")
    walk: int = parameter(50, "Sampling steps (DDIM).", rendering=True)
    free: int = parameter(20, "Of these, the first, in which nothing is blended.", rendering=True)
    edited: int = parameter(
        5, "Of these, the last, after which the outside is the normal's pixels.", rendering=True
    )
    guidance: float = parameter(
        9.0, "Classifier-free guidance: of the sentence against the empty one.", rendering=True
    )
    adapt_steps: int = parameter(
        200, "Steps that adapt the decoder to each image; 0: none.", rendering=True
    )
    adapt_lr: float = parameter(1e-4, "Learning rate of the decoder (AdamW).", rendering=True)
    laid: Literal["decoded", "change"] = parameter(
        "decoded",
        "What the sample is: the decoded image as it is, as published, or the normal with the "
        "decoded change.",
        rendering=True,
    )
    least: int = parameter(
        6, "Of a laid change: grey levels below which the normal stays.", rendering=True
    )
    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        wrong = [name for name, value in SD_NETWORKS.items() if getattr(self, name) != value]
        if self.weights == "sd15" and wrong:
            raise UserError(
                f"adabldm: weights=sd15 are of another network than {wrong[0]}="
                f"{getattr(self, wrong[0])!r}: add --set weights=none."
            )
        if len(self.hint) != len(self.coder_widths):
            raise UserError(
                f"adabldm: hint={self.hint!r} must have as many levels as "
                f"coder_widths={self.coder_widths!r}: both halve the image alike."
            )
        if self.side < 16:
            raise UserError(f"adabldm: side={self.side} must be 16 or more.")
        self._check_fresh()
        self._check_at_least_one("images", "steps", "masks")
        self._check_positive("lr", "adapt_lr")
        if not 1 <= self.walk <= 500 or min(self.free, self.edited) < 0:
            raise UserError(
                f"adabldm: walk={self.walk} must lie in 1..500, free={self.free} and "
                f"edited={self.edited} be 0 or more."
            )
        if self.free + self.edited > self.walk:
            raise UserError(
                f"adabldm: free={self.free} and edited={self.edited} are more than "
                f"walk={self.walk} steps together."
            )
        if self.adapt_steps < 0 or not 0 <= self.untold < 1 or not 1 <= self.least <= 255:
            raise UserError(
                f"adabldm: adapt_steps={self.adapt_steps} must be 0 or more, untold={self.untold} "
                f"lie in 0 <= untold < 1 and least={self.least} in 1..255."
            )

    @property
    def keeps_to_object(self) -> bool:
        return True

    @property
    def pretrained(self) -> tuple[PretrainedFile, ...]:
        return (SD,) if self.weights == "sd15" else ()

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.adabldm.model import AdabldmModel

        ((category, own),) = kinds.items()
        return AdabldmModel(self, category, own, pretrained.get(SD.name))
