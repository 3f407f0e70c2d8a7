"""Pictures to look at: geometry, PNG, outlines and heat."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.imaging.contact_sheet import (
    GAP,
    LABEL,
    OUTLINE,
    PAPER,
    Band,
    contact_sheet,
    foreground_sheet,
    heat,
    outlined,
    png,
)
from synth_store import Sample


def sample(height: int, width: int, clean: bool = True) -> Sample:
    """A dark image with a bright box, on its dark clean image."""
    background = np.full((height, width, 3), 60, np.uint8)
    mask = np.zeros((height, width), bool)
    mask[height // 3 : height // 2 + 1, width // 3 : width // 2 + 1] = True
    image = background.copy()
    image[mask] = 200
    return Sample(image, mask, background if clean else None)


def decoded(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_png_keeps_every_pixel_and_the_order_of_colours(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(decoded(png(image)), image)
    assert np.array_equal(decoded(png(image[::-1, ::2])), image[::-1, ::2])  # not contiguous


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 17), (17, 61), (300, 200)])
@pytest.mark.parametrize("compact", [False, True])
def test_a_sheet_has_a_cell_per_sample_and_a_row_per_strip(
    height: int, width: int, compact: bool
) -> None:
    bands = [
        Band("one", [sample(height, width)] * 3),
        Band("two", [sample(height, width)]),
        Band("none", []),
    ]
    sheet = contact_sheet(bands, side=24, compact=compact)
    across = max(1, round(24 * width / height)) + GAP
    strips = 1 if compact else 3
    assert sheet.shape == (3 * (LABEL + strips * (24 + GAP)) + GAP, 3 * across + GAP, 3)
    assert sheet.dtype == np.uint8
    filled = sheet[LABEL + GAP : LABEL + GAP + 24, GAP : 3 * across]
    assert (filled == 60).any()
    # the second method has one sample: the rest of its rows is paper
    top = LABEL + strips * (24 + GAP) + LABEL
    rest = sheet[top : top + strips * (24 + GAP), GAP + across :]
    assert (rest == PAPER).all()


def test_an_empty_first_band_and_missing_cleans_leave_blanks() -> None:
    bands = [Band("none", []), Band("two", [sample(32, 32, clean=False), sample(32, 32)])]
    sheet = contact_sheet(bands, side=32)
    row = LABEL + 3 * (32 + GAP) + LABEL + GAP
    cleans = sheet[row : row + 32]
    assert (cleans[:, GAP : GAP + 32] == PAPER).all()
    assert (cleans[:, GAP + 32 + GAP : GAP + 64 + GAP] == 60).all()  # under its own anomaly


def test_a_sheet_of_nothing_is_refused() -> None:
    for bands in ([], [Band("none", [])]):
        with pytest.raises(ValueError, match="no samples"):
            contact_sheet(bands)


def test_an_outline_lies_just_outside_of_the_mask() -> None:
    one = sample(20, 30)
    before = one.image.copy()
    drawn = outlined(one.image, one.mask)
    assert np.array_equal(one.image, before)
    assert np.array_equal(drawn[one.mask], one.image[one.mask])
    changed = (drawn != one.image).any(axis=2)
    rows, columns = np.nonzero(one.mask)
    around = np.zeros_like(one.mask)
    around[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2] = True
    assert np.array_equal(changed, around & ~one.mask)
    assert (drawn[changed] == OUTLINE).all()


def test_heat_shows_where_the_map_is_high_and_leaves_zero_alone() -> None:
    image = np.full((8, 9, 3), 120, np.uint8)
    scores = np.zeros((8, 9), np.float32)
    scores[2, 3] = 0.8
    hot = heat(image, scores)
    assert hot.dtype == np.uint8
    assert np.array_equal(hot[scores == 0], image[scores == 0])
    assert abs(hot[2, 3].astype(int) - 120).max() > 50


def test_a_threshold_keeps_a_normal_image_from_glowing() -> None:
    image = np.full((4, 4, 3), 120, np.uint8)
    scores = np.full((4, 4), 0.01, np.float32)
    strongest = [
        int(abs(heat(image, scores, threshold).astype(int) - 120).max())
        for threshold in (None, 0.1, 1.0)
    ]
    assert strongest == sorted(strongest, reverse=True)
    assert strongest[0] > 80
    assert strongest[2] < 20
    assert np.array_equal(heat(image, np.zeros((4, 4), np.float32)), image)
    assert np.array_equal(heat(image, np.full((4, 4), -2, np.float32)), image)


def test_a_foreground_sheet_darkens_the_rest_or_says_that_it_is_the_whole_image() -> None:
    image = np.full((32, 32, 3), 90, np.uint8)
    disc = np.zeros((32, 32), bool)
    disc[10:20, 10:20] = True
    bands = [Band("one", [Sample(image, disc), Sample(image, np.ones_like(disc))])]
    sheet = foreground_sheet(bands, side=32)
    assert sheet.shape == (LABEL + 2 * (32 + GAP) + GAP, 2 * (32 + GAP) + GAP, 3)
    normals, objects = (sheet[top : top + 32, GAP:] for top in (LABEL + GAP, LABEL + 32 + 2 * GAP))
    assert (normals[:, :32] == 90).all()
    found, whole = objects[:, :32], objects[:, 32 + GAP : 64 + GAP]
    assert (found[disc] == 90).all()
    assert (found[:8] == 30).all()
    assert (found[9, 9:21] == OUTLINE).all()
    assert (whole[LABEL:] == 90).all()
    assert (whole[:LABEL] == PAPER).any()
    assert len(foreground_sheet(bands, side=32, compact=True)) == LABEL + 32 + 2 * GAP
    with pytest.raises(ValueError, match="no foregrounds"):
        foreground_sheet([])
