"""RealNet: whole images from a diffusion model of the normals, sampled with too much variance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from asbench.imaging.colour import MEANING, Colour
from asbench.imaging.foreground import fixed, histogram
from asbench.imaging.overlay import check_parameters, draw_region
from asbench.parameters import parameter
from asbench.types import Canvas, LearnedSynthesizer, Need, PretrainedFile
from synth_store.types import Mask, UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

ADM = PretrainedFile(
    name="adm256",
    published="256x256_diffusion.pt",
    source="https://github.com/openai/guided-diffusion",
    instead="realnet@full-scratch (a GPU), @mid-scratch (one GPU, a day) or @tiny-scratch",
    rendering=False,
    smallest="tiny-scratch",
)
ADM_UNET: dict[str, Any] = {
    "width": 256,
    "multipliers": (1, 1, 2, 2, 4, 4),
    "layers": 2,
    "attention": (32, 16, 8),
    "head_channels": 64,
    "groups": 32,
}
"""The network that the published weights are of."""

VARIANTS = {
    # ASBench's DRAEM pipeline: one foreground for every category (grey <= 100), so on dark
    # backgrounds the background is taken for the object. The images are RealNet's own.
    "asbench": {"object_rule": "dark", "object_threshold": 100, "colour": "as-published"},
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    "full-scratch": {"weights": "none"},
    "mid-scratch": {
        "weights": "none",
        "side": 128,
        "width": 64,
        "multipliers": (1, 2, 2, 4, 4),
        "attention": (16, 8),
        "images": 32,
        "at_once": 32,
        "accumulate": 1,
        "average": 0.999,
        "steps": 60_000,
    },
    "tiny-scratch": {
        "weights": "none",
        "side": 64,
        "width": 16,
        "multipliers": (1, 2, 4),
        "layers": 1,
        "attention": (),
        "groups": 2,  # as wide as ADM's: norms of few channels lose the image's colour
        "images": 8,
        "at_once": 8,
        "accumulate": 1,
        "lr": 2e-3,
        "cosine": True,
        "average": 0.98,
        "steps": 600,
        # So few steps teach nothing of the variance: samples would be noise at any strength.
        "variance": "posterior",
    },
}


def _settings(
    dataset: str, steps: int, rules: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    return {f"{dataset}/{c}": {"steps": steps, **rule} for c, rule in rules.items()}


_WHOLE: dict[str, Any] = {"object_rule": "whole image"}
_MVTEC = {"object_close": 6, "object_open": 6}
_DARK: dict[str, Any] = {"object_rule": "otsu", "object_dark": True}
_TRIANGLE: dict[str, Any] = {"object_rule": "triangle"}
_VISA: dict[str, Any] = {"object_rule": "otsu", "object_close": 3, "object_open": 3}
_BOARD: dict[str, Any] = {
    "object_rule": "triangle",
    "object_channel": "blue",
    "object_close": 8,
    "object_open": 3,
}
_BTAD: dict[str, Any] = {"object_rule": "otsu", "object_close": 15, "object_open": 6}
_GREEN = {**_DARK, "object_channel": "green", "object_close": 6}
_BLUE: dict[str, Any] = {"object_rule": "otsu", "object_channel": "blue", "object_close": 6}

# Steps: the authors' chosen epochs, each of ceil(normals / 20) passes of 20 images, by 3 passes a
# step: 240 of MVTec's 3629 normals, 120 of VisA's 8659, 825 of MPDD's 888, 375 of BTAD's 1799.
CATEGORIES = {
    **_settings(
        "mvtec",
        14_560,
        {
            **dict.fromkeys(("carpet", "leather", "tile", "wood", "cable", "transistor"), _WHOLE),
            "pill": {"object_rule": "otsu", **_MVTEC},
            **dict.fromkeys(("hazelnut", "metal_nut", "toothbrush"), _TRIANGLE | _MVTEC),
            **dict.fromkeys(("bottle", "capsule", "grid", "screw", "zipper"), _DARK | _MVTEC),
        },
    ),
    **_settings(
        "visa",
        17_320,
        {
            "capsules": _WHOLE,
            **dict.fromkeys(("pcb1", "pcb2", "pcb3", "pcb4"), _BOARD),
            **dict.fromkeys(
                ("candle", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pipe_fryum"),
                _VISA,
            ),
        },
    ),
    **_settings(
        "mpdd",
        12_375,
        {
            **dict.fromkeys(("bracket_black", "bracket_brown", "connector"), _GREEN),
            **dict.fromkeys(("bracket_white", "tubes"), _BLUE),
            "metal_plate": {**_DARK, "object_close": 6},
        },
    ),
    **_settings("btad", 11_250, {"01": _BTAD, "02": _WHOLE, "03": _BTAD}),
}


class Placed(NamedTuple):
    """Where a sample's anomaly goes, bool (H, W), and how opaque it is."""

    mask: Mask
    opacity: float


@dataclass(frozen=True)
class Realnet(LearnedSynthesizer):
    """Blend an image of a diffusion model, sampled with too much variance, into the normal one.

    A U-Net learns to remove noise from the normals of all categories together, told which category
    it sees; no defect is needed. Sampled in a few steps whose variance is (1 + s) times what the
    network learned, it gives an image that deviates from the normal ones the more, the larger s is
    (RealNet's strength-controllable diffusion, section 3.1). That image A replaces the normal
    image I, I' = (1 - M) I + M (d A + (1 - d) I) with d = U(0.5, 1), where a Perlin mask meets the
    object (M). The strength is drawn for every sample; the published code draws one for a batch of
    16. A mask that misses the object, which it labels anomalous and leaves empty, is drawn again.
    None where 20 masks missed it, or the blend changes nothing to be seen.

    The network is OpenAI's ADM for 256 x 256 pixels, whose published weights the plain method
    starts from; variants called `-scratch` start from nothing, and their samples lack what ADM
    learned from ImageNet. No classifier guidance, which the authors call optional. Fitting takes
    images with replacement, where the authors go through them in shuffled epochs; their four GPUs
    of 5 images are one of 20, passed through the network 5 at a time.

    The object is found by the authors' threshold for each category of MVTec AD, VisA, MPDD and
    BTAD, and by the automatic rule elsewhere.
    """

    title = "RealNet"
    paper = (
        "Zhang, Xu and Zhou, RealNet: A Feature Selection Network with Realistic Synthetic Anomaly "
        "for Anomaly Detection, CVPR 2024"
    )
    url = "https://arxiv.org/abs/2403.05897"
    family = "diffusion-based"
    local = True
    encoding = "residual"
    joint = True

    weights: Literal["adm256", "none"] = parameter(
        "adm256", "What the network starts from: OpenAI's ADM, or nothing."
    )
    side: int = parameter(256, "Side of the network's images, in pixels.")
    width: int = parameter(256, "Channels of the network's first level.")
    multipliers: tuple[int, ...] = parameter(
        (1, 1, 2, 2, 4, 4), "Channels of each level, as multiples of `width`."
    )
    layers: int = parameter(2, "Residual blocks of each level.")
    attention: tuple[int, ...] = parameter(
        (32, 16, 8), "Sides of the levels with self-attention, in pixels."
    )
    head_channels: int = parameter(64, "Channels of an attention head.")
    groups: int = parameter(32, "Groups of the group norms.")
    images: int = parameter(20, "Images of one pass, whose gradients are averaged.")
    at_once: int = parameter(5, "Images that go through the network together while it is fitted.")
    accumulate: int = parameter(
        3, "Passes of one step: gradients are summed, and clipped to norm 1 after each."
    )
    steps: int = parameter(14_560, "Steps of the optimiser.")
    lr: float = parameter(1e-4, "Learning rate of Adam.")
    cosine: bool = parameter(
        False, "Whether the learning rate falls to zero along half a cosine: for short fits."
    )
    average: float = parameter(
        0.9999, "Decay of the running average of the weights, which renders."
    )
    precision: Literal["float32", "bfloat16"] = parameter(
        "float32", "Of the network's arithmetic while it is fitted; weights stay float32."
    )
    walk: int = parameter(20, "Steps of sampling, of the 1000 it was fitted on.", rendering=True)
    variance: Literal["learned", "posterior"] = parameter(
        "learned",
        "Of a step of sampling, before its strength: what the network says, or the smallest it may "
        "say, for networks too small or too briefly fitted to say anything.",
        rendering=True,
    )
    strength_low: float = parameter(0.1, "Smallest strength s.", rendering=True)
    strength_high: float = parameter(0.2, "Largest strength s.", rendering=True)
    opacity_low: float = parameter(0.5, "Smallest opacity inside the mask.", rendering=True)
    opacity_high: float = parameter(1.0, "Largest opacity inside the mask.", rendering=True)
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
    object_rule: Literal["automatic", "whole image", "otsu", "triangle", "dark", "bright"] = (
        parameter(
            "automatic",
            "The object: what differs from a plain background; everything; by a threshold from the "
            "histogram (otsu, triangle); or the pixels of a grey level at most (dark), or above "
            "(bright), `object_threshold`.",
            rendering=True,
        )
    )
    object_threshold: int = parameter(
        100, "Grey level of the rules dark and bright, 0..255.", rendering=True
    )
    object_channel: Literal["grey", "green", "blue"] = parameter(
        "grey", "What the rules otsu and triangle look at.", rendering=True
    )
    object_dark: bool = parameter(
        False,
        "Of the rules otsu and triangle: whether the object is the darker side.",
        rendering=True,
    )
    object_close: int = parameter(
        0,
        "After otsu or triangle, gaps up to this many 256ths of the side are closed.",
        rendering=True,
    )
    object_open: int = parameter(
        0, "Then specks up to this many 256ths of the side are removed.", rendering=True
    )

    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        self._check_network()
        self._check_fitting()
        if not 1 <= self.walk <= 1000:
            raise UserError(f"realnet: walk={self.walk} must lie in 1 <= walk <= 1000.")
        if not 0 <= self.strength_low <= self.strength_high:
            raise UserError(
                f"realnet: strength_low={self.strength_low} and strength_high="
                f"{self.strength_high} must satisfy 0 <= strength_low <= strength_high."
            )
        if not 0 < self.opacity_low <= self.opacity_high <= 1:
            raise UserError(
                f"realnet: opacity_low={self.opacity_low} and opacity_high={self.opacity_high} "
                "must satisfy 0 < opacity_low <= opacity_high <= 1."
            )
        for name in ("object_close", "object_open", "object_threshold"):
            if not 0 <= getattr(self, name) <= 255:
                raise UserError(
                    f"realnet: {name}={getattr(self, name)} must lie in 0 <= {name} <= 255."
                )
        check_parameters("realnet", (self.exponent_low, self.exponent_high), self.threshold, 1.0)

    def _check_network(self) -> None:
        wrong = [name for name, value in ADM_UNET.items() if getattr(self, name) != value]
        if self.weights == "adm256" and wrong:
            raise UserError(
                f"realnet: weights=adm256 are of another network than {wrong[0]}="
                f"{getattr(self, wrong[0])!r}: add --set weights=none."
            )
        levels = len(self.multipliers)
        if not levels or self.side < 8 or self.side % (1 << levels - 1):
            raise UserError(
                f"realnet: side={self.side} must be 8 or more, and divisible by 2 once between "
                f"any two levels of multipliers={self.multipliers!r}."
            )
        sides = tuple(self.side >> level for level in range(levels))
        if not set(self.attention) <= set(sides):
            raise UserError(
                f"realnet: attention={self.attention!r} must name sides of levels: choose from "
                f"{', '.join(map(str, sides))}."
            )
        for multiplier in self.multipliers:
            channels = self.width * multiplier
            if channels < 1 or channels % self.groups:
                raise UserError(
                    f"realnet: width={self.width} x {multiplier} must be a multiple of "
                    f"groups={self.groups}."
                )
            if self.attention and channels % self.head_channels:
                raise UserError(
                    f"realnet: width={self.width} x {multiplier} must be a multiple of "
                    f"head_channels={self.head_channels}, where there is attention."
                )

    def _check_fitting(self) -> None:
        for name in ("layers", "images", "at_once", "accumulate", "steps", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"realnet: {name}={getattr(self, name)} must be 1 or more.")
        if self.lr <= 0 or not 0 <= self.average < 1:
            raise UserError(
                f"realnet: lr={self.lr} must be above 0 and average={self.average} lie in "
                "0 <= average < 1."
            )

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"foreground"} if self.object_rule == "automatic" else ())

    @property
    def keeps_to_object(self) -> bool:
        return True  # by `object_rule`, which may say that it is the whole image

    @property
    def pretrained(self) -> tuple[PretrainedFile, ...]:
        return (ADM,) if self.weights == "adm256" else ()

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.realnet.networks import RealnetModel

        return RealnetModel(self, tuple(kinds), pretrained.get(ADM.name))

    def place(self, canvas: Canvas, rng: np.random.Generator) -> Placed | None:
        """Return where on the canvas the anomaly goes; None where no mask meets the object."""
        height, width = canvas.normal.shape[:2]
        mask = draw_region(
            height,
            width,
            rng,
            within=self._object(canvas),
            exponents=(self.exponent_low, self.exponent_high),
            threshold=self.threshold,
            max_degrees=self.max_degrees,
        )
        opacity = float(rng.uniform(self.opacity_low, self.opacity_high))
        return None if mask is None else Placed(mask, opacity)

    def _object(self, canvas: Canvas) -> Mask | None:
        if self.object_rule == "whole image":
            return None
        if self.object_rule == "automatic":
            return canvas.foreground
        if self.object_rule == "otsu" or self.object_rule == "triangle":
            return histogram(
                canvas.normal,
                self.object_rule,
                channel=self.object_channel,
                dark=self.object_dark,
                close=self.object_close,
                opening=self.object_open,
            )
        return fixed(canvas.normal, self.object_threshold, dark=self.object_rule == "dark")
