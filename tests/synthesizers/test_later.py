"""What GLASS, TransFusion, DiffusionAD, RD++'s noise, DefectMaker and Crop&Paste promise beside
their laws: the object, refusals, and what is pasted."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from asbench.imaging.moving import put, taken
from asbench.synthesizers.croppaste import Croppaste
from asbench.synthesizers.defectmaker import Defectmaker, clump, noise_fill
from asbench.synthesizers.diffusionad import CATEGORIES, Diffusionad
from asbench.synthesizers.glass import Glass
from asbench.synthesizers.simplex import Simplex
from asbench.synthesizers.transfusion import Transfusion
from asbench.testing import draw, material
from asbench.types import PerSample
from synth_store.types import UserError

METHODS = (Glass(), Transfusion(), Diffusionad(), Defectmaker(), Simplex(foreground=1.0))


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_what_is_drawn_keeps_to_the_object_unless_told(method: Any) -> None:
    given = material(96, 96, "object")
    (disc, *_) = given.foregrounds
    shown = [s for s in draw(method, given, 30) if s is not None]
    assert len(shown) > 20
    assert not any((s.mask & ~disc).any() for s in shown)
    anywhere = draw(dataclasses.replace(method, foreground=0.0), given, 30)
    assert any((s.mask & ~disc).any() for s in anywhere if s is not None)
    assert "foreground" in method.needs
    assert "foreground" not in dataclasses.replace(method, foreground=0.0).needs


@pytest.mark.parametrize(
    ("method", "wrong", "told"),
    [
        (Glass, {"beta_mean": 0.9}, "glass: beta_low"),
        (Glass, {"beta_std": -1}, "glass: beta_std"),
        (Glass, {"union": 0.8}, "glass: union=0.8 and intersection"),
        (Glass, {"exponent_low": 6}, "glass: exponent_low"),
        (Transfusion, {"texture_share": 2}, "transfusion: texture_share"),
        (Transfusion, {"cells": 1}, "transfusion: cells"),
        (Diffusionad, {"beta_high": 1}, "diffusionad: beta_low"),
        (Diffusionad, {"strips": 1}, "diffusionad: strips"),
        (Simplex, {"strength": 0}, "simplex: strength"),
        (Simplex, {"side_low": 0.5}, "simplex: side_low"),
        (Simplex, {"octaves": 0}, "simplex: octaves"),
        (Simplex, {"foreground": -1}, "simplex: foreground"),
        (Defectmaker, {"aspect": 0.5}, "defectmaker: aspect"),
        (Defectmaker, {"area_high": 2}, "defectmaker: area_low"),
        (Defectmaker, {"soft_share": 2}, "defectmaker: soft_share"),
        (Croppaste, {"scale": (2, 1)}, "croppaste: scale"),
        (Croppaste, {"inside": 0}, "croppaste: inside"),
        (Croppaste, {"max_degrees": 181}, "croppaste: max_degrees"),
        (Croppaste, {"jitter": 0.9}, "croppaste: jitter"),
    ],
)
def test_parameters_out_of_range_are_refused(
    method: type[PerSample], wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        method(**wrong)


def test_a_pasted_defect_shows_the_pixels_of_one_and_lies_on_the_object() -> None:
    given = material(96, 96, "object")
    (disc, *_) = given.foregrounds
    as_it_was = Croppaste(max_degrees=0, scale=(1, 1), mirrored=False, jitter=0)
    bank = [
        (int(d.mask.sum()), sorted(map(tuple, d.image[d.mask].tolist())))
        for d in given.defect_images
    ]
    found = 0
    for sample in draw(as_it_was, given, 30):
        if sample is None:
            continue
        found += 1
        assert (sample.mask & disc).sum() >= 0.9 * sample.mask.sum()
        pasted = sample.image[sample.mask].tolist()
        assert (int(sample.mask.sum()), sorted(map(tuple, pasted))) in bank
    assert found > 10
    assert as_it_was.needs == {"defect images", "foreground"}


def test_the_edges_of_a_pasted_defect_are_hard_soft_or_none() -> None:
    given = material(96, 96)
    steps = {}
    for blend in ("paste", "feather", "poisson"):
        across = []
        for sample in draw(Croppaste(blend=blend), given, 40):  # type: ignore[arg-type]
            if sample is not None:
                edge = sample.mask[:, 1:] != sample.mask[:, :-1]
                across.append(np.abs(np.diff(sample.image.astype(int), axis=1))[edge].mean())
        steps[blend] = float(np.mean(across))
    assert steps["feather"] < 0.7 * steps["paste"]


def test_a_part_is_turned_scaled_and_mirrored_with_its_surroundings() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    image[..., 0], image[..., 1] = np.mgrid[:60, :60]
    mask = np.zeros((60, 60), np.bool_)
    mask[20:30, 10:40] = True
    as_it_is = taken(image, mask, degrees=0, scale=1, mirrored=(False, False))
    assert as_it_is is not None
    assert as_it_is.mask.shape == (12, 32)
    assert np.array_equal(as_it_is.image, image[19:31, 9:41])
    turned = taken(image, mask, degrees=90, scale=1, mirrored=(False, False))
    assert turned is not None
    assert turned.mask.shape == (32, 12)
    flipped = taken(image, mask, degrees=0, scale=1, mirrored=(True, False))
    assert flipped is not None
    assert np.array_equal(flipped.image, image[19:31, 9:41][::-1])
    larger = taken(image, mask, degrees=0, scale=2, mirrored=(False, False))
    assert larger is not None
    assert larger.mask.sum() == pytest.approx(4 * mask.sum(), rel=0.05)
    empty = np.zeros_like(mask)
    assert taken(image, empty, degrees=0, scale=1, mirrored=(False, False)) is None


def test_places_on_the_object_are_all_that_will_do_and_equally_likely() -> None:
    rng = np.random.default_rng(0)
    within = np.zeros((20, 20), np.bool_)
    within[5:9, 5:15] = True
    part = np.ones((4, 4), np.bool_)
    rows, columns = zip(
        *[at for at in (put(rng, part, (20, 20), within, 1.0) for _ in range(600)) if at],
        strict=True,
    )
    assert set(rows) == {5}
    assert set(columns) == set(range(5, 12))
    assert np.bincount(columns)[5:].min() > 50
    assert put(rng, np.ones((6, 6), np.bool_), (20, 20), within, 1.0) is None
    assert put(rng, np.ones((30, 30), np.bool_), (20, 20), None, 1.0) == (0, 0)


def test_strips_are_shuffled_evens_first() -> None:
    image = np.repeat(np.arange(8, dtype=np.uint8), 4)[None, :, None] * np.ones((4, 1, 3), np.uint8)
    shuffled = Diffusionad()._strips(image, 1, np.random.default_rng(0))
    order = shuffled[0, ::4, 0].tolist()
    assert {k % 2 for k in order[:4]} == {0}
    assert sorted(order) == list(range(8))
    assert CATEGORIES["mvtec/carpet"] == {"texture_share": 1.0}


def test_fills_and_clumps_vary_as_published() -> None:
    rng = np.random.default_rng(0)
    fills = [noise_fill(rng, (40, 30)) for _ in range(300)]
    levels = np.array([fill.mean() for fill in fills])
    assert 50 - 3 < levels.min() < levels.max() < 190 + 3
    flat = [fill for fill in fills if fill.std() < 1e-9]
    assert 10 < len(flat) < 60  # a tenth has no range
    assert {int(fill[0, 0, 0]) % 10 for fill in flat} == {0}
    areas = [clump(rng, 60, 60).mean() for _ in range(200)]
    assert 0.12 < np.mean(areas) < 0.25
