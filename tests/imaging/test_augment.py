"""The ten texture operations against PIL, scikit-image and the formulas, and their composition."""

from __future__ import annotations

import itertools
import os
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pil
from PIL import ImageEnhance, ImageOps
from skimage import color, exposure

from asbench.imaging import augment, augmenter

LEVELS = np.arange(256)


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Smooth blobs with noise: histograms that are neither flat nor full."""
    rng = np.random.default_rng(seed)
    small = Pil.fromarray(rng.integers(30, 220, (5, 7, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Pil.Resampling.BICUBIC), int)
    return np.clip(smooth + rng.integers(-9, 10, smooth.shape), 0, 255).astype(np.uint8)


def ramp() -> np.ndarray:
    return np.repeat(LEVELS.astype(np.uint8).reshape(16, 16, 1), 3, axis=2)


def test_gamma_is_per_channel() -> None:
    ours = augment.gamma(picture(), (0.5, 1.0, 1.9))
    for channel, exponent in enumerate((0.5, 1.0, 1.9)):
        theirs = 255 * exposure.adjust_gamma(picture()[..., channel] / 255, exponent)
        assert np.abs(ours[..., channel] - theirs).max() <= 0.5


@pytest.mark.parametrize("cut", [0, 3, 20])
def test_autocontrast_equals_pil(cut: int) -> None:
    theirs = np.asarray(ImageOps.autocontrast(Pil.fromarray(picture()), cutoff=cut))
    assert np.abs(augment.autocontrast(picture(), cut) - theirs.astype(int)).max() == 0


@pytest.mark.parametrize("seed", range(4))
def test_equalise_equals_pil(seed: int) -> None:
    image = picture(61, 37, seed)
    theirs = np.asarray(ImageOps.equalize(Pil.fromarray(image)))
    assert np.array_equal(augment.equalise(image), theirs)


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 2.0])
def test_sharpness_equals_pil_within_its_rounding(factor: float) -> None:
    theirs = np.asarray(ImageEnhance.Sharpness(Pil.fromarray(picture())).enhance(factor))
    assert np.abs(augment.sharpness(picture(), factor) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterise_formula(bits: int) -> None:
    width = 256 / 2**bits
    expected = np.floor(np.floor(LEVELS / width) * width + width / 2)
    assert np.array_equal(augment.posterise(ramp(), bits)[..., 0].ravel(), expected)


def test_solarise_and_invert_equal_pil() -> None:
    image = Pil.fromarray(picture())
    assert np.array_equal(augment.solarise(picture(), 100), ImageOps.solarize(image, 100))
    assert np.array_equal(augment.invert(picture()), ImageOps.invert(image))


@pytest.mark.parametrize("hue", [-50, -7, 0, 33, 50])
def test_hue_shift_against_skimage(hue: int) -> None:
    hsv = color.rgb2hsv(picture())
    hsv[..., 0] = (hsv[..., 0] + int(hue / 255 * 180) / 180) % 1
    error = np.abs(augment.hue_saturation(picture(), hue, 0) - 255 * color.hsv2rgb(hsv))
    assert error.max() <= 7
    assert error.mean() <= 1.5


def test_saturation_is_added_and_clipped() -> None:
    grey = augment.hue_saturation(picture(), 0, -255)
    assert np.ptp(grey, axis=2).max() == 0
    full = color.rgb2hsv(augment.hue_saturation(picture(), 0, 255))[..., 1]
    assert full.min() > 0.99


@pytest.mark.parametrize("space", get_args(augment.Space))
def test_brightness_in_each_space(space: augment.Space) -> None:
    unchanged = augment.brightness(picture(), space, 1.0, 0).astype(int)
    # There and back loses what the space's 8-bit rounding loses, most at dark saturated colours.
    assert np.abs(unchanged - picture()).mean() <= 1.5
    brighter = augment.brightness(picture(), space, 1.2, 30).astype(int)
    assert (brighter - picture()).mean() > 20


@pytest.mark.parametrize("space", ["YCrCb", "HSV", "HLS", "YUV"])
def test_brightness_of_grey_is_the_formula_in_either_order(space: augment.Space) -> None:
    first = np.rint(np.clip(np.rint(LEVELS * 0.8) - 20, 0, 255))
    then = np.rint(np.clip(LEVELS - 20, 0, 255) * 0.8)
    for multiply_first, expected in ((True, first), (False, then)):
        ours = augment.brightness(ramp(), space, 0.8, -20, multiply_first)[..., 0].ravel()
        assert np.abs(ours - expected).max() <= 1


def test_rotation_leaves_black_corners_and_quarter_turns_exact() -> None:
    white = np.full((40, 40, 3), 255, np.uint8)
    turned = augment.rotate(white, 45)
    assert turned[0, 0].max() == turned[-1, -1].max() == 0
    assert turned[20, 20].min() == 255
    square = picture(40, 40)
    assert np.array_equal(augment.rotate(square, 90), np.rot90(square))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_every_operation_takes_any_size_and_keeps_its_input(
    height: int, width: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    kept = image.copy()
    for operation in augmenter.OPERATIONS:
        out = operation(np.random.default_rng(seed))(image)
        assert out.shape == image.shape
        assert out.dtype == np.uint8
    twice = [augmenter.augment(image, np.random.default_rng(seed)) for _ in range(2)]
    assert np.array_equal(*twice)
    assert np.array_equal(image, kept)


@pytest.fixture(scope="module")
def albumentations() -> Any:
    """The library, imported without its call to the network."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    return pytest.importorskip("albumentations")


@pytest.mark.parametrize("seed", range(3))
def test_operations_that_albumentations_has_too_are_the_same_pixels(
    seed: int, albumentations: Any
) -> None:
    """Four of the ten: the rest it does otherwise, by the bounds of the test below, or not at all.

    It sharpens with another kernel, and changes brightness in no colour space.
    """
    image, library = picture(61, 83, seed), albumentations
    turn = {"border_mode": cv2.BORDER_CONSTANT, "fill": 0, "interpolation": cv2.INTER_LINEAR}
    for degrees in (-45.0, 13.3, 30.0):
        theirs = library.Rotate(limit=(degrees, degrees), p=1, **turn)(image=image)["image"]
        assert np.array_equal(augment.rotate(image, degrees), theirs)
    for hue, saturation in ((-50, 50), (7, -31), (25, 0)):
        steps = int(hue / 255 * 180)
        limits = {"hue_shift_limit": (steps, steps), "sat_shift_limit": (saturation, saturation)}
        shift = library.HueSaturationValue(**limits, val_shift_limit=(0, 0), p=1)
        theirs = shift(image=image)["image"]
        assert np.array_equal(augment.hue_saturation(image, hue, saturation), theirs)
    for threshold in (32, 100, 128):
        share = threshold / 255
        theirs = library.Solarize(threshold_range=(share, share), p=1)(image=image)["image"]
        assert np.array_equal(augment.solarise(image, threshold), theirs)
    theirs = library.InvertImg(p=1)(image=image)["image"]
    assert np.array_equal(augment.invert(image), theirs)


@pytest.mark.parametrize("seed", range(3))
def test_where_albumentations_differs_from_the_published_operation(
    seed: int, albumentations: Any
) -> None:
    """Ours keep to the published ones: PIL's, and imgaug's centres of bins."""
    image, library = picture(61, 83, seed), albumentations

    def apart(ours: np.ndarray, transform: Any) -> int:
        return int(np.abs(ours.astype(int) - transform(image=image)["image"]).max())

    for bits in range(1, 8):
        lower = library.Posterize(num_bits=(bits, bits), p=1)
        assert apart(augment.posterise(image, bits) - (128 >> bits), lower) == 0
    for cut in (0, 7, 20):
        stretch = library.AutoContrast(cutoff=cut, method="pil", p=1)
        assert apart(augment.autocontrast(image, cut), stretch) <= 4
    assert apart(augment.equalise(image), library.Equalize(mode="pil", p=1)) <= 4
    for exponent in (0.5, 1.9):
        limits = (100 * exponent, 100 * exponent)
        truncated = library.RandomGamma(gamma_limit=limits, p=1)
        assert apart(augment.gamma(image, (exponent,) * 3), truncated) <= 1


@pytest.mark.parametrize("size", [(64, 64), (40, 128), (37, 53)])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 0.2, 0.7])
def test_what_is_looked_at_alone_is_the_same_there(size: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(0)
    for seed in range(60):
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        if seed % 3 == 0:
            image[..., 1] = 7  # a channel of one level, which neither stretches nor flattens
        before, mask = image.copy(), rng.random(size) < share
        whole, within = np.random.default_rng(seed), np.random.default_rng(seed)
        expected = augmenter.augment(image, whole)
        found = augmenter.augment_at(image, within, np.flatnonzero(mask))
        assert np.array_equal(expected[mask], found)
        assert np.array_equal(image, before)
        assert whole.random() == within.random()


def test_any_three_operations_give_the_same_at_a_few_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All 720 orders, through a mask of blobs as Perlin's are."""
    image = picture(64, 64)
    places = np.flatnonzero(cv2.GaussianBlur(picture(64, 64, 1)[..., 0], (0, 0), 4) > 171)
    assert 50 < len(places) < 64 * 64 / 4
    for order in itertools.permutations(augmenter.OPERATIONS, 3):
        steps = [draw(np.random.default_rng(3)) for draw in order]
        monkeypatch.setattr(augmenter, "draw_steps", lambda _, steps=steps: steps)
        expected = augmenter.augment(image, np.random.default_rng())
        found = augmenter.augment_at(image, np.random.default_rng(), places)
        assert np.array_equal(expected.reshape(-1, 3)[places], found)


def test_where_opencv_turns_otherwise_images_are_turned_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, places = picture(64, 64), np.arange(100, 300)
    monkeypatch.setattr(augmenter, "draw_steps", lambda _: [augmenter.Turned(33.0)])
    found = {}
    for alike in (True, False):
        monkeypatch.setattr(augmenter, "turns_alike", lambda alike=alike: alike)
        found[alike] = augmenter.augment_at(image, np.random.default_rng(), places)
    expected = augment.rotate(image, 33.0).reshape(-1, 3)[places]
    assert np.array_equal(found[False], expected)
    assert np.abs(found[True].astype(int) - expected).max() <= 1
