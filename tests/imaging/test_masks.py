"""What a mask may claim, against plain rules over whole images."""

from __future__ import annotations

import numpy as np
import pytest

from asbench.imaging.masks import LEVELS, SHARE, change_inside, largest_change, visible
from asbench.imaging.visibility import change


def pair(seed: int, share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image, a clean one that differs little from it, and a mask of about a share."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (31, 47, 3), np.uint8)
    moved = clean.astype(int) + rng.integers(-6, 7, clean.shape) * (rng.random((31, 47, 1)) < 0.5)
    return np.clip(moved, 0, 255).astype(np.uint8), clean, rng.random((31, 47)) < share


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_changes_inside_a_mask_are_those_of_the_whole_image(seed: int, share: float) -> None:
    image, clean, mask = pair(seed, share)
    plain = np.abs(image.astype(int) - clean).max(axis=2)
    assert np.array_equal(largest_change(image, clean), plain)
    assert np.array_equal(change_inside(image, clean, mask), plain[mask])
    seen = np.mean(plain[mask] >= LEVELS) >= SHARE if mask.any() else False
    assert visible(image, clean, mask) == seen


@pytest.mark.parametrize("share", [0.001, 0.05, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_the_median_by_counting_is_the_median(seed: int, share: float) -> None:
    image, clean, mask = pair(seed, share)
    inside = np.abs(image.astype(int) - clean).max(axis=2)[mask]
    found = change(image, clean, mask)
    changed = inside[inside > 0]
    assert found.levels == (np.median(changed) if len(changed) else 0)
    assert found.unchanged == (1 - len(changed) / len(inside) if len(inside) else 1)
