"""A set knows its address: what was copied or moved into another's place is refused, and mended."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from synth_store import StoreError, StoreKey, SynthStore
from synth_store.copying import copy_store
from synth_store.errors import OtherAddress
from synth_store.listing import listing
from synth_store.metadata import encode, group, read_attributes
from synth_store.reader import Normals
from synth_store.removal import remove
from synth_store.selection import contents
from synth_store.verify import discard_damaged, discard_normals, verify_normals, verify_set
from tests.synth_store.make_fixture import FOLDER
from tests.synth_store.making import (
    CATEGORY,
    KEY,
    SMALL,
    VERSIONS,
    add_normals,
    faults,
    generate,
    identity,
    render,
    tree,
)

SEED = StoreKey("toy", "boxes", 1)
METHOD = StoreKey("toy", "crates", 0)
COUNT, SHARD = 10, 4


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    store = SynthStore.create(tmp_path / "store", SMALL)
    for key in (KEY, SEED, METHOD):
        generate(store, COUNT, shard=SHARD, key=key)
    add_normals(store, category="other")
    generate(store, COUNT, shard=SHARD, category="other")
    return store


def _folder(store: SynthStore, key: StoreKey, category: str = CATEGORY) -> Path:
    folder = store.folder(key, category)
    assert isinstance(folder, Path)
    return folder


def _put(store: SynthStore, key: StoreKey, category: str = CATEGORY) -> None:
    """Put another set in KEY's place."""
    shutil.rmtree(_folder(store, KEY))
    shutil.copytree(_folder(store, key, category), _folder(store, KEY))


OTHERS = [(SEED, CATEGORY), (METHOD, CATEGORY), (KEY, "other")]


@pytest.mark.parametrize(("key", "category"), OTHERS)
def test_a_set_in_anothers_place_is_refused_naming_both(
    store: SynthStore, key: StoreKey, category: str
) -> None:
    _put(store, key, category)
    both = f"what stands at {KEY}/{CATEGORY} is {key}/{category}"
    normals = store.normals(KEY.dataset, CATEGORY)
    for use in (
        lambda: store.read(KEY, CATEGORY),
        lambda: store.finish(KEY, CATEGORY, COUNT),
        lambda: store.missing(KEY, CATEGORY),
        lambda: store.create_set(
            KEY, CATEGORY, COUNT, identity=identity(normals), versions=VERSIONS
        ),
        lambda: copy_store(store, store.root.parent / "to", [str(KEY)]),
    ):
        with pytest.raises(OtherAddress, match=both):
            use()
    assert [str(f) for f in verify_set(store, KEY, CATEGORY) if both in str(f)]
    (entry,) = [e for e in contents(store) if e.address == f"{KEY}/{CATEGORY}"]
    assert both in str(entry.fault)


@pytest.mark.parametrize("way", ["discard", "replace", "rm"])
def test_every_way_out_of_a_wrong_place_leads_to_the_same_bytes(
    store: SynthStore, way: str
) -> None:
    before = tree(_folder(store, KEY))
    _put(store, SEED)
    if way == "discard":
        assert discard_damaged(store, KEY, CATEGORY) is None
    elif way == "rm":
        assert [gone.address for gone in remove(store, [f"{KEY}/{CATEGORY}"])]
    made = identity(store.normals(KEY.dataset, CATEGORY))
    jobs = store.create_set(
        KEY,
        CATEGORY,
        COUNT,
        identity=made,
        versions=VERSIONS,
        shard=SHARD,
        replace=way == "replace",
    )
    for job in jobs:
        render(store, KEY, CATEGORY, job)
    store.finish(KEY, CATEGORY, COUNT)
    after = tree(_folder(store, KEY))
    assert {p: d for p, d in after.items() if p != "zarr.json"} == {
        p: d for p, d in before.items() if p != "zarr.json"
    }
    assert faults(store) == []


@pytest.mark.parametrize(("key", "category"), OTHERS)
@pytest.mark.parametrize("name", ["image", "mask", "source"])
def test_a_shard_of_another_set_is_refused_and_rendered_anew(
    store: SynthStore, key: StoreKey, category: str, name: str
) -> None:
    """Such a shard is sound, and would be a false independent repeat, or on wrong normals."""
    own, other = _folder(store, KEY), _folder(store, key, category)
    (path,) = (
        (p for p in own.glob(f"{name}/c/1/**/*") or [] if p.is_file())
        if (name != "source")
        else (own / "source/c/1",)
    )
    before = path.read_bytes()
    shutil.copy(other / path.relative_to(own), path)
    what = f"is `{key}/{category} {name} 1 .*not" if name != "source" else "does not go with"
    with pytest.raises(StoreError, match=f"wrong place: it {what}"):
        store.read(KEY, CATEGORY)[5]
    (fault,) = verify_set(store, KEY, CATEGORY)
    assert "sample 4 and 3 more of its shard" in str(fault)
    assert [job.number for job in store.missing(KEY, CATEGORY)] == [1]
    assert discard_damaged(store, KEY, CATEGORY) == 1
    generate(store, COUNT, shard=SHARD)
    assert path.read_bytes() == before
    assert faults(store) == []


def test_a_shard_of_an_earlier_set_under_the_same_key_is_refused(store: SynthStore) -> None:
    path = _folder(store, KEY) / "mask/c/1/0/0"
    before = path.read_bytes()
    generate_plain = identity(store.normals("toy", CATEGORY), encoding="plain")
    jobs = store.create_set(
        KEY, CATEGORY, COUNT, identity=generate_plain, versions=VERSIONS, shard=SHARD, replace=True
    )
    for job in jobs:
        render(store, KEY, CATEGORY, job)
    store.finish(KEY, CATEGORY, COUNT)
    path.write_bytes(before)
    with pytest.raises(StoreError, match="is in the wrong place"):
        store.read(KEY, CATEGORY)[5]


def test_a_surplus_shard_is_found_and_discarded(store: SynthStore) -> None:
    folder = _folder(store, KEY)
    shutil.copytree(folder / "image/c/1", folder / "image/c/3")
    (fault,) = verify_set(store, KEY, CATEGORY)
    assert str(fault).endswith("image/c/3/0/0/0: not part of the store")
    assert discard_damaged(store, KEY, CATEGORY) == 1
    assert faults(store) == []


def test_normals_in_the_wrong_place_are_refused_and_written_again(store: SynthStore) -> None:
    folder = store.normals_folder("toy", CATEGORY)
    other = SynthStore.create(store.root.parent / "more", SMALL)
    add_normals(other, dataset="bricks")
    shutil.rmtree(folder)
    shutil.copytree(other.normals_folder("bricks", CATEGORY), folder)
    with pytest.raises(OtherAddress, match="at toy/normal/tile is bricks/normal/tile"):
        store.read(KEY, CATEGORY)
    assert len(verify_normals(store, "toy", CATEGORY)) == 1
    discard_normals(store, "toy", CATEGORY)
    add_normals(store)
    assert faults(store) == []


def test_a_shard_of_other_normals_is_refused(store: SynthStore) -> None:
    one, two = (store.normals_folder("toy", c) / "image/c/0/0/0/0" for c in (CATEGORY, "other"))
    shutil.copy(two, one)
    with pytest.raises(StoreError, match="it is `toy/normal/other image 0`, not `toy/normal/tile"):
        Normals(store.normals_folder("toy", CATEGORY), SMALL)[0]


# --- stores of releases without addresses ---


@pytest.fixture
def old(tmp_path: Path) -> SynthStore:
    shutil.copytree(FOLDER / "v1" / "store", tmp_path / "old")
    return SynthStore.open(tmp_path / "old")


def test_a_set_without_an_address_is_told_by_its_method(old: SynthStore) -> None:
    path = _folder(old, KEY) / "zarr.json"
    attributes = read_attributes(old.folder(KEY, CATEGORY))
    assert "address" not in attributes
    path.write_bytes(encode(group({**attributes, "method": "crates"})))
    with pytest.raises(OtherAddress, match="at toy/boxes/0/tile is toy/crates/0/tile"):
        old.read(KEY, CATEGORY)


def test_a_labelled_shard_in_an_old_set_is_refused_too(old: SynthStore) -> None:
    generate(old, 3, key=SEED)
    shutil.copy(_folder(old, SEED) / "mask/c/0/0/0", _folder(old, KEY) / "mask/c/0/0/0")
    with pytest.raises(StoreError, match="it is `toy/boxes/1/tile mask 0"):
        old.read(KEY, CATEGORY)[0]


# --- strays and links ---


def test_a_stray_is_one_fault_and_the_rest_is_listed(store: SynthStore) -> None:
    before = store.sets(), store.stored_normals()
    root = store.root
    shutil.copytree(root / "toy", root / "toy (copy)")
    for stray in ("TOY", "toy/Boxes", "toy/boxes/00", "toy/boxes/seven", "toy/boxes/0/.cache"):
        (root / stray).mkdir()
        (root / stray / "notes.txt").write_text("mine")
    (root / "README").write_text("mine")
    (root / "toy/boxes/0/half").mkdir()
    (root / "toy/boxes/0/half/image").write_text("begun")
    assert (store.sets(), store.stored_normals()) == before
    named = [str(stray.path.relative_to(root)) for stray in listing(root).strays]
    assert sorted(named) == [
        "README", "TOY", "toy (copy)", "toy/Boxes", "toy/boxes/0/.cache", "toy/boxes/0/half",
        "toy/boxes/00", "toy/boxes/seven",
    ]  # fmt: skip
    assert len(faults(store)) == len(named)


def test_pipes_and_folders_in_place_of_files_are_faults(store: SynthStore) -> None:
    folder = _folder(store, KEY)
    for name in ("image/c/1/0/0/0", "source/c/0", "mask/zarr.json", "zarr.json"):
        path = folder / name
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        found = verify_set(store, KEY, CATEGORY)
        assert [f for f in found if "it is no plain file" in str(f)], name
        path.unlink()
        path.mkdir()
        assert verify_set(store, KEY, CATEGORY), name
        path.rmdir()
        path.write_bytes(data)
    assert faults(store) == []


@pytest.mark.parametrize("level", ["toy", "toy/boxes", "toy/boxes/0", "toy/boxes/0/tile"])
def test_nothing_behind_a_link_is_removed_or_replaced(
    store: SynthStore, tmp_path: Path, level: str
) -> None:
    outside = tmp_path / "outside"
    (store.root / level).rename(outside)
    (store.root / level).symlink_to(outside)
    before = tree(outside)
    made = identity(store.normals(KEY.dataset, CATEGORY))
    np.testing.assert_array_equal(store.read(KEY, CATEGORY).source.shape, (COUNT,))  # read it is
    (outside / Path("toy/boxes/0/tile/image/c/0/0/0/0").relative_to(level)).write_bytes(b"")
    before = tree(outside)
    with pytest.raises(StoreError, match="lies behind the link"):
        discard_damaged(store, KEY, CATEGORY)
    with pytest.raises(StoreError, match="lies behind the link"):
        copy_store(SynthStore.open(_copy(store, tmp_path)), store.root, [str(KEY)], replace=True)
    if level == "toy/boxes/0/tile":
        list(remove(store, [str(KEY)]))
        assert not (store.root / level).is_symlink()
    else:
        with pytest.raises(StoreError, match="lies behind the link"):
            list(remove(store, [f"{KEY}/{CATEGORY}"]))
        with pytest.raises(StoreError, match="lies behind the link"):
            store.create_set(KEY, CATEGORY, 2, identity=made, versions=VERSIONS, replace=True)
    assert tree(outside) == before


def _copy(store: SynthStore, tmp_path: Path) -> Path:
    """A sound store with another set under the key."""
    other = SynthStore.create(tmp_path / "other", SMALL)
    generate(other, COUNT, encoding="plain")
    return tmp_path / "other"


def test_a_linked_set_is_replaced_in_place_of_its_link(store: SynthStore, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", _folder(store, KEY)
    folder.rename(outside)
    folder.symlink_to(outside)
    before = tree(outside)
    made = identity(store.normals(KEY.dataset, CATEGORY))
    store.create_set(KEY, CATEGORY, COUNT, identity=made, versions=VERSIONS, replace=True)
    assert not folder.is_symlink()
    assert tree(outside) == before


def test_a_data_set_that_is_a_link_goes_as_a_link(store: SynthStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (store.root / "toy").rename(outside)
    (store.root / "toy").symlink_to(outside)
    before = tree(outside)
    list(remove(store, ["toy"]))
    assert not (store.root / "toy").exists()
    assert tree(outside) == before


# --- metadata of valid checksum and wrong content ---


WRONG = [
    ("count", -1), ("count", 10**12), ("count", "10"), ("count", True), ("count", None),
    ("target", 10**30), ("target", 3), ("shard", 0), ("shard", 10**9), ("shard", 2.5),
    ("digest", None), ("digest", "abc"), ("digest", ["a" * 64]), ("normals", 7),
    ("encoding", "delta"), ("encoding", ["residual"]), ("generated", "yes"),
    ("identity", {"a": 1}), ("identity", ["nothing"]), ("identity", [1]), ("versions", ["numpy"]),
    ("versions", {"numpy": 2}), ("complete", 1), ("kind", "normals"), ("record", [1]),
    ("parameters", None), ("address", 7), ("address", None), ("visible", 3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_attributes_with_a_true_checksum_are_refused(
    store: SynthStore, name: str, value: object
) -> None:
    path = _folder(store, KEY) / "zarr.json"
    attributes = read_attributes(store.folder(KEY, CATEGORY))
    path.write_bytes(encode(group({**attributes, name: value})))
    with pytest.raises(StoreError, match=r"is damaged: |what stands at"):
        store.read(KEY, CATEGORY)
    assert len(verify_set(store, KEY, CATEGORY)) == 1
    assert discard_damaged(store, KEY, CATEGORY) is None
    generate(store, COUNT, shard=SHARD)
    assert faults(store) == []


@pytest.mark.parametrize(
    "geometry",
    [None, 7, {}, {"height": 32}, {"height": "32", "width": 32, "resize": "stretch"},
     {"height": 10**9, "width": 32, "resize": "stretch"},
     {"height": 4, "width": 32, "resize": "pad"},
     {"height": 32, "width": 32, "resize": "melt"}, {"height": 32, "width": 32, "resize": ["pad"]},
     {"height": 32, "width": 32, "resize": "pad", "scale": 2.0},
     {"height": 32, "width": 32, "resize": "tile", "scale": float("nan"), "overlap": 0},
     {"height": 32, "width": 32, "resize": "pad", "more": 1}],
)  # fmt: skip
def test_a_store_of_an_impossible_geometry_is_refused(tmp_path: Path, geometry: object) -> None:
    path = tmp_path / "zarr.json"
    path.write_bytes(encode(group({"version": 1, "geometry": geometry})))
    with pytest.raises(StoreError, match="is damaged"):
        SynthStore.open(tmp_path)


def test_normals_with_wrong_ids_are_refused(store: SynthStore) -> None:
    folder = store.normals_folder("toy", CATEGORY)
    attributes = read_attributes(folder)
    for wrong in (None, "abc", [1, 2], 7):
        assert isinstance(folder, Path)
        (folder / "zarr.json").write_bytes(encode(group({**attributes, "ids": wrong})))
        with pytest.raises(StoreError, match="its ids is"):
            Normals(folder, SMALL)
    discard_normals(store, "toy", CATEGORY)
    with pytest.raises(StoreError, match="holds no normals"):
        store.read(KEY, CATEGORY)
    assert len(add_normals(store)) == 6
    assert len(store.read(KEY, CATEGORY)) == COUNT
