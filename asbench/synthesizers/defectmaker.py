"""DefectMaker: half-angular blobs, scars and clumps, filled with the data's own or with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from asbench.imaging import bezier
from asbench.imaging.augment import jitter
from asbench.imaging.colour import Colouring
from asbench.imaging.masks import differs
from asbench.imaging.overlay import MASK_DRAWS, believed, check_share, draw_pixel, on_object
from asbench.imaging.patches import Size, paste, rectangle, rotate
from asbench.parameters import parameter
from asbench.types import Canvas, Need
from synth_store.types import Image, Mask, Sample, UserError

SHAPES = ("blob", "scar", "clump")
SMALLEST_WEIGHT = 0.1
"""Where a softened edge shows less of the fill than this, it shows none, and is no anomaly."""

VARIANTS = {
    # With its colours where the normals are grey, too: as published.
    "coloured": {"colour": "as-published"},
    # One of its three shapes alone.
    **{shape: {"shapes": shape} for shape in SHAPES},
}


@dataclass(frozen=True)
class Defectmaker(Colouring):
    """Fill a shape on the object with a piece of another image, or with coarse noise.

    REB's generator for a proxy task: each of three shapes with each of two fills, evenly. A blob is
    a closed curve through five or six random points, half straight and half Bezier, in a box of
    2..15 % of the image and of aspect 0.3..3.3. A scar is such a blob of 7..20 by 15..29 pixels of
    256, turned by up to 45 degrees. A clump is where coarse noise is high inside a blob of five to
    nine points. The fill is cut from another normal, around a random pixel of its object, or is
    noise of one to four pixels' grain, uniform about a grey level; then its colours are jittered by
    .1. It is opaque, in clumps .5..1; every other edge is softened inwards.

    The published code asks a saliency network where the object is and puts the middle of a shape on
    a salient pixel; here the object is the store's, and what lies off it is cut away. Its mask is
    the hard shape; here soft rims that show less than a tenth of the fill do not count. Its six
    kinds serve there as classes, which no set keeps. None where 20 shapes missed the object, or
    nothing is to be seen.
    """

    title = "DefectMaker"
    paper = (
        "Lyu, Mo and Wong, REB: Reducing Biases in Representation for Industrial Anomaly "
        "Detection, Knowledge-Based Systems 290, 2024"
    )
    url = "https://arxiv.org/abs/2308.12577"
    family = "random shape noise"

    shapes: Literal["any", "blob", "scar", "clump"] = parameter(
        "any", "The shape: any of the three, evenly, or one."
    )
    cut_share: float = parameter(
        0.5, "Share of samples filled with a piece of a normal; the others show noise."
    )
    area_low: float = parameter(0.02, "Smallest box of blobs and clumps, as a share of the image.")
    area_high: float = parameter(0.15, "Largest box of blobs and clumps, as a share of the image.")
    aspect: float = parameter(3.3, "Boxes are up to this much wider than high, or higher.")
    jitter: float = parameter(
        0.1, "Strength of the fill's jitter in brightness, contrast, saturation and hue; 0: none."
    )
    soft_share: float = parameter(0.5, "Share of samples whose edge is softened.")
    foreground: float = parameter(1.0, "Share of samples whose shape keeps to the object.")

    def __post_init__(self) -> None:
        if not 0 < self.area_low <= self.area_high <= 1:
            raise UserError(
                f"defectmaker: area_low={self.area_low} and area_high={self.area_high} must "
                "satisfy 0 < area_low <= area_high <= 1 (shares of the image)."
            )
        if not 1 <= self.aspect <= 100:
            raise UserError(f"defectmaker: aspect={self.aspect} must lie in 1..100.")
        if not 0 <= self.jitter <= 0.5:
            raise UserError(f"defectmaker: jitter={self.jitter} must lie in 0 <= jitter <= 0.5.")
        for name in ("cut_share", "soft_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"defectmaker: {name}={getattr(self, name)} must lie in 0..1, a share of "
                    "samples."
                )
        check_share("defectmaker", self.foreground)

    @property
    def needs(self) -> frozenset[Need]:
        asked: dict[Need, bool] = {
            "another": self.cut_share > 0,
            "foreground": self.foreground > 0,
        }
        return frozenset(need for need, so in asked.items() if so)

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        size = normal.shape[0], normal.shape[1]
        within = believed(canvas.foreground) if on_object(self.foreground, rng) else None
        shape = SHAPES[int(rng.integers(3))] if self.shapes == "any" else self.shapes
        region = self._region(shape, size, within, rng)
        if region is None:
            return None
        left, top, width, height = cv2.boundingRect(region.view(np.uint8))
        box = slice(top, top + height), slice(left, left + width)
        weights = self._weights(region[box], shape, min(size), rng)
        if rng.random() < self.cut_share:
            fill = self._cut(canvas, (height, width), within is not None, rng)
        else:
            fill = noise_fill(rng, (height, width))
        s = self.jitter
        if s:
            fill = jitter(fill, rng, brightness=s, contrast=s, saturation=s, hue=s)
        weights[weights < SMALLEST_WEIGHT] = 0
        mixed = normal[box] + weights[..., None] * (fill.astype(np.float32) - normal[box])
        shown = np.rint(mixed).astype(np.uint8)
        if not differs(shown, normal[box]):
            return None
        image, mask = normal.copy(), np.zeros(size, np.bool_)
        image[box], mask[box] = shown, weights > 0
        return Sample(image, mask)

    def _region(
        self, shape: str, size: Size, within: Mask | None, rng: np.random.Generator
    ) -> Mask | None:
        """Draw a shape about a pixel of the object and cut it down to it: bool `size`."""
        for _ in range(MASK_DRAWS):
            part = self._shape(shape, size, rng)
            middle = (
                draw_pixel(rng, within)
                if within is not None
                else (int(rng.integers(size[0])), int(rng.integers(size[1])))
            )
            at = tuple(
                min(max(centre - side // 2, 0), max(whole - side, 0))
                for centre, side, whole in zip(middle, part.shape, size, strict=True)
            )
            empty = np.zeros((*size, 1), np.uint8)
            _, region = paste(empty, part.view(np.uint8)[..., None], (at[0], at[1]), part)
            if within is not None:
                region &= within
            if region.any():
                return region
        return None

    def _shape(self, shape: str, size: Size, rng: np.random.Generator) -> Mask:
        unit = min(size) / 256
        if shape == "scar":
            width, height = int(rng.integers(7, 21)), int(rng.integers(15, 30))
            high, wide = max(round(height * unit), 3), max(round(width * unit), 2)
            scar = bezier.blob(rng, high, wide, (5, 6))
            turned, _ = rotate(scar.view(np.uint8)[..., None], rng.uniform(-45, 45))
            return np.ascontiguousarray(turned[..., 0]).view(np.bool_)
        high, wide = rectangle(
            rng, size, (self.area_low, self.area_high), (1 / self.aspect, self.aspect)
        )
        if shape == "blob":
            return bezier.blob(rng, high, wide, (5, 6))
        return clump(rng, high, wide)

    def _weights(self, region: Mask, shape: str, side: int, rng: np.random.Generator) -> np.ndarray:
        """Return how much of the fill shows at each pixel of the region's box: float32, 0..1."""
        weights = region.astype(np.float32)
        if rng.random() < self.soft_share:
            wide = max(round((5 if shape == "blob" else 3) * side / 256), 3) | 1
            ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
            inner = cv2.erode(weights, ellipse, borderType=cv2.BORDER_CONSTANT, borderValue=0)
            if inner.any():  # what is thinner than the edge stays hard
                soft = cv2.GaussianBlur(inner, (wide, wide), wide, borderType=cv2.BORDER_CONSTANT)
                weights *= soft
        if shape == "clump":
            weights *= np.float32(rng.uniform(0.5, 1))
        return weights

    def _cut(
        self, canvas: Canvas, size: Size, on_its_object: bool, rng: np.random.Generator
    ) -> Image:
        """Cut a piece of `size` from another normal, its middle on a random pixel of the object."""
        another = canvas.another(rng)
        image = another.normal
        if on_its_object:
            middle = draw_pixel(rng, another.foreground)
        else:
            middle = int(rng.integers(image.shape[0])), int(rng.integers(image.shape[1]))
        top, left = (
            min(max(centre - side // 2, 0), whole - side)
            for centre, side, whole in zip(middle, size, image.shape[:2], strict=True)
        )
        return image[top : top + size[0], left : left + size[1]]


def clump(rng: np.random.Generator, height: int, width: int) -> Mask:
    """Draw where coarse noise is high inside a blob: bool (height, width)."""
    coarse = rng.integers(5, 8)
    aspect = math.exp(rng.uniform(-1, 1) * math.log(3) / 2)
    cells = max(round(height / coarse * aspect), 2), max(round(width / coarse / aspect), 2)
    noise = rng.integers(127 - 50, 127 + 51, cells).astype(np.float32)
    high = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) > 138
    return np.asarray(high & bezier.blob(rng, height, width, (5, 9)))


def noise_fill(rng: np.random.Generator, size: Size) -> Image:
    """Draw noise of a random level, range, grain and aspect: uint8 (height, width, 3)."""
    level, spread = 10 * int(rng.integers(5, 20)), 5 * int(rng.integers(0, 10))
    grain, stretch = 2 ** int(rng.integers(3)), 2.0 ** int(rng.integers(-2, 3))
    cells = (
        max(round(size[0] / (grain * max(1 / stretch, 1))), 1),
        max(round(size[1] / (grain * max(stretch, 1))), 1),
    )
    noise = rng.integers(level - spread, level + spread + 1, (*cells, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
