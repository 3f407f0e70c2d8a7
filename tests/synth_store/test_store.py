"""The store: what is written is read back, by this code and by any Zarr tool; what is refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from synth_store import Geometry, Job, Sample, StoredSet, StoreError, StoreKey, SynthStore
from synth_store.metadata import encode, group, read_attributes
from synth_store.normals import write_normals
from synth_store.reader import Foregrounds
from tests.synth_store.making import (
    CATEGORY,
    KEY,
    SMALL,
    VERSIONS,
    add_normals,
    expected,
    faults,
    generate,
    identity,
    normal,
    render,
    tree,
)

pytestmark = pytest.mark.slow

KINDS = [("residual", False), ("plain", False), ("residual", True), ("plain", True)]


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    return SynthStore.create(tmp_path / "store", SMALL)


def assert_as_made(stored: StoredSet, count: int, *, generated: bool = False) -> None:
    """Read every sample by every path and compare with the sample as it was made."""
    assert stored.count == len(stored) == count
    store = SynthStore.open(stored.folder.parents[3])
    made = expected(store, count, key=stored.key, generated=generated)
    shape = (count, *stored.image.shape)
    image, clean = np.full(shape, 7, np.uint8), np.full(shape, 7, np.uint8)
    mask = np.zeros(shape[:-1], np.bool_)
    stored.read_batch(range(count), image, mask, clean)
    alone = np.empty_like(image)
    stored.read_batch(np.arange(count), alone, mask)
    for index, (sample, source) in enumerate(made):
        for found in (stored[index], Sample(image[index], mask[index], clean[index])):
            np.testing.assert_array_equal(found.image, sample.image)
            np.testing.assert_array_equal(found.mask, sample.mask)
            assert found.clean is not None
            assert sample.clean is not None
            np.testing.assert_array_equal(found.clean, sample.clean)
        np.testing.assert_array_equal(alone[index], sample.image)
        assert stored.source_of(index) == stored.source[index] == source


# --- written and read back ---


@pytest.mark.parametrize(("encoding", "generated"), KINDS)
def test_what_is_written_is_read_back(store: SynthStore, encoding: str, generated: bool) -> None:
    stored = generate(store, 13, encoding=encoding, generated=generated)
    assert_as_made(stored, 13, generated=generated)
    assert stored.attributes["complete"]
    assert faults(store) == []


@pytest.mark.parametrize("geometry", [Geometry(33, 41), Geometry(8, 9, "pad"), Geometry(64, 8)])
def test_odd_geometry(tmp_path: Path, geometry: Geometry) -> None:
    store = SynthStore.create(tmp_path, geometry)
    assert_as_made(generate(store, 5, shard=3), 5)
    assert SynthStore.open(tmp_path).geometry == geometry
    assert faults(store) == []


def test_residuals_are_zero_outside_the_mask(store: SynthStore) -> None:
    stored = generate(store, 13)
    image, mask = np.empty((32, 32, 3), np.uint8), np.empty((32, 32), np.bool_)
    for index in range(13):
        stored.read_stored(index, image, mask)
        assert not image[~mask].any()
        assert image[mask].any()


def test_normals_and_foregrounds_are_read_back(store: SynthStore) -> None:
    normals = add_normals(store, 6)
    foregrounds = Foregrounds(normals)
    assert len(normals) == len(foregrounds) == 6
    for index, (image, foreground) in enumerate(zip(normals, foregrounds, strict=True)):
        np.testing.assert_array_equal(image, normal(KEY.dataset, index)[0])
        np.testing.assert_array_equal(foreground, normal(KEY.dataset, index)[1])
        assert not image.flags.writeable
    assert normals.ids == tuple(f"good/{i:03}" for i in range(6))
    for sequence in (normals, foregrounds):
        for index in (-1, 6):
            with pytest.raises(IndexError, match=f"{index} of 6"):
                sequence[index]


def test_an_index_outside_the_set_is_an_error(store: SynthStore) -> None:
    stored = generate(store, 5)
    for index in (-1, 5):
        with pytest.raises(IndexError, match=rf"sample {index} of toy/boxes/0/tile, which has 5"):
            stored[index]


# --- any Zarr tool ---


@pytest.mark.parametrize(("encoding", "generated"), KINDS)
def test_zarr_reads_the_same_bytes(store: SynthStore, encoding: str, generated: bool) -> None:
    generate(store, 13, encoding=encoding, generated=generated)
    made = expected(store, 13, generated=generated)
    root = zarr.open_group(store.root, mode="r")
    here = root
    for part in (*str(KEY).split("/"), CATEGORY):
        assert list(here.group_keys())
        here = here[part]  # type: ignore[assignment]
        assert isinstance(here, zarr.Group)
    asbench = here.attrs["asbench"]
    assert isinstance(asbench, dict)
    assert asbench["encoding"] == encoding
    source, stored = np.asarray(here["source"]), np.asarray(here["image"])
    np.testing.assert_array_equal(np.asarray(here["mask"]), [s.mask for s, _ in made])
    np.testing.assert_array_equal(source, [s for _, s in made])
    normals = np.asarray(root[f"{KEY.dataset}/normal/{CATEGORY}/image"])
    clean = np.asarray(here["clean"]) if generated else normals[source]
    np.testing.assert_array_equal(clean, [s.clean for s, _ in made])
    # The arithmetic as the attributes state it to strangers.
    image = (stored.astype(int) + clean) % 256 if encoding == "residual" else stored
    np.testing.assert_array_equal(image, [s.image for s, _ in made])


def test_zarr_walks_every_level(store: SynthStore) -> None:
    generate(store, 3)
    generate(store, 3, key=StoreKey("toy", "boxes@big", 1))
    members = dict(zarr.open_group(store.root, mode="r").members(max_depth=None))
    arrays = {path for path, node in members.items() if isinstance(node, zarr.Array)}
    sets = ("toy/boxes/0/tile", "toy/boxes@big/1/tile")
    assert arrays == {
        "toy/normal/tile/image",
        "toy/normal/tile/foreground",
        *(f"{s}/{name}" for s in sets for name in ("image", "mask", "source")),
    }
    assert set(members) - arrays == {
        str(p) for a in arrays for p in Path(a).parents if str(p) != "."
    }


def test_xarray_opens_a_set_with_named_dimensions(store: SynthStore) -> None:
    stored = generate(store, 9, encoding="plain")
    with xarray.open_zarr(stored.folder, consolidated=False, chunks=None) as found:
        assert found["image"].dims == ("sample", "y", "x", "c")
        assert found["mask"].dims == ("sample", "y", "x")
        assert found["source"].dims == ("sample",)
        assert found["mask"].dtype == np.bool_
        np.testing.assert_array_equal(found["image"].values[4], stored[4].image)


# --- the same pixels whatever the shards and the order ---


@pytest.mark.parametrize(("encoding", "generated"), KINDS)
def test_shards_and_order_play_no_part(tmp_path: Path, encoding: str, generated: bool) -> None:
    digests = set()
    for shard, backwards in ((64, False), (13, True), (5, False), (5, True), (1, False)):
        store = SynthStore.create(tmp_path / f"{shard}{backwards}", SMALL)
        stored = generate(
            store, 13, shard=shard, backwards=backwards, encoding=encoding, generated=generated
        )
        assert_as_made(stored, 13, generated=generated)
        digests.add(stored.digest)
    assert len(digests) == 1


def test_equal_sets_are_equal_files(tmp_path: Path) -> None:
    trees = []
    for name in ("one", "two"):
        store = SynthStore.create(tmp_path / name, SMALL)
        generate(store, 13, backwards=name == "two")
        trees.append(tree(store.root / str(KEY)))
        for path in [p for p in trees[-1] if p == f"{CATEGORY}/zarr.json"]:
            assert b'"created"' in trees[-1].pop(path)
    assert trees[0] == trees[1]


@pytest.mark.parametrize(("encoding", "generated"), KINDS)
def test_a_grown_set_is_the_set_made_at_once(
    tmp_path: Path, encoding: str, generated: bool
) -> None:
    grown = SynthStore.create(tmp_path / "grown", SMALL)
    kind = {"encoding": encoding, "generated": generated}
    digests = []
    for count in (13, 30, 64):
        stored = generate(grown, count, shard=16, **kind)  # type: ignore[arg-type]
        assert_as_made(stored, count, generated=generated)
        once = SynthStore.create(tmp_path / f"{count}", SMALL)
        digests.append(generate(once, count, shard=20, **kind).digest)  # type: ignore[arg-type]
        assert stored.digest == digests[-1]
    assert len(set(digests)) == 3
    assert faults(grown) == []


def test_asking_for_fewer_leaves_the_set_as_it_is(store: SynthStore) -> None:
    generate(store, 13)
    before = tree(store.root)
    assert generate(store, 5).count == 13
    assert tree(store.root) == before


def test_jobs_say_what_each_shard_lacks(store: SynthStore) -> None:
    made = identity(add_normals(store))
    jobs = store.create_set(KEY, CATEGORY, 20, identity=made, versions=VERSIONS, shard=8)
    assert jobs == [Job(0, 0, 8), Job(1, 8, 16), Job(2, 16, 20)]
    render(store, KEY, CATEGORY, jobs[1])
    assert store.missing(KEY, CATEGORY) == [jobs[0], jobs[2]]
    render(store, KEY, CATEGORY, jobs[2])
    jobs = store.create_set(KEY, CATEGORY, 23, identity=made, versions=VERSIONS, shard=999)
    assert jobs == [Job(0, 0, 8), Job(2, 20, 23)]
    assert store.missing(KEY, CATEGORY, 18) == [Job(0, 0, 8)]


def test_a_set_is_pickled_as_its_place(store: SynthStore) -> None:
    stored = generate(store, 5)
    stored[0]  # maps shards, inflates a normal
    data = pickle.dumps((store, stored, stored.normals))
    assert len(data) < 10_000
    other_store, other, normals = pickle.loads(data)
    assert other_store == store
    assert_as_made(other, 5)
    np.testing.assert_array_equal(normals[3], stored.normals[3])


def test_a_reader_keeps_its_samples_while_the_set_grows(store: SynthStore) -> None:
    early, late = generate(store, 13, shard=16), generate(store, 13, shard=16)
    assert_as_made(early, 13)  # maps the shard that growth will replace
    made = identity(store.normals(KEY.dataset, CATEGORY))
    jobs = store.create_set(KEY, CATEGORY, 30, identity=made, versions=VERSIONS)
    assert not read_attributes(early.folder)["complete"]
    for job in jobs:
        render(store, KEY, CATEGORY, job)
        for stored in (early, late, store.read(KEY, CATEGORY)):
            assert_as_made(stored, 13)
    assert_as_made(store.finish(KEY, CATEGORY, 30), 30)
    assert_as_made(early, 13)


def test_many_small_shards_do_not_run_out_of_file_descriptors(store: SynthStore) -> None:
    generate(store, 130, shard=1)
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n"
        "from synth_store import StoreKey, SynthStore\n"
        f"stored = SynthStore.open({str(store.root)!r}).read(StoreKey.parse('{KEY}'), 'tile')\n"
        "print(sum(1 for _ in stored))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert found.stdout == "130\n"


# --- lists ---


def test_the_store_lists_what_it_holds(store: SynthStore) -> None:
    other = StoreKey("toy@small", "nsa@asbench", 10)
    generate(store, 3)
    generate(store, 3, key=other, category="MT_Free")
    generate(store, 3, category="a.b")
    store.create_set(
        StoreKey("toy", "late", 2),
        CATEGORY,
        3,
        identity=identity(store.normals("toy", CATEGORY)),
        versions=VERSIONS,
    )
    assert store.sets() == [
        (KEY, "a.b"),
        (KEY, CATEGORY),
        (StoreKey("toy", "late", 2), CATEGORY),
        (other, "MT_Free"),
    ]
    assert store.stored_normals() == [("toy", "a.b"), ("toy", CATEGORY), ("toy@small", "MT_Free")]


# --- replaced ---


def test_replace_starts_anew(store: SynthStore) -> None:
    generate(store, 20)
    made = identity(store.normals(KEY.dataset, CATEGORY), pixel_version=2)
    jobs = store.create_set(
        KEY, CATEGORY, 5, identity=made, versions={"numpy": "3"}, replace=True, shard=4
    )
    assert jobs == [Job(0, 0, 4), Job(1, 4, 5)]
    assert not list(store.folder(KEY, CATEGORY).rglob("c"))
    for job in jobs:
        render(store, KEY, CATEGORY, job)
    assert_as_made(store.finish(KEY, CATEGORY, 5), 5)
    assert faults(store) == []


def test_shards_without_their_metadata_belong_to_no_set(store: SynthStore) -> None:
    """What a replacement that was killed halfway leaves must not pass for the new set's samples."""
    generate(store, 9)
    (store.folder(KEY, CATEGORY) / "zarr.json").unlink()
    other = identity(store.normals(KEY.dataset, CATEGORY), pixel_version=2)
    jobs = store.create_set(KEY, CATEGORY, 9, identity=other, versions=VERSIONS, shard=8)
    assert jobs == [Job(0, 0, 8), Job(1, 8, 9)]


@pytest.mark.parametrize("coloured", [None, 0, 4])
@pytest.mark.parametrize("threads", [1, 3])
def test_whether_all_normals_are_grey_is_kept_beside_them(
    store: SynthStore, coloured: int | None, threads: int
) -> None:
    pairs = [normal(KEY.dataset, i) for i in range(5)]
    pairs = [
        (image if i == coloured else image[..., :1].repeat(3, axis=2), mask)
        for i, (image, mask) in enumerate(pairs)
    ]
    ids = [str(i) for i in range(5)]
    kept = write_normals(store, KEY.dataset, CATEGORY, ids, pairs, {}, threads=threads)
    assert kept.attributes["grey"] is kept.grey is (coloured is None)
    without = {name: value for name, value in kept.attributes.items() if name != "grey"}
    path = store.normals_folder(KEY.dataset, CATEGORY) / "zarr.json"
    path.write_bytes(encode(group(without)))  # as earlier releases wrote it
    old = store.normals(KEY.dataset, CATEGORY)
    assert "grey" not in old.attributes
    assert old.grey is kept.grey
    path.write_bytes(encode(group({**without, "grey": 1})))
    with pytest.raises(StoreError, match="its grey is 1, not true or false"):
        store.normals(KEY.dataset, CATEGORY)
