"""Where the object is: published rules, and one for plain grounds, all pure functions of an image.

What `finder` makes of them is computed once for every training normal and stored beside it, so a
change that alters any mask raises `FOREGROUND_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.masks import largest_change
from synth_store.types import Image, Mask

FOREGROUND_VERSION = 3
"""Part of the identity of stored foregrounds: raised whenever a mask changes."""

TOLERANCE = 12
"""Grey levels within which a border pixel has the background's colour."""
PLAIN = 0.75
"""Share of the border that must have the background's colour; the rest may be the object."""
CAP = 80
"""Distances in colour count up to this many levels, so that the parts of a two-tone object that
differ from the background a little and a lot fall on the same side of the threshold."""
CONTRAST = 15
"""Least step in distance across the object's outline, in levels: shading has none."""
GROUND = 0.9
"""Share of the background that its two largest parts must hold: an object that reaches from border
to border leaves two, a pattern of bars many."""
SMALLEST, LARGEST = 0.01, 0.95
"""Shares of the image outside which a mask is not believed; the least also of its centre."""


@dataclass(frozen=True, slots=True, eq=False)
class Foreground:
    """An object mask, bool (H, W), and the rule that gave it.

    `whole image` means that no plain background was found: the mask is True everywhere.
    """

    mask: Mask
    rule: Literal["otsu", "whole image"]


def foreground(image: Image) -> Foreground:
    """Return where the object is, or the whole image where nothing tells it from a background.

    The border votes for the background's colour (its median); Otsu's threshold (1979) splits the
    distances to that colour, the largest over the channels, so an object may be brighter, darker
    or coloured. The mask is median filtered, freed of specks and its holes are filled. The whole
    image is returned where the border is not plain (a texture), where no step in colour follows
    the outline (shading), where the background falls apart (a pattern), or where the object covers
    < 1 % or > 95 % of the image, or < 1 % of its central half (a dark edge).

    image: uint8 (H, W, 3) of any size.
    """
    distance = _distance_to_border_colour(image)
    edge = ring(distance)
    threshold, far = cv2.threshold(distance, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    plain = np.mean(edge <= TOLERANCE) >= PLAIN and np.mean(edge <= threshold) >= PLAIN
    if plain and far.any():
        mask = clean(far.astype(np.uint8))
        height, width = mask.shape
        centre = mask[height // 4 : height - height // 4, width // 4 : width - width // 4]
        believable = mask.mean() <= LARGEST and min(mask.mean(), centre.mean()) >= SMALLEST
        if believable and _step(distance, mask) >= CONTRAST and ground_share(mask) >= GROUND:
            return Foreground(mask, "otsu")
    return Foreground(np.ones(image.shape[:2], np.bool_), "whole image")


def fixed(image: Image, threshold: int, dark: bool) -> Mask:
    """Return MemSeg's rule: the pixels at or below the threshold if `dark`, else those above it.

    Grey is 0.299 R + 0.587 G + 0.114 B, rounded. Source: Yang et al., EAAI 2023, as implemented
    by TooTouch.
    """
    above = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) > threshold
    return ~above if dark else above


def border(image: Image) -> Mask:
    """Return FractalAD's rule: the brightness of the top-left corner is the background's.

    At 256 x 256 after a 5 x 5 mean: with b the mean of the corner's 20 x 20 pixels, the object is
    grey <= b - 50 if b > 128, else grey > b + 10; then a 5 x 5 median, back at the image's size
    by nearest neighbour. Source: Xia et al., arXiv 2301.12739.
    """
    height, width = image.shape[:2]
    grey = cv2.cvtColor(cv2.resize(image, (256, 256)), cv2.COLOR_RGB2GRAY)
    grey = cv2.blur(grey, (5, 5)).astype(np.int16)
    corner = float(grey[:20, :20].mean())
    mask = grey <= corner - 50 if corner > 128 else grey > corner + 10
    smooth = cv2.medianBlur(mask.astype(np.uint8), 5)
    nearest = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_NEAREST)
    return nearest.astype(np.bool_)


def histogram(
    image: Image,
    rule: Literal["otsu", "triangle"],
    *,
    channel: Literal["grey", "green", "blue"] = "grey",
    dark: bool = False,
    close: int = 0,
    opening: int = 0,
) -> Mask:
    """Return RealNet's rule: a threshold from the histogram, closed, then opened.

    The pixels above the threshold, or those at or below it if `dark`. close, opening: sides of the
    squares at 256 pixels, scaled with the image's shorter side; 0 for none. Source: Zhang et al.,
    CVPR 2024, as its code sets it for each category.
    """
    planes = {"green": 1, "blue": 2}
    if channel == "grey":
        plane = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    else:
        plane = np.ascontiguousarray(image[..., planes[channel]])
    method = cv2.THRESH_OTSU if rule == "otsu" else cv2.THRESH_TRIANGLE
    polarity = cv2.THRESH_BINARY_INV if dark else cv2.THRESH_BINARY
    _, mask = cv2.threshold(plane, 0, 1, polarity + method)
    for side, operation in ((close, cv2.MORPH_CLOSE), (opening, cv2.MORPH_OPEN)):
        scaled = round(side * min(plane.shape) / 256)
        if scaled > 1:
            square = cv2.getStructuringElement(cv2.MORPH_RECT, (scaled, scaled))
            mask = cv2.morphologyEx(mask, operation, square)
    return np.asarray(mask, np.bool_)


def _distance_to_border_colour(image: Image) -> npt.NDArray[np.uint8]:
    smooth = np.asarray(cv2.medianBlur(np.ascontiguousarray(image), 3), np.uint8)
    colour = np.median(ring(smooth).astype(np.float64), axis=0).astype(np.uint8)
    distance = largest_change(smooth, np.broadcast_to(colour, smooth.shape).copy())
    return np.minimum(distance, CAP).astype(np.uint8)


def ring(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the pixels of the image's border, a 32nd of the shorter side wide."""
    wide = max(1, min(image.shape[:2]) // 32)
    top, middle, bottom = image[:wide], image[wide:-wide], image[-wide:]
    sides = [top, bottom, middle[:, :wide], middle[:, -wide:]]
    return np.concatenate([side.reshape(-1, *image.shape[2:]) for side in sides])


def clean(far: npt.NDArray[np.uint8]) -> Mask:
    """Return the mask smoothed, without specks (below a tenth of the largest part) and holes."""
    smooth = cv2.medianBlur(far, 3 if min(far.shape) < 128 else 5)
    smooth = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, _disc(smooth))
    outlines, _ = cv2.findContours(smooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(outline) for outline in outlines]
    kept = [o for o, area in zip(outlines, areas, strict=True) if area >= max(areas) / 10]
    filled = np.zeros_like(smooth)
    cv2.drawContours(filled, kept, -1, 1, cv2.FILLED)
    return filled.astype(np.bool_)


def _step(distance: npt.NDArray[np.uint8], mask: Mask) -> float:
    """Return how much the mean distance rises from just outside the mask to just inside."""
    drawn, kernel = mask.astype(np.uint8), _disc(mask)
    inner = mask & ~cv2.erode(drawn, kernel).astype(np.bool_)
    outer = ~mask & cv2.dilate(drawn, kernel).astype(np.bool_)
    if not inner.any() or not outer.any():
        return 0.0
    return float(distance[inner].mean()) - float(distance[outer].mean())


def ground_share(mask: Mask) -> float:
    """Return the share of the background that lies in its two largest connected parts."""
    _, _, parts, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=8)
    areas = np.sort(parts[1:, cv2.CC_STAT_AREA])
    return float(areas[-2:].sum() / areas.sum())


def _disc(mask: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return a disc whose diameter is a 50th of the shorter side: 5 pixels at 256, at least 3."""
    side = max(3, min(mask.shape) // 50 | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
