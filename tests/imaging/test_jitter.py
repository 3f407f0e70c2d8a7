"""The colour jitter against torchvision's float arithmetic, and its draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from asbench.imaging import augment
from asbench.imaging.augment import apply_jitter, draw_jitter, jitter


def picture(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def torchvision(name: str, image: np.ndarray, factor: float) -> np.ndarray:
    tensor = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    out = getattr(reference, f"adjust_{name}")(tensor, factor)
    return out.permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_equals_torchvision(name: str, factor: float) -> None:
    ours = getattr(augment, f"adjust_{name}")(picture(), factor)
    bound = 1.0 if name == "saturation" else 0.51
    assert np.abs(ours - torchvision(name, picture(), factor)).max() <= bound


@pytest.mark.parametrize("turns", [-0.5, -0.1, 0.05, 0.3])
def test_hue_follows_torchvision_within_eight_bit_hsv(turns: float) -> None:
    error = np.abs(augment.adjust_hue(picture(), turns) - torchvision("hue", picture(), turns))
    # A hue step is 1/256 turn: up to 6 levels at full chroma, with the rounding of saturation.
    assert error.max() <= 10
    assert error.mean() <= 1.5


def test_grey_stays_grey_under_hue_and_saturation() -> None:
    grey = np.repeat(picture()[:, :, :1], 3, axis=2)
    assert np.array_equal(augment.adjust_hue(grey, 0.37), grey)
    assert np.array_equal(augment.adjust_saturation(grey, 1.6), grey)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_any_size_is_pure_and_repeatable(height: int, width: int, seed: int) -> None:
    image = picture(height, width, seed)
    kept = image.copy()
    strengths = {"brightness": 0.2, "contrast": 1.0, "saturation": 0.2, "hue": 0.1}
    first = jitter(image, np.random.default_rng(seed), **strengths)
    assert first.shape == image.shape
    assert first.dtype == np.uint8
    assert np.array_equal(first, jitter(image, np.random.default_rng(seed), **strengths))
    assert np.array_equal(image, kept)
    assert not np.shares_memory(first, image)


def test_a_view_is_jittered_like_its_copy() -> None:
    crop = picture()[3:17, 5:30]
    steps = draw_jitter(
        np.random.default_rng(3), brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1
    )
    assert len(steps) == 4
    assert np.array_equal(apply_jitter(crop, steps), apply_jitter(crop.copy(), steps))


def test_draws_stay_in_range_and_orders_vary() -> None:
    rng = np.random.default_rng(0)
    drawn = [
        draw_jitter(rng, brightness=0.2, contrast=1.5, saturation=0, hue=0.1) for _ in range(300)
    ]
    assert {len(steps) for steps in drawn} == {3}
    assert len({tuple(name for name, _ in steps) for steps in drawn}) == 6
    factors = {name: [dict(steps)[name] for steps in drawn] for name, _ in drawn[0]}
    for name, low, high in [("brightness", 0.8, 1.2), ("contrast", 0, 2.5), ("hue", -0.1, 0.1)]:
        assert low <= min(factors[name]) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(factors[name]) <= high


def test_no_strength_changes_nothing_and_negative_is_refused() -> None:
    rng = np.random.default_rng(0)
    none = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    assert np.array_equal(jitter(picture(), rng, **none), picture())
    with pytest.raises(ValueError, match="at least 0"):
        jitter(picture(), rng, **{**none, "hue": -0.1})
