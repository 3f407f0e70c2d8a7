"""Damage: no wrong, missing or cut byte is ever read as pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from synth_store import Sample, StoredSet, StoreError, StoreKey, SynthStore
from synth_store.reader import Foregrounds, Normals
from synth_store.verify import discard_damaged, verify_normals, verify_set, verify_store
from tests.synth_store.making import CATEGORY, KEY, SMALL, expected, faults, generate

pytestmark = pytest.mark.slow

OWN = StoreKey("toy", "dreams", 0)  # generated: its samples have their own clean images
COUNT, SHARD = 10, 5
HEADER = 7  # of a zstd frame of these sizes: magic number, descriptor, content size


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SynthStore:
    store = SynthStore.create(tmp_path_factory.mktemp("damage"), SMALL)
    generate(store, COUNT, shard=SHARD)
    generate(store, COUNT, shard=SHARD, key=OWN, generated=True)
    assert faults(store) == []
    return store


@pytest.fixture(scope="module")
def made() -> dict[StoreKey, list[tuple[Sample, int]]]:
    return {
        key: expected(SynthStore(Path(), SMALL), COUNT, key=key, generated=key == OWN)
        for key in (KEY, OWN)
    }


@contextmanager
def holding(path: Path, data: bytes | None) -> Iterator[None]:
    """Let a file hold other bytes, or be missing, for a while."""
    before = path.read_bytes()
    try:
        path.unlink() if data is None else path.write_bytes(data)
        yield
    finally:
        path.write_bytes(before)


def flipped(data: bytes, byte: int, bit: int) -> bytes:
    return data[:byte] + bytes([data[byte] ^ 1 << bit]) + data[byte + 1 :]


def reader(store: SynthStore, key: StoreKey) -> StoredSet:
    """A set as a new process sees it: nothing mapped, nothing inflated."""
    normals = Normals(store.normals_folder(key.dataset, CATEGORY), SMALL)
    return StoredSet(store.folder(key, CATEGORY), key, CATEGORY, normals)


def unreadable(
    store: SynthStore, key: StoreKey, samples: range, made: dict[StoreKey, Any]
) -> set[int]:
    """Return which samples raise StoreError; every other one must be what was made."""
    stored, refused = reader(store, key), set()
    for index in samples:
        try:
            found, source = _with_source(stored, index)
        except StoreError:
            refused.add(index)
        else:
            sample = made[key][index][0]
            assert source == made[key][index][1]
            np.testing.assert_array_equal(found.image, sample.image)
            np.testing.assert_array_equal(found.mask, sample.mask)
            np.testing.assert_array_equal(found.clean, sample.clean)
    return refused


def chunk_files(store: SynthStore, key: StoreKey) -> list[Path]:
    return sorted(p for p in store.folder(key, CATEGORY).glob("*/c/**/*") if p.is_file())


def shard_of(path: Path) -> range:
    """The samples of the shard or source chunk in this file."""
    number = int(path.parts[path.parts.index("c") + 1])
    return range(number * SHARD, (number + 1) * SHARD)


def affected(path: Path, byte: int) -> set[int]:
    """The samples that a wrong byte of a set's shard takes away."""
    samples, data = shard_of(path), path.read_bytes()
    if "source" in path.parts:
        return set(samples)
    index = np.frombuffer(data[-16 * SHARD - 4 : -4], "<u8").reshape(SHARD, 2).tolist()
    place = [p for p, (offset, length) in enumerate(index) if offset <= byte < offset + length]
    return {samples[place[0]]} if place else set(samples)


def label_of(path: Path) -> range:
    """The bytes of a shard that say whose it is; none in a source chunk: its CRC covers them."""
    if "source" in path.parts:
        return range(0)
    end = path.stat().st_size - 16 * SHARD - 4
    length = 6 + int.from_bytes(path.read_bytes()[end - 6 : end - 4], "little")
    return range(end - length - 4 * ("mask" in path.parts), end)


def headers_and_index(path: Path) -> list[int]:
    """The bytes of a shard that say where and what its chunks are."""
    size = path.stat().st_size
    index = range(size - 16 * SHARD - 4, size)
    places = np.frombuffer(path.read_bytes()[index.start : -4], "<u8").reshape(SHARD, 2).tolist()
    return [offset + i for offset, _ in places for i in range(HEADER)] + list(index)


# --- single flipped bits ---


@pytest.mark.parametrize("key", [KEY, OWN])
def test_every_flipped_bit_of_a_set_is_refused(
    store: SynthStore, made: dict[StoreKey, Any], key: StoreKey
) -> None:
    rng = np.random.default_rng(0)
    flips = 0
    for path in chunk_files(store, key):
        data = path.read_bytes()
        bytes_ = {int(b) for b in rng.integers(0, len(data), 90)}
        if "0" in path.parts and "image" in path.parts:
            bytes_ |= set(headers_and_index(path))
        for byte in sorted(bytes_):
            wrong = affected(path, byte)
            with holding(path, flipped(data, byte, int(rng.integers(8)))):
                assert unreadable(store, key, shard_of(path), made) == wrong, (path, byte)
            flips += 1
    assert flips > 550


def test_every_bit_of_a_frames_header_and_of_the_index(
    store: SynthStore, made: dict[StoreKey, Any]
) -> None:
    path = store.folder(KEY, CATEGORY).joinpath("mask", "c", "1", "0", "0")
    data = path.read_bytes()
    for byte in headers_and_index(path):
        wrong = affected(path, byte)
        for bit in range(8):
            with holding(path, flipped(data, byte, bit)):
                assert unreadable(store, KEY, shard_of(path), made) == wrong, (byte, bit)


def test_every_flipped_bit_of_the_normals_is_refused(
    store: SynthStore, made: dict[StoreKey, Any]
) -> None:
    rng = np.random.default_rng(1)
    folder = store.normals_folder(KEY.dataset, CATEGORY)
    sources = [source for _, source in made[KEY]]
    path = folder.joinpath("image", "c", "0", "0", "0", "0")
    data = path.read_bytes()
    whole = Normals(folder, SMALL)
    places = [whole.image.shard(0).encoded(n) for n in range(len(whole))]
    ends = np.cumsum([len(place) for place in places])
    for byte in rng.integers(0, len(data), 300):
        hit = int(np.searchsorted(ends, byte, side="right"))
        wrong = {i for i, source in enumerate(sources) if hit in (source, len(whole))}
        with holding(path, flipped(data, int(byte), int(rng.integers(8)))):
            assert unreadable(store, KEY, range(COUNT), made) == wrong
    path = folder.joinpath("foreground", "c", "0", "0", "0")
    data = path.read_bytes()
    for byte in rng.integers(0, len(data), 150):
        with holding(path, flipped(data, int(byte), int(rng.integers(8)))):
            foregrounds, refused = Foregrounds(Normals(folder, SMALL)), 0
            for index in range(len(whole)):
                try:
                    foregrounds[index]
                except StoreError:
                    refused += 1
            assert refused in (1, len(whole))


def test_every_flipped_bit_of_the_metadata_is_refused_or_named(store: SynthStore) -> None:
    """Direct reads take nothing from an array's own zarr.json, so verify must name that file."""
    rng = np.random.default_rng(2)
    for path in sorted(store.root.rglob("zarr.json")):
        data = path.read_bytes()
        for byte in rng.integers(0, len(data), 16):
            with holding(path, flipped(data, int(byte), int(rng.integers(8)))):
                if path.parent == store.root:
                    with pytest.raises(StoreError, match="damaged"):
                        SynthStore.open(store.root)
                else:
                    assert path in {fault.path for fault in _named(store, path)}
                if path.parent == store.folder(KEY, CATEGORY):
                    with pytest.raises(StoreError, match="damaged"):
                        reader(store, KEY)


def _named(store: SynthStore, path: Path) -> list[Any]:
    found = verify_store(store)
    parts = path.relative_to(store.root).parts
    if "normal" in parts:
        found += verify_normals(store, KEY.dataset, CATEGORY)
    else:
        found += [
            f for key in (KEY, OWN) if key.method in parts for f in verify_set(store, key, CATEGORY)
        ]
    return found


def test_zarr_refuses_the_flips_too(store: SynthStore) -> None:
    """Strangers are safe as well: the checksums are codecs of the Zarr specification."""
    rng = np.random.default_rng(3)
    for path in chunk_files(store, KEY):
        data = path.read_bytes()
        array = next(p for p in path.parents if (p / "zarr.json").exists())
        before = zarr.open_array(array, mode="r")[:]
        for byte in rng.integers(0, len(data), 12):
            with holding(path, flipped(data, int(byte), int(rng.integers(8)))):
                if int(byte) in label_of(path):  # nobody but this reader looks there
                    np.testing.assert_array_equal(zarr.open_array(array, mode="r")[:], before)
                    continue
                with pytest.raises((ValueError, RuntimeError)):
                    zarr.open_array(array, mode="r")[:]


# --- cut, lost, zeroed ---


def _with_source(stored: StoredSet, index: int) -> tuple[Sample, int]:
    return stored[index], stored.source_of(index)


def test_every_truncation_is_refused(store: SynthStore, made: dict[StoreKey, Any]) -> None:
    for name in ("image", "mask", "source"):
        path = next(p for p in chunk_files(store, KEY) if name in p.parts)
        data = path.read_bytes()
        for length in range(len(data)):
            with holding(path, data[:length]):
                assert unreadable(store, KEY, range(0, SHARD, 4), made) == {0, 4}, length


@pytest.mark.parametrize("key", [KEY, OWN])
def test_every_missing_shard_is_refused_and_rendered_anew(
    store: SynthStore, made: dict[StoreKey, Any], key: StoreKey
) -> None:
    for path in chunk_files(store, key):
        with holding(path, None):
            assert unreadable(store, key, range(COUNT), made) == set(shard_of(path))
            with pytest.raises(StoreError, match=f"^{path} is missing"):
                _with_source(reader(store, key), shard_of(path)[0])
            jobs = store.missing(key, CATEGORY)
            assert [(job.start, job.stop) for job in jobs] == [
                (shard_of(path).start, shard_of(path).stop)
            ]


@pytest.mark.parametrize("key", [KEY, OWN])
def test_zeroed_blocks_are_refused(
    store: SynthStore, made: dict[StoreKey, Any], key: StoreKey
) -> None:
    """What a file system loses in a crash often comes back as blocks of zeros."""
    for path in chunk_files(store, key):
        data = path.read_bytes()
        for start in range(0, len(data), 128):
            zeroed = data[:start] + bytes(len(data[start : start + 128])) + data[start + 128 :]
            wrong = set().union(
                *(affected(path, b) for b in range(len(data)) if zeroed[b] != data[b])
            )
            with holding(path, zeroed):
                assert unreadable(store, key, shard_of(path), made) == wrong
        with holding(path, bytes(len(data))):
            assert unreadable(store, key, shard_of(path), made) == set(shard_of(path))


# --- every way of reading ---


def _item(store: SynthStore, key: StoreKey) -> Any:
    return reader(store, key)[7]


def _iterate(store: SynthStore, key: StoreKey) -> Any:
    return list(reader(store, key))


def _batch(store: SynthStore, key: StoreKey, clean: bool) -> Any:
    image, mask = np.empty((3, 32, 32, 3), np.uint8), np.empty((3, 32, 32), np.bool_)
    reader(store, key).read_batch([1, 7, 2], image, mask, image.copy() if clean else None)


def _finish(store: SynthStore, key: StoreKey) -> Any:
    return store.finish(key, CATEGORY, COUNT)


@pytest.mark.parametrize(
    ("key", "name"),
    [(KEY, "image"), (KEY, "mask"), (KEY, "source"), (OWN, "image"), (OWN, "mask"), (OWN, "clean")],
)
def test_every_way_of_reading_refuses(store: SynthStore, key: StoreKey, name: str) -> None:
    (path,) = (p for p in chunk_files(store, key) if name in p.parts and 7 in shard_of(p))
    data = path.read_bytes()
    chunk = next(b for b in range(HEADER, len(data)) if 7 in affected(path, b)) + HEADER
    paths: list[Callable[[SynthStore, StoreKey], Any]] = [_item, _iterate, _finish]
    paths += [partial(_batch, clean=clean) for clean in (True, False)]
    for damage in (flipped(data, chunk, 3), flipped(data, len(data) - 1, 0), data[:-1], None):
        with holding(path, damage):
            for read in paths:
                with pytest.raises(StoreError):
                    read(store, key)
            assert any(str(path) in str(f) for f in verify_set(store, key, CATEGORY))
    assert faults(store) == []


# --- what no checksum of a chunk can know ---


def _exchanged(one: Path, two: Path) -> ExitStack:
    stack = ExitStack()
    first, second = one.read_bytes(), two.read_bytes()
    stack.enter_context(holding(one, second))
    stack.enter_context(holding(two, first))
    return stack


@pytest.mark.parametrize(
    ("key", "name"),
    [(KEY, "image"), (KEY, "mask"), (KEY, "source"), (OWN, "clean"), (OWN, "image")],
)
def test_two_shards_exchanged_are_refused(store: SynthStore, key: StoreKey, name: str) -> None:
    """Each is whole, but says which it is: by a direct read too, and it counts as missing."""
    one, two = (p for p in chunk_files(store, key) if name in p.parts)
    address = f"{key}/{CATEGORY} {name}"
    what = f"is `{address} 1 .*not `{address} 0" if name != "source" else "does not go with .*mask"
    with _exchanged(one, two):
        with pytest.raises(StoreError, match=f"wrong place: it {what}"):
            reader(store, key)[0]
        assert len(verify_set(store, key, CATEGORY)) == 2
        assert len(store.missing(key, CATEGORY)) == 2


def test_shards_without_a_word_are_refused_where_sets_have_an_address(store: SynthStore) -> None:
    """What an earlier release wrote into a set of this one."""
    path = next(p for p in chunk_files(store, KEY) if "mask" in p.parts)
    data, cut = path.read_bytes(), label_of(path)
    with (
        holding(path, data[: cut.start] + data[cut.stop :]),
        pytest.raises(StoreError, match="does not say that it is `toy/boxes/0/tile mask 0"),
    ):
        reader(store, KEY)[0]


def test_shards_of_two_arrays_exchanged_are_refused(store: SynthStore) -> None:
    """Even if they inflated to one size."""
    image, mask = (p for p in chunk_files(store, KEY) if "1" in p.parts and "source" not in p.parts)
    for one, two in ((image, mask), (mask, image)):
        with (
            holding(one, two.read_bytes()),
            pytest.raises(StoreError, match="is in the wrong place"),
        ):
            reader(store, KEY)[7]


# --- the way back ---


def test_damaged_shards_are_discarded_and_rendered_anew(store: SynthStore) -> None:
    path = next(p for p in chunk_files(store, KEY) if "mask" in p.parts)
    data = path.read_bytes()
    digest = store.read(KEY, CATEGORY).digest
    with holding(path, flipped(data, 20, 1)):
        assert store.missing(KEY, CATEGORY) == []  # only a full read finds it
        assert discard_damaged(store, KEY, CATEGORY) == 1
        assert generate(store, COUNT).digest == digest
        assert path.read_bytes() == data
    assert faults(store) == []
