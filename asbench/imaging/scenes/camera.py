"""The inspection camera: lamp, lens, sensor and tone curve, and the mask of what a defect changed.

Scenes hand over radiance in linear light, 1.0 a white sheet under the lamp. Colours come first in
its planes, (3, SIZE, SIZE), so that a field (SIZE, SIZE) weighs all of them without copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Image, Mask

Field = npt.NDArray[np.float32]
"""float32 (SIZE, SIZE)."""
Radiance = npt.NDArray[np.float32]
"""float32 (3, SIZE, SIZE), linear RGB."""

SIZE = 320
"""Height and width of every scene, in pixels."""
VISIBLE = 7
"""Grey levels of 255 by which a pixel must change, before sensor noise, to count as defective."""
SMALLEST = 4
"""Pixels a connected part of a mask must have."""
FAINTEST = 30
"""Pixels a whole mask must have; a defect that shows on fewer is drawn again."""
ATTEMPTS = 20

_ADC = 4095


@cache
def grid() -> tuple[Field, Field]:
    """Return pixel coordinates x and y relative to the centre: float32 (SIZE, SIZE) each."""
    axis = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def smooth_noise(rng: np.random.Generator, cells: int, size: int = SIZE) -> Field:
    """Return smooth noise of about unit variance, `cells` bumps across: float32 (size, size)."""
    coarse = rng.standard_normal((cells + 1, cells + 1), dtype=np.float32)
    bump = -(-size // cells)
    large = cv2.resize(coarse, None, fx=bump, fy=bump, interpolation=cv2.INTER_CUBIC)
    top, left = rng.integers(large.shape[0] - size + 1, size=2)
    return np.asarray(large[top : top + size, left : left + size] * np.float32(1.4), np.float32)


def grain(rng: np.random.Generator, along: float, across: float, size: int = SIZE) -> Field:
    """Return fine noise of unit variance, blurred by `along` (x) and `across` (y) pixels."""
    noise = rng.standard_normal((size, size), dtype=np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), along, sigmaY=across)
    return np.asarray(blurred * np.float32(1 / blurred.std()), np.float32)


def slopes(height: Field) -> tuple[Field, Field]:
    """Return the surface's slopes in x and y (pixels of height per pixel), by Scharr's filter."""
    dx = cv2.Scharr(height, cv2.CV_32F, 1, 0, scale=1 / 32)
    dy = cv2.Scharr(height, cv2.CV_32F, 0, 1, scale=1 / 32)
    return np.asarray(dx, np.float32), np.asarray(dy, np.float32)


def lit(dx: Field, dy: Field, light: tuple[float, float, float]) -> Field:
    """Return Lambert's cosine for a surface of slopes `dx`, `dy`, 1.0 for a flat one."""
    lx, ly, lz = light
    cosine = 1 - dx * (lx / lz) - dy * (ly / lz)
    cosine /= np.sqrt(1 + dx * dx + dy * dy)
    return np.asarray(np.maximum(cosine, 0, out=cosine), np.float32)


def step(low: float, high: float, x: Field) -> Field:
    """Return the smooth step from 0 at `low` to 1 at `high` (Hermite's cubic)."""
    t = np.subtract(x, np.float32(low))
    t *= np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    curve = np.multiply(t, np.float32(-2))
    curve += 3
    curve *= t
    curve *= t
    return curve


def tinted(field: Field, colour: npt.ArrayLike) -> Radiance:
    """Return a colour (linear RGB), weighted by `field` (H, W) at every pixel: (3, H, W)."""
    return np.asarray(np.asarray(colour, np.float32)[:, None, None] * field, np.float32)


def mix(under: Radiance, over: npt.ArrayLike, alpha: Field) -> Radiance:
    """Return `under` (3, H, W) covered by a colour or planes `over` where `alpha` (H, W) is 1."""
    over = np.asarray(over, np.float32)
    above = over[:, None, None] if over.ndim == 1 else over
    # In place: a fresh megabyte for every operator would cost more than the arithmetic.
    mixed: Radiance = np.subtract(above, under)
    mixed *= alpha
    mixed += under
    return mixed


@dataclass(frozen=True, eq=False)
class Camera:
    """One exposure: what changes from photograph to photograph though the part is the same.

    gain: float32 (SIZE, SIZE, 3), lamp × vignette × white balance × exposure; noise: float32
    (SIZE, SIZE, 3), standard normal; blur: the lens's sigma in pixels; light: unit vector of the
    key light (x right, y down, z to the camera).
    """

    gain: Field
    noise: Field
    blur: float
    light: tuple[float, float, float]

    @classmethod
    def draw(cls, rng: np.random.Generator, slant: float = 0.5) -> Camera:
        """Draw an exposure; `slant` is the key light's mean sine from the vertical."""
        axis = grid()[0][0]
        around = math.radians(rng.normal(-125, 7))
        sine = float(np.clip(rng.normal(slant, 0.03), 0.1, 0.9))
        light = (sine * math.cos(around), sine * math.sin(around), math.sqrt(1 - sine * sine))
        falloff = rng.normal(0.10, 0.03) / (SIZE / 2)
        vignette = float(rng.uniform(0.05, 0.09)) / (SIZE / 2) ** 2
        across = falloff * math.cos(around) * axis - vignette * axis * axis
        down = falloff * math.sin(around) * axis - vignette * axis * axis
        lamp = np.asarray(1 + across[None, :] + down[:, None], np.float32)
        balance = rng.normal(1, [0.012, 0.004, 0.016]) * rng.normal(1, 0.035)
        gain = cv2.merge(list(tinted(lamp, balance)))
        noise = rng.standard_normal((SIZE, SIZE, 3), dtype=np.float32)
        return cls(np.asarray(gain, np.float32), noise, float(rng.uniform(0.5, 0.7)), light)

    def develop(self, radiance: Radiance, noisy: bool = True) -> Image:
        """Return the photograph of a scene's radiance: uint8 (SIZE, SIZE, 3), RGB."""
        exposed = cv2.GaussianBlur(cv2.merge(list(radiance)), (0, 0), self.blur)
        exposed *= self.gain
        np.clip(exposed, 0, 1.5, out=exposed)
        if noisy:
            # Shot noise grows with the root of the light, read noise does not.
            spread = np.multiply(exposed, np.float32(1.1e-4))
            spread += np.float32(4e-6)
            np.sqrt(spread, out=spread)
            spread *= self.noise
            exposed += spread
        exposed *= np.float32(_ADC / 1.25)
        np.clip(exposed, 0, _ADC, out=exposed)
        return np.asarray(_tone()[exposed.astype(np.uint16)], np.uint8)

    def photograph(
        self, flawless: Radiance, flawed: Callable[[], tuple[Radiance, Mask | None]] | None = None
    ) -> tuple[Image, Mask]:
        """Return a photograph and the mask of its defect: uint8 (SIZE, SIZE, 3), bool (SIZE, SIZE).

        Without `flawed` it shows the flawless scene, and the mask is all False. Else `flawed` draws
        the scene with a defect, again until it shows, and its shape where the shape counts as a
        whole (a dent is lit differently only in parts). The mask is where both scenes, free of
        noise, differ by VISIBLE grey levels, and the shape. Raises RuntimeError
        after ATTEMPTS defects nobody would see.
        """
        if flawed is None:
            return self.develop(flawless), np.zeros((SIZE, SIZE), np.bool_)
        before = self.develop(flawless, noisy=False)
        for _ in range(ATTEMPTS):
            radiance, shape = flawed()
            change = cv2.absdiff(self.develop(radiance, noisy=False), before).max(2)
            mask = clean_mask(change >= VISIBLE)
            if np.count_nonzero(mask) >= FAINTEST and change[mask].mean() >= 2 * VISIBLE:
                return self.develop(radiance), mask if shape is None else clean_mask(mask | shape)
        raise RuntimeError(f"{ATTEMPTS} defects in a row could not be seen")


def clean_mask(raw: Mask) -> Mask:
    """Return a mask with gaps of a pixel or two closed and parts under SMALLEST dropped."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    closed = cv2.morphologyEx(raw.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= SMALLEST
    keep[0] = False
    return np.asarray(keep[labels], np.bool_)


@cache
def _tone() -> npt.NDArray[np.uint8]:
    """Return the table from sensor counts to 8 bits: sRGB's curve with a soft shoulder."""
    x = np.arange(_ADC + 1) * (1.25 / _ADC)
    x = np.where(x < 0.7, x, 0.7 + 0.3 * np.tanh((x - 0.7) / 0.3))
    y = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(np.maximum(x, 1e-9), 1 / 2.4) - 0.055)
    return np.asarray(np.round(255 * y), np.uint8)
