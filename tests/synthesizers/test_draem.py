"""DRAEM: opacity, blending and redrawn masks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from asbench.imaging import overlay
from asbench.synthesizers.draem import Draem
from asbench.testing import draw, material
from asbench.types import Material
from synth_store.types import UserError


def plain(normal: int, texture: int) -> Material:
    """One grey level on another, so that a sample shows its opacity."""
    images = [[np.full((64, 64, 3), level, np.uint8)] for level in (normal, texture)]
    return Material("testing", "plain", images[0], (), images[1])


def test_beta_weighs_the_normal_image() -> None:
    for beta in (0.0, 0.25, 0.79):
        method = Draem(beta_low=beta, beta_high=beta, augmented=False)
        (sample,) = draw(method, plain(200, 101), 1)
        assert sample is not None
        assert set(sample.image[sample.mask].ravel()) == {round(beta * 200 + (1 - beta) * 101)}
        assert set(sample.image[~sample.mask].ravel()) == {200}


def test_blend_rounds_to_the_nearest_level() -> None:
    given = material()
    method = Draem(beta_low=0.3, beta_high=0.3, augmented=False)
    for index, sample in enumerate(draw(method, given, 8)):
        assert sample is not None
        normal = given.normals[index % 4].astype(float)
        exact = [0.3 * normal + 0.7 * texture for texture in given.textures]
        errors = [np.abs(sample.image - e)[sample.mask].max() for e in exact]
        assert min(errors) <= 0.5 + 1e-4


def test_every_canvas_gets_a_mask_though_one_in_twenty_is_empty() -> None:
    samples = draw(Draem(augmented=False), plain(0, 255), 500)
    areas = np.array([s.mask.mean() for s in samples if s])
    assert len(areas) == 500
    assert 0.03 < areas.mean() < 0.08


def test_empty_masks_are_redrawn_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def empty(height: int, width: int, rng: np.random.Generator, **_: Any) -> np.ndarray:
        calls.append(1)
        mask = np.zeros((height, width), np.bool_)
        mask[:4] = len(calls) == overlay.MASK_DRAWS + 3
        return mask

    monkeypatch.setattr(overlay, "draw_mask", empty)
    first, second = draw(Draem(augmented=False), plain(0, 255), 2)
    assert first is None
    assert second is not None
    assert len(calls) == overlay.MASK_DRAWS + 3


def test_textures_are_augmented_unless_told_otherwise() -> None:
    raw = draw(Draem(augmented=False, beta_high=0.0), plain(0, 255), 40)
    assert {int(s.image[s.mask].min()) for s in raw if s} == {255}
    augmented = draw(Draem(beta_high=0.0), plain(0, 200), 40)
    assert len({int(s.image[s.mask].max()) for s in augmented if s}) > 5


def test_the_same_texture_as_the_normal_shows_nothing() -> None:
    assert draw(Draem(augmented=False), plain(90, 90), 5) == [None] * 5


def test_more_cells_make_smaller_blobs() -> None:
    edges = []
    for exponent in (0, 2, 4):
        method = Draem(exponent_low=exponent, exponent_high=exponent, augmented=False)
        masks = [s.mask for s in draw(method, plain(0, 255), 60) if s]
        border = sum(int((m[1:] != m[:-1]).sum()) for m in masks)
        edges.append(border / sum(int(m.sum()) for m in masks))
    assert all(a < b for a, b in pairwise(edges))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"beta_high": 1.0}, "beta_low <= beta_high < 1"),
        ({"beta_low": 0.9}, "beta_low <= beta_high < 1"),
        ({"exponent_low": 6}, "exponent_low <= exponent_high"),
        ({"threshold": 1.2}, "threshold"),
        ({"foreground": 1.01}, "foreground"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        Draem(**wrong)
