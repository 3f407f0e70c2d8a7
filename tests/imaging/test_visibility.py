"""What counts as visible: by the published rule, and against a camera's noise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asbench.imaging.visibility import (
    LEAST_NOISE,
    PUBLISHED,
    WIDER,
    Visibility,
    against_noise,
    change,
    check_times,
    described,
    share_held,
    visibility,
)
from synth_store import Sample, UserError
from synth_store.types import Image, Mask

CHANCE = np.random.default_rng(0)


def camera(sigma: float, side: int = 64) -> Image:
    return np.clip(np.rint(CHANCE.normal(120, sigma, (side, side, 3))), 0, 255).astype(np.uint8)


def square(size: int, side: int = 64) -> Mask:
    mask = np.zeros((side, side), bool)
    mask[8 : 8 + size, 8 : 8 + size] = True
    return mask


def raised(clean: Image, mask: Mask, levels: float) -> Image:
    image = clean.astype(float)
    image[mask] += levels
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 1.0, LEAST_NOISE])
def test_without_noise_six_levels_are_visible_and_five_are_not(noise: float) -> None:
    clean, mask, rule = camera(1), square(20), Visibility(3, noise)
    assert rule.shows(raised(clean, mask, 6), clean, mask)
    assert not rule.shows(raised(clean, mask, 5), clean, mask)
    assert PUBLISHED.shows(raised(clean, mask, 4), clean, mask)
    assert not PUBLISHED.shows(clean, clean, mask)
    assert not rule.shows(raised(clean, mask, 40), clean, np.zeros_like(mask))


@pytest.mark.parametrize("sigma", [1, 2, 4, 8])
def test_the_same_place_photographed_twice_shows_nothing(sigma: float) -> None:
    assert not Visibility(3, sigma).shows(camera(sigma), camera(sigma), square(40))


@pytest.mark.parametrize("sigma", [6, 8])
def test_a_faint_patch_shows_by_its_area_where_a_thin_one_does_not(sigma: float) -> None:
    rule, clean = Visibility(3, sigma), camera(sigma)
    another = camera(sigma)

    def faint(mask: Mask) -> Image:
        """Another photograph of the place, a little brighter."""
        image = clean.copy()
        image[mask] = raised(another, mask, 8)[mask]
        return image

    patch = square(40)
    assert change(faint(patch), clean, patch).levels < rule.levels
    assert rule.shows(faint(patch), clean, patch)
    dots = np.zeros_like(patch)
    dots[4::9, 4::9] = True
    assert change(faint(dots), clean, dots).levels < rule.levels
    assert not rule.shows(faint(dots), clean, dots)


def test_noise_that_adds_up_to_nothing_is_hidden() -> None:
    clean, mask, rule = camera(8), square(40), Visibility(3, 8)
    image = clean.copy()
    image[mask] = camera(8)[mask]
    assert change(image, clean, mask).levels > 8
    assert against_noise(image, clean, mask, 8) < rule.times


@pytest.mark.parametrize("share", [0.5, 1 - WIDER - 0.02, 1 - WIDER + 0.02, 1.0])
def test_a_mask_may_be_wider_than_its_change_by_a_fifth(share: float) -> None:
    clean, mask = camera(1), square(40)
    changed = mask.copy()
    changed[8 + round(40 * share) :] = False
    image = raised(clean, changed, 50)
    found = change(image, clean, mask)
    assert found.levels == 50
    assert found.unchanged == pytest.approx(1 - round(40 * share) / 40)
    assert Visibility(3, 1).shows(image, clean, mask) == (share >= 1 - WIDER)
    assert Visibility(3, 1, unchanged=1.0).shows(image, clean, mask)


def test_what_did_not_change_is_all_unchanged() -> None:
    clean = camera(1)
    assert change(clean, clean, square(9)) == (0, 1)
    assert change(clean, clean, np.zeros((64, 64), bool)) == (0, 1)
    assert against_noise(clean, clean, square(9), 1) == 0


def test_a_texture_finer_than_pixels_is_no_camera() -> None:
    """At 32 pixels the threads of a cloth are noise of 50 levels; a hole in it is still one."""
    rule, clean, mask = Visibility(3, 50), camera(50), square(20)
    assert rule.levels == 24
    assert rule.shows(raised(clean // 2, mask, 30), clean // 2, mask)
    assert not rule.shows(raised(clean // 2, mask, 5), clean // 2, mask)


def test_a_higher_k_lets_fewer_through() -> None:
    clean, mask = camera(3), square(30)
    images = [raised(clean, mask, levels) for levels in range(4, 40, 3)]
    shown = [sum(Visibility(k, 3).shows(i, clean, mask) for i in images) for k in range(6)]
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == len(images)
    assert shown[5] < shown[1]


def test_the_rule_of_a_category() -> None:
    normals = [camera(4) for _ in range(3)]
    rule = visibility(2, normals, "toys", "a")
    assert rule.times == 2
    assert rule.noise == pytest.approx(4, rel=0.15)
    assert visibility(0, normals, "toys", "a") == PUBLISHED
    for times in (-1, math.nan, math.inf):
        with pytest.raises(UserError, match=f"visible={times} is impossible"):
            check_times(times)


def test_what_is_said_of_samples() -> None:
    clean, mask = camera(1), square(20)
    half = mask.copy()
    half[:, 18:] = False
    samples = [Sample(raised(clean, m, 30), mask, clean) for m in (mask, half)]
    said = described(samples, 1.04)
    assert said.startswith("change 30 levels, noise 1.0; ")
    assert said.endswith("; 25% of the mask unchanged")
    assert described([Sample(clean, mask)], 1.04) == ""


def test_a_mask_holds_the_change_where_most_of_what_is_strong_lies_by_it() -> None:
    clean = np.full((64, 64, 3), 100, np.uint8)
    mask = np.zeros((64, 64), np.bool_)
    mask[20:30, 20:30] = True
    image = clean.copy()
    image[20:30, 20:30] += 60
    assert share_held(image, clean, mask) == 1
    image[19:31, 19:31] += 20  # an edge of a pixel, and noise over the whole image
    image[..., 0] += 9
    assert share_held(image, clean, mask) == 1
    image[20:30, 40:50] += 60  # as much again, elsewhere
    assert share_held(image, clean, mask) == pytest.approx(0.5, abs=0.05)
    assert share_held(clean, clean, mask) == 0
    rule = Visibility(3.0, 1.0, held=0.8)
    assert not rule.shows(image, clean, mask)
    assert Visibility(3.0, 1.0).shows(image, clean, mask)
