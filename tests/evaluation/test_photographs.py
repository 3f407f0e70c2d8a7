"""Whole photographs scored by their tiles: maps without seams, metrics at native size."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asbench.evaluation.maps import Lazy, SpilledMaps, packed_masks
from asbench.evaluation.metrics import pixel_metrics
from asbench.evaluation.photographs import predict_photograph, predict_tiles
from asbench.evaluation.predict import predict
from asbench.evaluation.score import evaluate
from asbench.evaluation.testset import TestSet
from asbench.imaging.geometry import resize, unfit
from asbench.imaging.tiles import cut
from asbench.nets.detector import Detector
from asbench.types import Item
from synth_store import Geometry, UserError
from synth_store.types import Image, Mask
from tests.toyset import Toys

CPU = torch.device("cpu")


@dataclass(eq=False)
class Bright(Detector):
    """Says how bright a pixel is: what it says of a tile depends on no neighbour."""

    title = paper = url = "test"
    stride = 4

    def __post_init__(self) -> None:
        super().__init__()

    def stages(self, steps: int) -> tuple[()]:
        return ()

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(1)

    def image_scores(self, maps: Tensor) -> Tensor:
        return maps.amax((1, 2))


def photograph(height: int = 90, width: int = 131) -> Image:
    return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


def test_a_map_of_tiles_is_the_map_of_the_whole() -> None:
    image = photograph()
    tiles = Geometry(32, 24, "tile", 1, 8)
    said, score = predict_photograph(Bright(), image, tiles, "cpu")
    np.testing.assert_allclose(said, image.mean(2) / 255, atol=1e-6)
    assert score == pytest.approx(said.max(), abs=1e-6)
    assert said.dtype == np.float32


def test_at_a_scale_the_map_is_at_native_size() -> None:
    image = np.repeat(np.repeat(photograph(45, 60), 2, 0), 2, 1)
    said, _ = predict_photograph(Bright(), image, Geometry(16, 16, "tile", 0.5, 4), "cpu")
    small, _ = predict_tiles(Bright(), image, Geometry(16, 16, "tile", 0.5, 4), "cpu")
    assert said.shape == (90, 120)
    np.testing.assert_allclose(small, image[::2, ::2].mean(2) / 255, atol=1e-6)


def test_the_score_is_the_highest_of_the_tiles() -> None:
    tiles = Geometry(32, 32, "tile", 1, 8)
    _, scores = predict(Bright(), np.stack(list(cut(photograph(), tiles))), "cpu")
    assert predict_photograph(Bright(), photograph(), tiles, "cpu")[1] == scores.max()


@pytest.mark.parametrize("rule", ["stretch", "pad"])
def test_one_frame_is_what_it_was(rule: str) -> None:
    geometry = Geometry.parse(f"32x24 ({rule})")
    maps, scores = predict(Bright(), iter([resize(photograph(), geometry)]), "cpu")
    said, score = predict_photograph(Bright(), photograph(), geometry, "cpu")
    assert np.array_equal(said, unfit(maps[0], geometry, 90, 131))
    assert score == float(scores[0])


class Cropped(Toys):
    """Photographs of two sizes, one of them without a mask."""

    def image(self, item: Item) -> Image:
        image = Toys().image(item)
        return image if item.id[-1] in "024" else image[:40, :33].copy()

    def mask(self, item: Item) -> Mask | None:
        mask = Toys().mask(item)
        assert mask is not None
        if item.id == "test/disc/3":
            return None
        return mask if item.id[-1] in "024" else mask[:40, :33].copy()


def test_metrics_are_of_whole_photographs_at_their_native_sizes() -> None:
    data = Cropped()
    test = TestSet(data, data.test("a"), Geometry(16, 16, "tile", 1, 4))
    scores = test.scores(Bright(), CPU)
    assert len(scores.maps) == len(test.items)
    for item, said, mask in zip(test.items, scores.maps, scores.masks, strict=True):
        np.testing.assert_allclose(said, data.image(item).mean(2) / 255, atol=1e-6)
        truth = data.mask(item)
        assert (mask is None and truth is None) or np.array_equal(mask, truth)
    known = [i for i, mask in enumerate(scores.masks) if mask is not None]
    by_hand = pixel_metrics([scores.maps[i] for i in known], [scores.masks[i] for i in known])
    found = evaluate(scores)["full"]
    assert (found["pixel_ap"], found["pro"]) == (by_hand.ap, by_hand.pro)
    assert found["pixel_auroc"] == 1.0  # discs are brighter than anything
    assert found["counts"]["with_mask"] == 5


def test_the_gallery_shows_windows_with_the_defect() -> None:
    data = Toys()
    test = TestSet(data, data.test("a"), Geometry(16, 16, "tile", 1, 4))
    gallery = test.gallery(test.scores(Bright(), CPU))
    assert gallery.images.shape[1:] == (16, 16, 3)
    labels = {item.id: item.label for item in test.items}
    assert [bool(m.any()) for m in gallery.masks] == [bool(labels[i]) for i in gallery.ids]
    np.testing.assert_allclose(gallery.maps, gallery.images.mean(3) / 255, atol=1e-3)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_maps_made_when_asked_give_the_metrics_of_arrays(kind: type) -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.random((5, 20, 30)).astype(kind), rng.random((5, 20, 30)) < 0.1
    asked: list[int] = []

    def make(index: int) -> np.ndarray:
        asked.append(index)
        return maps[index]

    lazy = pixel_metrics(Lazy(5, make), Lazy(5, lambda i: masks[i]))
    assert lazy == pixel_metrics(maps, masks)
    assert asked == [0, 1, 2, 3, 4] * 3


def test_masks_packed_are_masks() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((9, 7)) < 0.5, None, np.zeros((4, 5), np.bool_), rng.random((3, 11)) < 0.5]
    packed = packed_masks(masks)
    assert len(packed) == 4
    for mask, back in zip(masks, packed, strict=True):
        assert (mask is None and back is None) or np.array_equal(mask, back)
    assert [None if m is None else m.shape for m in packed[1:3]] == [None, (4, 5)]
    with pytest.raises(IndexError):
        packed[4]


def test_spilled_maps_come_back_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rng, spilled = np.random.default_rng(0), SpilledMaps()
    kept = [rng.random((5, 7)).astype(np.float32), rng.random((8, 3)).astype(np.float32)]
    spilled.add(kept[0], 5, 7)
    spilled.add(kept[1], 16, 6)
    maps = spilled.maps()
    assert np.array_equal(maps[0], kept[0])
    assert maps[1].shape == (16, 6)
    assert np.array_equal(maps[-2], kept[0])
    assert [m.shape for m in maps] == [(5, 7), (16, 6)]
    del maps, spilled
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_no_room_for_maps_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    spilled = SpilledMaps()
    with open("/dev/full", "r+b", buffering=0) as full:
        monkeypatch.setattr(spilled, "_file", full)
        with pytest.raises(UserError, match=r"find no room in .*Name another folder with TMPDIR"):
            spilled.add(np.zeros((64, 64), np.float32), 64, 64)
