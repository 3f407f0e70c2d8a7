"""A store on an object store reads like the folder it was copied from, or says why not."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synth_store import Sample, StoredSet, StoreError, StoreKey, SynthStore, UserError
from synth_store.errors import MissingSet, NoStore, ReadOnly
from synth_store.fetching import FetchedShards
from synth_store.normals import write_normals
from synth_store.places import place
from synth_store.reader import stretches
from synth_store.remote import RemotePath
from synth_store.removal import remove_dataset, remove_set
from synth_store.selection import bytes_on_disk, select
from synth_store.verify import discard_damaged
from tests.synth_store.making import CATEGORY, KEY, SMALL, faults, generate, normal
from tests.synth_store.object_server import ObjectServer, serving

pytestmark = pytest.mark.slow

pytest.importorskip("obstore", reason="needs the extra: pip install 'asbench[cloud]'")

URL = "s3://shelf/some/store"
AT = "shelf/some/store"
OWN = StoreKey("toy", "dreams", 0)
COUNT = 20  # three shards of 8


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> SynthStore:
    store = SynthStore.create(tmp_path_factory.mktemp("local"), SMALL)
    generate(store, COUNT)
    generate(store, COUNT, key=OWN, generated=True, encoding="plain")
    return store


@pytest.fixture
def server(local: SynthStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    with serving() as server:
        assert isinstance(local.root, Path)
        server.upload(local.root, AT)
        server.name_in(monkeypatch)
        yield server


def same(found: Sample, expected: Sample) -> None:
    assert found.clean is not None
    assert expected.clean is not None
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_array_equal(found.clean, expected.clean)


# --- what is read ---


@pytest.mark.parametrize("key", [KEY, OWN])
def test_every_sample_is_that_of_the_folder(
    local: SynthStore, server: ObjectServer, key: StoreKey
) -> None:
    stored = SynthStore.open(URL, SMALL).read(key, CATEGORY)
    there = local.read(key, CATEGORY)
    assert len(stored) == COUNT
    assert stored.digest == there.digest
    for found, expected in zip(stored, there, strict=True):
        same(found, expected)


def test_what_is_listed_is_that_of_the_folder(local: SynthStore, server: ObjectServer) -> None:
    remote = SynthStore.open(URL)
    server.objects["shelf/some/store-of-another/zarr.json"] = b"{}"
    assert remote.sets() == local.sets() == select(remote)
    assert remote.stored_normals() == local.stored_normals()
    assert bytes_on_disk(remote.root) == bytes_on_disk(local.root)
    assert faults(remote) == []


def test_a_shard_is_fetched_once(server: ObjectServer) -> None:
    stored = SynthStore.open(URL).read(KEY, CATEGORY)
    for index in np.random.default_rng(0).permutation(COUNT):
        stored[int(index)]
    fetched = [key for key in server.fetched("c") if f"{KEY}/" in key]
    assert len(fetched) == len(set(fetched)) == 3 * 3  # image, mask and source of three shards


def test_the_shards_that_come_next_are_fetched_meanwhile(
    local: SynthStore, server: ObjectServer
) -> None:
    remote = SynthStore.open(URL)
    sets = [remote.read(key, CATEGORY) for key in (KEY, OWN)]
    wanted = [(sets[0].normals, 5), (sets[0], COUNT), (sets[1], 10)]
    several = threading.Barrier(8)
    first = iter(range(several.parties))

    def asked(key: str) -> None:
        if "c" in key.split("/") and next(first, None) is not None:
            several.wait(timeout=60)  # breaks unless so many are asked for at once

    server.asked = asked
    server.requests.clear()
    read = [(of, index) for of, samples in stretches(wanted) for index in samples]
    assert read == [(of, index) for of, count in wanted for index in range(count)]
    assert not several.broken
    keys = [key for verb, key in server.requests]
    assert len(keys) == len(set(keys)) == 1 + 3 * 3 + 2 * 4  # each once, none of what is not read
    for found, expected in zip(sets[0], local.read(KEY, CATEGORY), strict=True):
        same(found, expected)
    assert len(server.requests) == len(keys)


def test_a_shard_that_fails_fails_in_its_turn(server: ObjectServer) -> None:
    (key,) = [k for k in server.objects if f"{KEY}/{CATEGORY}/mask/c/1" in k]
    del server.objects[key]
    stored = SynthStore.open(URL).read(KEY, CATEGORY)
    found = stretches([(stored, COUNT)])
    assert next(found) == (stored, range(8))
    with pytest.raises(StoreError, match=f"s3://{key} is missing"):
        next(found)


def test_fetched_shards_stay_below_their_bound(server: ObjectServer) -> None:
    array = SynthStore.open(URL).read(KEY, CATEGORY).mask
    sizes = [len(array.shard(n)) for n in range(3)]
    server.requests.clear()
    shards = FetchedShards(sizes[0] + sizes[1])

    def fetch(number: int, version: str = "") -> None:
        path = array.path(number)
        assert isinstance(path, RemotePath)
        shards(path, array.capacity, version, array.owner, array.label(number))

    for number in (0, 1, 0, 1):
        fetch(number)
    assert len(server.requests) == 2
    fetch(2)  # the third lets the first go, which was used least recently
    fetch(1)
    assert len(server.requests) == 3
    fetch(0)
    assert len(server.requests) == 4
    fetch(0, "of a set written anew")
    assert len(server.requests) == 5


def test_a_store_at_the_top_of_its_bucket(local: SynthStore, server: ObjectServer) -> None:
    assert isinstance(local.root, Path)
    server.upload(local.root, "top")
    remote = SynthStore.open("s3://top/")
    assert remote.sets() == local.sets()
    assert faults(remote) == []


def test_other_processes_open_it_by_its_name(server: ObjectServer) -> None:
    stored: StoredSet = SynthStore.open(URL).read(KEY, CATEGORY)
    again = pickle.loads(pickle.dumps(stored))
    same(again[11], stored[11])
    assert pickle.loads(pickle.dumps(SynthStore.open(URL))) == SynthStore.open(URL)


def _say(queue: multiprocessing.Queue[str]) -> None:
    try:
        SynthStore.open(URL)
    except StoreError as error:
        queue.put(str(error))
    else:
        queue.put("read")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # it is the fork that is tested
def test_a_forked_process_is_told_instead_of_waiting(server: ObjectServer) -> None:
    SynthStore.open(URL)
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=_say, args=(queue,))
    child.start()
    said = queue.get(timeout=60)
    child.join()
    assert "multiprocessing_context='spawn'" in said


def test_normals_written_anew_are_seen(
    local: SynthStore, server: ObjectServer, tmp_path: Path
) -> None:
    remote = SynthStore.open(URL)
    assert remote.normals("toy", CATEGORY) is remote.normals("toy", CATEGORY)
    other = SynthStore.create(tmp_path, SMALL)
    pairs = [normal("other", i) for i in range(2)]
    write_normals(other, "toy", CATEGORY, ["a", "b"], pairs, {})
    server.upload(tmp_path, AT)
    assert remote.normals("toy", CATEGORY).ids == ("a", "b")
    with pytest.raises(StoreError, match="drawn on other normals"):
        remote.read(KEY, CATEGORY)


# --- what is damaged or missing ---


@pytest.mark.parametrize("array", ["image", "mask", "source"])
@pytest.mark.parametrize("wrong", ["missing", "flipped", "cut short", "empty"])
def test_damage_raises_with_the_url(server: ObjectServer, array: str, wrong: str) -> None:
    (key,) = [k for k in server.objects if f"{KEY}/{CATEGORY}/{array}/c/1" in k]
    data = server.objects[key]
    flipped = bytes([data[0], data[1], data[2], data[3] ^ 1]) + data[4:]
    damaged = {"flipped": flipped, "cut short": data[:-9], "empty": b""}
    if wrong == "missing":
        del server.objects[key]
    else:
        server.objects[key] = damaged[wrong]
    stored = SynthStore.open(URL).read(KEY, CATEGORY)
    stored[7]
    with pytest.raises(StoreError, match=f"s3://{key}.*(missing|damaged)"):
        stored[8]
    stored[16]
    assert any(f"s3://{key}" in str(fault) for fault in faults(SynthStore.open(URL)))


def test_a_cut_connection_raises_with_the_url(server: ObjectServer) -> None:
    (key,) = [k for k in server.objects if f"{KEY}/{CATEGORY}/image/c/1" in k]
    server.cut.add(key)
    stored = SynthStore.open(URL).read(KEY, CATEGORY)
    with pytest.raises(StoreError, match=f"cannot read s3://{key}"):
        stored[8]
    server.cut.clear()
    stored[8]  # nothing of the half is kept


def test_damaged_metadata_and_strangers_are_named(server: ObjectServer) -> None:
    server.objects[f"{AT}/{KEY}/{CATEGORY}/notes.txt"] = b"mine"
    assert [str(f) for f in faults(SynthStore.open(URL))] == [
        f"{URL}/{KEY}/{CATEGORY}/notes.txt: not part of the store"
    ]
    server.objects[f"{AT}/zarr.json"] += b" "
    with pytest.raises(StoreError, match=f"{URL}/zarr.json is damaged"):
        SynthStore.open(URL)


def test_of_several_who_create_an_object_one_does(server: ObjectServer) -> None:
    path = RemotePath.parse(URL) / "zarr.json"
    before = path.read_bytes()
    path.create(b"mine")
    assert path.read_bytes() == before
    (path.parent / "new").create(b"mine")
    assert (path.parent / "new").read_bytes() == b"mine"


# --- what is refused ---


def test_refused_credentials_name_the_variables(server: ObjectServer) -> None:
    server.refused = True
    with pytest.raises(StoreError, match=rf"cannot read {URL}/zarr.json: .*AWS_ACCESS_KEY_ID"):
        SynthStore.open(URL)


def test_what_is_not_there_is_named(server: ObjectServer) -> None:
    with pytest.raises(NoStore, match="there is no store at s3://shelf/nothing"):
        SynthStore.open("s3://shelf/nothing")
    remote, key = SynthStore.open(URL), StoreKey("toy", "absent", 0)
    with pytest.raises(MissingSet, match=f"toy/absent/0/{CATEGORY} is not in the store at {URL}"):
        remote.read(key, CATEGORY)


@pytest.mark.parametrize("url", ["s3://", "s3:///a", "s3://shelf//a", "gs://shelf/a", "http://a/b"])
def test_other_places_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="is no place for a store"):
        place(url)


def test_all_that_writes_is_refused(server: ObjectServer) -> None:
    before = dict(server.objects)
    remote = SynthStore.open(URL)
    image, mask = normal("toy", 0)
    attributes = remote.read(KEY, CATEGORY).attributes
    made: dict[str, Any] = {
        "identity": {name: attributes[name] for name in attributes["identity"]},
        "versions": attributes["versions"],
    }
    writers = [
        lambda: SynthStore.create(f"{URL}/below"),
        lambda: remote.create_set(StoreKey("toy", "new", 0), CATEGORY, 4, **made),
        lambda: remote.create_set(KEY, CATEGORY, COUNT + 1, **made),
        lambda: remote.create_set(KEY, CATEGORY, COUNT, replace=True, **made),
        lambda: remote.finish(KEY, CATEGORY, COUNT + 1),
        lambda: write_normals(remote, "new", CATEGORY, ["a"], [(image, mask)], {}),
        lambda: remove_set(remote, KEY, CATEGORY),
        lambda: remove_dataset(remote, "toy"),
    ]
    for write in writers:
        with pytest.raises(ReadOnly, match=f"{URL}.* is on an object store, which is read and not"):
            write()
    assert discard_damaged(remote, KEY, CATEGORY) == 0
    assert remote.create_set(KEY, CATEGORY, COUNT, **made) == []  # it stands whole
    assert remote.finish(KEY, CATEGORY, COUNT).count == COUNT
    with pytest.raises(StoreError, match="stored with another identity"):
        remote.create_set(KEY, CATEGORY, COUNT, identity={}, versions={})
    assert server.objects == before
    assert {verb for verb, _ in server.requests} <= {"GET", "HEAD", "LIST"}


def test_a_remote_path_is_a_name() -> None:
    path = RemotePath.parse("s3://shelf/a/") / "b" / "zarr.json"
    assert str(path) == "s3://shelf/a/b/zarr.json"
    assert path.name == "zarr.json"
    assert [str(p) for p in path.parents] == ["s3://shelf/a/b", "s3://shelf/a"]
    assert path.parent.parent.parent == RemotePath.parse("s3://shelf/a")
