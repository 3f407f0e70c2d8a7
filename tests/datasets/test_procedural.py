"""The drawn texture bank: its contract, its stability and its variety."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from asbench import plugins
from asbench.datasets.procedural import Procedural
from asbench.imaging.reliefs import FAMILIES
from asbench.imaging.textures import draw_texture
from asbench.types import Dataset
from synth_store.rng import address_rng
from synth_store.types import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bank() -> list[np.ndarray]:
    data = Procedural()
    return [data.image(item) for item in data.items("all")]


def test_is_the_plugin_of_its_name() -> None:
    assert plugins.load("asbench.datasets", "procedural", Dataset) is Procedural


def test_one_category_of_64_train_normals() -> None:
    data = Procedural()
    assert data.categories() == ("all",)
    items = data.items("all")
    assert [i.id for i in items] == [f"{n:03d}" for n in range(64)]
    assert {(i.split, i.label) for i in items} == {("train", 0)}
    assert data.train("all") == items
    assert not data.mask(items[0]).any()
    with pytest.raises(UserError, match="choose all"):
        data.items("wood")


def test_images_are_whole_and_repeatable(bank: list[np.ndarray]) -> None:
    assert {(i.shape, i.dtype) for i in bank} == {((320, 320, 3), np.dtype(np.uint8))}
    copy = pickle.loads(pickle.dumps(Procedural()))
    for index in (63, 0, 17):
        assert np.array_equal(copy.image(copy.items("all")[index]), bank[index])


def test_every_texture_has_contrast_and_none_resembles_another(bank: list[np.ndarray]) -> None:
    small = np.array([image[::8, ::8].mean(-1).ravel() for image in bank])
    assert small.std(axis=1).min() > 6
    likeness = np.corrcoef(small) - np.eye(len(bank))
    assert np.abs(likeness).max() < 0.9


def test_the_bank_is_various(bank: list[np.ndarray]) -> None:
    """Colours spread over the circle, grey ones included; scales from grain to large shapes."""
    means = np.array([image.mean((0, 1)) for image in bank])
    chroma = np.ptp(means, axis=1)
    assert chroma.min() < 10 < 60 < chroma.max()
    assert {0, 1, 2} == set(means[chroma > 40].argmax(axis=1))
    grey = np.array([image.mean(-1) for image in bank])
    grey -= grey.mean((1, 2), keepdims=True)
    neighbours = (grey[:, :, 1:] * grey[:, :, :-1]).mean((1, 2)) / grey.var((1, 2))
    assert neighbours.min() < 0.6
    assert neighbours.max() > 0.95


@pytest.mark.parametrize("family", range(len(FAMILIES)))
def test_every_family_draws_fields_in_range_at_any_side(family: int) -> None:
    for seed, side in enumerate((33, 64)):
        relief = FAMILIES[family](address_rng("test", seed), side)
        for field in relief:
            assert field.shape == (side, side)
            assert np.isfinite(field).all()
            assert field.min() >= 0
            assert field.max() <= 1
        assert draw_texture(address_rng("test", seed), side, family).shape == (side, side, 3)
