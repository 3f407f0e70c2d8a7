"""PII: weight of the gradients, place, range and label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asbench.imaging.poisson import blend, to_bytes, weighted_mixed_gradients
from asbench.synthesizers.pii import Pii
from asbench.testing import draw, material
from asbench.types import Material
from synth_store.types import Sample, UserError


def found(method: Pii, given: Material, count: int) -> list[Sample]:
    return [s for s in draw(method, given, count) if s is not None]


def on_the_first(method: Pii, given: Material, count: int) -> list[Sample]:
    """Samples on the first of two normals alone."""
    return [s for s in draw(method, given, 2 * count)[::2] if s is not None]


def square(sample: Sample) -> tuple[slice, slice]:
    """The mask's bounding box."""
    rows, columns = (np.flatnonzero(sample.mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def noise(side: int, low: int = 20, high: int = 236, seed: int = 0) -> Material:
    rng = np.random.default_rng(seed)
    images = rng.integers(low, high, (2, side, side, 3), dtype=np.uint8)
    return Material("testing", "noise", list(images))


def test_a_sample_is_the_blend_of_its_square() -> None:
    """On noise the mask's bounding box is the square itself, so the sample can be built again."""
    given = noise(64)
    method = Pii(alpha_low=0.6, alpha_high=0.6)
    own, foreign = given.normals
    for sample in on_the_first(method, given, 8):
        rows, columns = square(sample)
        box = slice(rows.start - 1, rows.stop + 1), slice(columns.start - 1, columns.stop + 1)
        expected = own.copy()
        expected[box] = to_bytes(blend(own[box], foreign[box], weighted_mixed_gradients(0.6)))
        low, high = min(own.min(), foreign.min()), max(own.max(), foreign.max())
        expected[box] = np.clip(expected[box], low, high)
        assert np.array_equal(sample.image, expected)
        assert np.array_equal(sample.mask, (sample.image != own).any(axis=2))


def test_squares_are_fpis_but_keep_off_the_border() -> None:
    samples = found(Pii(), noise(256), 300)
    assert len(samples) == 300
    for sample in samples:
        assert not sample.mask[[0, -1]].any()
        assert not sample.mask[:, [0, -1]].any()
        assert max(a.stop - a.start for a in square(sample)) <= 100


def test_stays_in_the_range_of_the_two_images() -> None:
    given = noise(64, low=100, high=110)
    images = [s.image for s in found(Pii(), given, 20)]
    assert min(i.min() for i in images) >= 100
    assert max(i.max() for i in images) <= 109


def test_a_normal_alone_loses_contrast_and_an_even_one_nothing() -> None:
    (sample,) = draw(Pii(alpha_low=0.5, alpha_high=0.5), material(normals=1), 1)
    assert sample is not None
    inside = square(sample)
    assert sample.image[inside].std() < material(normals=1).normals[0][inside].std()
    assert draw(Pii(), material(kind="constant"), 8) == [None] * 8


def test_tolerance_takes_small_changes_back() -> None:
    given = noise(64)
    for sample in on_the_first(Pii(tolerance=30), given, 8):
        change = np.abs(sample.image.astype(int) - given.normals[0]).max(axis=2)
        assert change[sample.mask].min() >= 30
        assert change[~sample.mask].max() == 0


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"core": 1.2}, "0 < core <= 1"),
        ({"reach_high": 0.01}, "reach_low <= reach_high"),
        ({"alpha_low": 0.0}, "0 < alpha_low"),
        ({"tolerance": 300}, "1..255"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        Pii(**wrong)
