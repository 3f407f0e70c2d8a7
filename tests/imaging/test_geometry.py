"""Fitting: a defect is never lost, averages are true averages, maps come back to their place."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.imaging.geometry import fit_mask, placement, resize, scaled, unfit
from synth_store.types import Geometry

sides = st.integers(1, 90)
geometries = st.builds(
    Geometry, st.integers(8, 48), st.integers(8, 48), st.sampled_from(["stretch", "pad"])
)


@settings(deadline=None)
@given(sides, sides, geometries)
def test_the_box_lies_centred_in_its_frame(height: int, width: int, geometry: Geometry) -> None:
    box = placement(height, width, geometry)
    assert min(box.height, box.width) >= 1
    spare = geometry.height - box.height, geometry.width - box.width
    assert min(spare) == 0
    assert (box.top, box.left) == (spare[0] // 2, spare[1] // 2)
    if geometry.resize == "stretch":
        assert spare == (0, 0)


@settings(deadline=None, max_examples=150)
@given(sides, sides, geometries, st.data())
def test_no_mask_of_one_pixel_is_lost(
    height: int, width: int, geometry: Geometry, data: st.DataObject
) -> None:
    mask = np.zeros((height, width), bool)
    mask[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    fitted = fit_mask(mask, geometry)
    assert fitted.dtype == np.bool_
    assert fitted.shape == (geometry.height, geometry.width)
    assert fitted.any()
    assert not fit_mask(~mask & False, geometry).any()
    fitted[placement(height, width, geometry).inside] = False
    assert not fitted.any(), "the padding is never anomalous"


def test_a_pixel_between_the_sampled_ones_stays_where_it_was() -> None:
    mask = np.zeros((1000, 1000), bool)
    mask[311, 723] = True
    rows, columns = np.nonzero(fit_mask(mask, Geometry(64, 64)))
    assert (rows.tolist(), columns.tolist()) == ([311 * 64 // 1000], [723 * 64 // 1000])


def test_masks_are_sampled_at_pixel_centres() -> None:
    mask = np.random.default_rng(0).random((48, 24)) < 0.5
    assert np.array_equal(fit_mask(mask, Geometry(16, 8)), mask[1::3, 1::3])
    assert np.array_equal(fit_mask(mask, Geometry(96, 48)), mask.repeat(2, 0).repeat(2, 1))


def test_a_shrinking_axis_is_averaged_also_where_the_other_grows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 8, 3), dtype=np.uint8)
    fitted = resize(image, Geometry(16, 32))
    means = image.reshape(16, 4, 8, 3).mean(1)
    centres = (np.arange(32) + 0.5) * 8 / 32 - 0.5
    grown = np.stack(
        [
            [np.interp(centres, np.arange(8), means[r, :, c]) for c in range(3)]
            for r in range(len(means))
        ]
    ).transpose(0, 2, 1)
    assert np.abs(fitted - grown).max() <= 1.01, "two roundings, half a level each"


def test_the_own_size_changes_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    for geometry in (Geometry(16, 24), Geometry(16, 24, "pad")):
        assert np.array_equal(resize(image, geometry), image)


@settings(deadline=None, max_examples=300)
@given(sides, sides, sides, sides, st.integers(0, 2**32 - 1))
def test_a_grey_image_is_scaled_as_its_three_channels_are(
    height: int, width: int, tall: int, wide: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.integers(0, 256, (height, width), dtype=np.uint8)
    grey = np.stack([levels] * 3, axis=2)
    expected = grey
    if (shrunk := (min(height, tall), min(width, wide))) != (height, width):
        expected = cv2.resize(expected, shrunk[::-1], interpolation=cv2.INTER_AREA)
    if shrunk != (tall, wide):
        expected = cv2.resize(expected, (wide, tall), interpolation=cv2.INTER_LINEAR)
    found = scaled(grey, tall, wide)
    assert (found.dtype, found.shape) == (np.uint8, (tall, wide, 3))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("place", [(0, 3, 1), (11, 8, 0), (11, 8, 2), (5, 0, 1)])
def test_one_coloured_pixel_is_kept(place: tuple[int, int, int]) -> None:
    levels = np.random.default_rng(0).integers(0, 200, (12, 9), dtype=np.uint8)
    image = np.stack([levels] * 3, axis=2)
    image[place] += 50
    found = scaled(image, 24, 18)
    for channel in range(3):
        alone = cv2.resize(image[..., channel].copy(), (18, 24), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(found[..., channel], alone)


def test_pad_keeps_the_aspect_and_repeats_the_border() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    fitted = resize(image, Geometry(33, 32, "pad"))
    assert np.array_equal(fitted[8:24], image)
    assert np.array_equal(fitted[:8], image[:1].repeat(8, 0))
    assert np.array_equal(fitted[24:], image[-1:].repeat(9, 0))


@settings(deadline=None)
@given(sides, sides, geometries)
def test_images_fit_and_maps_come_back(height: int, width: int, geometry: Geometry) -> None:
    image = np.full((height, width, 3), 77, np.uint8)
    fitted = resize(image, geometry)
    assert fitted.dtype == np.uint8
    assert fitted.shape == (geometry.height, geometry.width, 3)
    assert np.array_equal(np.unique(fitted), [77])
    scores = np.random.default_rng(height).random((geometry.height, geometry.width), np.float32)
    native = unfit(scores, geometry, height, width)
    assert native.dtype == np.float32
    assert native.shape == (height, width)
    assert scores.min() - 1e-6 <= native.min() <= native.max() <= scores.max() + 1e-6


def test_a_map_peaks_on_the_native_image_where_the_defect_is() -> None:
    for geometry in (Geometry(64, 64), Geometry(64, 64, "pad")):
        mask = np.zeros((120, 400), bool)
        mask[80:96, 40:72] = True
        native = unfit(fit_mask(mask, geometry).astype(np.float64), geometry, *mask.shape)
        found = native > 0.5
        assert (found & mask).sum() / (found | mask).sum() > 0.6, geometry


def test_padding_is_cut_off_before_a_map_is_enlarged() -> None:
    geometry = Geometry(32, 32, "pad")
    scores = np.full((32, 32), 9.0, np.float32)
    scores[placement(50, 100, geometry).inside] = 1.0
    assert unfit(scores, geometry, 50, 100).max() == 1.0


def test_a_map_of_another_geometry_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(8, 9\), the geometry 256x256"):
        unfit(np.zeros((8, 9), np.float32), Geometry(), 10, 10)
