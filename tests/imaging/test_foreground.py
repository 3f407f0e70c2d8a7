"""Foregrounds on drawn objects, where the truth is known, and on images without an object."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.imaging.foreground import border, fixed, foreground
from synth_store.types import Image, Mask

BRIGHT, DARK = (235, 235, 230), (15, 18, 20)


def disc(height: int = 128, width: int = 128, share: float = 0.3) -> Mask:
    rows, columns = np.ogrid[:height, :width]
    radius = share * min(height, width)
    inside: Mask = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 <= radius**2
    return inside


def drawn(mask: Mask, ground: tuple[int, ...], colour: tuple[int, ...], noise: float = 4) -> Image:
    image = np.where(mask[..., None], colour, ground)
    grain = np.random.default_rng(0).normal(0, noise, (*mask.shape, 1))
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def overlap(found: Mask, truth: Mask) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (256, 200), (37, 51)])
@pytest.mark.parametrize(
    ("ground", "colour"),
    [
        (BRIGHT, (90, 60, 30)),
        (DARK, (150, 110, 70)),
        (BRIGHT, (235, 120, 60)),
        (DARK, (20, 60, 20)),
    ],
    ids=["dark", "bright", "coloured", "faint"],
)
def test_finds_an_object_on_a_plain_ground(
    size: tuple[int, int], ground: tuple[int, ...], colour: tuple[int, ...]
) -> None:
    truth = disc(*size)
    result = foreground(drawn(truth, ground, colour))
    assert result.rule == "otsu"
    assert overlap(result.mask, truth) > 0.93


def test_both_tones_of_an_object_belong_to_it() -> None:
    truth = disc()
    image = drawn(truth, BRIGHT, (200, 160, 120))
    image[:64][truth[:64]] = 10
    assert overlap(foreground(image).mask, truth) > 0.95


def test_fills_holes_and_drops_specks() -> None:
    truth = disc(share=0.4)
    image = drawn(truth & ~disc(share=0.15), DARK, (170, 170, 170))
    image[4:7, 40:43] = 200
    assert overlap(foreground(image).mask, truth) > 0.97


def test_an_object_may_reach_from_border_to_border() -> None:
    strip = np.zeros((128, 128), np.bool_)
    strip[:, 40:88] = True
    result = foreground(drawn(strip, BRIGHT, (50, 50, 55)))
    assert result.rule == "otsu"
    assert overlap(result.mask, strip) > 0.97


def surface(kind: str) -> Image:
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:128, :128]
    grey = {
        "constant": np.full((128, 128), 128),
        "noise": rng.normal(120, 25, (128, 128)),
        "blobs": cv2.resize(rng.normal(120, 50, (12, 12)), (128, 128)),
        "shading": 60 + rows,
        "vignette": 190 - 1.2 * np.hypot(rows - 64, columns - 64),
        "bars": np.where(columns % 16 < 4, 60, 150),
        "speck": np.where(disc(share=0.04), 20, 200),
        "frame": np.where((rows == 0) | (columns == 0), 40, 180),
    }[kind]
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    "kind", ["constant", "noise", "blobs", "shading", "vignette", "bars", "speck", "frame"]
)
def test_without_an_object_it_is_the_whole_image(kind: str) -> None:
    result = foreground(surface(kind))
    assert result.rule == "whole image"
    assert result.mask.all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_image_gives_a_mask_that_its_rule_describes(h: int, w: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (h, w, 3)).astype(np.uint8)
    if seed % 2:
        image[image < rng.integers(256)] = 0
    before = image.copy()
    result = foreground(image)
    assert result.mask.shape == (h, w)
    assert result.mask.dtype == np.bool_
    if result.rule == "whole image":
        assert result.mask.all()
    else:
        assert 0.01 <= result.mask.mean() <= 0.95
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(result.mask, foreground(image).mask)


def test_fixed_splits_at_the_grey_level() -> None:
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    assert fixed(greys, 100, dark=False).sum() == 155
    np.testing.assert_array_equal(fixed(greys, 100, dark=True), ~fixed(greys, 100, dark=False))
    red = np.full((2, 2, 3), (255, 0, 0), np.uint8)  # grey 0.299 * 255 = 76.2
    assert fixed(red, 75, dark=False).all()
    assert not fixed(red, 76, dark=False).any()


@pytest.mark.parametrize("size", [(256, 256), (96, 160), (24, 24)])
def test_border_follows_the_corner(size: tuple[int, int]) -> None:
    truth = disc(*size)
    for ground, colour in ((BRIGHT, (90, 60, 30)), (DARK, (150, 110, 70))):
        found = border(drawn(truth, ground, colour, noise=2))
        assert found.shape == size
        assert overlap(found, truth) > 0.8
    assert not border(np.full((*size, 3), 128, np.uint8)).any()
