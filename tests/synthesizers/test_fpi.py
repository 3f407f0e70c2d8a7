"""FPI: square, weight and label; and ASBench's disc under its name."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from asbench.synthesizers.fpi import VARIANTS, Fpi
from asbench.testing import draw, material
from asbench.types import Material
from synth_store.types import Sample, UserError


def plain(*levels: int, side: int = 64) -> Material:
    return Material("testing", "plain", [np.full((side, side, 3), v, np.uint8) for v in levels])


def found(method: Fpi, given: Material, count: int) -> list[Sample]:
    return [s for s in draw(method, given, count) if s is not None]


def on_the_first(method: Fpi, given: Material, count: int) -> list[Sample]:
    """Samples on the first of two normals alone."""
    return [s for s in draw(method, given, 2 * count)[::2] if s is not None]


def test_blend_is_the_formula_and_keeps_to_the_place() -> None:
    given = material(64, 96, normals=2)
    method = Fpi(weight_low=0.25, weight_high=0.25)
    own, foreign = given.normals[0], given.normals[1]
    for sample in on_the_first(method, given, 8):
        exact = 0.75 * own + 0.25 * foreign.astype(float)
        assert np.abs(sample.image - exact)[sample.mask].max() <= 0.5 + 1e-4
        assert np.array_equal(sample.image[~sample.mask], own[~sample.mask])


def test_mask_leaves_out_what_agrees() -> None:
    """Half of the foreign image is the normal itself: no square is labelled there."""
    given = plain(100, 200)
    given.normals[1][:, :32] = 100
    for sample in found(Fpi(), given, 60):
        assert not sample.mask[:, :32].any()
        assert sample.mask[:, 32:].any()
    assert any(s is None for s in draw(Fpi(), given, 60))


def test_tolerance_takes_small_changes_back() -> None:
    given = plain(100, 200)
    given.normals[1][:, :32] = 110
    half = Fpi(weight_low=0.5, weight_high=0.5, tolerance=20)
    for sample in on_the_first(half, given, 30):
        assert set(sample.image[:, :32].ravel()) == {100}
        assert set(sample.image[sample.mask].ravel()) <= {150}


def test_a_lone_normal_gives_nothing() -> None:
    assert draw(Fpi(), material(normals=1), 8) == [None] * 8


# -- fpi@asbench -----------------------------------------------------------------------------------


def disc(**settings: Any) -> Fpi:
    return dataclasses.replace(Fpi(**VARIANTS["asbench"]), **settings)


def ramp() -> Material:
    levels = np.linspace(60, 160, 128).astype(np.uint8)
    return Material("testing", "ramp", [np.repeat(np.tile(levels, (128, 1))[..., None], 3, axis=2)])


def test_disc_radius_place_and_offset() -> None:
    samples = found(disc(), ramp(), 800)
    assert len(samples) == 800
    radii, offsets, centres = [], [], []
    for sample in samples:
        rows, columns = (np.flatnonzero(sample.mask.any(axis)) for axis in (1, 0))
        assert len(rows) == len(columns)
        radii.append((len(rows) + 1) // 2)
        centres.append((rows.mean(), columns.mean()))
        difference = (sample.image.astype(int) - ramp().normals[0])[sample.mask]
        assert np.ptp(difference) == 0
        offsets.append(int(difference[0, 0]))
    # round(6.4) .. round(12.8) - 1, centres in the middle half, 20..30 % of a range of 100.
    assert set(radii) == set(range(6, 13))
    assert np.min(centres) == 32
    assert np.max(centres) == 95
    assert {abs(offset) for offset in offsets} == set(range(20, 31))


def test_disc_saturates_unless_asked_to_wrap() -> None:
    given = plain(250)
    given.normals[0][0, 0] = 0
    saturated = found(disc(), given, 60)
    assert {int(s.image[s.mask][0, 0]) for s in saturated} <= {255, *range(175, 201)}
    wrapped = Fpi(**VARIANTS["asbench-wrap"])
    levels = {int(s.image[s.mask][0, 0]) for s in found(wrapped, given, 60)}
    assert max(levels) <= 200
    assert min(levels) < 70  # 250 + 50 .. 75 modulo 256


def test_disc_on_white_is_only_what_darkens() -> None:
    given = plain(255)
    given.normals[0][0, 0] = 0
    assert all(s.image[s.mask].max() < 255 for s in found(disc(), given, 40))
    assert any(s is None for s in draw(disc(), given, 40))


def test_disc_on_one_colour_is_nothing() -> None:
    assert draw(disc(), plain(90), 5) == [None] * 5


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"core": 0.0}, "0 < core <= 1"),
        ({"reach_low": 0.3}, "reach_low <= reach_high"),
        ({"weight_high": 1.5}, "weight_low <= weight_high <= 1"),
        ({"offset_low": 0.0}, "0 < offset_low"),
        ({"tolerance": 0}, "1..255"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        Fpi(**wrong)
