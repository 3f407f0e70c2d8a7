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

from synth_store.types import Image

Table = npt.NDArray[np.uint8]
LEVELS = np.arange(256, dtype=np.float64)
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601 luma, the grey of PIL, torchvision and OpenCV."""


def _levels(values: npt.NDArray[np.float64]) -> Table:
    """Round to the nearest level and clip."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


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
