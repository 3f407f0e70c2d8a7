"""DeSTSeg: opacity, coverage, the object rule and what it leaves out of DRAEM."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from asbench.synthesizers.destseg import VARIANTS, Destseg
from asbench.synthesizers.draem import Draem
from asbench.testing import digest, draw, material
from asbench.types import Material
from synth_store.types import Mask, UserError

WITHIN = 3.29
"""Half-width of a 99.9 % interval, in standard errors."""


def plain(normal: int, texture: int, foreground: Mask | None = None) -> Material:
    """One grey level on another, so that a sample shows its opacity."""
    images = [[np.full((64, 64, 3), level, np.uint8)] for level in (normal, texture)]
    foregrounds = () if foreground is None else [foreground]
    return Material("testing", "plain", images[0], foregrounds, images[1])


def middle() -> Mask:
    mask = np.zeros((64, 64), np.bool_)
    mask[16:48, 16:48] = True
    return mask


def test_textures_stay_as_they_are() -> None:
    levels = {
        int(s.image[s.mask].max()) for s in draw(Destseg(beta_high=0), plain(0, 200), 50) if s
    }
    assert levels == {200}


def test_is_draem_without_augmentation() -> None:
    """The two share every draw, so the same generators give the same bytes."""
    given = material(96, 160)
    assert digest(draw(Destseg(), given, 8)) == digest(draw(Draem(augmented=False), given, 8))
    assert digest(draw(Destseg(), given, 8)) != digest(draw(Draem(), given, 8))


def test_asbench_draws_larger_blobs() -> None:
    def edges(method: Destseg) -> float:
        masks = [s.mask for s in draw(method, plain(0, 255), 200) if s]
        return sum(int((m[1:] != m[:-1]).sum()) for m in masks) / sum(int(m.sum()) for m in masks)

    assert edges(Destseg(**VARIANTS["asbench"])) < 0.7 * edges(Destseg())


@pytest.mark.parametrize("method", [Destseg(), Draem(augmented=False)])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_a_share_of_the_masks_keeps_to_the_object(method: Destseg | Draem, share: float) -> None:
    object_ = middle()

    def inside(method: Destseg | Draem) -> float:
        samples = draw(method, plain(0, 255, object_), 400)
        return float(np.mean([s is not None and not (s.mask & ~object_).any() for s in samples]))

    chance = inside(method)  # small blobs may lie on the object by themselves
    assert chance < 0.4
    kept = inside(dataclasses.replace(method, foreground=share))
    if share in (0, 1):
        assert kept == max(share, chance)
    assert abs(kept - share - (1 - share) * chance) < WITHIN * (2 * 0.25 / 400) ** 0.5


@pytest.mark.parametrize("method", [Destseg, Draem])
def test_the_foreground_is_needed_only_where_it_is_read(
    method: type[Destseg] | type[Draem],
) -> None:
    assert method().needs == {"textures"}
    assert method(foreground=0.5).needs == {"textures", "foreground"}
    without = plain(0, 255)
    assert draw(method(), without, 3)
    with pytest.raises(IndexError):
        draw(method(foreground=1.0), without, 3)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"beta_high": 1.0}, "beta_low <= beta_high < 1"),
        ({"beta_low": 0.9}, "beta_low <= beta_high < 1"),
        ({"exponent_low": 6}, "exponent_low <= exponent_high"),
        ({"foreground": 1.5}, "foreground=1.5"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=f"destseg: .*{match}"):
        Destseg(**wrong)
