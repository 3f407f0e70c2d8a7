"""NSA: how many patches, how large, and where."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from scipy import stats

from asbench.synthesizers import nsa
from asbench.types import PerSample
from synth_store.types import Image
from tests.evidence import (
    counts,
    even,
    follows,
    mean,
    share,
)
from tests.laws.reading import (
    CHANCE,
    DRAWS,
    SIDE,
    Laws,
    drawn,
    grain,
    on,
    placed,
    within,
)


def natural(
    method: PerSample, half: Callable[[], int], low: float, high: float, resize: tuple[float, float]
) -> tuple[Laws, list[int], list[int], list[float]]:
    """Record what is cloned where; return the laws of sizes and places, counts, halves, areas.

    A rectangle about a centre off the border, cut off by it; scaled by N(1, 0.5) within `resize`;
    then the bounds of half sides hold for whole ones, the height following the width.
    """
    sizes: list[tuple[int, int, int, int]] = []
    halves: list[int] = []
    patches, areas = [], []
    clone, around = nsa.Nsa._clone, nsa._around

    def spy(self: nsa.Nsa, patch: Image, cloned: Image, where: Any, mixed: bool) -> None:
        sizes.append((where[0].start, where[1].start, *patch.shape[:2]))
        clone(self, patch, cloned, where, mixed)

    def reach(rng: np.random.Generator, side: int, half: int, low: float) -> slice:
        halves.append(half)
        return around(rng, side, half, low)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nsa.Nsa, "_clone", spy)
        patch.setattr(nsa, "_around", reach)
        for sample in drawn(method, on(*grain(2))):
            patches.append(len(sizes) - sum(patches))
            areas.append(float(sample.mask.mean()))
    least, most = low * SIDE, high * SIDE
    law = []
    for _ in range(5 * DRAWS):
        cut = []
        for reached in (half(), half()):
            centre = int(CHANCE.integers(int(least), int(SIDE - least)))
            cut.append(min(centre + reached, SIDE) - max(centre - reached, 0))
        scale = np.clip(CHANCE.normal(1, 0.5), *resize)
        width = np.clip(np.clip(scale * cut[0], least, most) / cut[0] * cut[1], least, most)
        law.append((int(width / cut[1] * cut[0]), int(width)))
    top, left, height, width = np.array(sizes).T
    heights, widths = np.array(law).T
    laws = {
        "height": follows(height, heights),
        "width": follows(width, widths),
        "patch": follows(height * width, heights * widths),
        "row": placed(top, height),
        "column": placed(left, width),
    }
    return laws, patches, halves, areas


def nsa_textures(method: PerSample) -> Laws:
    """Half sides 0.03 + Gamma(2, 0.05) up to 0.4, four patches at most; 10 % of the image."""

    def half() -> int:
        return int(min(0.03 + CHANCE.gamma(2, 0.05), 0.4) * SIDE)

    laws, patches, halves, areas = natural(method, half, 0.03, 0.4, (0.5, 2.0))
    below = np.array([h for h in halves if h < 102])
    gamma = stats.gamma(2, 0.03, 0.05)
    return laws | {
        "patches": counts(patches, {1 + k: math.comb(3, k) / 8 for k in range(4)}),
        "half side": float(
            stats.kstest(within(below) / SIDE, lambda x: gamma.cdf(x) / gamma.cdf(102 / 256)).pvalue
        ),
        "widest": share(len(halves) - len(below), len(halves), float(gamma.sf(102 / 256))),
        "mean area": mean(areas, 0.095, 0.105),
    }


def nsa_bare(method: PerSample) -> Laws:
    """One patch, half sides UI[5 %, 20 %) of the image, resized by 0.7..1.3; 2 % of the image."""
    laws, patches, halves, areas = natural(
        method, lambda: int(CHANCE.integers(12, 51)), 0.05, 0.2, (0.7, 1.3)
    )
    assert set(patches) == {1}
    return laws | {
        "half side": counts(halves, even(range(12, 51))),
        "mean area": mean(areas, 0.019, 0.021),
        "area": follows(areas, [cloned_area(image) for image in grain(1) * (DRAWS // 2)]),
    }


def cloned_area(image: Image) -> float:
    """Label one patch as published, over the whole image: mean change above 1, 5 x 5 median."""
    cut = []
    for _ in range(2):
        half, centre = int(CHANCE.integers(12, 51)), int(CHANCE.integers(12, SIDE - 12))
        cut.append((max(centre - half, 0), min(centre + half, SIDE)))
    (top, bottom), (left, right) = cut
    scale = np.clip(CHANCE.normal(1, 0.5), 0.7, 1.3)
    height = np.clip(scale * (bottom - top), 12.8, 51.2)
    width = np.clip(height / (bottom - top) * (right - left), 12.8, 51.2)
    tall, wide = int(width / (right - left) * (bottom - top)), int(width)
    patch = cv2.resize(image[top:bottom, left:right], (wide, tall))
    y, x = (int(CHANCE.integers(SIDE - n + 1)) for n in (tall, wide))
    weights = np.zeros((tall, wide), np.uint8)
    weights[1:-1, 1:-1] = 255
    centre = x + 1 + (wide - 2) // 2, y + 1 + (tall - 2) // 2
    result = cv2.seamlessClone(patch, image, weights, centre, cv2.NORMAL_CLONE)
    inside = np.zeros((SIDE, SIDE), np.bool_)
    inside[y : y + tall, x : x + wide] = True
    change = np.abs(result.astype(float) - image).mean(axis=2)
    label = ((change > 1) & inside).astype(np.uint8)
    return float(cv2.medianBlur(label, 5).mean())
