"""What a defective image might show without its defect."""

from __future__ import annotations

import cv2
import numpy as np

from asbench.imaging.restoring import likest, restored, thumbnails
from asbench.testing import material
from synth_store.types import Image, Mask


def blemished(top: int = 20, left: int = 30) -> tuple[Image, Image, Mask]:
    """Return a surface, the surface with a bright square, and the square."""
    clean = material().normals[0]
    mask = np.zeros(clean.shape[:2], np.bool_)
    mask[top : top + 12, left : left + 14] = True
    image = clean.copy()
    image[mask] = 250
    return clean, image, mask


def test_the_same_surface_in_another_light_gives_the_image_back() -> None:
    clean, image, mask = blemished()
    lit = np.clip(clean.astype(np.int16) + 9, 0, 255).astype(np.uint8)
    assert np.abs(restored(image, mask, lit).astype(int) - clean).max() <= 1


def test_the_image_changes_within_the_grown_mask_alone() -> None:
    _, image, mask = blemished()
    before = image.copy()
    grown = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    out = restored(image, mask, material().normals[1])
    np.testing.assert_array_equal(out[~grown], image[~grown])
    assert (out[mask] != image[mask]).any()
    np.testing.assert_array_equal(image, before)


def test_a_defect_on_the_border_leaves_nothing_behind() -> None:
    clean, image, mask = blemished(top=52, left=0)
    np.testing.assert_array_equal(restored(image, mask, clean), clean)


def test_a_defect_as_large_as_the_image_is_replaced_by_the_normal() -> None:
    clean, image, _ = blemished()
    everywhere = np.ones(image.shape[:2], np.bool_)
    out = restored(np.full_like(image, 250), everywhere, clean)
    np.testing.assert_array_equal(out, clean)


def test_the_likest_normal_is_told_by_what_lies_outside_the_mask() -> None:
    normals = list(material().normals)
    small = thumbnails(normals)
    image = normals[2].copy()
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[8:56, 8:40] = True
    image[mask] = normals[0][mask]
    assert likest(image, mask, small) == 2
    assert likest(normals[3], np.ones_like(mask), small) == 3
    assert likest(normals[1], mask, thumbnails([normals[1]] * 3)) == 0
