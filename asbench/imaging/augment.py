"""Colour jitter, and the ten texture operations of DRAEM's augmenter, on uint8 RGB images.

Every operation is a pure function: uint8 (h, w, 3) RGB of any size in, a new array of the same
shape and type out, each intermediate value rounded to the nearest level and clipped to 0..255
unless said otherwise. Parameters are explicit; `jitter` and `augmenter` draw them from a generator.
Operations that send every level of a channel to another one have a `_table` of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Image

Table = npt.NDArray[np.uint8]
"""uint8 (256,), or (256, 3) with one column per channel: what becomes of each level."""
Histograms = npt.NDArray[np.int64]
"""int64 (256, 3): how many values of each level a channel has."""
Coordinates = npt.NDArray[np.float32]
LEVELS = np.arange(256, dtype=np.float64)
SHARES = LEVELS / 255
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 luma, the grey of PIL, torchvision and OpenCV."""


def _levels(values: npt.NDArray[np.floating]) -> Table:
    """Round to the nearest level and clip."""
    return _clipped(np.rint(values))


def _clipped(values: npt.NDArray[np.floating]) -> Table:
    # np.clip takes three times as long over so few values.
    table: Table = np.minimum(np.maximum(values, 0), 255).astype(np.uint8)
    return table


def look_up(image: Image, table: Table) -> Image:
    """Send all channels through one table, or each of the three through its own."""
    return np.asarray(cv2.LUT(image, table if table.ndim == 1 else table[None]), np.uint8)


def _convert(image: Image, code: int) -> Image:
    return cv2.cvtColor(image, code).astype(np.uint8, copy=False)


IDENTITY = LEVELS.astype(np.uint8)

# -- colour jitter ---------------------------------------------------------------------------------

Adjustment = Literal["brightness", "contrast", "saturation", "hue"]


def adjust_brightness(image: Image, factor: float) -> Image:
    """Multiply every value by `factor` >= 0."""
    return look_up(image, _levels(LEVELS * factor))


def adjust_contrast(image: Image, factor: float) -> Image:
    """Blend with the mean grey of the image: `factor` 0 gives that grey, 1 the image."""
    mean = float(np.dot(cv2.mean(image)[:3], GREY_WEIGHTS))
    return look_up(image, _levels(LEVELS * factor + mean * (1 - factor)))


def adjust_saturation(image: Image, factor: float) -> Image:
    """Blend every pixel with its own grey: `factor` 0 gives the grey image, 1 the image.

    In OpenCV's fixed-point arithmetic: within one level of the exact value.
    """
    matrix = np.eye(3) * factor + np.outer(np.ones(3), GREY_WEIGHTS) * (1 - factor)
    return np.asarray(cv2.transform(image, matrix))


def adjust_hue(image: Image, turns: float) -> Image:
    """Shift the hue by `turns` of the colour circle, in 8-bit HSV (256 hues) as PIL does."""
    hue = np.mod(LEVELS + np.rint(turns * 256), 256).astype(np.uint8)
    hsv = _convert(image, cv2.COLOR_RGB2HSV_FULL)
    return _convert(
        look_up(hsv, np.stack((hue, IDENTITY, IDENTITY), axis=-1)), cv2.COLOR_HSV2RGB_FULL
    )


_ADJUST: dict[Adjustment, Callable[[Image, float], Image]] = {
    "brightness": adjust_brightness,
    "contrast": adjust_contrast,
    "saturation": adjust_saturation,
    "hue": adjust_hue,
}


def draw_jitter(
    rng: np.random.Generator, *, brightness: float, contrast: float, saturation: float, hue: float
) -> tuple[tuple[Adjustment, float], ...]:
    """Draw a colour jitter: adjustments in random order, each with its factor.

    Strengths s >= 0: brightness, contrast and saturation factors are U(max(0, 1-s), 1+s), the hue
    shift is U(-s, s) turns (torchvision's ColorJitter). An adjustment of strength 0 is left out.
    Raises ValueError for a negative strength.
    """
    strengths: dict[Adjustment, float] = {
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
        "hue": hue,
    }
    if min(strengths.values()) < 0:
        raise ValueError(f"jitter strengths must be at least 0: {strengths}")
    steps = [
        (name, rng.uniform(-s, s) if name == "hue" else rng.uniform(max(0.0, 1 - s), 1 + s))
        for name, s in strengths.items()
        if s > 0
    ]
    return tuple(steps[i] for i in rng.permutation(len(steps)))


def apply_jitter(image: Image, steps: tuple[tuple[Adjustment, float], ...]) -> Image:
    """Return a jittered copy of `image`: the same `steps` give any image the same jitter."""
    out = image.copy()
    for name, factor in steps:
        out = _ADJUST[name](out, factor)
    return out


def jitter(
    image: Image,
    rng: np.random.Generator,
    *,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
) -> Image:
    """Return a colour-jittered copy of `image`, uint8 (h, w, 3); strengths as in `draw_jitter`."""
    steps = draw_jitter(
        rng, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
    )
    return apply_jitter(image, steps)


# -- the ten operations of the texture augmenter ---------------------------------------------------

Space = Literal["YCrCb", "HSV", "HLS", "Lab", "Luv", "YUV"]
_CONVERSIONS: dict[Space, tuple[int, int, int]] = {
    # space: to it, from it, its brightness channel
    "YCrCb": (cv2.COLOR_RGB2YCrCb, cv2.COLOR_YCrCb2RGB, 0),
    "HSV": (cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB, 2),
    "HLS": (cv2.COLOR_RGB2HLS, cv2.COLOR_HLS2RGB, 1),
    "Lab": (cv2.COLOR_RGB2Lab, cv2.COLOR_Lab2RGB, 0),
    "Luv": (cv2.COLOR_RGB2Luv, cv2.COLOR_Luv2RGB, 0),
    "YUV": (cv2.COLOR_RGB2YUV, cv2.COLOR_YUV2RGB, 0),
}
SPACES = tuple(_CONVERSIONS)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13


def gamma_table(exponents: tuple[float, float, float]) -> Table:
    """The table of `gamma`."""
    table = np.empty((256, 3), np.uint8)
    for channel, exponent in enumerate(exponents):
        table[:, channel] = _levels(255 * SHARES**exponent)
    return table


def gamma(image: Image, exponents: tuple[float, float, float]) -> Image:
    """Return 255 (I / 255)^g with one exponent g per channel."""
    return look_up(image, gamma_table(exponents))


def brightness(
    image: Image, space: Space, factor: float, add: int, multiply_first: bool = True
) -> Image:
    """Multiply the brightness channel of a colour space and add to it, in either order.

    The channel is clipped to 0..255 after each of the two steps.
    """
    there, back, channel = _CONVERSIONS[space]
    if multiply_first:
        table = _levels(_levels(LEVELS * factor) + float(add))
    else:
        table = _levels(_clipped(LEVELS + add) * factor)
    tables = np.repeat(IDENTITY[:, None], 3, axis=1)
    tables[:, channel] = table
    return _convert(look_up(_convert(image, there), tables), back)


def sharpness(image: Image, factor: float) -> Image:
    """Blend a smoothed image (factor 0) with the image (1) and beyond (2): PIL's Sharpness.

    The outermost pixels are not smoothed and so do not change.
    """
    kernel = _SMOOTH * (1 - factor)
    kernel[1, 1] += factor
    out = cv2.filter2D(image, -1, kernel).astype(np.uint8, copy=False)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        out[edge] = image[edge]
    return out


def hue_saturation(image: Image, hue: int, saturation: int) -> Image:
    """Add to hue and saturation in 8-bit HSV: `hue` / 255 half-turns, `saturation` levels.

    The hue channel holds 180 steps of two degrees, so the shift is trunc(hue / 255 * 180) steps.
    """
    shifted = np.mod(LEVELS + int(hue / 255 * 180), 180).astype(np.uint8)
    tables = np.stack((shifted, _levels(LEVELS + saturation), IDENTITY), axis=-1)
    return _convert(look_up(_convert(image, cv2.COLOR_RGB2HSV), tables), cv2.COLOR_HSV2RGB)


def solarise_table(threshold: float) -> Table:
    """The table of `solarise`."""
    return np.where(threshold <= LEVELS, 255 - IDENTITY, IDENTITY)


def solarise(image: Image, threshold: float) -> Image:
    """Invert the values at or above `threshold`."""
    return look_up(image, solarise_table(threshold))


def posterise_table(bits: int) -> Table:
    """The table of `posterise`."""
    width = 256 >> bits
    return (IDENTITY // width * width + width // 2).astype(np.uint8)


def posterise(image: Image, bits: int) -> Image:
    """Keep the 2^bits levels at the centres of equal bins; 1 <= bits <= 8."""
    return look_up(image, posterise_table(bits))


def invert(image: Image) -> Image:
    """Return 255 - I."""
    return np.asarray(cv2.bitwise_not(image)).astype(np.uint8, copy=False)


def histograms(image: Image) -> Histograms:
    """Count the levels of each channel."""
    counted = np.empty((256, 3), np.int64)
    for channel in range(3):
        counted[:, channel] = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel()
    return counted


def autocontrast_table(counted: Histograms, cut: int) -> Table:
    """The table of `autocontrast` for an image of these histograms."""
    cut_off = counted.sum(axis=0) * cut // 100
    low = (counted.cumsum(axis=0) > cut_off).argmax(axis=0)
    high = 255 - (counted[::-1].cumsum(axis=0) > cut_off).argmax(axis=0)
    flat = high <= low
    scale = 255 / np.where(flat, 1, high - low)
    stretched = _clipped(np.trunc(LEVELS[:, None] * scale - low * scale))
    return np.where(flat, IDENTITY[:, None], stretched)


def autocontrast(image: Image, cut: int) -> Image:
    """Stretch each channel to 0..255 after cutting `cut` per cent of its values at either end.

    PIL's rule: the stretched value is truncated, and a channel of one level stays as it is.
    """
    return look_up(image, autocontrast_table(histograms(image), cut))


def equalise_table(counted: Histograms) -> Table:
    """The table of `equalise` for an image of these histograms."""
    highest = 255 - (counted[::-1] > 0).argmax(axis=0)
    step = (counted.sum(axis=0) - counted[highest, range(3)]) // 255
    below = counted.cumsum(axis=0) - counted
    flattened = np.minimum((below + step // 2) // np.maximum(step, 1), 255).astype(np.uint8)
    return np.where(step > 0, flattened, IDENTITY[:, None])


def equalise(image: Image) -> Image:
    """Flatten the histogram of each channel, by PIL's rule."""
    return look_up(image, equalise_table(histograms(image)))


def rotate(image: Image, degrees: float) -> Image:
    """Turn about the centre: bilinear, black outside, so the corners of a texture go black."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(image, turn, (width, height)).astype(np.uint8, copy=False)


def turned_from(
    shape: tuple[int, int], places: npt.NDArray[np.intp], degrees: float
) -> tuple[Coordinates, Coordinates]:
    """Return where, in the image before, `rotate` looks for its pixels at flat `places`: x and y.

    shape: (h, w) of the image. float32, in the very arithmetic of OpenCV 5's vector code, so that
    `cv2.remap` gives at these coordinates what `rotate` gives at these places.
    """
    height, width = shape
    centre = (width - 1) / 2, (height - 1) / 2
    (a, b, left), (c, d, top) = cv2.getRotationMatrix2D(centre, degrees, 1.0)
    per = 1 / (a * d - b * c)
    inverse = np.array([[d * per, -b * per, 0.0], [-c * per, a * per, 0.0]])
    inverse[:, 2] = -inverse[:, 0] * left - inverse[:, 1] * top
    along, down, first = inverse.astype(np.float32).T
    row, column = np.divmod(places, width)
    rows = row.astype(np.float32)
    # Fused multiply and add: the product is not rounded before the sum is.
    x, y = (
        (column * np.float64(along[axis]) + (rows * down[axis] + first[axis])).astype(np.float32)
        for axis in (0, 1)
    )
    return x, y
