"""Lines, dots, walks, cracks, superpixels and curves: their areas, places and outlines."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from asbench.imaging import bezier, shapes
from asbench.imaging.superpixels import clusters, superpixel
from asbench.testing import material
from synth_store.types import Mask

SIDE = (256, 256)


def drawn(draw: Callable[..., Mask], shape: tuple[int, int] = SIDE, count: int = 400) -> list[Mask]:
    rng = np.random.default_rng(3)
    return [draw(rng, shape) for _ in range(count)]


@pytest.mark.parametrize(
    ("draw", "area", "low", "high"),
    [
        # Measured on the published code: mean, 5 % and 95 % points. The walk's mean there is .030:
        # it stops at the border, and ours is reflected.
        (shapes.line, (0.0095, 0.0105), 0.005, 0.015),
        (shapes.dot, (0.018, 0.022), 0.002, 0.049),
        (shapes.walk, (0.024, 0.031), 0.003, 0.062),
    ],
)
def test_areas_are_those_of_the_published_shapes(
    draw: Callable[..., Mask], area: tuple[float, float], low: float, high: float
) -> None:
    areas = np.array([mask.mean() for mask in drawn(draw)])
    assert area[0] < areas.mean() < area[1]
    assert np.quantile(areas, 0.05) == pytest.approx(low, abs=0.0015)
    assert np.quantile(areas, 0.95) == pytest.approx(high, rel=0.2)


@pytest.mark.parametrize("draw", [shapes.line, shapes.dot, shapes.walk, shapes.crack, shapes.mixed])
def test_shapes_grow_with_the_image_and_keep_to_it(draw: Callable[..., Mask]) -> None:
    small, large = (
        np.mean([mask.mean() for mask in drawn(draw, (side, side), 200)]) for side in (128, 384)
    )
    assert small == pytest.approx(large, rel=0.35)
    for shape in ((37, 51), (8, 200), (1, 1)):
        for mask in drawn(draw, shape, 5):
            assert mask.shape == shape
            assert mask.dtype == np.bool_


def test_one_to_five_shapes_are_joined_and_fewer_more_often() -> None:
    assert pytest.approx([0.519, 0.258, 0.128, 0.064, 0.032], abs=5e-4) == shapes.COUNTS
    alone = np.mean([np.mean([m.mean() for m in drawn(d)]) for d in (shapes.line, shapes.walk)])
    assert np.mean([m.mean() for m in drawn(shapes.mixed)]) > 1.2 * alone


def test_a_crack_is_thin_long_and_in_one_piece() -> None:
    for mask in drawn(shapes.crack, count=60):
        area = int(mask.sum())
        depth = cv2.distanceTransform(np.pad(mask.view(np.uint8), 1), cv2.DIST_L2, 3)
        assert depth.max() <= 6 or area < 20
        assert cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] <= 3


def test_a_superpixel_ends_where_the_colour_does() -> None:
    """Two colours side by side: none crosses the edge by more than what shrinking blurs."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[:, 64:] = (200, 120, 40)
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = superpixel(rng, image, (0.01, 0.05))
        left, right = int(mask[:, :62].sum()), int(mask[:, 66:].sum())
        assert min(left, right) == 0
        assert mask.any()


def test_superpixels_have_the_area_asked_for_and_lie_where_asked() -> None:
    image = material(128, 128).normals[0]
    among = np.zeros((128, 128), np.bool_)
    among[10:20, 100:110] = True
    rng = np.random.default_rng(0)
    masks = [superpixel(rng, image, (0.02, 0.02), among) for _ in range(60)]
    assert np.mean([mask.mean() for mask in masks]) == pytest.approx(0.02, rel=0.35)
    assert all((mask & among).any() for mask in masks)
    assert len(np.unique(clusters(image, 16))) > 20


def test_a_blob_touches_all_sides_of_its_box() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        mask = bezier.blob(rng, 40, 70, (5, 6))
        assert cv2.boundingRect(mask.view(np.uint8)) == (0, 0, 70, 40)


def test_a_curve_bends_smoothly_about_its_corners() -> None:
    """The smoother it is, the less it turns there; straight segments keep their start alone."""
    corners = np.array([(0, 0), (4, 1), (5, 5), (1, 4)], float)
    assert np.array_equal(bezier.curve(corners, 0.3, np.zeros(4, np.bool_)), corners)

    def straightness(smoothness: float) -> np.ndarray:
        bent = bezier.curve(corners, smoothness, np.ones(4, np.bool_)).reshape(4, 11, 2)
        arriving, leaving = corners - np.roll(bent, 1, axis=0)[:, -1], bent[:, 0] - corners
        lengths = np.linalg.norm(arriving, axis=1) * np.linalg.norm(leaving, axis=1)
        return np.asarray((arriving * leaving).sum(axis=1) / lengths)

    assert (straightness(0.4) > straightness(0.2)).all()
    assert (straightness(1.0) > 0.8).all()
