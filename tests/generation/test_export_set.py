"""What leaves the store can be read back, by ASBench itself and by others."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from asbench.datasets.folder import Folder
from asbench.files.images import read_header
from asbench.generation.export_set import Exported, export_folder, export_set, export_zarr
from synth_store import Geometry, StoredSet, StoreKey, SynthStore, UserError
from tests.synth_store.making import CATEGORY, KEY, SMALL, add_normals, generate


@pytest.fixture(params=[False, True], ids=["residual", "generated"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> StoredSet:
    """Seven samples on six normals, wider than tall, odd in both."""
    store = SynthStore.create(tmp_path / "store", Geometry(33, 47))
    return generate(store, 7, key=StoreKey("toy", "boxes@wide", 0), generated=request.param)


def test_an_exported_folder_is_a_data_set(stored: StoredSet, tmp_path: Path) -> None:
    folder = export_folder(stored, tmp_path / "out")
    assert folder == tmp_path / "out" / CATEGORY
    data = Folder(tmp_path / "out", "back")
    assert data.categories() == (CATEGORY,)
    train, test = data.train(CATEGORY), data.test(CATEGORY)
    assert len(train) == 6
    for item, normal in zip(train, stored.normals, strict=True):
        assert np.array_equal(data.image(item), normal)
    for item, sample in zip(test, stored, strict=True):
        assert (item.label, item.defect) == (1, "boxes@wide")
        assert np.array_equal(data.image(item), sample.image)
        mask = data.mask(item)
        assert mask is not None
        assert np.array_equal(mask, sample.mask)
    masks = sorted((folder / "ground_truth" / "boxes@wide").iterdir())
    assert [m.name for m in masks] == [f"{i:04d}_mask.png" for i in range(7)]
    assert {read_header(m)[2] for m in masks} == {"L"}


def test_a_whole_set_category_by_category(tmp_path: Path) -> None:
    store, out = SynthStore.create(tmp_path / "store", Geometry(32, 32)), tmp_path / "out"
    for category in ("nut", "tile"):
        generate(store, 3, category=category)
    seen: list[tuple[str, int, int]] = []
    written = list(export_set(store, "toy/boxes/0", out, progress=lambda *step: seen.append(step)))
    assert written == [Exported(c, 3, out / c) for c in ("nut", "tile")]
    assert seen[-1] == ("toy/boxes/0/tile", 3, 3)
    (one,) = export_set(store, KEY, tmp_path / "zarr", categories=["nut"], form="zarr")
    assert one.place == tmp_path / "zarr" / "nut.zarr"
    assert len(xr.open_zarr(one.place, consolidated=False).sample) == 3
    with pytest.raises(UserError, match=r"no category 'bolt': choose from nut, tile\."):
        list(export_set(store, KEY, out, categories=["bolt"]))


def test_several_methods_share_their_normals(tmp_path: Path) -> None:
    store = SynthStore.create(tmp_path / "store", Geometry(32, 32))
    for method in ("boxes", "others"):
        export_folder(generate(store, 3, key=StoreKey("toy", method, 0)), tmp_path / "out")
    data = Folder(tmp_path / "out", "back")
    assert [i.defect for i in data.test(CATEGORY)] == ["boxes"] * 3 + ["others"] * 3
    assert len(data.train(CATEGORY)) == 6


@pytest.mark.parametrize("count", [6, 4, 9])
def test_other_normals_at_the_same_place_are_refused(tmp_path: Path, count: int) -> None:
    store = SynthStore.create(tmp_path / "store", Geometry(32, 32))
    export_folder(generate(store, 3), tmp_path / "out")
    before = sorted((tmp_path / "out").rglob("*"))
    add_normals(store, count, dataset="toy2")
    other = generate(store, 3, key=StoreKey("toy2", "others", 0))
    with pytest.raises(UserError, match="holds other normals"):
        export_folder(other, tmp_path / "out")
    assert sorted((tmp_path / "out").rglob("*")) == before


def test_what_stands_stays_and_others_are_not_overwritten(
    stored: StoredSet, tmp_path: Path
) -> None:
    """So that a call that was cut off between two categories goes on."""
    store = SynthStore.create(tmp_path / "more", SMALL)
    other = generate(store, 3, encoding="plain")
    for export in (export_folder, export_zarr):
        out = tmp_path / "out" / export.__name__
        assert export(stored, out) == export(stored, out)
        with pytest.raises(UserError, match=r"is there already|holds other"):
            export(other, out)


@pytest.mark.parametrize("export", [export_folder, export_zarr])
def test_a_full_disk_is_named_and_leaves_no_part(
    stored: StoredSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, export: Any
) -> None:
    calls = iter(range(9))
    read_into = StoredSet.read_into

    def full(*arguments: Any) -> None:
        if next(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a file"))
        read_into(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StoredSet, "read_into", full)
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
            export(stored, tmp_path / "out")
    left = [
        p
        for p in tmp_path.rglob("*")
        if ".part" in p.name or "test" in p.parts[len(tmp_path.parts) :]
    ]
    assert [p for p in left if p.is_file()] == []
    export(stored, tmp_path / "out")


def test_ten_thousand_files_keep_their_order() -> None:
    from asbench.generation.formats.content import numbers

    for count in (1, 10_000, 10_001):
        names = numbers(count)
        assert names == sorted(names)
        assert [int(n) for n in names] == list(range(count))


def test_xarray_opens_the_plain_zarr(
    stored: StoredSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asbench.generation.export_set.SLAB", 3)  # divides no seven
    seen: list[tuple[int, int]] = []
    place = export_zarr(stored, tmp_path / "tile.zarr", lambda *done: seen.append(done))
    assert seen == [(3, 7), (6, 7), (7, 7)]
    with xr.open_zarr(place, consolidated=False) as found:
        assert found["image"].dims == found["clean"].dims == ("sample", "y", "x", "c")
        assert found["mask"].dims == ("sample", "y", "x")
        assert found["mask"].dtype == bool
        assert np.array_equal(found["source"], stored.source)
        for i, sample in enumerate(stored):
            assert np.array_equal(found["image"][i], sample.image)
            assert np.array_equal(found["clean"][i], sample.clean)
            assert np.array_equal(found["mask"][i], sample.mask)
        # how the store keeps it is not how it lies here
        assert not {"encoding", "arithmetic", "shard", "target"} & found.attrs.keys()
        assert found.attrs["digest"] == stored.digest
        assert found.attrs["parameters"] == stored.attributes["parameters"]


def test_an_export_that_was_killed_leaves_nothing_that_looks_whole(
    stored: StoredSet, tmp_path: Path
) -> None:
    def kill(done: int, total: int) -> None:
        raise KeyboardInterrupt

    place = tmp_path / "tile.zarr"
    with pytest.raises(KeyboardInterrupt):
        export_zarr(stored, place, kill)
    assert not place.exists()
    assert export_zarr(stored, place) == place
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store", "tile.zarr"]
