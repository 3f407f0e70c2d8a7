"""MemSeg: textures, or the image itself in shuffled cells, blended in on the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from asbench.imaging.augmenter import augment
from asbench.imaging.cells import shuffle_cells
from asbench.imaging.foreground import fixed
from asbench.imaging.overlay import PerlinOverlay, blend, check_textures, on_object
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Image, Mask, Sample, UserError

VARIANTS = {
    # ASBench's DRAEM and DeSTSeg pipelines: one threshold for every category of every data set, so
    # on dark backgrounds the background is taken for the object.
    "asbench": {
        "foreground": 1.0,
        "object_rule": "dark",
        "object_threshold": 100,
        "colour": "as-published",
    },
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
}
CATEGORIES = {
    "mvtec/capsule": {"object_rule": "dark", "object_threshold": 120},
    "mvtec/transistor": {"object_rule": "dark", "object_threshold": 90},
    "mvtec/bottle": {"object_rule": "dark", "object_threshold": 250},
    "mvtec/screw": {"object_rule": "dark", "object_threshold": 110},
    "mvtec/zipper": {"object_rule": "dark", "object_threshold": 100},
    "mvtec/hazelnut": {"object_rule": "bright", "object_threshold": 50},
    "mvtec/metal_nut": {"object_rule": "bright", "object_threshold": 40},
    "mvtec/pill": {"object_rule": "bright", "object_threshold": 100},
    "mvtec/toothbrush": {"object_rule": "bright", "object_threshold": 30},
    **{
        f"mvtec/{category}": {"foreground": 0.0}
        for category in ("leather", "tile", "wood", "grid", "carpet", "cable")
    },
}


@dataclass(frozen=True)
class Memseg(PerlinOverlay):
    """Blend a source into the image where a Perlin mask meets the object.

    M = rotated Perlin noise above a threshold, cut down to the object. By a fair coin the source S
    is a texture as it is, or structure: the image itself through three of ten colour and shape
    operations, cut into 8 x 8 cells that change places at random. Inside M the image becomes
    f S + (1 - f) I, f = U(0.15, 1). So the public implementation (TooTouch); the paper itself
    speaks of 4 x 8 cells and of other operations.

    The object is found by the fixed grey levels of the published settings on MVTec AD, whose
    textures and cable do without, and by the automatic rule elsewhere. Where it covers less than
    1 % of the image masks fall anywhere. A mask that misses the object, which the published code
    labels anomalous and leaves empty, is drawn again. None where 20 masks missed it, or the blend
    changes nothing to be seen.

    `foreground` below 1 lets a share of the masks fall anywhere, as DRAEM's do: the paper's Fig. 7
    asks which of the two serves better.
    """

    title = "MemSeg"
    paper = (
        "Yang, Wu and Feng, MemSeg: A Semi-Supervised Method for Image Surface Defect Detection "
        "Using Differences and Commonalities, Engineering Applications of Artificial Intelligence "
        "119, 2023"
    )
    url = "https://arxiv.org/abs/2205.00908"
    family = "random shape noise"

    opacity_low: float = parameter(0.15, "Smallest weight of the source inside the mask.")
    opacity_high: float = parameter(1.0, "Largest weight of the source inside the mask.")
    texture_share: float = parameter(
        0.5, "Share of samples whose source is a texture; the others show shuffled structure."
    )
    cells: int = parameter(8, "Structure is cut into this many cells along each axis.")
    foreground: float = parameter(1.0, "Share of samples whose mask keeps to the object.")
    object_rule: Literal["automatic", "dark", "bright"] = parameter(
        "automatic",
        "The object: what differs from a plain background, or the pixels of a grey level at most "
        "(dark), or above (bright), `object_threshold`.",
    )
    object_threshold: int = parameter(100, "Grey level of the rules dark and bright, 0..255.")

    def __post_init__(self) -> None:
        if not 0 < self.opacity_low <= self.opacity_high <= 1:
            raise UserError(
                f"memseg: opacity_low={self.opacity_low} and opacity_high={self.opacity_high} "
                "must satisfy 0 < opacity_low <= opacity_high <= 1."
            )
        check_textures("memseg", self.texture_share)
        if not 2 <= self.cells <= 64:
            raise UserError(f"memseg: cells={self.cells} must lie in 2 <= cells <= 64.")
        if not 0 <= self.object_threshold <= 255:
            raise UserError(
                f"memseg: object_threshold={self.object_threshold} must lie in "
                "0 <= object_threshold <= 255 (a grey level)."
            )
        super().__post_init__()

    @property
    def needs(self) -> frozenset[Need]:
        textures: set[Need] = {"textures"} if self.texture_share else set()
        stored = self.foreground and self.object_rule == "automatic"
        return frozenset(textures | {"foreground"} if stored else textures)

    @property
    def keeps_to_object(self) -> bool:
        return self.foreground > 0

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        mask = self.region(canvas, rng)
        if mask is None:
            return None
        if rng.random() < self.texture_share:
            source = canvas.texture(rng)
        else:
            source = self._structure(normal, rng)
        opacity = rng.uniform(self.opacity_low, self.opacity_high)
        image = blend(normal, source, mask, 1 - opacity)
        return None if image is None else Sample(image, mask)

    def within(self, canvas: Canvas, rng: np.random.Generator) -> Mask | None:
        if not on_object(self.foreground, rng):
            return None
        if self.object_rule == "automatic":
            return canvas.foreground
        return fixed(canvas.normal, self.object_threshold, dark=self.object_rule == "dark")

    def _structure(self, normal: Image, rng: np.random.Generator) -> Image:
        order = rng.permutation(self.cells * self.cells)
        return shuffle_cells(augment(normal, rng), order, self.cells)
