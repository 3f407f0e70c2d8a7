"""One rule for all normals of a category: on drawn parts whose place is known, and on surfaces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from asbench.imaging.finder import foregrounds, looks
from synth_store.types import Mask
from tests.imaging.photographs import SCENES, SURFACES, Scene, surface

pytestmark = pytest.mark.slow


def overlap(found: Mask, truth: Mask) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize("name", SCENES)
def test_the_part_is_found_on_every_normal(name: str) -> None:
    drawn = [SCENES[name].draw(seed) for seed in range(5)]
    masks, rule = foregrounds([image for image, _ in drawn])
    assert rule.kind != "whole image"
    for mask, (_, truth) in zip(masks, drawn, strict=True):
        assert overlap(mask, truth) >= 0.9


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_is_the_whole_image(name: str) -> None:
    masks, rule = foregrounds([surface(name, seed) for seed in range(5)])
    assert (rule.kind, rule.looked) == ("whole image", 5)
    assert all(mask.all() for mask in masks)


@pytest.mark.parametrize("side", [64, 96, 128, 192])
@pytest.mark.parametrize("period", [14, 19, 30])
def test_a_pattern_that_goes_on_is_no_object(side: int, period: int) -> None:
    """Soft blobs, which a small image does not tell from parts by their edges."""
    y, x = np.mgrid[:side, :side] * (2 * np.pi / period)
    images = [
        np.clip(
            120
            + 40 * np.sin(x)[..., None] * np.array([1, 0.8, 0.6])
            + 20 * np.cos(y)[..., None]
            + np.random.default_rng(seed).normal(0, 6, (side, side, 3)),
            0,
            255,
        ).astype(np.uint8)
        for seed in range(5)
    ]
    masks, rule = foregrounds(images)
    assert rule.kind == "whole image"
    assert all(mask.all() for mask in masks)


def test_what_looks_like_an_object_on_few_normals_is_none() -> None:
    """A spot on one cloth of eight makes no object of it, and no other rule for that one."""
    cloths = [surface("plain", seed) for seed in range(8)]
    cv2.circle(cloths[3], (120, 130), 30, (60, 60, 60), -1)
    masks, rule = foregrounds(cloths)
    assert (rule.kind, rule.seen, rule.looked) == ("whole image", 1, 8)
    assert all(mask.all() for mask in masks)


def test_a_normal_without_the_part_is_the_whole_image() -> None:
    images = [Scene("disc", slope=40).draw(seed)[0] for seed in range(7)]
    images.append(surface("shaded", 0))
    masks, rule = foregrounds(images)
    assert (rule.kind, rule.seen) == ("smooth ground", 7)
    assert [bool(mask.all()) for mask in masks] == [False] * 7 + [True]


def test_large_photographs_keep_a_fine_outline() -> None:
    drawn = [Scene("block", slope=50, size=(640, 800)).draw(seed) for seed in range(3)]
    masks, _ = foregrounds([image for image, _ in drawn])
    for mask, (_, truth) in zip(masks, drawn, strict=True):
        assert overlap(mask, truth) >= 0.97


def test_the_same_normals_give_the_same_masks() -> None:
    images = [SCENES["slope 30"].draw(seed)[0] for seed in range(4)]
    before = [image.copy() for image in images]
    once, again = foregrounds(images), foregrounds(images)
    assert once[1] == again[1]
    np.testing.assert_array_equal(once[0], again[0])
    np.testing.assert_array_equal(images, before)


def test_the_rule_is_chosen_on_normals_from_first_to_last() -> None:
    assert looks(0) == []
    assert looks(3) == [0, 1, 2]
    assert looks(160) == list(range(0, 160, 10))


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 9), (40, 40)])
def test_tiny_images_have_masks_too(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(2)]
    masks, _ = foregrounds(images)
    assert [mask.shape for mask in masks] == [size] * 2
    assert all(mask.dtype == np.bool_ and mask.any() for mask in masks)
