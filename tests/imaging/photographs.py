"""Drawn photographs of parts whose place is known, and of surfaces that have none."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from synth_store.types import Image, Mask

SIDE = 256


@dataclass(frozen=True)
class Scene:
    """A part under a lamp, in grey levels; places and turns differ from photograph to photograph.

    slope, vignette: how much darker the ground is at the far side, and in the corners; noise:
    standard deviation of the camera's; shadow: depth of a soft one beside the part; glare: of a
    bright spot on it; grain: of the part's own texture; rough: of the ground's.
    """

    shape: str = "bar"
    ground: tuple[int, ...] = (200, 200, 200)
    part: tuple[int, ...] = (80, 80, 80)
    slope: float = 0
    vignette: float = 0
    noise: float = 3
    shadow: float = 0
    glare: float = 0
    grain: float = 0
    rough: float = 0
    size: tuple[int, int] = (SIDE, SIDE)

    def draw(self, seed: int) -> tuple[Image, Mask]:
        """Return photograph and truth: uint8 (H, W, 3), bool (H, W)."""
        rng = np.random.default_rng([seed, 7])
        height, width = self.size
        rows, columns = np.mgrid[:height, :width]
        truth = outline(self.shape, rng, height, width)
        light = (
            -self.slope * columns / width
            - self.vignette
            * (np.hypot(rows - height / 2, columns - width / 2) / np.hypot(height / 2, width / 2))
            ** 2
        )
        if self.shadow:
            moved = np.roll(truth, (height // 32, width // 20), (0, 1)).astype(np.float64)
            light -= self.shadow * cv2.GaussianBlur(moved, (0, 0), width / 32)
        light += self.rough * smooth_noise(rng, height, width, 1.5)
        image = np.asarray(self.ground, np.float64) + light[..., None]
        tone = np.asarray(self.part, np.float64) + 0.2 * light[..., None]
        tone = tone + self.grain * smooth_noise(rng, height, width, 3)[..., None]
        if self.glare:
            inside = np.argwhere(truth)
            y, x = inside[rng.integers(len(inside))]
            spot = np.exp(-(((rows - y) / 6) ** 2 + ((columns - x) / 14) ** 2))
            tone += self.glare * spot[..., None]
        soft = cv2.GaussianBlur(truth.astype(np.float64), (0, 0), 0.7)[..., None]
        image = image * (1 - soft) + tone * soft + rng.normal(0, self.noise, (height, width, 1))
        return np.clip(image, 0, 255).astype(np.uint8), truth


def outline(shape: str, rng: np.random.Generator, height: int, width: int) -> Mask:
    """Return where a part of this shape lies: turned and moved at random."""
    drawn = np.zeros((height, width), np.uint8)
    y, x = height / 2 + rng.uniform(-6, 6), width / 2 + rng.uniform(-6, 6)
    turn, side = float(rng.uniform(0, 180)), min(height, width)
    if shape == "bar":
        _box(drawn, x, y, 0.66 * side, 0.09 * side, turn)
    elif shape == "long":
        _box(drawn, x, y, 0.9 * side, 0.09 * side, turn)
    elif shape == "block":
        _box(drawn, x, y, 0.5 * side, 0.35 * side, turn)
    elif shape == "large":
        _box(drawn, width / 2, height / 2, 0.8 * width, 0.8 * height, float(rng.uniform(-3, 3)))
    elif shape == "disc":
        cv2.circle(drawn, (round(x), round(y)), round(0.28 * side), 1, -1)
    elif shape == "ring":
        cv2.circle(drawn, (round(x), round(y)), round(0.3 * side), 1, -1)
    elif shape == "small":
        cv2.circle(drawn, (round(x), round(y)), round(0.09 * side), 1, -1)
    elif shape == "several":
        for row in (0.25, 0.55, 0.8):
            for column in (0.25, 0.7):
                at = width * column + rng.uniform(-9, 9), height * row + rng.uniform(-6, 6)
                _box(drawn, *at, 0.22 * side, 0.12 * side, float(rng.uniform(0, 180)))
    elif shape == "strip":
        drawn[:, round(x - 0.15 * width) : round(x + 0.15 * width)] = 1
    elif shape == "cut":
        cv2.circle(drawn, (round(x), round(height - 0.05 * side)), round(0.38 * side), 1, -1)
    elif shape == "corner":
        _box(drawn, 0.1 * width, 0.1 * height, 0.9 * side, 0.6 * side, turn / 9 + 35)
    else:
        raise ValueError(shape)
    return drawn.astype(np.bool_)


def _box(
    drawn: npt.NDArray[np.uint8], x: float, y: float, length: float, wide: float, turn: float
) -> None:
    corners = cv2.boxPoints(((x, y), (length, wide), turn))
    cv2.fillPoly(drawn, [np.rint(corners).astype(np.int32)], 1)


def smooth_noise(
    rng: np.random.Generator, height: int, width: int, scale: float
) -> npt.NDArray[np.float64]:
    """Return noise of unit deviation whose grains are `scale` pixels wide: float64 (H, W)."""
    grains = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), scale)
    return np.asarray(grains / grains.std(), np.float64)


def surface(kind: str, seed: int, height: int = SIDE, width: int = SIDE) -> Image:
    """Return a photograph of a surface without an object: uint8 (H, W, 3)."""
    rng = np.random.default_rng([seed, 11])
    rows, columns = np.mgrid[:height, :width]
    grey = {
        "plain": lambda: 150 + rng.normal(0, 4, (height, width)),
        "shaded": lambda: 190 - 70 * columns / width + rng.normal(0, 4, (height, width)),
        "vignetted": lambda: (
            190
            - 90 * (np.hypot(rows - height / 2, columns - width / 2) / height) ** 2
            + rng.normal(0, 3, (height, width))
        ),
        "noise": lambda: rng.normal(120, 30, (height, width)),
        "leather": lambda: 110 + 20 * smooth_noise(rng, height, width, 3),
        "blotches": lambda: 130 + 25 * smooth_noise(rng, height, width, 14),
        "clouds": lambda: 130 + 25 * smooth_noise(rng, height, width, 35),
        "cloth": lambda: (
            120
            + 18 * np.sin(columns / 2.1 + rng.uniform(0, 6))
            + 18 * np.sin(rows / 2.3)
            + rng.normal(0, 8, (height, width))
        ),
        "wood": lambda: (
            140
            + 30
            * np.sin(columns / 9 + 2 * smooth_noise(rng, height, width, 20) + rng.uniform(0, 6))
            + rng.normal(0, 5, (height, width))
        ),
        "stripes": lambda: (
            np.where((columns + seed) % 64 < 24, 70, 160) + rng.normal(0, 4, (height, width))
        ),
        "tiles": lambda: (
            np.where((columns % 64 < 4) | (rows % 64 < 4), 60, 150)
            + rng.normal(0, 4, (height, width))
        ),
        "two halves": lambda: (
            np.where(rows < height * rng.uniform(0.35, 0.65), 90, 190)
            + 8 * smooth_noise(rng, height, width, 2)
        ),
        "scratched": lambda: _scratched(rng, height, width),
    }[kind]()
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _scratched(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float64]:
    metal = 140 + 12 * cv2.GaussianBlur(rng.normal(size=(height, width)), (1, 31), 0)
    metal += rng.normal(0, 4, (height, width))
    for _ in range(3):
        x, y = (int(rng.integers(side)) for side in (width, height))
        cv2.line(metal, (x, y), (x + int(rng.integers(-60, 60)), y + 40), 90, 2)
    return np.asarray(metal, np.float64)


SCENES = {
    "flat": Scene(),
    "slope 15": Scene(slope=15),
    "slope 30": Scene(slope=30),
    "slope 60": Scene(slope=60),
    "slope 60, bright part": Scene("disc", (90, 90, 90), (190, 190, 190), slope=60),
    "slope 60, large": Scene("large", slope=60),
    "vignette 40": Scene("block", vignette=40),
    "vignette 80": Scene("disc", (210, 210, 210), (70, 60, 50), vignette=80),
    "slope and vignette": Scene("long", slope=25, vignette=15),
    "long": Scene("long"),
    "noise 2": Scene(noise=2),
    "noise 10": Scene("block", noise=10),
    "noise 10, slope 40": Scene("disc", noise=10, slope=40),
    "shadow": Scene("block", shadow=40),
    "shadow, slope": Scene("disc", shadow=50, slope=30),
    "shadow of a coloured part": Scene("block", (190, 190, 190), (150, 60, 40), shadow=40),
    "glare": Scene("block", (30, 30, 32), (75, 72, 68), noise=2, glare=170),
    "glare on a dark part": Scene("disc", (200, 200, 200), (60, 60, 60), glare=190),
    "dark on dark": Scene("block", (26, 28, 36), (10, 10, 9), noise=2, glare=120),
    "bright on dark": Scene("bar", (30, 30, 30), (180, 180, 180)),
    "bright on dark, slope": Scene("block", (90, 90, 90), (200, 200, 200), slope=60),
    "faint": Scene("disc", (120, 120, 120), (145, 145, 145)),
    "faint, slope": Scene("block", (150, 150, 150), (110, 110, 110), slope=40),
    "coloured": Scene("disc", (128, 128, 128), (160, 110, 120)),
    "several": Scene("several", slope=30),
    "several, bright": Scene("several", (60, 60, 60), (150, 140, 130), vignette=25),
    "cut": Scene("cut", slope=20),
    "corner": Scene("corner", (70, 75, 80), (170, 160, 150)),
    "strip": Scene("strip", slope=30),
    "textured part": Scene("block", (210, 210, 210), (110, 110, 110), grain=25),
    "textured part on a slope": Scene("disc", (60, 60, 60), (150, 150, 150), grain=25, slope=-30),
    "rough ground": Scene("disc", (120, 120, 120), (200, 190, 180), rough=6, slope=20),
    "small": Scene("small", slope=40),
    "wide picture": Scene("block", slope=40, size=(160, 320)),
    "small picture": Scene("disc", slope=40, size=(96, 96)),
}
SURFACES = (
    "plain", "shaded", "vignetted", "noise", "leather", "blotches", "clouds", "cloth", "wood",
    "stripes", "tiles", "two halves", "scratched",
)  # fmt: skip
