"""Crop&Paste: real defects of the few-shot third, moved onto normal images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging import poisson
from asbench.imaging.augment import jitter
from asbench.imaging.colour import Colouring
from asbench.imaging.masks import differs
from asbench.imaging.moving import Part, put, taken
from asbench.imaging.overlay import believed, check_share, on_object
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Image, Mask, Sample, UserError

FEATHER = 2 / 256
"""Width of a soft edge, as a share of the shorter side."""

VARIANTS = {
    # With a soft edge inside the mask, or without one.
    "feathered": {"blend": "feather"},
    "poisson": {"blend": "poisson"},
    # As photographed, where the normals are grey and the defect's photograph is not.
    "coloured": {"colour": "as-published"},
    # As it was: neither turned, scaled, mirrored nor jittered.
    "moved": {"max_degrees": 0.0, "scale": (1.0, 1.0), "mirrored": False, "jitter": 0.0},
}


@dataclass(frozen=True)
class Croppaste(Colouring):
    """Cut a real defect out along its mask, and paste it onto a normal image.

    The floor that every few-shot generator must beat: what it learns from, shown again. The defect
    is drawn uniformly from the few-shot third, with its pixels; it is turned, scaled, mirrored and
    jittered, and pasted at a random place, at least nine tenths of it on the object.

    Crop&Paste, PRN's extended anomalies and AdaBLDM's training pairs are built so; they differ in
    how far a defect is changed and how much of it must lie on the object (two thirds in PRN, all of
    it in AdaBLDM, whose turns and scales these are). The jitter, which keeps the hue, and the share
    are ours, and so are the blends `feather` (the edge fades within two pixels of 256) and
    `poisson` (the defect's differences between neighbours, so that light and colour follow the
    normal); published code pastes. PRN also changes whole defective images by other operations, and
    pastes each part of a mask by itself; here a mask is moved as one. What the border of its
    photograph cut off may come to lie in the middle of another, and on a grained surface the grain
    inside a wide mask is turned with it: `croppaste@moved` turns nothing.

    None where the defect fits nowhere on the object, or cannot be told from what it covers.
    """

    title = "Crop&Paste"
    paper = (
        "Lin, Cao, Zhu and Li, Few-Shot Defect Segmentation Leveraging Abundant Normal Training "
        "Samples Through Normal Background Regularization and Crop-and-Paste Operation, ICME 2021"
    )
    url = "https://arxiv.org/abs/2007.09438"
    family = "patch augmentation"

    max_degrees: float = parameter(180.0, "A defect is turned by up to this angle either way.")
    scale: tuple[float, float] = parameter((0.85, 1.15), "Bounds of the factor of its size.")
    mirrored: bool = parameter(True, "Whether it is mirrored, along each axis by a fair coin.")
    jitter: float = parameter(
        0.1, "Strength of its jitter in brightness, contrast and saturation; 0 for none."
    )
    blend: Literal["paste", "feather", "poisson"] = parameter(
        "paste", "paste: a hard edge; feather: a soft one inside the mask; poisson: none."
    )
    inside: float = parameter(0.9, "Share of a defect that must lie on the object.")
    foreground: float = parameter(1.0, "Share of samples whose defect keeps to the object.")

    def __post_init__(self) -> None:
        if not 0 <= self.max_degrees <= 180:
            raise UserError(f"croppaste: max_degrees={self.max_degrees} must lie in 0..180.")
        low, high = self.scale
        if not 0.1 <= low <= high <= 10:
            raise UserError(f"croppaste: scale={self.scale} must satisfy 0.1 <= low <= high <= 10.")
        if not 0 <= self.jitter <= 0.5:
            raise UserError(f"croppaste: jitter={self.jitter} must lie in 0 <= jitter <= 0.5.")
        if not 0 < self.inside <= 1:
            raise UserError(f"croppaste: inside={self.inside} must satisfy 0 < inside <= 1.")
        check_share("croppaste", self.foreground)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"defect images", "foreground"} if self.foreground else {"defect images"})

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        shape = normal.shape[0], normal.shape[1]
        within = believed(canvas.foreground) if on_object(self.foreground, rng) else None
        defect = canvas.defect_image(rng)
        down, across = rng.random(2) < 0.5 if self.mirrored else (False, False)
        part = taken(
            defect.image,
            defect.mask,
            degrees=rng.uniform(-self.max_degrees, self.max_degrees),
            scale=rng.uniform(*self.scale),
            mirrored=(bool(down), bool(across)),
        )
        if part is None:
            return None
        at = put(rng, part.mask, shape, within, self.inside)
        if at is None:
            return None
        part = _clipped(part, at, shape, self.blend == "poisson")
        s = self.jitter
        pixels = part.image
        if s:
            pixels = jitter(pixels, rng, brightness=s, contrast=s, saturation=s, hue=0)
        box = slice(at[0], at[0] + pixels.shape[0]), slice(at[1], at[1] + pixels.shape[1])
        under = normal[box]
        blended = self._blended(under, pixels, part.mask, min(shape))
        if not part.mask.any() or not differs(blended, under):
            return None
        image, mask = normal.copy(), np.zeros(shape, np.bool_)
        image[box], mask[box] = blended, part.mask
        return Sample(image, mask)

    def _blended(self, under: Image, pixels: Image, mask: Mask, side: int) -> Image:
        """Return the defect's pixels over the normal's, both (h, w, 3), inside the mask."""
        if self.blend == "poisson":
            solved = poisson.blend_within(under, pixels, mask, poisson.source_gradients)
            return poisson.to_bytes(solved)
        if self.blend == "feather":
            padded = np.pad(mask.view(np.uint8), 1)
            depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
            weights = np.minimum(depth / (FEATHER * side + 1), 1)[..., None]
            mixed = under + weights * (pixels.astype(np.float32) - under)
            return np.asarray(np.rint(mixed), np.uint8)
        return np.asarray(np.where(mask[..., None], pixels, under))


def _clipped(part: Part, at: tuple[int, int], shape: tuple[int, int], ring: bool) -> Part:
    """Return what of a part lies inside the image; with `ring`, clear along its outermost ring."""
    inside = tuple(slice(0, whole - first) for whole, first in zip(shape, at, strict=True))
    image, mask = part.image[inside], part.mask[inside].copy()
    if ring:
        mask[[0, -1]] = mask[:, [0, -1]] = False
    return Part(np.ascontiguousarray(image), mask)
