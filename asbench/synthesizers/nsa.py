"""NSA: resized patches of another normal image, cloned in through Poisson's equation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np

from asbench.imaging.foreign import Box
from asbench.imaging.masks import visible
from asbench.imaging.patches import Size, place
from asbench.imaging.poisson import (
    blend,
    mixed_gradients,
    seamless_clone,
    source_gradients,
    to_bytes,
)
from asbench.parameters import parameter
from asbench.types import Canvas, Need, PerSample
from synth_store.types import Image, Mask, Sample, UserError

VARIANTS = {
    # ASBench calls the function with its bare defaults, whatever the data set and category.
    "asbench": {
        "source": "same",
        "kind": "object",
        "objects": "none",
        "patches": 1,
        "sizes": "uniform",
        "height_low": 0.05,
        "height_high": 0.2,
        "width_low": 0.05,
        "width_high": 0.2,
        "blending": "opencv",
    },
    # The published settings with the authors' own blending, which is not the exact solution.
    "opencv": {"blending": "opencv"},
}
BRIGHT = {"kind": "object", "objects": "background", "background": 200.0, "contrast": 60.0}
DARK = {"kind": "object", "objects": "background", "background": 20.0, "contrast": 20.0}
ANYWHERE = {"kind": "object", "objects": "none"}
CATEGORIES = {
    "mvtec/bottle": BRIGHT | {"min_object": 0.7},
    "mvtec/cable": ANYWHERE | {"height_low": 0.05, "width_low": 0.05},
    "mvtec/capsule": BRIGHT | {"height_high": 0.15, "min_object": 0.7},
    "mvtec/hazelnut": DARK | {"height_high": 0.35, "width_high": 0.35, "min_object": 0.7},
    "mvtec/metal_nut": DARK | {"min_object": 0.5},
    "mvtec/pill": DARK | {"height_high": 0.2, "min_object": 0.7},
    "mvtec/screw": BRIGHT
    | {"height_high": 0.12, "width_high": 0.12, "patches": 4, "min_object": 0.5},
    "mvtec/toothbrush": DARK | {"width_high": 0.2, "min_object": 0.25},
    "mvtec/transistor": ANYWHERE,
    "mvtec/zipper": BRIGHT | {"width_high": 0.2, "patches": 4, "min_object": 0.7},
    **{f"mvtec/{name}": {"kind": "texture"} for name in ("carpet", "grid", "leather", "tile")},
    "mvtec/wood": {"kind": "texture"},
}
DRAWS = 10
"""Sets of patches drawn before a canvas is given up. At small sizes OpenCV's clone, which leaves
five pixels along each edge nearly as they were, seldom shows."""
GAMMA_START, GAMMA_SHAPE, GAMMA_SCALE = 0.03, 2.0, 0.05
"""Half sides are GAMMA_START + Gamma(GAMMA_SHAPE, GAMMA_SCALE) of the image's side."""
TRIES = 200
"""Places drawn for one patch on an object, for its source and again for its destination."""
SMALLEST = 5
"""Pixels that each side of a pasted patch has at least, so that either blending has inner ones."""


class _Scene(NamedTuple):
    """The two images of a sample and what its kind decides.

    on_source, on_target: where the object is on each; None where patches may lie anywhere.
    """

    source: Image
    on_source: Mask | None
    on_target: Mask | None
    patches: int
    resize: tuple[float, float]
    mixed: bool


@dataclass(frozen=True)
class Nsa(PerSample):
    """Cut rectangles from another normal image, resize them, clone them seamlessly into this one.

    The first patch is always made, each further one with probability 1/2, onto what the ones
    before it left. Half of each side is (0.03 + Gamma(2, 0.05)) of the image's, within bounds per
    category; the patch is scaled by N(1, 0.5), cut to `resize`. As published the same bounds, meant
    for half sides, then hold for whole ones: no pasted patch is wider than 40 % of the image. On
    textures the clone keeps the larger of both gradients at every edge, on objects the patch's; on
    objects source and destination must lie on the object.

    The mask is the paper's binary label: where the mean change over the channels exceeds
    `tolerance` levels within the patches, and on an object in either image, smoothed by a 5 x 5
    median. Cloning also changes pixels outside it, by about a level, and specks the median drops:
    they are given back the normal's bytes, so that the mask tells all that changed.

    The table of settings is the paper's for MVTec AD. Elsewhere `kind` is read off the canvas:
    texture where no object was found on it (its foreground is the whole image), else object, with
    a least share of the object that is ours.

    Mended: the blend is the exact solution (`imaging.poisson`); `nsa@opencv` uses OpenCV's, as the
    authors do. Patches whose masks overlap are united where the later rectangle overwrote the
    earlier; OpenCV's clone lies where the label does, which the original misses by a pixel. Of the
    paper's labels only the binary one serves as a mask. Random crops and rotations of both images
    belong to training. None where no place on the object was found, or ten sets of patches showed
    nothing.
    """

    title = "NSA"
    paper = (
        "Schlueter, Tan, Hou and Kainz, Natural Synthetic Anomalies for Self-Supervised Anomaly "
        "Detection and Localization, ECCV 2022"
    )
    url = "https://arxiv.org/abs/2109.15222"
    family = "random shape noise"

    source: Literal["another", "same"] = parameter(
        "another", "The image that patches are cut from: another normal, or the same one."
    )
    kind: Literal["auto", "texture", "object"] = parameter(
        "auto", "Decides patches, resize and gradients where they are not set; auto: see above."
    )
    patches: int | None = parameter(None, "Most patches; by default 4 on textures, 3 on objects.")
    resize: tuple[float, float] | None = parameter(
        None, "Bounds of a patch's scale; by default 0.5..2 on textures, 0.7..1.3 on objects."
    )
    gradients: Literal["mixed", "source"] | None = parameter(
        None, "What the clone keeps; by default mixed on textures, the source's on objects."
    )
    sizes: Literal["gamma", "uniform"] = parameter(
        "gamma", "How half sides are drawn: the paper's Gamma, or uniform within their bounds."
    )
    height_low: float = parameter(0.03, "Smallest half height, as a share of the image's.")
    height_high: float = parameter(0.4, "Largest half height, and pasted height.")
    width_low: float = parameter(0.03, "Smallest half width, as a share of the image's.")
    width_high: float = parameter(0.4, "Largest half width, and pasted width.")
    objects: Literal["foreground", "background", "none"] = parameter(
        "foreground", "Objects lie on the canvas's foreground, off `background`, or anywhere."
    )
    background: float = parameter(20.0, "Grey level of the background, for objects=background.")
    contrast: float = parameter(20.0, "Levels by which an object differs from the background.")
    min_object: float = parameter(0.5, "Share of a patch that must exceed this on its object.")
    min_overlap: float = parameter(
        0.25, "Share of the patch's object that must exceed this on the destination's."
    )
    tolerance: float = parameter(1.0, "Mean change over the channels, in levels, to be masked.")
    blending: Literal["exact", "opencv"] = parameter(
        "exact", "Poisson's equation solved exactly, or cv2.seamlessClone."
    )

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if not (0 < low <= high <= 1 and low < 0.5):
                raise UserError(
                    f"nsa: {name}_low={low} and {name}_high={high} must satisfy "
                    f"0 < {name}_low <= {name}_high <= 1, and {name}_low < 0.5."
                )
        if self.patches is not None and self.patches < 1:
            raise UserError(f"nsa: patches={self.patches} must be at least 1.")
        if self.resize is not None and not 0 < self.resize[0] <= self.resize[1]:
            raise UserError(f"nsa: resize={self.resize} must satisfy 0 < low <= high.")
        for name in ("min_object", "min_overlap"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"nsa: {name}={getattr(self, name)} must lie in 0 <= {name} < 1.")
        if not 0 <= self.tolerance < 85:
            raise UserError(f"nsa: tolerance={self.tolerance} must lie in 0 <= tolerance < 85.")

    @property
    def needs(self) -> frozenset[Need]:
        needs: set[Need] = {"another"} if self.source == "another" else set()
        if self.kind == "auto" or (self.kind, self.objects) == ("object", "foreground"):
            needs.add("foreground")
        return frozenset(needs)

    @property
    def keeps_to_object(self) -> bool:
        return self.kind == "auto" or (self.kind == "object" and self.objects != "none")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        normal = canvas.normal
        scene = self._scene(canvas, rng)
        for _ in range(DRAWS):
            cloned, area = normal.copy(), np.zeros(normal.shape[:2], np.bool_)
            for index in range(scene.patches):
                if index == 0 or rng.random() < 0.5:
                    self._add(scene, cloned, area, rng)
            if not area.any():
                return None
            mask = label(cloned, normal, area, self.tolerance)
            image = normal.copy()
            cv2.copyTo(cloned, mask.view(np.uint8), image)
            if visible(image, normal, mask):
                return Sample(image, mask)
        return None

    def _scene(self, canvas: Canvas, rng: np.random.Generator) -> _Scene:
        """Draw the source and settle what depends on the kind."""
        origin = canvas if self.source == "same" else canvas.another(rng)
        texture = self.kind == "texture" or (self.kind == "auto" and bool(canvas.foreground.all()))
        on_source = on_target = None
        if not texture and self.objects == "foreground":
            on_source, on_target = origin.foreground, canvas.foreground
        elif not texture and self.objects == "background":
            on_source, on_target = (
                off_background(image, self.background, self.contrast)
                for image in (origin.normal, canvas.normal)
            )
        patches, resize, gradients = (
            (4, (0.5, 2.0), "mixed") if texture else (3, (0.7, 1.3), "source")
        )
        return _Scene(
            origin.normal,
            on_source,
            on_target,
            self.patches or patches,
            self.resize or resize,
            (self.gradients or gradients) == "mixed",
        )

    def _add(self, scene: _Scene, cloned: Image, area: Mask, rng: np.random.Generator) -> None:
        """Clone one patch into `cloned` and mark its rectangle in `area`, if it finds a place."""
        cut = self._cut(scene, rng)
        if cut is None:
            return
        rows, columns = cut
        shape = cloned.shape[0], cloned.shape[1]
        height, width = self._size(
            (rows.stop - rows.start, columns.stop - columns.start), scene.resize, shape, rng
        )
        patch: Image = np.asarray(cv2.resize(scene.source[cut], (width, height)), np.uint8)
        on_patch = None
        if scene.on_source is not None:
            stretched = cv2.resize(
                scene.on_source[cut].view(np.uint8),
                (width, height),
                interpolation=cv2.INTER_NEAREST,
            )
            on_patch = stretched.view(np.bool_)
        box = self._destination(on_patch, scene.on_target, (height, width), shape, rng)
        if box is None:
            return
        self._clone(patch, cloned, box, scene.mixed)
        if on_patch is None or scene.on_target is None:
            area[box] = True
        else:
            area[box] |= on_patch | scene.on_target[box]

    def _clone(self, patch: Image, cloned: Image, box: Box, mixed: bool) -> None:
        """Blend the patch into the box of `cloned`, in place."""
        if self.blending == "exact":
            rule = mixed_gradients if mixed else source_gradients
            cloned[box] = to_bytes(blend(cloned[box], patch, rule))
            return
        # OpenCV centres what is left of the mask inside its ring, halves rounded down.
        row, column = (
            axis.start + 1 + (length - 2) // 2
            for axis, length in zip(box, patch.shape[:2], strict=True)
        )
        everywhere = np.ones(patch.shape[:2], np.bool_)
        cloned[...] = seamless_clone(patch, cloned, everywhere, (row, column), mixed)

    def _cut(self, scene: _Scene, rng: np.random.Generator) -> Box | None:
        """Draw the rectangle to cut from the source; None where none lies on the object."""
        shape = scene.source.shape[0], scene.source.shape[1]
        bounds = self._bounds()
        reach = [self._half(rng, side, *bound) for side, bound in zip(shape, bounds, strict=True)]
        for _ in range(1 if scene.on_source is None else TRIES):
            rows, columns = (
                _around(rng, side, half, low)
                for side, half, (low, _) in zip(shape, reach, bounds, strict=True)
            )
            if scene.on_source is None or scene.on_source[rows, columns].mean() > self.min_object:
                return rows, columns
        return None

    def _bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.height_low, self.height_high), (self.width_low, self.width_high)

    def _half(self, rng: np.random.Generator, side: int, low: float, high: float) -> int:
        """Draw half a side of the rectangle, in pixels: at least 1."""
        if self.sizes == "gamma":
            share = GAMMA_START + rng.gamma(GAMMA_SHAPE, GAMMA_SCALE)
            return max(int(min(max(share, low), high) * side), 1)
        first = max(int(low * side), 1)
        return int(rng.integers(first, max(int(high * side), first + 1)))

    def _size(
        self, size: Size, resize: tuple[float, float], shape: Size, rng: np.random.Generator
    ) -> Size:
        """Draw the patch's scale and return its size, within the bounds of half sides."""
        scale = min(max(rng.normal(1, 0.5), resize[0]), resize[1])
        (shortest, tallest), (narrowest, widest) = (
            (max(low * side, SMALLEST), max(high * side, SMALLEST))
            for side, (low, high) in zip(shape, self._bounds(), strict=True)
        )
        height = min(max(scale * size[0], shortest), tallest)
        width = min(max(height / size[0] * size[1], narrowest), widest)
        # Where the width met a bound, the height follows it, to keep the patch's proportions.
        height = min(max(width / size[1] * size[0], SMALLEST), shape[0])
        return int(height), min(int(width), shape[1])

    def _destination(
        self,
        on_patch: Mask | None,
        on_target: Mask | None,
        size: Size,
        shape: Size,
        rng: np.random.Generator,
    ) -> Box | None:
        """Draw where the patch goes; None where no place lets its object meet the other's."""
        if on_patch is not None and on_patch.mean() <= self.min_object:
            return None
        for _ in range(1 if on_patch is None else TRIES):
            top, left = place(rng, size, shape)
            box = slice(top, top + size[0]), slice(left, left + size[1])
            if on_patch is None or on_target is None:
                return box
            shared = np.count_nonzero(on_patch & on_target[box])
            if shared > self.min_overlap * np.count_nonzero(on_patch):
                return box
        return None


def _around(rng: np.random.Generator, side: int, half: int, low: float) -> slice:
    """Draw where the rectangle lies along one side, its centre `low` of the side off both ends."""
    margin = min(max(int(low * side), 1), (side - 1) // 2)
    centre = int(rng.integers(margin, side - margin))
    return slice(max(centre - half, 0), min(centre + half, side))


def off_background(image: Image, background: float, contrast: float) -> Mask:
    """Return where the mean of the channels is further than `contrast` from `background`.

    image: uint8 (H, W, 3). Returns bool (H, W), smoothed by a 7 x 7 median.
    """
    grey = cv2.transform(image, np.full((1, 3), 1 / 3, np.float32)).astype(np.float32)
    return median(np.abs(grey - background) > contrast, 7)


def label(image: Image, clean: Image, area: Mask, tolerance: float) -> Mask:
    """Return where, within `area`, the mean change over the channels exceeds `tolerance` levels.

    image, clean: uint8 (H, W, 3); area: bool (H, W). Returns bool (H, W), after a 5 x 5 median.
    """
    mask = np.zeros_like(area)
    left, top, width, height = cv2.boundingRect(area.view(np.uint8))
    if not width:
        return mask
    box = slice(top, top + height), slice(left, left + width)
    # Sums past 255 saturate, which is above any tolerance.
    total = cv2.transform(cv2.absdiff(image[box], clean[box]), np.ones((1, 3), np.float32))
    mask[box] = median((total > 3 * tolerance) & area[box], 5)
    return mask


def median(mask: Mask, side: int) -> Mask:
    """Return the median filter of a mask over side x side pixels; False lies beyond its edges."""
    count = cv2.boxFilter(
        mask.view(np.uint8), cv2.CV_8U, (side, side), normalize=False,
        borderType=cv2.BORDER_CONSTANT,
    )  # fmt: skip
    return np.greater(count, side * side // 2)
