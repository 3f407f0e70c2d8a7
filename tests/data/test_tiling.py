"""Photographs into a store of tiles: each knows whose it is, and none is there by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from asbench.data import tiling
from asbench.data.ingest import ensure_normals
from asbench.generation.generate import ensure_bank
from asbench.generation.real import few_shot
from asbench.generation.render import material
from asbench.imaging.tiles import cut, scale_image
from asbench.progress import quiet
from asbench.types import Canvas, Item
from synth_store import Geometry, StoreError, SynthStore, UserError
from synth_store.reader import Foregrounds
from synth_store.rng import address_rng
from synth_store.types import Image, Mask
from tests.toyset import Toys

TILES = Geometry(32, 24, "tile", 0.5, 8)


class Parts(Toys):
    """Photographs of two sizes: a dark part with grain in the middle of a light ground."""

    def image(self, item: Item) -> Image:
        rng = address_rng("parts", item.category, item.id, self.shift)
        tall = 200 + 16 * (int(item.id[-1]) % 2)
        image = np.full((tall, 240, 3), 200, np.uint8)
        image[70 : tall - 70, 80:160] = 90
        noise = rng.integers(-4, 5, (tall, 240, 1))
        return np.asarray(image + noise, np.uint8)

    def mask(self, item: Item) -> Mask | None:
        mask = np.zeros(self.image(item).shape[:2], np.bool_)
        if item.label:
            mask[90:96, 100:106] = True
        return mask


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    return SynthStore.create(tmp_path / "store", TILES)


def test_tiles_know_their_photograph_and_place(store: SynthStore) -> None:
    data, seen = Parts(), []
    normals = ensure_normals(store, data, "a", lambda *done: seen.append(done))
    assert seen == [("normals of toys/a", i, 9) for i in range(10)]
    tiles = [tile for item in data.train("a") for tile in cut(data.image(item), TILES)]
    assert np.array_equal(tiles, list(normals))
    assert normals.ids[:2] == ("train/00#0,0", "train/00#0,16")
    assert len(set(normals.ids)) == len(normals)
    whole = tiling.photographs(normals)
    assert [one.id for one in whole] == [item.id for item in data.train("a")]
    assert [i for one in whole for i in one.normals] == list(range(len(normals)))
    places = normals.attributes["tiles"]["places"]
    for one in whole:
        photograph = scale_image(data.image(Item(one.id, "a", "train", 0)), TILES)
        for i in one.normals:
            top, left = places[i]
            assert normals.ids[i] == f"{one.id}#{top},{left}"
            assert np.array_equal(normals[i], photograph[top : top + 32, left : left + 24])


def test_tiles_are_counted_before_they_are_cut(store: SynthStore, tmp_path: Path) -> None:
    before = tiling.foreseen(store, Parts(), "a")
    assert before == tiling.photographs(ensure_normals(store, Parts(), "a"))
    assert before == tiling.foreseen(store, Parts(), "a")
    flat = tiling.foreseen(SynthStore.create(tmp_path / "flat"), Parts(), "a")
    assert [one.normals for one in flat] == [range(i, i + 1) for i in range(9)]


def test_the_object_is_found_on_photographs_and_cut_with_them(store: SynthStore) -> None:
    normals = ensure_normals(store, Parts(), "a")
    record = normals.attributes
    assert list(record["foreground"]["rules"].values()) == [9]
    masks = Foregrounds(normals)
    dark = [image[..., 0] < 145 for image in normals]
    agree = np.mean([(mask == seen).mean() for mask, seen in zip(masks, dark, strict=True)])
    assert agree > 0.98
    without = record["tiles"]["without_object"]
    assert without == [i for i, mask in enumerate(masks) if not mask.any()]
    assert 0 < len(without) < len(normals)
    assert f"{len(normals) - len(without)} of them with the object" in tiling.said(normals)


def test_no_anomaly_is_drawn_on_a_tile_without_the_object(store: SynthStore) -> None:
    normals = ensure_normals(store, Parts(), "a")
    offered = material(store, "toys", "a", None)
    without = set(normals.attributes["tiles"]["without_object"])
    assert set(offered.sources) == set(range(len(normals))) - without
    rng, first = np.random.default_rng(0), offered.sources[0]
    others = {Canvas(offered, first).another(rng).source for _ in range(500)}
    assert others == set(offered.sources) - {first}


@pytest.mark.parametrize("empty", [0.0, 0.5])
def test_a_share_of_the_tiles_without_the_object_is_kept(store: SynthStore, empty: float) -> None:
    normals = ensure_normals(store, Parts(), "a", empty=empty)
    record = normals.attributes["tiles"]
    without = len(record["without_object"])
    whole = without + record["left_out"]
    assert without == 0 if not empty else 0.3 < without / whole < 0.7
    assert f"{record['left_out']} of {whole} without the object are left out" in tiling.said(
        normals
    )
    assert ensure_normals(store, Parts(), "a").digest == normals.digest
    assert ensure_normals(store, Parts(), "a", empty=empty).digest == normals.digest
    with pytest.raises(UserError, match=r"of the tiles without the object, not 1: take another"):
        ensure_normals(store, Parts(), "a", empty=1.0)
    with pytest.raises(UserError, match="for whole take another --store or --name"):
        ensure_normals(store, Parts(), "a", object="whole")


def test_other_photographs_under_the_same_name_are_refused(
    store: SynthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asbench.data.ingest._stamp", lambda data, _: str(data))
    before = ensure_normals(store, Parts(), "a", empty=0.5)
    with pytest.raises(StoreError, match="other normals"):
        ensure_normals(store, Parts(shift=1), "a")
    with pytest.raises(StoreError, match="other normals"):
        ensure_normals(store, Parts(normals=8), "a")
    assert ensure_normals(store, Parts(), "a").digest == before.digest


def test_another_rule_for_the_object_moves_the_tiles_that_show_it(store: SynthStore) -> None:
    ensure_normals(store, Parts(), "a")
    whole = ensure_normals(store, Parts(), "a", object="whole")
    assert whole.attributes["tiles"]["without_object"] == []
    assert tiling.sources(whole) == ()


def test_the_share_is_of_tiles_alone(tmp_path: Path) -> None:
    stretched = SynthStore.create(tmp_path, Geometry(32, 32))
    with pytest.raises(UserError, match=r"the store is 32x32 \(stretch\): leave them out"):
        ensure_normals(stretched, Parts(), "a", empty=0.5)


def test_a_share_that_cannot_be(store: SynthStore) -> None:
    with pytest.raises(UserError, match=r"1\.5 of the tiles without the object are impossible"):
        ensure_normals(store, Parts(), "a", empty=1.5)


def test_textures_are_not_cut(store: SynthStore) -> None:
    dataset, category = ensure_bank(store, "procedural", quiet).split("/")
    bank = store.normals(dataset, category)
    assert "tiles" not in bank.attributes
    assert bank[0].shape == (32, 24, 3)
    assert [one.normals for one in tiling.photographs(bank)][:2] == [range(1), range(1, 2)]


def test_a_real_defect_is_seen_in_the_window_around_it(store: SynthStore) -> None:
    few = few_shot(Parts(), "a")
    image, mask = few.read(few.items[0], TILES)
    assert image.shape == (32, 24, 3)
    assert mask.sum() == 9  # 6x6 at half the size
    rows, columns = np.nonzero(mask)
    assert abs(rows.mean() - 16) < 2
    assert abs(columns.mean() - 12) < 2
