"""Noise is measured where it is known, whatever the scene."""

from __future__ import annotations

import numpy as np
import pytest

from asbench.imaging.noise import LOOKS, noise, noise_of
from synth_store.types import Image

Y, X = np.mgrid[:128, :128].astype(np.float64)
SCENES = {
    "plain": np.full((128, 128), 128.0),
    "gradient": 60 + 0.8 * X + 0.3 * Y,
    "vignette": 190 - 100 * ((X - 64) ** 2 + (Y - 64) ** 2) / 64**2 / 2,
    "part": 90 + 80.0 * ((X - 64) ** 2 + (Y - 64) ** 2 < 40**2),
    "blocks": 40 + 140.0 * ((X // 16 + Y // 16) % 2),
    "waves": 128 + 40 * np.sin(X / 4) + 20 * np.cos(Y / 5),
}


def photograph(scene: str, sigma: float, seed: int = 0) -> Image:
    grain = np.random.default_rng(seed).normal(0, sigma, (128, 128, 3))
    return np.clip(np.rint(SCENES[scene][..., None] + grain), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("sigma", [1.0, 2.0, 4.0, 8.0])
def test_known_noise_is_found(scene: str, sigma: float) -> None:
    assert noise(photograph(scene, sigma)) == pytest.approx(sigma, rel=0.12)


@pytest.mark.parametrize("scene", SCENES)
def test_without_noise_there_is_none(scene: str) -> None:
    assert noise(photograph(scene, 0)) <= 0.5  # whole levels are all there is


def test_the_noisiest_channel_counts_and_specks_do_not() -> None:
    image = photograph("plain", 1)
    image[..., 2] = photograph("plain", 5, seed=1)[..., 2]
    assert noise(image) == pytest.approx(5, rel=0.12)
    specks = photograph("plain", 1)
    specks[::16, ::16] = 255
    assert noise(specks) == pytest.approx(1, rel=0.3)


def test_an_image_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 9\)"):
        noise(np.zeros((2, 9, 3), np.uint8))


def test_of_a_category_it_is_the_median_of_some_normals_whatever_else_is_drawn() -> None:
    normals = [photograph("plain", 2, seed) for seed in range(20)]
    found = noise_of(normals, "toys", "a")
    assert found == noise_of(normals, "toys", "a") == round(found, 2)
    assert found == pytest.approx(2, rel=0.12)
    loud = [photograph("plain", 30, seed) for seed in range(3)]
    assert noise_of(normals[: LOOKS - 4] + loud, "toys", "a") == pytest.approx(2, rel=0.15)
    assert noise_of(normals[:1], "toys", "a") == round(noise(normals[0]), 2)
