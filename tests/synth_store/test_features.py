"""Features beside sets: kept shard by shard, bound to the images they are of, checked, dropped."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from synth_store import StoredSet, StoreError, SynthStore
from synth_store.copying import copy_store
from synth_store.digest import combine, sample_digests
from synth_store.features import SHARD, FeatureArrays, Pictured, entries, kept, remove_features
from synth_store.metadata import encode, group
from synth_store.selection import FEATURES, contents
from synth_store.verify import verify_features
from tests.synth_store.making import CATEGORY, KEY, SMALL, add_normals, faults, generate, tree
from tests.synth_store.test_read_only import mounted_so

NAME = "net-0123456789ab"
LEVELS = {"fine": (4, 4, 3), "coarse": (2, 2, 5)}
VERSIONS = {"torch": "2"}
COUNT = 2 * SHARD + 10


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    made = SynthStore.create(tmp_path / "store", SMALL)
    generate(made, COUNT, shard=256)
    return made


def of(stored: StoredSet) -> Pictured:
    def first(count: int) -> str:
        return combine(sample_digests(stored, count))

    return Pictured(stored.folder, stored.count, str(stored.digest), first)


def begun(store: SynthStore, wanted: Sequence[int] = (), **changed: Any) -> FeatureArrays:
    told: dict[str, Any] = {
        "identity": {"weights": "w"},
        "levels": LEVELS,
        "versions": VERSIONS,
        "wanted": wanted,
    }
    pictured = changed.pop("of", None) or of(store.read(KEY, CATEGORY))
    arrays = kept(store, pictured, NAME, **told | changed)
    assert arrays is not None
    return arrays


def values(index: int, level: str, sign: int = 1) -> npt.NDArray[np.float16]:
    shape = LEVELS[level]
    return (sign * (index + np.arange(np.prod(shape)).reshape(shape) / 64)).astype(np.float16)


def fill(arrays: FeatureArrays, numbers: Sequence[int], sign: int = 1) -> None:
    for number in numbers:
        images = arrays.images(number)
        levels = {name: np.stack([values(i, name, sign) for i in images]) for name in LEVELS}
        arrays.write(number, levels)


def check(arrays: FeatureArrays, indices: Sequence[int], sign: int = 1) -> None:
    read = arrays.read(indices)
    for level in LEVELS:
        assert read[level].dtype == np.float16
        np.testing.assert_array_equal(read[level], [values(i, level, sign) for i in indices])


def test_what_is_written_in_any_order_is_read_in_any_order(
    store: SynthStore, tmp_path: Path
) -> None:
    shutil.copytree(store.root, tmp_path / "other")
    other = SynthStore.open(tmp_path / "other")
    arrays, backwards = begun(store), begun(other)
    assert arrays.missing(range(COUNT)) == [0, 1, 2]
    assert arrays.missing([SHARD]) == [1]
    fill(arrays, [0, 1, 2])
    fill(backwards, [2, 0, 1])
    indices = [COUNT - 1, 3, SHARD, 3, 0]
    check(arrays, indices)
    assert arrays.missing(range(COUNT)) == []
    chunks = [
        {path: data for path, data in tree(each.folder).items() if "/c/" in path}
        for each in (arrays, backwards)
    ]
    assert chunks[0] == chunks[1]
    assert faults(store) == [] == verify_features(store, store.folder(KEY, CATEGORY))


def test_plain_zarr_walks_to_it_and_sees_nan_where_nothing_is(store: SynthStore) -> None:
    arrays = begun(store)
    fill(arrays, [1])
    root = zarr.open_group(str(store.root), mode="r")
    array = root[f"{KEY}/{CATEGORY}/{FEATURES}/{NAME}/fine"]
    assert isinstance(array, zarr.Array)
    assert array.shape == (COUNT, 4, 4, 3)
    assert array.dtype == np.float16
    np.testing.assert_array_equal(array[SHARD + 5], values(SHARD + 5, "fine"))
    assert np.isnan(array[0]).all()
    assert [name for name, _ in root[f"{KEY}/{CATEGORY}/{FEATURES}"].groups()] == [NAME]  # type: ignore[union-attr]


def test_the_last_level_commits(store: SynthStore) -> None:
    arrays = begun(store)
    fill(arrays, [0])
    arrays.arrays["coarse"].path(0).unlink()  # type: ignore[union-attr]
    assert arrays.missing([0]) == [0]
    with pytest.raises(StoreError, match=r"coarse.*is missing"):
        arrays.read([0])
    fill(arrays, [0])
    check(arrays, range(SHARD))


@pytest.mark.parametrize("level", LEVELS)
def test_a_flipped_byte_is_found_wherever_it_is(store: SynthStore, level: str) -> None:
    arrays = begun(store)
    fill(arrays, [2])
    path = Path(str(arrays.arrays[level].path(2)))
    whole = path.read_bytes()
    used = 10  # an index of absent places is under its checksum too
    for at in [*range(0, 400, 7), len(whole) - 16 * SHARD + 16 * used, len(whole) - 1]:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
        found = verify_features(store, store.folder(KEY, CATEGORY))
        assert [fault.path for fault in found] == [path]
        assert faults(store) == []  # the set itself is sound
        # Where the index is wrong the shard counts as missing; where a chunk is, reading says so.
        if not arrays.missing(range(2 * SHARD, COUNT)):
            with pytest.raises(StoreError, match="damaged"):
                arrays.read(range(2 * SHARD, COUNT))


def test_metadata_and_strangers_are_verified_too(store: SynthStore) -> None:
    arrays = begun(store)
    folder = store.folder(KEY, CATEGORY)
    (Path(str(arrays.folder)) / "notes.txt").write_text("mine")
    (Path(str(folder)) / FEATURES / "notes.txt").write_text("mine")
    assert {fault.path.name for fault in verify_features(store, folder)} == {"notes.txt"}
    (Path(str(arrays.folder)) / "zarr.json").write_text("{}")
    assert any(f.path == arrays.folder / "zarr.json" for f in verify_features(store, folder))
    fill(begun(store), [0])  # damaged metadata are of nothing: begun anew
    assert {fault.path.name for fault in verify_features(store, folder)} == {"notes.txt"}


def test_a_grown_set_keeps_full_shards(store: SynthStore) -> None:
    fill(begun(store), [0, 1, 2])
    grown = generate(store, COUNT + SHARD, shard=256)
    arrays = begun(store, range(len(grown)))
    assert arrays.missing(range(len(grown))) == [2, 3]
    assert entries(store, grown.folder)[0].present == COUNT
    fill(arrays, [2, 3])
    check(arrays, range(len(grown)))
    assert verify_features(store, grown.folder) == []


def test_who_knows_a_set_as_it_was_does_not_touch_what_is_kept_of_more(store: SynthStore) -> None:
    before = store.read(KEY, CATEGORY)
    old = begun(store)
    generate(store, COUNT + SHARD, shard=256)
    arrays = begun(store, range(COUNT + SHARD))
    fill(arrays, [0, 1, 2, 3])
    fill(old, [2])  # begun when the shard was to hold 10
    check(arrays, range(COUNT + SHARD))
    told: dict[str, Any] = {"levels": LEVELS, "versions": VERSIONS, "wanted": [0]}
    assert kept(store, of(before), NAME, identity={"weights": "w"}, **told) is None


@pytest.mark.parametrize(
    "change",
    [
        {"identity": {"weights": "v"}},
        {"levels": {"fine": (4, 4, 3), "coarse": (2, 2, 6)}},
    ],
)
def test_what_is_of_other_weights_is_replaced(store: SynthStore, change: dict[str, Any]) -> None:
    before = begun(store)
    fill(before, [0, 1, 2])
    assert begun(store, **change).missing(range(COUNT)) == [0, 1, 2]
    for late in (lambda: fill(before, [0]), lambda: before.read([0])):
        with pytest.raises(StoreError, match="changed or dropped meanwhile"):
            late()


def test_what_is_of_other_images_is_replaced(store: SynthStore) -> None:
    stored = store.read(KEY, CATEGORY)
    fill(begun(store), [0, 1, 2])
    other = Pictured(stored.folder, COUNT, "0" * 64)
    assert begun(store, of=other).missing(range(COUNT)) == [0, 1, 2]
    longer = Pictured(stored.folder, COUNT + 1, "1" * 64, lambda count: "2" * 64)
    assert begun(store, of=longer).missing(range(COUNT)) == [0, 1, 2]


def test_other_versions_read_what_is_there_and_never_add_to_it(store: SynthStore) -> None:
    fill(begun(store), [0])
    newer = {"torch": "3"}
    check(begun(store, [5], versions=newer), [5])
    assert begun(store, [5, SHARD], versions=newer).missing([5, SHARD]) == [0, 1]


def test_a_set_made_anew_has_no_features(store: SynthStore) -> None:
    fill(begun(store), [0])
    identity = {k: store.attributes(KEY, CATEGORY)[k] for k in ("encoding", "generated", "normals")}
    store.create_set(KEY, CATEGORY, 1, identity=identity, versions={}, replace=True)
    assert not (store.folder(KEY, CATEGORY) / FEATURES).exists()


def test_a_disk_to_be_read_gives_what_it_has(
    store: SynthStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(begun(store), [0])
    pictured = of(store.read(KEY, CATEGORY))
    told: dict[str, Any] = {"identity": {"weights": "w"}, "levels": LEVELS, "versions": VERSIONS}
    with mounted_so(monkeypatch):
        check(begun(store, [3]), [3])
        assert kept(store, pictured, NAME, wanted=[SHARD], **told) is None


def test_neither_digest_nor_size_of_a_set_knows_of_them(store: SynthStore) -> None:
    before = contents(store)
    fill(begun(store), [0])
    after = contents(store)
    assert [(e.address, e.size, e.digest) for e in before] == [
        (e.address, e.size, e.digest) for e in after
    ]
    (size,) = (e.features for e in after if e.features)
    (entry,) = entries(store, store.folder(KEY, CATEGORY))
    assert (entry.name, entry.present, entry.count) == (NAME, SHARD, COUNT)
    assert entry.size == size - len(encode(group()))


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ([], ["toy/normal/tile", "toy/boxes/0/tile"]),
        (["toy"], ["toy/normal/tile", "toy/boxes/0/tile"]),
        (["toy/normal"], ["toy/normal/tile"]),
        (["toy/boxes/0/tile/"], ["toy/boxes/0/tile"]),
    ],
)
def test_they_are_dropped_and_nothing_else(
    store: SynthStore, asked: list[str], gone: list[str]
) -> None:
    before = tree(store.root)  # type: ignore[arg-type]
    normals = add_normals(store)
    fill(begun(store), [0])
    fill(begun(store, of=Pictured(normals.folder, 6, normals.digest)), [0])
    said = [one.address for one in remove_features(store, asked, dry_run=True)]
    assert said == gone
    assert [one.address for one in remove_features(store, asked)] == gone
    assert [one.address for one in remove_features(store, gone)] == []
    for one in remove_features(store, []):
        assert one.address not in gone
    assert tree(store.root) == before  # type: ignore[arg-type]


def test_an_unknown_address_is_refused(store: SynthStore) -> None:
    with pytest.raises(StoreError, match=r"toy/box is not in the store .* toy/boxes/0/tile"):
        list(remove_features(store, ["toy/box"]))


def test_a_copy_leaves_them_behind(store: SynthStore, tmp_path: Path) -> None:
    fill(begun(store), [0])
    copy_store(store, tmp_path / "copy")
    copied = SynthStore.open(tmp_path / "copy")
    assert not any(FEATURES in path for path in tree(tmp_path / "copy"))
    assert faults(copied) == []


def test_the_shape_of_what_is_written_is_checked(store: SynthStore) -> None:
    arrays = begun(store)
    three = {name: np.zeros((3, *shape), np.float16) for name, shape in LEVELS.items()}
    with pytest.raises(ValueError, match="shard 0 got"):
        arrays.write(0, three)
