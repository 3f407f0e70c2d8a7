"""Poisson blending against a sparse direct solve, and the clone against OpenCV's own."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import lil_array
from scipy.sparse.linalg import spsolve

from asbench.imaging.poisson import (
    Rule,
    blend,
    blend_within,
    mixed_gradients,
    seamless_clone,
    solve,
    source_gradients,
    to_bytes,
    weighted_mixed_gradients,
)

RULES = {
    "source": source_gradients,
    "mixed": mixed_gradients,
    "weighted 0.3": weighted_mixed_gradients(0.3),
    "weighted 0.95": weighted_mixed_gradients(0.95),
}


def scalar_guidance(name: str, own: float, foreign: float) -> float:
    """The rules once more, for one edge."""
    if name == "source":
        return foreign
    if name == "mixed":
        return foreign if abs(foreign) > abs(own) else own
    alpha = float(name.split()[1])
    kept, taken = (1 - alpha) * own, alpha * foreign
    return kept if abs(kept) > abs(taken) else taken


def sparse_blend(
    target: np.ndarray, source: np.ndarray, name: str, region: np.ndarray | None = None
) -> np.ndarray:
    """Pixel by pixel, as the papers write it: one row of the system for each inner pixel."""
    height, width = target.shape
    inner = [(y, x) for y in range(1, height - 1) for x in range(1, width - 1)]
    chosen = [p for p in inner if region is None or region[p]]
    number = {p: row for row, p in enumerate(chosen)}
    system, right = lil_array((len(number), len(number))), np.zeros(len(number))
    for (y, x), row in number.items():
        system[row, row] = 4
        for q in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            own, foreign = target[y, x] - target[q], source[y, x] - source[q]
            right[row] += scalar_guidance(name, own, foreign)
            if q in number:
                system[row, number[q]] = -1
            else:
                right[row] += target[q]
    blended = target.copy()
    blended[tuple(np.transpose(chosen))] = spsolve(system.tocsc(), right)
    return blended


def images(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return first, np.asarray(cv2.blur(second, (3, 3)))


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("size", [(3, 3), (4, 9), (17, 12), (40, 41)])
def test_agrees_with_a_sparse_solve(name: str, size: tuple[int, int]) -> None:
    target, source = images(*size)
    blended = blend(target, source, RULES[name])
    for channel in range(3 if size[0] < 40 else 1):
        planes = (i[..., channel].astype(np.float64) for i in (target, source))
        expected = sparse_blend(*planes, name)
        assert np.abs(blended[..., channel] - expected).max() / 255 < 1e-10


def test_stays_exact_on_large_rectangles() -> None:
    """The residual of the equation itself, where a sparse solve would take long."""
    right = np.random.default_rng(0).normal(size=(203, 310))
    padded = np.pad(solve(right), 1)
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    assert np.abs(4 * padded[1:-1, 1:-1] - around - right).max() < 1e-11


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_the_ring_stays_and_the_types_do_not_matter(height: int, width: int, seed: int) -> None:
    target, source = images(height, width, seed)
    before = target.copy(), source.copy()
    blended = blend(target, source, mixed_gradients)
    assert blended.shape == target.shape
    ring = np.ones((height, width), np.bool_)
    ring[1:-1, 1:-1] = False
    assert np.array_equal(blended[ring], target[ring])
    assert np.array_equal(blended, blend(target / 1.0, source / 1.0, mixed_gradients))
    assert np.array_equal(target, before[0])
    assert np.array_equal(source, before[1])


def test_a_source_without_gradients_leaves_a_membrane() -> None:
    """Laplace's equation: a linear ramp on the ring continues inside, whatever was there."""
    ramp = np.broadcast_to(np.arange(20.0)[:, None, None] + np.arange(15.0)[:, None], (20, 15, 1))
    target = ramp.copy()
    target[1:-1, 1:-1] = 99
    constant = np.full_like(target, 7)
    assert np.abs(blend(target, constant, source_gradients) - ramp).max() < 1e-11


def test_constants_do_not_count() -> None:
    target, source = (i.astype(np.float64) for i in images(25, 31))
    for rule in RULES.values():
        assert np.abs(blend(target, source + 50, rule) - blend(target, source, rule)).max() < 1e-10
    # An even patch adds nothing to mixed gradients, and an equal one changes nothing.
    assert np.array_equal(blend(target, np.zeros_like(target), mixed_gradients), target)
    assert np.array_equal(blend(target, target, mixed_gradients), target)
    assert np.abs(blend(target, target + 9, source_gradients) - target).max() < 1e-10


def test_equal_images_lose_contrast_under_weighted_gradients() -> None:
    """As published: the larger of (1 - alpha) and alpha times the common gradient."""
    target, _ = (i.astype(np.float64) for i in images(20, 20))
    for alpha in (0.2, 0.8):
        weighted = blend(target, target, weighted_mixed_gradients(alpha))
        flat = blend(target, np.zeros_like(target), source_gradients)
        assert np.abs(weighted - (0.8 * target + 0.2 * flat)).max() < 1e-10


def test_weighted_gradients_halve_the_mixed_ones_at_one_half() -> None:
    own, foreign = np.random.default_rng(0).normal(size=(2, 50, 50))
    half = weighted_mixed_gradients(0.5)(own, foreign)
    assert np.array_equal(2 * half, mixed_gradients(own, foreign))


def test_bytes_round_halves_up_and_saturate() -> None:
    values = np.array([-3.0, 0.49, 0.5, 1.5 - 1e-9, 2.5, 254.6, 255.5, 400.0])
    expected = [0, 0, 1, 2, 3, 255, 255, 255]
    assert to_bytes(np.repeat(values[:, None, None], 3, axis=2))[:, 0].tolist() == [
        [level] * 3 for level in expected
    ]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        blend(np.zeros((5, 5, 3)), np.zeros((5, 6, 3)), source_gradients)


# -- OpenCV's clone --------------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("size", [(5, 5), (12, 31), (40, 27)])
def test_equals_seamless_clone_and_touches_nothing(mixed: bool, size: tuple[int, int]) -> None:
    target, _ = images(64, 80)
    source, _ = images(*size, seed=1)
    rng = np.random.default_rng(2)
    masks = [np.ones(size, np.bool_), np.zeros(size, np.bool_)]
    masks[1][1:-1, 1:-1] = rng.random((size[0] - 2, size[1] - 2)) < 0.7
    masks[1][[1, -2], [1, -2]] = True
    for mask in masks:
        before = target.copy(), source.copy(), mask.copy()
        weights = np.zeros(size, np.uint8)
        weights[1:-1, 1:-1] = 255 * mask[1:-1, 1:-1]
        mode = cv2.MIXED_CLONE if mixed else cv2.NORMAL_CLONE
        expected = cv2.seamlessClone(source.copy(), target.copy(), weights, (33, 29), mode)
        assert np.array_equal(seamless_clone(source, target, mask, (29, 33), mixed), expected)
        for array, kept in zip((target, source, mask), before, strict=True):
            assert np.array_equal(array, kept)


def test_the_clone_lies_where_it_is_said_to() -> None:
    target, _ = images(40, 40)
    source, _ = images(14, 17, seed=1)
    cloned = seamless_clone(source, target, np.ones((14, 17), np.bool_), (20, 20))
    rows, columns = (np.flatnonzero((cloned != target).any((2, 1 - a))) for a in (0, 1))
    # 12 x 15 pixels inside the ring, centred on (20, 20), themselves fixed along their edge.
    assert (rows[0], rows[-1]) == (20 - 6 + 1, 20 - 6 + 12 - 2)
    assert (columns[0], columns[-1]) == (20 - 7 + 1, 20 - 7 + 15 - 2)


def test_clone_refuses_what_opencv_cannot_do() -> None:
    target, source = images(30, 30)[0], images(12, 12)[0]
    everywhere = np.ones((12, 12), np.bool_)
    for centre in ((4, 15), (15, 4), (26, 15), (15, 26)):
        with pytest.raises(ValueError, match="leave the target"):
            seamless_clone(source, target, everywhere, centre)
    for centre in ((5, 5), (25, 25)):
        assert seamless_clone(source, target, everywhere, centre).shape == target.shape
    with pytest.raises(ValueError, match="3 x 3"):
        seamless_clone(source, target, ~everywhere, (15, 15))
    with pytest.raises(ValueError, match="3 x 3"):
        seamless_clone(source[:4], target, everywhere[:4], (15, 15))


def test_opencv_is_not_the_exact_solution_but_near() -> None:
    """Why there are two: the clone departs by levels, not by rounding."""
    target, source = (np.asarray(cv2.blur(i, (9, 9))) for i in images(60, 60))
    rule: Rule = source_gradients
    exact = to_bytes(blend(target, source, rule)).astype(int)
    cloned = seamless_clone(source, target, np.ones((60, 60), np.bool_), (30, 30)).astype(int)
    assert 0.2 < np.abs(cloned - exact).mean() < 10


@pytest.mark.parametrize("name", RULES)
def test_a_region_of_any_shape_agrees_with_the_sparse_solve(name: str) -> None:
    rng = np.random.default_rng(5)
    target, source = rng.uniform(0, 255, (2, 14, 17, 2))
    region = np.zeros((14, 17), np.bool_)
    region[1:-1, 1:-1] = rng.random((12, 15)) < 0.6
    blended = blend_within(target, source, region, RULES[name])
    for channel in range(2):
        expected = sparse_blend(target[..., channel], source[..., channel], name, region)
        np.testing.assert_allclose(blended[..., channel], expected, atol=1e-9)
    np.testing.assert_array_equal(blended[~region], target[~region])


def test_a_whole_rectangle_is_the_region_of_its_inside() -> None:
    target, source = np.random.default_rng(6).uniform(0, 255, (2, 30, 21, 3))
    region = np.zeros((30, 21), np.bool_)
    region[1:-1, 1:-1] = True
    for rule in RULES.values():
        np.testing.assert_allclose(
            blend_within(target, source, region, rule), blend(target, source, rule), atol=1e-9
        )


def test_an_empty_region_changes_nothing_and_one_on_the_ring_is_refused() -> None:
    target, source = np.random.default_rng(7).uniform(0, 255, (2, 6, 6, 3))
    region = np.zeros((6, 6), np.bool_)
    np.testing.assert_array_equal(blend_within(target, source, region, source_gradients), target)
    region[0, 3] = True
    with pytest.raises(ValueError, match="outermost ring"):
        blend_within(target, source, region, source_gradients)
    with pytest.raises(ValueError, match="shapes differ"):
        blend_within(target, source[1:], region, source_gradients)
