"""Normals into the store: once, and never others under the same name in silence."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from asbench.data import objects
from asbench.data.ingest import ensure_normals
from asbench.datasets.folder import Folder
from asbench.imaging.finder import foregrounds
from asbench.imaging.geometry import resize
from asbench.types import Item
from synth_store import Geometry, StoreError, SynthStore, UserError
from synth_store.reader import Foregrounds
from tests.toyset import Toys


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    return SynthStore.create(tmp_path / "store", Geometry(32, 24))


def test_normals_are_fitted_and_stored_with_their_foregrounds(store: SynthStore) -> None:
    data, seen = Toys(), []
    normals = ensure_normals(store, data, "a", lambda *done: seen.append(done))
    assert normals.ids == tuple(i.id for i in data.train("a"))
    for item, image in zip(data.train("a"), normals, strict=True):
        assert np.array_equal(image, resize(data.image(item), store.geometry))
    assert np.array_equal(Foregrounds(normals), foregrounds(list(normals))[0])
    assert seen == [("normals of toys/a", i, 9) for i in range(10)]
    assert sum(normals.attributes["foreground"]["rules"].values()) == 9


class Counting(Toys):
    read = 0

    def image(self, item: Item) -> np.ndarray:
        Counting.read += 1
        return super().image(item)


def test_what_is_stored_is_not_read_again(store: SynthStore) -> None:
    ensure_normals(store, Counting(), "a")
    assert Counting.read == 9
    ensure_normals(store, Counting(), "a")
    assert Counting.read == 9


@pytest.mark.parametrize("threads", [1, 2])
def test_readers_run_on_one_thread_each(store: SynthStore, threads: int) -> None:
    found = []

    class Looking(Toys):
        def image(self, item: Item) -> np.ndarray:
            found.append(cv2.getNumThreads())
            return super().image(item)

    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        ensure_normals(store, Looking(), "a", object="whole", threads=threads)
        assert found == [1] * 9
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_category_without_normals_is_refused(store: SynthStore) -> None:
    with pytest.raises(UserError, match="toys/a has no normal training images"):
        ensure_normals(store, Toys(normals=0), "a")
    assert not store.has_normals("toys", "a")


@pytest.fixture
def photographs(tmp_path: Path) -> Folder:
    """Uncompressed photographs: all of one size, whatever they show."""
    for i in range(3):
        draw(tmp_path / "photos" / "good" / f"{i}.bmp", seed=i)
    draw(tmp_path / "photos" / "bad" / "0.bmp", seed=9)
    return Folder(tmp_path / "photos", "photos")


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, (32, 24, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), image)


def test_photographs_taken_anew_under_the_same_names_are_refused(
    store: SynthStore, photographs: Folder
) -> None:
    (category,) = photographs.categories()
    item = photographs.train(category)[0]
    path = photographs.image_path(item)
    ensure_normals(store, photographs, category)
    size, then = path.stat().st_size, path.stat().st_mtime_ns
    draw(path, seed=77)
    os.utime(path, ns=(then + 10**9, then + 10**9))
    assert path.stat().st_size == size
    with pytest.raises(StoreError, match=r"has other normals .*--name"):
        ensure_normals(store, photographs, category)


def test_a_touched_file_is_compared_once(
    store: SynthStore, photographs: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (category,) = photographs.categories()
    before = ensure_normals(store, photographs, category)
    os.utime(photographs.image_path(photographs.train(category)[0]), ns=(1, 1))
    # foregrounds stay those of the version that made them
    monkeypatch.setattr(objects, "FOREGROUND_VERSION", 99)
    after = ensure_normals(store, photographs, category)
    assert after.digest == before.digest
    assert after.attributes["stamp"] != before.attributes["stamp"]
    assert after.attributes["foreground"] == before.attributes["foreground"]
    monkeypatch.setattr(Folder, "image", None)  # reading one more pixel would fail
    ensure_normals(store, photographs, category)
