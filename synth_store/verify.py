"""Verify: read every byte of a store and name each that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from synth_store import fetching
from synth_store.arrays import ShardedArray, array_metadata
from synth_store.digest import combine, image_digest, sample_digest
from synth_store.errors import UnfinishedSet
from synth_store.features import SHARD, FeatureArrays
from synth_store.listing import NOT_OURS, listing
from synth_store.metadata import encode, group
from synth_store.places import Place, below, writable
from synth_store.reader import Normals
from synth_store.selection import FEATURES
from synth_store.shards import Shard, vector_metadata
from synth_store.store import SynthStore
from synth_store.types import StoreError, StoreKey

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A file of a store that is not what it should be, and why."""

    path: Place
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def verify_store(store: SynthStore) -> list[Fault]:
    """Check what no single set answers for: the groups above them, and what is no one's.

    One fault for a folder that is not the store's, whatever it holds.
    """
    listed = listing(store.root)
    owned = [store.normals_folder(d, c) for d, c in listed.normals]
    owned += [store.folder(key, category) for key, category in listed.sets]
    above = {p for folder in owned for p in folder.parents if store.root in p.parents}
    faults = [f for parent in above for f in _file_faults(parent / "zarr.json", encode(group()))]
    faults += [Fault(stray.path, stray.reason) for stray in listed.strays]
    return sorted(faults, key=lambda fault: str(fault.path))


def verify_normals(
    store: SynthStore, dataset: str, category: str, progress: Progress | None = None
) -> list[Fault]:
    """Read all normals of a category and their foregrounds; return what is wrong.

    `progress(done, total)` is called after every image and after every foreground.
    """
    folder = store.normals_folder(dataset, category)
    fetching.held.forget()
    try:
        normals = Normals(folder, store.geometry)  # what others hold mapped may be of before
    except StoreError as error:
        return [Fault(folder / "zarr.json", str(error))]
    count = len(normals.ids)
    faults = []
    for array, digest in (
        (normals.image, normals.digest),
        (normals.foreground, normals.attributes["foreground_digest"]),
    ):
        faults += _array_faults(array, count)
        digests, unreadable = [], _Unreadable(array.capacity)
        for index in range(count):
            pixels = np.empty(array.shape, array.dtype)
            with unreadable.noting(index):
                array.read(index, pixels)
                digests.append(image_digest(pixels))
            if progress is not None:
                progress(1, 2 * count)
        faults += [Fault(array.path(n), reason) for n, reason in unreadable.reasons()]
        if len(digests) == count and combine(digests) != digest:
            faults.append(Fault(array.folder, "its pixels do not match the recorded digest"))
    shards = -(-count // normals.image.capacity)
    return faults + list(_strangers(folder, [normals.image, normals.foreground], shards))


def verify_set(
    store: SynthStore, key: StoreKey, category: str, progress: Progress | None = None
) -> list[Fault]:
    """Read all of a set, down to its metadata; return what is wrong, an empty list if nothing is.

    `progress(done, total)` is called with 1 and the count after every sample.
    """
    folder = store.folder(key, category)
    fetching.held.forget()
    try:
        attributes = store.attributes(key, category)
        stored = store.read(key, category)
    except StoreError as error:
        return [Fault(folder / "zarr.json", str(error))]
    arrays = [a for a in (stored.image, stored.mask, stored.clean) if a is not None]
    faults = [f for array in arrays for f in _array_faults(array, attributes["target"])]
    vector = encode(vector_metadata(attributes["target"], attributes["shard"]))
    faults += _file_faults(folder / "source" / "zarr.json", vector)
    digests, unreadable = [], _Unreadable(stored.image.capacity)
    for index in range(stored.count):
        with unreadable.noting(index):
            digests.append(sample_digest(stored, index))
        if progress is not None:
            progress(1, stored.count)
    faults += [Fault(folder, reason) for _, reason in unreadable.reasons()]
    if len(digests) == stored.count and combine(digests) != stored.digest:
        faults.append(Fault(folder, "its pixels do not match the recorded digest"))
    if not attributes["complete"]:
        unfinished = UnfinishedSet(store, key, category, stored.count, attributes["target"])
        faults.append(Fault(folder, str(unfinished)))
    shards = -(-attributes["target"] // stored.image.capacity)
    return faults + list(_strangers(folder, arrays, shards, vector=True))


class _Unreadable:
    """Samples that could not be read, by shard: a lost shard is one fault, whatever it held."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._by_shard: dict[int, list[tuple[int, str]]] = {}

    @contextmanager
    def noting(self, index: int) -> Iterator[None]:
        """Note the sample if reading it raises StoreError."""
        try:
            yield
        except StoreError as error:
            self._by_shard.setdefault(index // self.capacity, []).append((index, str(error)))

    def reasons(self) -> Iterator[tuple[int, str]]:
        """Yield, for every shard with such samples, its number, and which they are and why."""
        for number, noted in sorted(self._by_shard.items()):
            first, reason = noted[0]
            more = f" and {len(noted) - 1} more of its shard" if len(noted) > 1 else ""
            yield number, f"sample {first}{more}: {reason}"


def verify_features(store: SynthStore, folder: Place) -> list[Fault]:
    """Read all features beside the images in a folder; return what is wrong.

    They may be of some of the images only, or of images that have been replaced since: what is
    asked for is computed then.
    """
    if folder.remote:  # no copy brings any there, and none are read from there
        return []
    beside = folder / FEATURES
    files = sorted(below(path, beside) for path, _ in beside.files())
    if not files:
        return []
    faults = _file_faults(beside / "zarr.json", encode(group()))
    strangers = [parts for parts in files if len(parts) == 1 and parts != ("zarr.json",)]
    faults += [Fault(beside.joinpath(*parts), NOT_OURS) for parts in strangers]
    for name in sorted({parts[0] for parts in files if len(parts) > 1}):
        try:
            arrays = FeatureArrays(store.root, beside / name)
        except StoreError as error:
            faults.append(Fault(beside / name / "zarr.json", str(error)))
            continue
        for array in arrays.arrays.values():
            faults += _array_faults(array, arrays.count)
            faults += _shard_faults(array, -(-arrays.count // array.capacity))
        shards = -(-arrays.count // SHARD)
        faults += _strangers(arrays.folder, arrays.arrays.values(), shards)
    return faults


def _shard_faults(array: ShardedArray, shards: int) -> Iterator[Fault]:
    """Yield what is wrong with those shards that are there: the rest nobody computed yet."""
    out = np.empty(array.shape, array.dtype)
    for number in range(shards):
        path = writable(array.path(number))
        if not path.exists():
            continue
        try:
            shard = Shard.map(path, array.capacity, array.owner, array.label(number))
            for place in range(shard.present):
                shard.read(place, out)
        except StoreError as error:
            yield Fault(path, str(error))


def discard_damaged(store: SynthStore, key: StoreKey, category: str) -> int | None:
    """Delete the shards of a set that hold a damaged sample, or none; return how many.

    The set's samples are functions of their address: generating it again renders the same bytes.
    Where its metadata is damaged, or another set's, nothing tells what the shards are: all of it
    goes, and None is returned. One whose normals are missing or others stays as it is. Raises
    StoreError for shards behind a link, which may lead out of the store.
    """
    folder = store.folder(key, category)
    try:
        attributes = store.attributes(key, category)
    except StoreError:
        root, folder = writable(store.root), writable(folder)
        with root.locked():
            folder.clear(root)
        return None
    try:
        stored = store.read(key, category)
    except StoreError:
        return 0
    damaged = set()
    for index in range(stored.count):
        try:
            sample_digest(stored, index)
        except StoreError:
            damaged.add(index // stored.image.capacity)
    paths = {writable(stored.image.path(number)) for number in damaged}
    arrays = [a for a in (stored.image, stored.mask, stored.clean) if a is not None]
    shards = -(-attributes["target"] // stored.image.capacity)
    surplus = [fault.path for fault in _strangers(folder, arrays, shards, vector=True)]
    paths |= {writable(path) for path in surplus if _is_shard(below(path, folder), arrays)}
    for path in paths:
        path.refuse_link_above(writable(store.root))
    for path in paths:
        path.remove()
    return len(paths)


def discard_normals(store: SynthStore, dataset: str, category: str) -> None:
    """Take away the metadata of normals: there are none until they are written again, whole.

    Sets that were drawn on the same normals go on standing.
    """
    root = writable(store.root)
    path = writable(store.normals_folder(dataset, category)) / "zarr.json"
    path.refuse_link_above(root)
    with root.locked():
        path.remove()


def _is_shard(parts: tuple[str, ...], arrays: list[ShardedArray]) -> bool:
    """Say whether a path in a set's folder is that of a shard, whatever its number."""
    names = {array.folder.name for array in arrays} | {"source"}
    return parts[0] in names and parts[1:2] == ("c",) and all(p.isdecimal() for p in parts[2:])


def _array_faults(array: ShardedArray, count: int) -> list[Fault]:
    return _file_faults(array.folder / "zarr.json", array_metadata(array, count))


def _file_faults(path: Place, expected: bytes) -> list[Fault]:
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return [Fault(path, "missing")]
    except OSError as error:
        return [Fault(path, f"cannot be read: {error.strerror or error}")]
    if content != expected:
        return [Fault(path, "damaged: not the metadata that should stand there")]
    return []


def _strangers(
    folder: Place, arrays: Iterable[ShardedArray], shards: int, *, vector: bool = False
) -> Iterator[Fault]:
    """Yield the files in a category's folder that are neither its metadata nor one of its shards.

    Nor its features, for which `verify_features` answers. One fault for all of a folder that is
    none of its own.
    """
    known: set[tuple[str, ...]] = {("zarr.json",)}
    for array in arrays:
        known.add((array.folder.name, "zarr.json"))
        known |= {below(array.path(number), folder) for number in range(shards)}
    if vector:
        known |= {("source", "zarr.json"), *(("source", "c", str(n)) for n in range(shards))}
    own, named = {parts[0] for parts in known}, set[Place]()
    try:
        for path in sorted(path for path, _ in folder.files()):
            parts = below(path, folder)
            if parts in known or (parts[0] == FEATURES and len(parts) > 1):
                continue
            stranger = path if parts[0] in own or len(parts) == 1 else folder / parts[0]
            if stranger not in named:
                named.add(stranger)
                yield Fault(stranger, NOT_OURS)
    except StoreError as error:
        yield Fault(folder, str(error))
