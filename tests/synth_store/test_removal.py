"""Removing: what was named goes, all else stays whole, and a kill halfway leaves no set."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from synth_store import StoreError, StoreKey, SynthStore
from synth_store.errors import NormalsByThemselves
from synth_store.removal import Removed, remove, remove_dataset, remove_set
from synth_store.selection import StoreEntry, bytes_on_disk, contents, select
from tests.synth_store.making import CATEGORY, KEY, SMALL, faults, generate, tree

OTHER = StoreKey("toy", "boxes", 1)


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    store = SynthStore.create(tmp_path / "store", SMALL)
    generate(store, 5)
    return store


def test_removing_undoes_generating(store: SynthStore) -> None:
    before = tree(store.root)
    generate(store, 5, key=OTHER)
    remove_set(store, OTHER, CATEGORY)
    assert tree(store.root) == before
    assert not faults(store)


def test_a_data_set_goes_with_its_normals_and_no_other(store: SynthStore) -> None:
    before = tree(store.root)
    generate(store, 3, key=StoreKey("toys", "boxes", 0))
    remove_dataset(store, "toys")
    assert tree(store.root) == before
    remove_dataset(store, "toy")
    assert list(tree(store.root)) == ["zarr.json"]


def test_what_is_named_goes_and_is_told_as_it_goes(store: SynthStore) -> None:
    generate(store, 3, key=OTHER)
    generate(store, 3, key=StoreKey("toys", "boxes", 0))
    before = tree(store.root)
    sizes = {entry.address: entry.size for entry in contents(store)}
    whole = Removed("toys", bytes_on_disk(store.root / "toys"), whole=True)
    one = Removed(f"{OTHER}/{CATEGORY}", sizes[f"{OTHER}/{CATEGORY}"], whole=False)
    assert list(remove(store, ["toys", str(OTHER)], dry_run=True)) == [whole, one]
    for named in (["toy/boxes/1", "toys/normal/tile"], ["toy/boxes/2", "nothing"]):
        with pytest.raises(StoreError):
            next(remove(store, named))
    with pytest.raises(NormalsByThemselves, match="normals are removed with their data set"):
        next(remove(store, ["toys/normal/tile"]))
    assert tree(store.root) == before
    assert list(remove(store, ["toys", "toys/boxes", str(OTHER)])) == [whole, one]
    assert [str(key) for key, _ in store.sets()] == [str(KEY)]


def test_contents_are_normals_then_sets_with_what_they_hold(store: SynthStore) -> None:
    made = store.read(KEY, CATEGORY)
    normals = made.normals
    size = bytes_on_disk(store.folder(KEY, CATEGORY))
    boxes = StoreEntry(f"{KEY}/{CATEGORY}", 5, 5, size, made.digest)
    tile = StoreEntry("toy/normal/tile", 6, 6, bytes_on_disk(normals.folder), normals.digest)
    assert contents(store) == [tile, boxes]
    assert contents(store, ["toy/boxes"]) == [boxes]


def test_a_removal_killed_halfway_leaves_no_set(
    store: SynthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(store.folder(KEY, CATEGORY))

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_set(store, KEY, CATEGORY)
    assert not store.has(KEY, CATEGORY)
    assert store.sets() == []
    generate(store, 5)
    after = tree(store.folder(KEY, CATEGORY))
    assert {k: v for k, v in after.items() if "/c/" in k} == {
        k: v for k, v in before.items() if "/c/" in k
    }
    assert not faults(store)


def test_what_was_removed_before_is_told_first_and_stops_nothing(store: SynthStore) -> None:
    generate(store, 3, key=OTHER)
    gone = Removed("toy/boxes/2", 0, whole=False, kind="none")
    (told, one) = remove(store, [str(OTHER), "toy/boxes/2"])
    assert (told, one.address) == (gone, f"{OTHER}/{CATEGORY}")
    assert [one.kind for one in remove(store, ["none", "toy"], dry_run=True)] == ["none", "set"]
    assert [str(key) for key, _ in store.sets()] == [str(KEY)]


@pytest.mark.parametrize("named", [str(KEY), f"{KEY}/{CATEGORY}", "toy/boxes", "toy"])
def test_what_an_interrupted_removal_left_goes_with_the_next(
    store: SynthStore, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    generate(store, 3, key=StoreKey("toys", "boxes", 0))
    before = tree(store.root / "toys")

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            list(remove(store, [named]))
    left = bytes_on_disk(store.folder(KEY, CATEGORY))
    assert left
    if named != "toy":
        rest = Removed(f"{KEY}/{CATEGORY}", left, whole=False, kind="rest")
        assert list(remove(store, [named], dry_run=True)) == [rest]
        assert list(remove(store, [named])) == [rest]
    else:
        assert [one.whole for one in remove(store, [named])] == [True]
    assert not (store.root / "toy" / "boxes").exists()
    assert tree(store.root / "toys") == before
    with pytest.raises(StoreError, match="is not in the store"):
        list(remove(store, [str(KEY)]))


def test_normals_of_which_files_are_left_go_by_their_data_set(
    store: SynthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmtree = shutil.rmtree

    def killed(path: Path) -> None:
        if "/normal/" in str(path):
            raise KeyboardInterrupt
        rmtree(path)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            list(remove(store, ["toy"]))
    assert store.stored_normals() == []
    assert [(one.address, one.kind) for one in remove(store, ["toy"])] == [
        ("toy/normal/tile", "rest")
    ]
    assert list(tree(store.root)) == ["zarr.json"]


def test_what_is_not_there_is_named(store: SynthStore) -> None:
    with pytest.raises(StoreError, match="toy/boxes/1/tile is not in the store at"):
        remove_set(store, OTHER, CATEGORY)
    with pytest.raises(StoreError, match="nothing is not in the store at"):
        remove_dataset(store, "nothing")


def test_a_store_that_refuses_says_which_folder(
    store: SynthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(shutil, "rmtree", refusing)
    with pytest.raises(StoreError, match=r"cannot remove .*toy/boxes/0/tile: Permission denied\."):
        remove_set(store, KEY, CATEGORY)


def test_select_takes_whole_parts_of_addresses(store: SynthStore) -> None:
    generate(store, 3, key=StoreKey("toy", "boxes_round", 0))
    generate(store, 3, key=OTHER)
    every = [f"{k}/{c}" for k, c in select(store)]
    assert every == ["toy/boxes/0/tile", "toy/boxes/1/tile", "toy/boxes_round/0/tile"]
    assert [str(k) for k, _ in select(store, ["toy/boxes"])] == ["toy/boxes/0", "toy/boxes/1"]
    assert [str(k) for k, _ in select(store, ["toy/boxes/1/", "toy/boxes/1/tile"])] == [str(OTHER)]
    with pytest.raises(StoreError, match=r"toy/box is not in .*, which holds toy/boxes/0, toy/box"):
        select(store, ["toy/box"])


def test_bytes_on_disk_are_those_of_the_files(store: SynthStore) -> None:
    assert bytes_on_disk(store.root) == sum(len(data) for data in tree(store.root).values())
