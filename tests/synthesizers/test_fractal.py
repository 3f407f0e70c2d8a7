"""FractalAD: locality, sizes, colours and noise of the pasted fractal, and object mode."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from asbench.synthesizers import fractal
from asbench.synthesizers.fractal import CATEGORIES, VARIANTS, Fractal, add_noise, grow, recolour
from asbench.types import Canvas, Material
from synth_store.types import Image, Mask, Sample, UserError

PLAIN = Fractal()
ONLINE = dataclasses.replace(PLAIN, **VARIANTS["online"])
OBJECT = dataclasses.replace(PLAIN, **CATEGORIES["mvtec/pill"])


def noise(height: int = 64, width: int = 64) -> Image:
    return np.random.default_rng(0).integers(20, 236, (height, width, 3), dtype=np.uint8)


def disc(height: int = 64, width: int = 64, radius: float = 12) -> Mask:
    rows, columns = np.ogrid[:height, :width]
    inside: Mask = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 <= radius**2
    return inside


def samples(
    method: Fractal, image: Image, count: int, foreground: Mask | None = None
) -> list[Sample | None]:
    where = () if foreground is None else (foreground,)
    canvas = Canvas(Material("testing", "noise", [image], where), 0)
    return [method(canvas, np.random.default_rng(seed)) for seed in range(count)]


def spread(mask: Mask) -> tuple[int, int, int, int]:
    rows, columns = mask.nonzero()
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


@pytest.mark.parametrize("method", [PLAIN, ONLINE], ids=["plain", "online"])
@pytest.mark.parametrize("size", [(64, 64), (24, 24), (96, 160), (8, 8)])
def test_nothing_changes_outside_the_mask(method: Fractal, size: tuple[int, int]) -> None:
    image = noise(*size)
    found = [s for s in samples(method, image, 12) if s is not None]
    assert len(found) > 6
    for sample in found:
        np.testing.assert_array_equal(sample.image[~sample.mask], image[~sample.mask])
        assert (sample.image != image).any()


def test_masks_keep_to_the_central_part() -> None:
    image = noise(128, 128)
    still = dataclasses.replace(PLAIN, growth=0.0, noise_share=0.0)
    found = [s for s in samples(still, image, 500) if s is not None]
    assert len(found) > 480
    for sample in found:
        top, bottom, left, right = spread(sample.mask)
        # One pixel of growth is the least; margins are 10 % of the side.
        assert min(top, left) >= 12
        assert max(bottom, right) <= 115
        assert max(bottom - top, right - left) <= 65


def test_pasted_pixels_come_from_the_square_when_colours_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fractal, "recolour", lambda patch, rng: patch)
    image = noise()
    image[..., 2] = np.arange(64)  # the third channel tells the column a pixel came from
    for sample in samples(dataclasses.replace(PLAIN, noise_share=0.0), image, 20):
        assert sample is not None
        changed = (sample.image != image).any(axis=2)
        known = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
        assert {tuple(pixel) for pixel in sample.image[changed].tolist()} <= known


def test_the_mask_is_what_changed_and_the_published_one_grown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fractal, "recolour", lambda patch, rng: 255 - patch // 8)
    image = noise(256, 256)
    still = dataclasses.replace(PLAIN, noise_share=0.0)
    published = dataclasses.replace(still, masks="as-published")
    for mine, theirs in zip(samples(still, image, 10), samples(published, image, 10), strict=True):
        assert mine is not None
        assert theirs is not None
        pasted = (mine.image != image).any(axis=2).astype(np.uint8)
        np.testing.assert_array_equal(mine.image, theirs.image)
        np.testing.assert_array_equal(mine.mask, pasted > 0)
        expected = cv2.dilate(pasted, np.ones((3, 3), np.uint8), iterations=3)
        np.testing.assert_array_equal(theirs.mask, expected > 0)


def test_noise_fills_the_grown_mask() -> None:
    image, noisy = noise(256, 256), dataclasses.replace(PLAIN, noise_share=1.0)
    published = dataclasses.replace(noisy, masks="as-published")
    for mine, theirs in zip(samples(noisy, image, 4), samples(published, image, 4), strict=True):
        assert mine is not None
        assert theirs is not None
        np.testing.assert_array_equal(mine.mask, theirs.mask)
        assert (mine.image == image).all(axis=2)[mine.mask].mean() < 0.1


def test_noise_is_grey_has_its_sigma_and_stays_inside() -> None:
    image = np.full((256, 256, 3), 128, np.uint8)
    mask = disc(256, 256, 80)
    noisy = image.copy()
    add_noise(noisy, mask, 10, np.random.default_rng(0))
    change = noisy.astype(int) - image
    assert (change[~mask] == 0).all()
    assert (np.ptp(change, axis=2) == 0).all()
    assert change[mask].std() == pytest.approx(10, abs=0.3)
    assert change[mask].mean() == pytest.approx(0, abs=0.3)
    bright = np.full((64, 64, 3), 254, np.uint8)
    add_noise(bright, disc(), 10, np.random.default_rng(0))
    assert bright.min() > 200, "wrapped instead of clipped"


def test_recolouring_clips_and_changes_at_most_two_channels_a_third_of_the_time() -> None:
    bright = np.full((8, 8, 3), 250, np.uint8)
    scaled = 0
    for seed in range(600):
        rng = np.random.default_rng(seed)
        way = np.random.default_rng(seed).integers(3)
        out = recolour(bright, rng)
        assert out.shape == bright.shape
        assert out.dtype == np.uint8
        if way == 2:
            scaled += 1
            assert (out == 250).all(axis=(0, 1)).sum() >= 1
        if way == 1:
            assert (np.ptp(out, axis=2) == 0).all(), "brightness and contrast keep grey grey"
    assert scaled == pytest.approx(200, abs=40)
    # Scaling past white saturates: no channel gets darker by a factor above one.
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    for seed in range(100):
        if np.random.default_rng(seed).integers(3) == 2:
            assert (
                np.diff(recolour(ramp, np.random.default_rng(seed)).astype(int), axis=0) >= 0
            ).all()


def test_grow_dilates_by_a_square() -> None:
    dot = np.zeros((9, 9), np.bool_)
    dot[4, 0] = True
    expected = np.zeros((9, 9), np.bool_)
    expected[2:7, :3] = True
    np.testing.assert_array_equal(grow(dot, 2), expected)
    np.testing.assert_array_equal(grow(dot, 0), dot)


def test_object_mode_keeps_the_squares_on_the_object() -> None:
    object_here = disc(radius=8)
    image = np.zeros((64, 64, 3), np.uint8)
    image[object_here] = noise()[object_here]
    found = [s for s in samples(OBJECT, image, 60, object_here) if s is not None]
    assert len(found) > 20
    for sample in found:
        top, bottom, left, right = spread(sample.mask)
        # Centres on the object, sides up to 1.5 of its 17 pixels, the least growth of one.
        assert max(bottom - top, right - left) <= 26 + 2
        assert min(top, left) >= 32 - 8 - 13 - 1
        assert max(bottom, right) <= 32 + 8 + 13 + 1


def test_object_mode_without_an_object_is_none_and_with_a_whole_image_the_plain_method() -> None:
    image = noise()
    nothing, everything = np.zeros((64, 64), np.bool_), np.ones((64, 64), np.bool_)
    assert samples(OBJECT, image, 5, nothing) == [None] * 5
    for ours, plain in zip(
        samples(OBJECT, image, 10, everything), samples(PLAIN, image, 10), strict=True
    ):
        assert (ours is None) == (plain is None)
        if ours is not None and plain is not None:
            np.testing.assert_array_equal(ours.image, plain.image)


def test_an_object_at_the_border_with_no_room_for_its_square_ends() -> None:
    edge = np.zeros((64, 64), np.bool_)
    edge[:, 0] = True
    for sample in samples(
        dataclasses.replace(OBJECT, object_low=2, object_high=2), noise(), 5, edge
    ):
        assert sample is None or sample.mask.any()


def test_nothing_to_see_is_no_anomaly() -> None:
    black = np.zeros((64, 64, 3), np.uint8)
    assert samples(PLAIN, black, 20) == [None] * 20


def test_online_draws_another_shape_than_the_bank() -> None:
    image = noise()
    pairs = zip(samples(PLAIN, image, 5), samples(ONLINE, image, 5), strict=True)
    assert any(a is None or b is None or (a.mask != b.mask).any() for a, b in pairs)


def test_asbench_never_looks_for_the_object() -> None:
    assert CATEGORIES.keys() == {
        f"mvtec/{c}" for c in ("capsule", "pill", "screw", "toothbrush", "zipper")
    }
    assert not dataclasses.replace(OBJECT, **VARIANTS["asbench"]).object_mode


@pytest.mark.parametrize(
    "wrong",
    [{"side_low": 0.6}, {"object_high": 3}, {"degrees_low": -5}, {"growth": 1}, {"noise_share": 2}],
    ids=str,
)
def test_refuses_parameters_without_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        Fractal(**wrong)
