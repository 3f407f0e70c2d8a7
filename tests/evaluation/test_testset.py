"""Test images are decoded once, however often they are looked at, and never change by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from asbench.datasets import open_dataset
from asbench.detectors import build
from asbench.evaluation import testset
from asbench.evaluation.predict import predict
from asbench.evaluation.testset import TestSet
from asbench.types import Item
from synth_store.types import Geometry, Image

GEOMETRY = Geometry(32, 32)


class Counting:
    """The demo data set, which counts what is asked of it."""

    def __init__(self) -> None:
        self.own, self.decoded = open_dataset("demo"), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def image(self, item: Item) -> Image:
        self.decoded += 1
        return self.own.image(item)


@pytest.fixture
def data() -> Counting:
    return Counting()


def opened(data: Any) -> TestSet:
    return TestSet(data, data.test("weave")[:6], GEOMETRY)


def test_every_image_is_decoded_once(data: Counting) -> None:
    test = opened(data)
    model = build("unet@tiny", 0, {"width": 2}).eval()
    first = test.scores(model, torch.device("cpu"))
    again = test.scores(model, torch.device("cpu"))
    test.gallery(again)
    assert data.decoded == len(test.items)
    assert np.array_equal(first.maps, again.maps)


def test_what_finds_no_room_is_read_again(data: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testset, "KEPT", 2 * 32 * 32 * 3)
    test, whole = opened(data), opened(open_dataset("demo"))
    for _ in range(2):
        for item in test.items:
            assert np.array_equal(test.image(item), whole.image(item))
    assert data.decoded == 2 * len(test.items) - 2


def test_maps_are_the_same_whether_their_number_is_known_or_not(data: Counting) -> None:
    test, model = opened(data), build("unet@tiny", 0, {"width": 2}).eval()
    images = [test.image(item) for item in test.items]
    known, guessed = (predict(model, some, "cpu", batch=4) for some in (images, iter(images)))
    assert all(np.array_equal(one, other) for one, other in zip(known, guessed, strict=True))
    assert len(known[0]) == len(images)
