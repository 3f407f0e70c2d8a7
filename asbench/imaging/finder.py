"""Where the object is on the normals of a category: one rule for all of them, for they are alike.

Two rules take turns. `plain ground` is `foreground`: one colour, split by Otsu's threshold. Where
it is not sure of nearly every normal, `smooth ground` lets the ground change across the image
(lamps, lenses): a second-order surface in each channel, fitted robustly from the border inwards,
and one level of difference from it for the whole category. Where neither holds there is no object,
but a cloth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.foreground import CAP, GROUND, clean, foreground, ground_share, ring
from synth_store.types import Image, Mask

Distance = npt.NDArray[np.float32]
Tone = Literal["any", "dark", "bright"]
"""What an object is beside its ground: dark and bright ones may be told by what they are."""

LOOKS = 16
"""Normals that the rule is chosen on, evenly spaced."""
LEVELS = (4.0, 5.5, 7.5, 10.0, 14.0, 19.0, 27.0, 38.0, 53.0)
"""Differences from the ground, in grey levels, at which an object may begin."""
SURE, MOST = 0.95, 0.75
"""Shares of the normals that `plain ground` and `smooth ground` must hold on."""
SHARP = 0.6
"""Least share of an outline that is an edge: of a soft shadow's or a spot of light's little is."""
EDGE = 0.6
"""Least part of the step between 12 pixels off on either side that an edge takes within 4."""
ALIKE = 0.1
"""How much less sharp the outline of a fuller object may be than the sharpest."""
BORDER = 0.35
"""Largest share of the border that a part may reach across."""
STRAY = 0.02, 0.1
"""Largest share of the ground that differs from it too, and as a part of the object's area."""
SMALLEST, LARGEST = 0.005, 0.95
"""Shares of the image outside which an object is not believed."""
MANY = 8
"""Parts from which a mask may be a pattern's."""
GRID = 48
"""The ground is fitted on this many by this many averaged pixels."""
WORKING = 256
"""Objects are found at this shorter side, in pixels; larger images then settle the outline."""
LEAST = 64
"""Shorter sides, in pixels, below which smoothing leaves no edge to be told from a slope."""


@dataclass(frozen=True, slots=True)
class ObjectRule:
    """How the object of a category is found; level: difference from the ground, in grey levels.

    tone: of the object, beside its ground; any where it is not known.
    seen: of `looked` normals the rule was chosen on, on how many it holds; where there is no
    object, on how many the best rule would.
    """

    kind: Literal["plain ground", "smooth ground", "whole image"]
    level: float = 0.0
    tone: Tone = "any"
    seen: int = 0
    looked: int = 0

    def mask(self, image: Image) -> Mask:
        """Return where the object is, bool (H, W): everywhere where none is found.

        image: uint8 (H, W, 3).
        """
        if self.kind == "plain ground":
            return foreground(image).mask
        mask = _at(image, self.level, self.tone) if self.kind == "smooth ground" else None
        return np.ones(image.shape[:2], np.bool_) if mask is None else mask


def foregrounds(images: Sequence[Image]) -> tuple[list[Mask], ObjectRule]:
    """Return where the object is on each normal of a category, and the rule that says so.

    images: uint8 (H, W, 3), of any sizes. Masks are bool (H, W), True everywhere where the object
    was not found. The same images in the same order give the same masks.
    """
    rule = find_rule([images[place] for place in looks(len(images))])
    return [rule.mask(image) for image in images], rule


def looks(count: int) -> list[int]:
    """Return which of so many normals the rule is chosen on: up to 16, evenly spaced."""
    few = min(LOOKS, count)
    return [place * count // few for place in range(few)]


def find_rule(looked: Sequence[Image], tone: Tone = "any") -> ObjectRule:
    """Return the rule for a category, chosen on some of its normals: uint8 (H, W, 3) each.

    tone: what is known of the object: then what is darker than the ground, or brighter, counts.
    """
    least, plain = int(np.ceil(SURE * len(looked))), 0
    if tone == "any" and (plain := _plain(looked, len(looked) - least)) >= least:
        return ObjectRule("plain ground", seen=plain, looked=len(looked))
    distances = [_distance(_working(image), tone) for image in looked]
    sharpness = np.array([[_sharpness(d, level) for d in distances] for level in LEVELS])
    votes = np.sum(sharpness >= SHARP, axis=1)
    seen = max(int(votes.max()), plain)
    best = ObjectRule("whole image", tone=tone, seen=seen, looked=len(looked))
    held = [k for k, n in enumerate(votes) if n >= MOST * len(looked)]
    if not held:
        return best
    mean = {k: float(np.mean(sharpness[k], where=sharpness[k] >= SHARP)) for k in held}
    chosen = next(k for k in held if mean[k] >= max(mean.values()) - ALIKE)
    return replace(best, kind="smooth ground", level=LEVELS[chosen], seen=int(votes[chosen]))


def _plain(images: Sequence[Image], bearable: int) -> int:
    """Return on how many images one colour of ground tells the object, up to too many misses."""
    hits, misses = 0, 0
    for image in images:
        result = foreground(image)
        hit = result.rule == "otsu" and _edge_share(_distance(image), result.mask) >= SHARP
        hits, misses = hits + hit, misses + (not hit)
        if misses > bearable:
            break
    return hits


def _working(image: Image) -> Image:
    """Return the image with a shorter side of at most 256 pixels."""
    height, width = image.shape[:2]
    scale = WORKING / min(height, width)
    if scale >= 1:
        return image
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _at(image: Image, level: float, tone: Tone) -> Mask | None:
    """Return the object at a level of difference, or at the nearest one that shows it."""
    small = _working(image)
    distance = _distance(small, tone)
    for one in sorted(LEVELS, key=lambda other: abs(np.log(other / level))):
        mask = _believed(distance, one)
        if mask is not None and _edge_share(distance, mask, one) >= SHARP:
            break
    else:
        return None
    if small.shape != image.shape:
        size = image.shape[1::-1]
        drawn = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        mask, distance = drawn.astype(np.bool_), _distance(image, tone)
    return _settled(distance, mask)


def _distance(image: Image, tone: Tone = "any") -> Distance:
    """Return how far each pixel is from the ground: float32 (H, W), the largest over channels.

    Where a tone is known, 0 is what all pixels of the other have.
    """
    height, width = image.shape[:2]
    smooth = cv2.medianBlur(np.ascontiguousarray(image), 3).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(smooth, (5, 5), 0), np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    distance = np.zeros((height, width), np.float32)
    for plane, (c, cx, cy, cxx, cxy, cyy) in zip(cv2.split(smooth), _ground(image).T, strict=True):
        ground = (c + cy * y + cyy * y * y) + (cx * x + cxx * x * x) + (cxy * y) * x
        off = {"any": np.abs, "dark": np.negative, "bright": np.positive}[tone](plane - ground)
        np.maximum(distance, off, out=distance)
    return distance


def _ground(image: Image) -> npt.NDArray[np.float32]:
    """Return the ground's surface in each channel, float32 (6, 3): of 1, x, y, x², xy and y².

    Least absolute deviations along the border, a plane before anything curved, so that a part that
    reaches it pulls little; then least squares over all that lies near, the border's median
    deviation being the measure. x and y go from -1 to 1.
    """
    small = cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA)
    colours, terms = small.reshape(-1, 3).astype(np.float64), _terms()
    edge = np.ones((GRID, GRID), np.bool_)
    edge[2:-2, 2:-2] = False
    border = edge.ravel()
    near, fitted = border, np.zeros((6, 3))
    for order in (3, 6):
        weights = np.ones(int(near.sum()))
        for _ in range(8):
            fitted = _least_squares(terms[near], colours[near], weights, order)
            weights = 1 / np.maximum(_off(colours[near], terms[near] @ fitted), 1)
        off = _off(colours, terms @ fitted)
        near = border & (off <= max(6, 3.7 * float(np.median(off[border]))))
    for _ in range(4):
        off = _off(colours, terms @ fitted)
        near = off <= max(1.5, 3.7 * float(np.median(off[border])))
        fitted = _least_squares(terms[near], colours[near], np.ones(int(near.sum())), 6)
    return fitted.astype(np.float32)


@cache
def _terms() -> npt.NDArray[np.float64]:
    x, y = np.meshgrid(*[np.linspace(-1, 1, GRID)] * 2)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    return np.asarray(terms.reshape(-1, 6), np.float64)


def _off(
    colours: npt.NDArray[np.float64], fitted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    red, green, blue = np.abs(colours - fitted).T
    return np.asarray(np.maximum(np.maximum(red, green), blue), np.float64)


def _least_squares(
    terms: npt.NDArray[np.float64],
    colours: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    order: int,
) -> npt.NDArray[np.float64]:
    """Return the coefficients of the first `order` terms; the others are 0."""
    solved = np.zeros((6, 3))
    weighted = terms[:, :order].T * weights
    system = weighted @ terms[:, :order] + 1e-3 * np.eye(order)
    solved[:order] = np.linalg.solve(system, weighted @ colours)
    return solved


def _sharpness(distance: Distance, level: float) -> float:
    mask = _believed(distance, level)
    return 0.0 if mask is None else _edge_share(distance, mask, level)


def _believed(distance: Distance, level: float) -> Mask | None:
    """Return what differs by more than a level, where it can be an object on a smooth ground."""
    far = distance > level
    if min(far.shape) < LEAST or not SMALLEST <= far.mean() <= LARGEST:
        return None
    mask = clean(far.astype(np.uint8))
    area, (height, width) = mask.mean(), mask.shape
    centre = mask[height // 4 : height - height // 4, width // 4 : width - width // 4]
    stray = (far & ~mask).mean()
    believable = (
        SMALLEST <= area <= LARGEST
        and centre.mean() >= 2 * SMALLEST
        and ring(mask).mean() <= BORDER
        and stray <= min(STRAY[0] * (1 - area), STRAY[1] * area)
        and cv2.erode(mask.astype(np.uint8), _hair(mask)).any()
        and ground_share(mask) >= GROUND
        and not _goes_on(mask)
    )
    return mask if believable else None


def _goes_on(mask: Mask) -> bool:
    """Tell a pattern, which goes on beyond the image: it has many parts, and the border cuts some.

    Many parts on a ground, as in a tray, are photographed whole. Small images need this: there a
    soft pattern has edges as sharp as an object's.
    """
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return count - 1 >= MANY and len(set(np.unique(ring(labels)).tolist()) - {0}) >= 2


def _hair(mask: Mask) -> npt.NDArray[np.uint8]:
    """Return a disc that fits into no hair, scratch or grain: 11 pixels at 256, at least 3."""
    side = max(3, min(mask.shape) // 24 | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _edge_share(distance: Distance, mask: Mask, level: float = 0) -> float:
    """Return the share of a mask's outline at which the distance steps up, rather than slopes."""
    drawn = mask.astype(np.uint8)
    outline = mask & ~cv2.erode(drawn, np.ones((3, 3), np.uint8)).astype(np.bool_)
    outline[[0, -1]] = outline[:, [0, -1]] = False
    if not outline.any():
        return 0.0
    near, wide = (np.subtract(*_sides(distance, mask, side))[outline] for side in (9, 25))
    return float(np.mean((near >= EDGE * wide) & (near >= max(3, level / 2))))


def _sides(distance: Distance, mask: Mask, side: int) -> tuple[Distance, Distance]:
    """Return the mean distance around each pixel inside the mask, and outside of it; 0 for none.

    side: the window's, in pixels of an image of 256.
    """
    side = _scaled(side, mask)
    inside = mask.astype(np.float32)
    counted, total = (cv2.blur(plane, (side, side)) for plane in (inside, distance))
    within = cv2.blur(distance * inside, (side, side))
    least = 0.5 / side**2
    return (
        np.asarray(within / np.maximum(counted, least), np.float32),
        np.asarray((total - within) / np.maximum(1 - counted, least), np.float32),
    )


def _settled(distance: Distance, mask: Mask) -> Mask:
    """Return the mask with its outline half-way up the step: a low level lies outside of it."""
    around, beyond = _kernel(9, mask), _kernel(19, mask)
    core = cv2.erode(mask.astype(np.uint8), around)
    reach = cv2.dilate(mask.astype(np.uint8), around).astype(np.bool_)
    capped, inner = np.minimum(distance, CAP), core.astype(np.bool_)
    half = (_sides(capped, inner, 19)[0] + _sides(capped, reach, 19)[1]) / 2
    known = cv2.dilate(core, beyond).astype(np.bool_)  # a core is near enough to tell the step
    settled = np.where(known, inner | (reach & (capped > half)), mask)
    return clean(settled.astype(np.uint8)) if settled.any() else mask


def _kernel(side: int, mask: Mask) -> npt.NDArray[np.uint8]:
    sides = (_scaled(side, mask),) * 2
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, sides), np.uint8)


def _scaled(side: int, mask: Mask) -> int:
    """Return a window's side: as it is up to images of 256 pixels, odd and in proportion above."""
    return max(side, int(side * min(mask.shape)) // WORKING | 1)
