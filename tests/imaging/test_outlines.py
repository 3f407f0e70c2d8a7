"""A mask's outlines, filled by those who read them, are the mask."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asbench.imaging.outlines import edge_outline, pixel_outline, regions, without_holes
from synth_store.types import Mask

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.bool_, shape, elements=st.booleans())
)


def pieces_of(mask: Mask) -> list:
    return [piece for region in regions(mask) for piece in without_holes(region)]


def blobs() -> Mask:
    noise = np.random.default_rng(0).normal(size=(96, 80))
    return cv2.GaussianBlur(noise, (0, 0), 2) > 0.03


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_pieces_have_no_holes_and_make_up_the_mask(mask: Mask) -> None:
    whole = np.zeros(mask.shape, int)
    for piece in pieces_of(mask):
        height, width = piece.mask.shape
        whole[piece.top : piece.top + height, piece.left : piece.left + width] += piece.mask
        background, _ = cv2.connectedComponents(
            np.pad(~piece.mask, 1, constant_values=True).astype(np.uint8), connectivity=4
        )
        assert background == 2
    assert np.array_equal(whole, mask.astype(int))


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_filled_as_yolo_is_read(mask: Mask) -> None:
    filled = np.zeros(mask.shape, np.uint8)
    for piece in pieces_of(mask):
        outline = pixel_outline(piece)
        assert len(outline) >= 3
        cv2.fillPoly(filled, [outline], 1)
    assert np.array_equal(filled.astype(bool), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_filled_as_coco_is_read(mask: Mask) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    for region in regions(mask):
        outlines = [edge_outline(p).ravel().astype(float).tolist() for p in without_holes(region)]
        whole = coco.decode(coco.merge(coco.frPyObjects(outlines, *mask.shape)))
        alone = np.zeros(mask.shape, bool)
        height, width = region.mask.shape
        alone[region.top : region.top + height, region.left : region.left + width] = region.mask
        assert np.array_equal(whole.astype(bool), alone)


def test_a_region_with_holes_is_few_pieces() -> None:
    ring = np.ones((9, 9), np.bool_)
    ring[3:6, 3:6] = False
    assert len(pieces_of(ring)) == 2
    mask = blobs()
    assert len(regions(mask)) <= len(pieces_of(mask)) < 4 * len(regions(mask)) + 100


def test_an_outline_turns_at_every_corner_it_names() -> None:
    mask = np.zeros((6, 7), np.bool_)
    mask[1:4, 2:6] = True
    (piece,) = regions(mask)
    assert edge_outline(piece).tolist() == [[2, 1], [6, 1], [6, 4], [2, 4]]
    assert sorted(pixel_outline(piece).tolist()) == [[2, 1], [2, 3], [5, 1], [5, 3]]
