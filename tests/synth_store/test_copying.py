"""A store is copied to an object store and back, whole or not at all, and continued."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from synth_store import Geometry, StoreError, StoreKey, SynthStore
from synth_store.copying import Copied, copy_store
from synth_store.normals import write_normals
from synth_store.places import place
from tests.synth_store.making import CATEGORY, KEY, SMALL, faults, generate, normal, tree
from tests.synth_store.object_server import ObjectServer, serving

pytestmark = pytest.mark.slow

URL = "s3://shelf/some/store"
AT = "shelf/some/store"
OWN = StoreKey("toy", "dreams", 0)
COUNT = 20  # three shards of 8


@pytest.fixture
def local(tmp_path: Path) -> SynthStore:
    store = SynthStore.create(tmp_path / "local", SMALL)
    generate(store, COUNT)
    generate(store, 9, key=OWN, generated=True, encoding="plain")
    return store


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    pytest.importorskip("obstore", reason="needs the extra: pip install 'asbench[cloud]'")
    with serving() as server:
        server.name_in(monkeypatch)
        yield server


@pytest.fixture(params=["folder", "object store"])
def to(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The two kinds of place that a store is copied to."""
    if request.param == "folder":
        return str(tmp_path / "to")
    request.getfixturevalue("server")
    return URL


def test_a_copy_is_the_same_store(local: SynthStore, to: str) -> None:
    copied = copy_store(local, place(to))
    there = SynthStore.open(to)
    assert there.sets() == local.sets()
    assert faults(there) == []
    assert there.read(KEY, CATEGORY).attributes == local.read(KEY, CATEGORY).attributes
    assert [one.address for one in copied] == [
        f"toy/normal/{CATEGORY}",
        f"{KEY}/{CATEGORY}",
        f"{OWN}/{CATEGORY}",
    ]
    assert all(one.sent and not one.stood for one in copied)


def test_there_and_back_every_byte_is_the_same(
    local: SynthStore, server: ObjectServer, tmp_path: Path
) -> None:
    assert isinstance(local.root, Path)
    copy_store(local, place(URL))
    files = tree(local.root)
    assert {k.removeprefix(f"{AT}/"): v for k, v in server.objects.items()} == files
    server.requests.clear()
    copy_store(SynthStore.open(URL), tmp_path / "back")
    assert tree(tmp_path / "back") == files
    shards = [key for key in server.fetched("image") if "c" in key.split("/")]
    assert len(shards) == len(set(shards)) == 3 + 2 + 1


def test_what_stands_is_not_copied_again(local: SynthStore, to: str) -> None:
    copy_store(local, place(to))
    again = copy_store(local, place(to))
    assert [(one.sent, one.stood) for one in again] == [(0, True)] * 3


def test_a_set_that_grew_grows_there(local: SynthStore, to: str, tmp_path: Path) -> None:
    copy_store(local, place(to))
    whole = copy_store(local, tmp_path / "whole")[1]
    generate(local, 40)
    _, grown, other = copy_store(local, place(to))
    assert other.stood
    assert grown.samples == 40
    assert faults(SynthStore.open(to)) == []
    assert SynthStore.open(to).read(KEY, CATEGORY).digest == local.read(KEY, CATEGORY).digest
    assert 0 < grown.sent < 2 * whole.sent  # the first two shards stood


def test_a_shorter_set_leaves_the_longer(local: SynthStore, to: str, tmp_path: Path) -> None:
    long = SynthStore.create(tmp_path / "long", SMALL)
    generate(long, 40)
    copy_store(long, place(to))
    copied = copy_store(local, place(to), [str(KEY)])
    assert copied[-1] == Copied(f"{KEY}/{CATEGORY}", COUNT, 0, stood=True)
    assert SynthStore.open(to).count(KEY, CATEGORY) == 40


def test_addresses_choose_and_bring_their_normals(local: SynthStore, to: str) -> None:
    copy_store(local, place(to), [str(OWN)])
    there = SynthStore.open(to)
    assert there.sets() == [(OWN, CATEGORY)]
    assert there.stored_normals() == [("toy", CATEGORY)]
    with pytest.raises(StoreError, match="toy/nothing is not in the store"):
        copy_store(local, place(to), ["toy/nothing"])


@pytest.mark.parametrize("puts", [0, 1, 3, 8, 12, 17, 25])
def test_a_copy_that_was_cut_off_is_read_by_nobody_and_continues(
    local: SynthStore, server: ObjectServer, puts: int
) -> None:
    server.puts_left = puts
    with pytest.raises(StoreError, match=f"cannot write {URL}.*AWS_"):
        copy_store(local, place(URL))
    if SynthStore.stands_at(URL):
        there = SynthStore.open(URL)
        for key, category in there.sets():
            if there.count(key, category):
                assert there.read(key, category).digest == local.read(key, category).digest
            else:
                with pytest.raises(StoreError, match="begun but not finished"):
                    there.read(key, category)
    arrived = {key for key in server.objects if "c" in key.split("/")}
    server.puts_left = -1
    server.requests.clear()
    copy_store(local, place(URL))
    assert faults(SynthStore.open(URL)) == []
    assert not arrived & {key for verb, key in server.requests if verb == "PUT"}


def test_what_a_killed_copy_left_is_cleared_away(local: SynthStore, tmp_path: Path) -> None:
    to = tmp_path / "to"
    copy_store(local, place(to))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    shard = SynthStore.open(to).folder(KEY, CATEGORY) / "image" / "c"
    ours, others = (
        Path(str(shard), f".0.{socket.gethostname()}.{process}.partial")
        for process in (ended.pid, os.getppid())
    )
    ours.write_bytes(b"half")
    others.write_bytes(b"half")
    generate(local, 2 * COUNT)
    copy_store(local, place(to))
    assert not ours.exists()
    assert others.exists()  # of a process that is at work


def test_bytes_that_arrive_altered_are_noticed(local: SynthStore, server: ObjectServer) -> None:
    server.altered = lambda key, data: data[:-1] if "/image/c/1/" in key else data
    with pytest.raises(StoreError, match="image/c/1/0/0/0 is not what was written to it"):
        copy_store(local, place(URL), [str(KEY)])
    with pytest.raises(StoreError, match="begun but not finished"):
        SynthStore.open(URL).read(KEY, CATEGORY)


def test_a_damaged_source_is_not_copied(local: SynthStore, to: str) -> None:
    shard = local.read(KEY, CATEGORY).mask.path(1)
    assert isinstance(shard, Path)
    data = bytearray(shard.read_bytes())
    data[5] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreError, match="mask/c/1/0/0, chunk 0, is damaged"):
        copy_store(local, place(to))
    assert SynthStore.open(to).count(KEY, CATEGORY) == 0


def test_samples_that_are_not_those_recorded_are_not_copied(
    local: SynthStore, to: str, tmp_path: Path
) -> None:
    image = local.read(KEY, CATEGORY).image
    second = image.path(1)
    assert isinstance(second, Path)
    # A sound shard of the set's, but not of these samples.
    second.write_bytes(image.encode(1, image.encoded(0, image.shard(1).present)))
    with pytest.raises(StoreError, match="do not match the recorded digest"):
        copy_store(local, place(to))
    assert SynthStore.open(to).count(KEY, CATEGORY) == 0


def other(tmp_path: Path, **pixels: str) -> SynthStore:
    """A store with another set under the same key."""
    store = SynthStore.create(tmp_path / "other", SMALL)
    generate(store, COUNT, encoding="plain")
    return store


def test_another_set_under_the_key_is_refused_unless_replaced(
    local: SynthStore, to: str, tmp_path: Path
) -> None:
    copy_store(other(tmp_path), place(to))
    with pytest.raises(StoreError, match=r"another identity .*encoding: stored plain"):
        copy_store(local, place(to))
    assert faults(SynthStore.open(to)) == []
    generate(local, 9, key=StoreKey("toy", "boxes", 1))
    copy_store(local, place(to), replace=True)
    there = SynthStore.open(to)
    assert there.read(KEY, CATEGORY).digest == local.read(KEY, CATEGORY).digest
    assert faults(there) == []


def test_a_replacement_leaves_nothing_of_a_longer_set(
    local: SynthStore, to: str, tmp_path: Path
) -> None:
    assert isinstance(local.root, Path)
    long = SynthStore.create(tmp_path / "long", SMALL)
    generate(long, 40, encoding="plain")
    copy_store(long, place(to))
    copy_store(local, place(to), [str(KEY)], replace=True)
    again = tmp_path / "again"
    copy_store(SynthStore.open(to), again)
    assert tree(again / str(KEY)) == tree(local.root / str(KEY))


def test_other_normals_are_refused(local: SynthStore, to: str, tmp_path: Path) -> None:
    store = SynthStore.create(tmp_path / "normals", SMALL)
    pairs = [normal("other", i) for i in range(2)]
    write_normals(store, "toy", CATEGORY, ["a", "b"], pairs, {})
    copy_store(store, place(to))
    with pytest.raises(StoreError, match="holds other normals than"):
        copy_store(local, place(to))


def test_another_geometry_is_refused(local: SynthStore, to: str, tmp_path: Path) -> None:
    copy_store(SynthStore.create(tmp_path / "large", Geometry(64, 64)), place(to))
    with pytest.raises(StoreError, match=r"holds 64x64.*one store has one geometry"):
        copy_store(local, place(to))


def test_a_store_is_not_copied_to_itself(local: SynthStore) -> None:
    with pytest.raises(StoreError, match="cannot be copied to itself"):
        copy_store(local, local.root)


def test_a_set_begun_there_by_another_meanwhile_is_noticed(
    local: SynthStore, server: ObjectServer, tmp_path: Path
) -> None:
    other_one = other(tmp_path)

    def meanwhile(key: str, data: bytes) -> bytes:
        if f"{KEY}/{CATEGORY}/image/c/2/" in key:
            server.altered = lambda key, data: data
            stands = other_one.folder(KEY, CATEGORY) / "zarr.json"
            server.objects[f"{AT}/{KEY}/{CATEGORY}/zarr.json"] = stands.read_bytes()
        return data

    server.altered = meanwhile
    with pytest.raises(StoreError, match="was changed while it was copied"):
        copy_store(local, place(URL), [str(KEY)])


def test_sets_that_were_only_begun_stay(local: SynthStore, to: str) -> None:
    begun = StoreKey("toy", "later", 0)
    made = local.read(KEY, CATEGORY).attributes
    identity = {name: made[name] for name in made["identity"]}
    local.create_set(begun, CATEGORY, 4, identity=identity, versions={})
    copy_store(local, place(to))
    assert (begun, CATEGORY) not in SynthStore.open(to).sets()


def test_progress_counts_samples(local: SynthStore, to: str) -> None:
    said: list[tuple[str, int, int]] = []
    copy_store(local, place(to), [str(KEY)], progress=lambda *a: said.append(a))
    assert said[-4:] == [(f"{KEY}/{CATEGORY}", n, COUNT) for n in (0, 8, 16, 20)]
    np.testing.assert_array_equal([total for _, _, total in said[:2]], 6)
