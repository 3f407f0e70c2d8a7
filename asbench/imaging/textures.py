"""Drawn textures: a relief of any family, coloured, lit and grained."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from asbench.imaging.reliefs import FAMILIES, Field, Rng, spectrum
from synth_store.types import Image


def palette(rng: Rng) -> npt.NDArray[np.float32]:
    """Return 256 RGB colours (256, 3), 0..1: two to five stops from dark to light or light to dark.

    Stops differ in hue by a drawn amount, from one colour's shades to a motley.
    """
    stops = int(rng.integers(2, 6))
    spread = rng.choice([0.02, 0.08, 0.3])
    hue = (rng.random() + rng.normal(0, spread, stops)) % 1
    saturation = np.clip(rng.choice([0.1, 0.3, 0.5]) + rng.normal(0, 0.12, stops), 0, 1)
    low, high = rng.uniform(0.02, 0.4), rng.uniform(0.6, 1)
    value = np.clip(np.linspace(low, high, stops) + rng.normal(0, 0.08, stops), 0, 1)
    if rng.random() < 0.4:
        value = value[::-1]
    hsv = np.stack((hue * 360, saturation, value), axis=-1).astype(np.float32)[None]
    colours = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0]
    place = np.linspace(0, stops - 1, 256)
    return np.stack([np.interp(place, range(stops), c) for c in colours.T], -1).astype(np.float32)


def lit(height: Field, rng: Rng) -> Field:
    """Return the light on a relief from a drawn side: float32, about 1."""
    smooth = cv2.GaussianBlur(height, (0, 0), 1.0)
    gy, gx = np.gradient(smooth)
    angle = rng.uniform(0, 2 * np.pi)
    slope = gx * np.cos(angle) + gy * np.sin(angle)
    strength = rng.choice([0, 0.15, 0.35]) / max(float(slope.std()), 1e-6)
    return np.asarray(1 + np.clip(strength * slope * 0.6, -0.6, 0.6), np.float32)


def draw_texture(rng: Rng, side: int, family: int) -> Image:
    """Return a texture of `FAMILIES[family]`: uint8 (side, side, 3), RGB."""
    relief = FAMILIES[family](rng, side)
    colours = palette(rng)
    image = colours[np.rint(relief.tone * 255).astype(np.intp)] * lit(relief.height, rng)[..., None]
    image *= 1 + rng.uniform(0, 0.35) * (spectrum(rng, side, 2.5) - 0.5)[..., None]  # uneven light
    image += rng.normal(0, rng.choice([0.004, 0.02, 0.05]), (side, side, 1))
    return np.asarray(np.clip(np.rint(image * 255), 0, 255), np.uint8)
