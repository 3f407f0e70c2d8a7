"""CutOut: the square's size, place and colour."""

from __future__ import annotations

import numpy as np
import pytest

from asbench.synthesizers.cutout import VARIANTS, Cutout
from asbench.testing import draw, material
from asbench.types import Canvas, Material
from synth_store.rng import address_rng
from synth_store.types import UserError


def flat(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> Material:
    return Material("testing", "flat", [np.full((*size, 3), colour, np.uint8)])


def test_fills_the_mask_with_one_colour() -> None:
    black = draw(Cutout(), material(), 1)[0]
    assert black is not None
    assert not black.image[black.mask].any()
    grey = flat((90, 120, 150))
    grey.normals[0][:8] = 255
    mean = draw(Cutout(fill="mean"), grey, 1)[0]
    assert mean is not None
    assert np.array_equal(mean.image[mean.mask][0], np.rint(grey.normals[0].mean((0, 1))))
    randoms = [s.image[s.mask][0] for s in draw(Cutout(fill="random"), grey, 20) if s]
    assert len({tuple(c.tolist()) for c in randoms}) > 10


def test_the_papers_square_is_half_the_side() -> None:
    cutout = Cutout(**VARIANTS["cifar"])
    rng = address_rng("cifar")
    material_ = material(64, 64)
    sides = [
        int(s.mask.any(axis).sum())
        for s in (cutout(Canvas(material_, 0), rng) for _ in range(50))
        if s
        for axis in (0, 1)
    ]
    assert max(sides) == 32
    assert min(sides) >= 16


def test_a_square_nobody_sees_is_no_sample() -> None:
    assert draw(Cutout(), flat((0, 0, 0)), 20) == [None] * 20
    assert draw(Cutout(fill="mean"), flat((77, 77, 77)), 20) == [None] * 20


@pytest.mark.parametrize(
    "wrong", [{"length_low": 0.0}, {"length_low": 0.5}, {"length_high": 1.5}, {"length_high": 0.01}]
)
def test_lengths_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match="0 < length_low <= length_high <= 1"):
        Cutout(**wrong)
