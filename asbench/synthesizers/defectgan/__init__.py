"""Defect-GAN: a network that defaces normals and restores defects, through a map of where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from asbench.imaging.colour import MEANING, Colour
from asbench.parameters import parameter
from asbench.types import LearnedSynthesizer
from synth_store.types import UserError

if TYPE_CHECKING:
    from asbench.fitting.contract import LearnedModel

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    # For one GPU and an evening: a quarter of the channels' work, a fifth of the steps.
    "mid": {"width": 32, "steps": 20_000},
    # A quarter of an hour on one core. So few steps do not teach the map its place: it is gated by
    # the control map, and drawn to it. Nor do they teach it to paint a surface: it changes the one
    # that is there.
    "tiny-scratch": {
        "side": 64,
        "width": 16,
        "blocks": 2,
        "hidden": 8,
        "critic_width": 32,
        "critic_levels": 4,
        "critics": 2,
        "images": 2,
        "steps": 800,
        "lr": 4e-4,
        "near": True,
        "gated": True,
        "control": 10.0,
        "sparse": 0.0,
        "masks": 16,
    },
}


@dataclass(frozen=True)
class Defectgan(LearnedSynthesizer):
    """Draw a defect onto a normal image: x' = (1 - m) x + m f, with f and the map m a network's.

    One generator defaces normals and restores defects. A control map, one plane for each defect
    type and one for normal, says what is to be where, and enters the decoder by spatially adaptive
    normalisation; noise, by weights that are learned for each channel. A critic (WGAN-GP) with a
    head for classes judges what comes out; what was defaced and restored again must be the image it
    was, by the same map, and maps are to be sparse.

    Re-implemented from the paper's description: its code is not public. The schedule is the
    paper's; layers, and the weights of restoration, maps and classes, are those on which public
    re-implementations agree, or ours. The paper has labels of images alone; here the control maps
    are masks of few-shot defects, mirrored and put elsewhere on the object. `gated`, in
    `@tiny-scratch`, is ours: the map is closed outside of the control map's surroundings, in
    fitting too, because so few steps do not teach it its place.

    The map and f are enlarged and composed with the store's own normal, which so keeps its detail;
    where the map is below `open` the image stays as it is, and the rest is the mask. A sample's
    type is drawn evenly. What `@tiny-scratch` paints is motley after a few hundred steps: it shows
    that the path works, not what the method can do. None where the map stays closed, a mask fits
    nowhere, or nothing can be seen.
    """

    title = "Defect-GAN"
    paper = (
        "Zhang, Cui, Hung and Lu, Defect-GAN: High-Fidelity Defect Synthesis for Automated Defect "
        "Inspection, WACV 2021"
    )
    url = "https://arxiv.org/abs/2103.15158"
    family = "GAN-based"
    local = True
    encoding = "residual"
    learns_from = "few-shot defects"
    needs = frozenset({"foreground"})

    side: int = parameter(128, "Side of the network's images, in pixels.")
    width: int = parameter(64, "Channels at full size; twice as many at every halving.")
    blocks: int = parameter(6, "Residual blocks at an eighth of the side.")
    hidden: int = parameter(128, "Channels between a control map and what it does to features.")
    critic_width: int = parameter(64, "Channels of the critic's first layer.")
    critic_levels: int = parameter(6, "Layers of the critic, each of which halves the image.")
    images: int = parameter(4, "Normals, and as many defects, of one step.")
    steps: int = parameter(100_000, "Steps of the generator.")
    critics: int = parameter(5, "Steps of the critic for each of the generator's.")
    lr: float = parameter(2e-4, "Learning rate of Adam at the beginning; it falls linearly.")
    lr_end: float = parameter(1e-6, "Learning rate at the end.")
    penalty: float = parameter(10.0, "Weight of the critic's gradient penalty.")
    classes: tuple[float, float] = parameter(
        (5.0, 10.0), "Weights of the class loss, on real images and on generated ones."
    )
    restore: float = parameter(10.0, "Weight of the restored image's distance to the first.")
    cycle: float = parameter(10.0, "Weight of the distance of the two maps of a cycle.")
    sparse: float = parameter(1.0, "Weight of the maps' mean.")
    control: float = parameter(0.0, "Weight of a defacing map's distance to the control map.")
    gated: bool = parameter(False, "Whether maps are closed away from the control map.")
    near: bool = parameter(False, "Whether f is the image and a change to it, not all anew.")
    masks: int = parameter(64, "Masks of each defect type that are kept to render by, at most.")
    open: float = parameter(0.2, "The map below this leaves the image as it is.", rendering=True)
    strength: float = parameter(1.0, "Factor of the map when rendering, up to 1.", rendering=True)
    colour: Colour = parameter("as-normals", MEANING, rendering=True)

    def __post_init__(self) -> None:
        if self.side < 16 or self.side & (self.side - 1):
            raise UserError(f"defectgan: side={self.side} must be a power of 2, 16 or more.")
        least = {
            name: 1
            for name in (
                "width",
                "hidden",
                "critic_width",
                "critic_levels",
                "images",
                "steps",
                "critics",
            )
        }
        for name, low in {**least, "blocks": 0, "masks": 1, "batch": 1}.items():
            if getattr(self, name) < low:
                raise UserError(f"defectgan: {name}={getattr(self, name)} must be {low} or more.")
        if not 0 < self.lr_end <= self.lr:
            raise UserError(
                f"defectgan: lr={self.lr} and lr_end={self.lr_end} must satisfy 0 < lr_end <= lr."
            )
        for name in ("penalty", "restore", "cycle", "sparse", "control"):
            if getattr(self, name) < 0:
                raise UserError(f"defectgan: {name}={getattr(self, name)} must be 0 or more.")
        if min(self.classes) < 0:
            raise UserError(f"defectgan: classes={self.classes} must be 0 or more each.")
        for name in ("open", "strength"):
            if not 0 < getattr(self, name) <= 1:
                raise UserError(
                    f"defectgan: {name}={getattr(self, name)} must satisfy 0 < {name} <= 1."
                )

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> LearnedModel:
        from asbench.synthesizers.defectgan.model import DefectganModel

        (own,) = kinds.values()
        return DefectganModel(self, own)
