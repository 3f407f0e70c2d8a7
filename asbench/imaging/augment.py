"""Colour jitter, and the ten texture operations of DRAEM's augmenter, on uint8 RGB images.

Every operation is a pure function: uint8 (h, w, 3) RGB of any size in, a new array of the same
shape and type out, each intermediate value rounded to the nearest level and clipped to 0..255
unless said otherwise. Parameters are explicit; `jitter` and `augment` draw them from a generator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Image, Mask

Table = npt.NDArray[np.uint8]
LEVELS = np.arange(256, dtype=np.float64)
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 luma, the grey of PIL, torchvision and OpenCV."""


def _levels(values: npt.NDArray[np.floating]) -> Table:
    """Round to the nearest level and clip."""
    table: Table = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return table


def _look_up(image: Image, *channels: Table) -> Image:
    """Send all channels through one table, or each of the three through its own."""
    if len(channels) == 1:
        return np.asarray(cv2.LUT(image, channels[0]))
    return np.asarray(cv2.LUT(image, np.stack(channels, axis=-1)[None]))


def _convert(image: Image, code: int) -> Image:
    return cv2.cvtColor(image, code).astype(np.uint8, copy=False)


IDENTITY = LEVELS.astype(np.uint8)

# -- colour jitter ---------------------------------------------------------------------------------

Adjustment = Literal["brightness", "contrast", "saturation", "hue"]


def adjust_brightness(image: Image, factor: float) -> Image:
    """Multiply every value by `factor` >= 0."""
    return _look_up(image, _levels(LEVELS * factor))


def adjust_contrast(image: Image, factor: float) -> Image:
    """Blend with the mean grey of the image: `factor` 0 gives that grey, 1 the image."""
    mean = float(np.dot(cv2.mean(image)[:3], GREY_WEIGHTS))
    return _look_up(image, _levels(LEVELS * factor + mean * (1 - factor)))


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
    return _convert(_look_up(hsv, hue, IDENTITY, IDENTITY), cv2.COLOR_HSV2RGB_FULL)


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
_SPACES: dict[Space, tuple[int, int, int]] = {
    # space: to it, from it, its brightness channel
    "YCrCb": (cv2.COLOR_RGB2YCrCb, cv2.COLOR_YCrCb2RGB, 0),
    "HSV": (cv2.COLOR_RGB2HSV, cv2.COLOR_HSV2RGB, 2),
    "HLS": (cv2.COLOR_RGB2HLS, cv2.COLOR_HLS2RGB, 1),
    "Lab": (cv2.COLOR_RGB2Lab, cv2.COLOR_Lab2RGB, 0),
    "Luv": (cv2.COLOR_RGB2Luv, cv2.COLOR_Luv2RGB, 0),
    "YUV": (cv2.COLOR_RGB2YUV, cv2.COLOR_YUV2RGB, 0),
}
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13


def gamma(image: Image, exponents: tuple[float, float, float]) -> Image:
    """Return 255 (I / 255)^g with one exponent g per channel."""
    return _look_up(image, *(_levels(255 * (LEVELS / 255) ** g) for g in exponents))


def brightness(
    image: Image, space: Space, factor: float, add: int, multiply_first: bool = True
) -> Image:
    """Multiply the brightness channel of a colour space and add to it, in either order.

    The channel is clipped to 0..255 after each of the two steps.
    """
    there, back, channel = _SPACES[space]
    if multiply_first:
        table = _levels(_levels(LEVELS * factor) + float(add))
    else:
        table = _levels(np.clip(LEVELS + add, 0, 255) * factor)
    tables = [IDENTITY] * 3
    tables[channel] = table
    return _convert(_look_up(_convert(image, there), *tables), back)


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
    hsv = _convert(image, cv2.COLOR_RGB2HSV)
    return _convert(
        _look_up(hsv, shifted, _levels(LEVELS + saturation), IDENTITY), cv2.COLOR_HSV2RGB
    )


def solarise(image: Image, threshold: float) -> Image:
    """Invert the values at or above `threshold`."""
    return _look_up(image, np.where(threshold <= LEVELS, 255 - IDENTITY, IDENTITY))


def posterise(image: Image, bits: int) -> Image:
    """Keep the 2^bits levels at the centres of equal bins; 1 <= bits <= 8."""
    width = 256 >> bits
    return _look_up(image, (IDENTITY // width * width + width // 2).astype(np.uint8))


def invert(image: Image) -> Image:
    """Return 255 - I."""
    return np.asarray(cv2.bitwise_not(image)).astype(np.uint8, copy=False)


def _histograms(image: Image) -> list[npt.NDArray[np.int64]]:
    return [
        cv2.calcHist([image], [c], None, [256], [0, 256]).ravel().astype(np.int64) for c in range(3)
    ]


def autocontrast(image: Image, cut: int) -> Image:
    """Stretch each channel to 0..255 after cutting `cut` per cent of its values at either end.

    PIL's rule: the stretched value is truncated, and a channel of one level stays as it is.
    """
    tables = []
    for histogram in _histograms(image):
        cut_off = int(histogram.sum()) * cut // 100
        low = int(np.argmax(np.cumsum(histogram) > cut_off))
        high = 255 - int(np.argmax(np.cumsum(histogram[::-1]) > cut_off))
        if high <= low:
            tables.append(IDENTITY)
            continue
        scale = 255 / (high - low)
        tables.append(np.clip(np.trunc(LEVELS * scale - low * scale), 0, 255).astype(np.uint8))
    return _look_up(image, *tables)


def equalise(image: Image) -> Image:
    """Flatten the histogram of each channel, by PIL's rule."""
    tables = []
    for histogram in _histograms(image):
        filled = histogram[histogram > 0]
        step = int(filled[:-1].sum()) // 255
        below = np.cumsum(histogram) - histogram
        tables.append(
            np.minimum((below + step // 2) // step, 255).astype(np.uint8) if step else IDENTITY
        )
    return _look_up(image, *tables)


def rotate(image: Image, degrees: float) -> Image:
    """Turn about the centre: bilinear, black outside, so the corners of a texture go black."""
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(image, turn, (width, height)).astype(np.uint8, copy=False)


# -- their draws -----------------------------------------------------------------------------------


def _draw_gamma(image: Image, rng: np.random.Generator) -> Image:
    red, green, blue = rng.uniform(0.5, 2.0, 3)
    return gamma(image, (red, green, blue))


def _draw_brightness(image: Image, rng: np.random.Generator) -> Image:
    space = tuple(_SPACES)[rng.integers(len(_SPACES))]
    factor, add = rng.uniform(0.8, 1.2), int(rng.integers(-30, 31))
    return brightness(image, space, factor, add, multiply_first=bool(rng.random() < 0.5))


def _draw_solarise(image: Image, rng: np.random.Generator) -> Image:
    applied, threshold = rng.random() < 0.5, rng.uniform(32, 128)
    return solarise(image, threshold) if applied else image


def _draw_hue_saturation(image: Image, rng: np.random.Generator) -> Image:
    hue, saturation = rng.integers(-50, 51, 2)
    return hue_saturation(image, int(hue), int(saturation))


def _draw_posterise(image: Image, rng: np.random.Generator) -> Image:
    return posterise(image, int(rng.integers(1, 9)))


def _draw_invert(image: Image, rng: np.random.Generator) -> Image:
    return invert(image)


OPERATIONS: tuple[Callable[[Image, np.random.Generator], Image], ...] = (
    _draw_gamma,
    _draw_brightness,
    lambda image, rng: sharpness(image, rng.uniform(0, 2)),
    _draw_hue_saturation,
    _draw_solarise,
    _draw_posterise,
    _draw_invert,
    lambda image, rng: autocontrast(image, int(rng.integers(0, 21))),
    lambda image, rng: equalise(image),
    lambda image, rng: rotate(image, rng.uniform(-45, 45)),
)
"""The ten operations of DRAEM's augmenter, each drawing its own parameters."""


_PIXELWISE = frozenset(
    {
        _draw_gamma,
        _draw_brightness,
        _draw_hue_saturation,
        _draw_solarise,
        _draw_posterise,
        _draw_invert,
    }
)
"""The operations that see one pixel at a time: no neighbour, no histogram."""
_TOGETHER = 64
"""Pixels are handled in whole multiples of this, so that OpenCV's vector code takes them all."""


def augment(image: Image, rng: np.random.Generator, within: Mask | None = None) -> Image:
    """Return the image after three of the ten `OPERATIONS`, distinct, in the order drawn.

    Source: Zavrtanik et al., DRAEM, ICCV 2021; the ranges are those of its published code.
    Never writes into `image`, but may return it where the operations drawn change nothing.

    within: bool (h, w), where alone the result will be looked at: there it is the same, elsewhere
    it may be short of the last operations. Pixelwise ones cost what their pixels do, and a mask
    covers a twentieth of an image.
    """
    drawn = [OPERATIONS[i] for i in rng.choice(len(OPERATIONS), 3, replace=False)]
    whole = len(drawn)
    while whole and drawn[whole - 1] in _PIXELWISE:
        whole -= 1
    inside = None if within is None or whole == len(drawn) else np.flatnonzero(within)
    vectors = image.shape[1] % _TOGETHER == 0  # else rows end in scalar code, which rounds HSV else
    if inside is None or not vectors or not 0 < 2 * inside.size <= image.size // 3:
        whole, inside = len(drawn), None
    for operation in drawn[:whole]:
        image = operation(image, rng)
    if inside is None:
        return image
    pixels = image.reshape(-1, 3).take(inside, axis=0)
    some = np.zeros((1, -(-inside.size // _TOGETHER) * _TOGETHER, 3), np.uint8)
    some[0, : inside.size] = pixels
    for operation in drawn[whole:]:
        some = operation(some, rng)
    image = image.copy()
    image.reshape(-1, 3)[inside] = some[0, : inside.size]
    return image
