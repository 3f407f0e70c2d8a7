"""What the laws of all methods are read with: canvases, 2,000 samples, and what a mask shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from asbench.types import Canvas, Material, PerSample
from synth_store.rng import address_rng
from synth_store.types import Image, Mask, Sample
from tests.evidence import uniform

DRAWS, SIDE = 2000, 256
Laws = dict[str, float]
Ints = npt.NDArray[np.integer]
CHANCE = np.random.default_rng(20)
"""For the draws of laws, never for a method's."""
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
PLACES: Image = np.dstack((ROWS, COLUMNS, 100 + (7 * ROWS + 3 * COLUMNS) % 100)).astype(np.uint8)
"""Every pixel says in its first two channels where it is."""


def flat(*levels: int, textures: tuple[int, ...] = (), side: int = SIDE) -> Material:
    images = [np.full((side, side, 3), level, np.uint8) for level in (*levels, *textures)]
    whole = np.ones((side, side), np.bool_)
    cut = len(levels)
    return Material("fidelity", "flat", images[:cut], [whole] * cut, images[cut:])


def on(*images: Image) -> Material:
    whole = np.ones(images[0].shape[:2], np.bool_)
    return Material("fidelity", "images", images, [whole] * len(images))


def grain(number: int, low: int = 0, high: int = 256) -> list[Image]:
    rng = np.random.default_rng(1)
    return [rng.integers(low, high, (SIDE, SIDE, 3), dtype=np.uint8) for _ in range(number)]


def every(method: PerSample, given: Material, draws: int = DRAWS) -> Iterator[Sample | None]:
    """Yield samples on the first normal, None where nothing was to be seen."""
    for index in range(draws):
        yield method(Canvas(given, 0), address_rng("fidelity", index))


def drawn(method: PerSample, given: Material, draws: int = DRAWS) -> Iterator[Sample]:
    """Yield the samples that show something; on these materials all but a few do."""
    found = 0
    for sample in every(method, given, draws):
        if sample is not None:
            found += 1
            yield sample
    assert found >= 0.99 * draws


def changed(method: PerSample, **settings: Any) -> Any:
    return dataclasses.replace(method, **settings)


def box(mask: Mask) -> tuple[int, int, int, int]:
    """Return top, left, height and width of what a mask marks."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return top, left, height, width


def within(whole: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Spread whole numbers evenly over the unit interval above each."""
    return whole + CHANCE.random(len(whole))


def placed(starts: Ints, lengths: Ints, first: float = 0, last: float = SIDE - 1.0) -> float:
    """Test that each start is uniform over the places where its length fits."""
    return uniform((within(starts) - first) / (last + 1 - first - lengths + 1))


def cut_off(starts: Ints, stops: Ints, frame: int = 0) -> Ints:
    """Return what the image, without a frame, leaves of stretches from start to stop."""
    left: Ints = np.minimum(stops, SIDE - frame) - np.maximum(starts, frame)
    return left


def levels(sample: Sample) -> npt.NDArray[np.float64]:
    """Return the first channel inside the mask."""
    return sample.image[..., 0][sample.mask].astype(float)


def opacity(method: PerSample) -> npt.NDArray[np.float64]:
    """Return the weight of a white texture, or of a white other normal, on black."""
    given = flat(0, 255, textures=(255,))
    return np.array([levels(s)[0] for s in drawn(method, given)]) + CHANCE.random(DRAWS) - 0.5


def moved(sample: Sample, pixels: Mask) -> npt.NDArray[np.float64]:
    """Return how the places of pixels go with where they come from: 2 x 2, a turn but for scale."""
    to = np.argwhere(pixels).astype(float)
    come = sample.image[pixels][:, :2].astype(float)
    return np.asarray((to - to.mean(0)).T @ (come - come.mean(0)))


def degrees(turned: npt.NDArray[np.float64]) -> float:
    """Return the counter-clockwise angle of the turn that comes nearest."""
    (a, b), (c, d) = turned
    return math.degrees(math.atan2(c - b, a + d))
