"""MemSeg: the two sources, opacity, the object rules and their settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from asbench.synthesizers import memseg, resolve
from asbench.synthesizers.memseg import CATEGORIES, Memseg
from asbench.testing import draw, material
from asbench.types import Material
from synth_store.types import Image, Mask, UserError

WITHIN = 3.29
"""Half-width of a 99.9 % interval, in standard errors."""
EVERYWHERE = np.ones((64, 64), np.bool_)


def half(left: int, right: int, foreground: Mask = EVERYWHERE, texture: int = 255) -> Material:
    """Two grey levels side by side, a foreground, and one texture of one level."""
    image = np.full((64, 64, 3), left, np.uint8)
    image[:, 32:] = right
    return Material("testing", "half", [image], [foreground], [np.full_like(image, texture)])


def test_the_opacity_weighs_the_source() -> None:
    method = Memseg(texture_share=1.0, opacity_low=0.25, opacity_high=0.25)
    (sample,) = draw(method, half(100, 100, texture=201), 1)
    assert sample is not None
    assert set(sample.image[sample.mask].ravel()) == {round(0.25 * 201 + 0.75 * 100)}
    assert set(sample.image[~sample.mask].ravel()) == {100}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_textures_are_the_source_of_their_share(
    share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Structure made black: a sample then shows which source it has."""
    monkeypatch.setattr(memseg, "augment", lambda image, rng: np.zeros_like(image))
    method = Memseg(texture_share=share, opacity_low=1.0)
    found = np.array([s.image[s.mask].max() for s in draw(method, half(128, 128), 800) if s])
    assert set(found) <= {0, 255}
    assert abs((found == 255).mean() - share) <= WITHIN * (share * (1 - share) / 800) ** 0.5


def test_structure_is_the_image_itself_in_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without augmentation every changed pixel comes from the same place of another cell."""
    monkeypatch.setattr(memseg, "augment", lambda image, rng: image)
    given = material()
    method = Memseg(texture_share=0.0, opacity_low=1.0, foreground=0.0)
    moved = 0
    for index, sample in enumerate(draw(method, given, 8)):
        assert sample is not None
        normal = given.normals[index % 4]
        for y, x in np.argwhere(sample.mask):
            candidates: Image = normal[y % 8 :: 8, x % 8 :: 8].reshape(-1, 3)
            assert (candidates == sample.image[y, x]).all(axis=1).any()
        moved += int((sample.image != normal).any(axis=2).sum())
    assert moved > 100


def test_structure_is_augmented_and_textures_are_not() -> None:
    given = half(120, 120, texture=200)
    textures = draw(Memseg(texture_share=1.0, opacity_low=1.0), given, 30)
    assert {int(s.image[s.mask].max()) for s in textures if s} == {200}
    # A constant image shows structure only where the augmentation changed its level.
    structure = draw(Memseg(texture_share=0.0, opacity_low=1.0), given, 30)
    assert len({int(s.image[s.mask].max()) for s in structure if s}) > 5


def test_masks_keep_to_the_object() -> None:
    object_ = np.zeros((64, 64), np.bool_)
    object_[10:30, 20:50] = True
    found = [s for s in draw(Memseg(texture_share=1.0), half(0, 0, object_), 200) if s]
    assert len(found) == 200
    assert not any((s.mask & ~object_).any() for s in found)
    reached = np.any([s.mask for s in found], axis=0)
    assert reached[object_].mean() > 0.9


def test_a_foreground_that_is_nearly_empty_restricts_nothing() -> None:
    specks = np.zeros((64, 64), np.bool_)
    specks[0, :40] = True
    assert specks.mean() < 0.01
    samples = draw(Memseg(texture_share=1.0), half(0, 0, specks), 50)
    assert all(s is not None and (s.mask & ~specks).any() for s in samples)


def test_a_share_of_the_masks_falls_anywhere() -> None:
    object_ = np.zeros((64, 64), np.bool_)
    object_[16:48, 16:48] = True

    def inside(share: float) -> float:
        method = Memseg(foreground=share, texture_share=1.0)
        samples = draw(method, half(0, 0, object_), 500)
        return float(np.mean([not (s.mask & ~object_).any() for s in samples if s]))

    chance = inside(0.0)
    assert chance < 0.4
    assert inside(1.0) == 1
    assert abs(inside(0.6) - (0.6 + 0.4 * chance)) < WITHIN * (2 * 0.25 / 500) ** 0.5


@pytest.mark.parametrize(("rule", "side"), [("dark", 0), ("bright", 1)])
def test_fixed_rules_go_by_the_grey_level(rule: Any, side: int) -> None:
    given = half(100, 101, foreground=~EVERYWHERE)
    method = Memseg(object_rule=rule, object_threshold=100, texture_share=1.0)
    columns = slice(32, 64) if side == 0 else slice(0, 32)
    samples = draw(method, given, 40)
    assert sum(s is not None for s in samples) > 35
    assert not any(s.mask[:, columns].any() for s in samples if s)


def test_needs_follow_the_parameters() -> None:
    assert Memseg().needs == {"textures", "foreground"}
    assert Memseg(foreground=0.0).needs == {"textures"}
    assert Memseg(object_rule="dark").needs == {"textures"}
    assert Memseg(texture_share=0.0).needs == {"foreground"}
    given = half(0, 128)
    bare = Material("testing", "bare", given.normals)
    bare_method = Memseg(texture_share=0.0, object_rule="bright")
    assert bare_method.needs == frozenset()
    assert any(draw(bare_method, bare, 5))


def test_settings_of_categories_and_variants() -> None:
    assert len(CATEGORIES) == 15
    hazelnut = resolve("memseg", dataset="mvtec", category="hazelnut")
    assert hazelnut == Memseg(object_rule="bright", object_threshold=50)
    assert resolve("memseg", dataset="mvtec", category="cable") == Memseg(foreground=0.0)
    assert resolve("memseg", dataset="visa", category="capsules") == Memseg()
    for category in ("hazelnut", "leather"):
        asbench = resolve("memseg@asbench", dataset="mvtec", category=category)
        assert asbench == Memseg(object_rule="dark", object_threshold=100, colour="as-published")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"opacity_low": 0.0}, "opacity_low=0.0"),
        ({"opacity_low": 0.5, "opacity_high": 0.4}, "opacity_low <= opacity_high"),
        ({"texture_share": 1.1}, "texture_share=1.1"),
        ({"cells": 1}, "cells=1"),
        ({"object_threshold": 256}, "object_threshold=256"),
        ({"exponent_high": 11}, "exponent_high=11"),
        ({"foreground": -0.5}, "foreground=-0.5"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=f"memseg: .*{match}"):
        Memseg(**wrong)
