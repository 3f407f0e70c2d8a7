"""Verify: read every byte of a store and name each that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from synth_store import fetching
from synth_store.digest import combine, image_digest, sample_digest
from synth_store.errors import UnfinishedSet
from synth_store.features import FeatureArrays
from synth_store.metadata import encode, group, read_attributes
from synth_store.places import Place, below, writable
from synth_store.reader import ShardedArray
from synth_store.selection import FEATURES
from synth_store.shards import Shard, shard_metadata, vector_metadata
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
    """Check what no single set answers for: the groups above them, and files of no one."""
    faults = []
    known = {store.root / "zarr.json"}
    owned = [store.normals_folder(d, c) for d, c in store.stored_normals()]
    owned += [store.folder(key, category) for key, category in store.sets()]
    above = {p for folder in owned for p in folder.parents if store.root in p.parents}
    for parent in sorted(above):
        path = parent / "zarr.json"
        known.add(path)
        if not path.exists():
            faults.append(Fault(path, "missing"))
        elif path.read_bytes() != encode(group()):
            faults.append(Fault(path, "not the empty group it should be"))
    for path in sorted(path for path, _ in store.root.files()):
        mine = any(folder in path.parents for folder in owned)
        if path not in known and not mine:
            faults.append(Fault(path, "not part of the store"))
    return faults


def verify_normals(
    store: SynthStore, dataset: str, category: str, progress: Progress | None = None
) -> list[Fault]:
    """Read all normals of a category and their foregrounds; return what is wrong.

    `progress(done, total)` is called after every image and after every foreground.
    """
    folder = store.normals_folder(dataset, category)
    fetching.held.forget()
    try:
        normals = store.normals(dataset, category)
    except StoreError as error:
        return [Fault(folder / "zarr.json", str(error))]
    count = len(normals.ids)
    faults = []
    for array, digest in (
        (normals.image, normals.digest),
        (normals.foreground, normals.attributes["foreground_digest"]),
    ):
        faults += _array_faults(array, count)
        digests, unreadable = [], []
        for index in range(count):
            pixels = np.empty(array.shape, array.dtype)
            try:
                array.read(index, pixels)
            except StoreError as error:
                unreadable.append(Fault(array.path(index // array.capacity), str(error)))
            digests.append(image_digest(pixels))
            if progress is not None:
                progress(1, 2 * count)
        faults += unreadable
        if not unreadable and combine(digests) != digest:
            faults.append(Fault(array.folder, "its pixels do not match the recorded digest"))
    return faults + list(_strangers(folder, {"image", "foreground"}))


def verify_set(
    store: SynthStore, key: StoreKey, category: str, progress: Progress | None = None
) -> list[Fault]:
    """Read all of a set, down to its metadata; return what is wrong, an empty list if nothing is.

    `progress(done, total)` is called with 1 and the count after every sample.
    """
    folder = store.folder(key, category)
    fetching.held.forget()
    try:
        attributes = read_attributes(folder)
        stored = store.read(key, category)
    except StoreError as error:
        return [Fault(folder / "zarr.json", str(error))]
    arrays = [a for a in (stored.image, stored.mask, stored.clean) if a is not None]
    faults = [f for array in arrays for f in _array_faults(array, attributes["target"])]
    vector = encode(vector_metadata(attributes["target"], attributes["shard"]))
    faults += _file_faults(folder / "source" / "zarr.json", vector)
    digests = []
    for index in range(stored.count):
        try:
            digests.append(sample_digest(stored, index))
        except StoreError as error:
            faults.append(Fault(folder, f"sample {index}: {error}"))
        if progress is not None:
            progress(1, stored.count)
    if len(digests) == stored.count and combine(digests) != stored.digest:
        faults.append(Fault(folder, "its pixels do not match the recorded digest"))
    if not attributes["complete"]:
        unfinished = UnfinishedSet(store, key, category, stored.count, attributes["target"])
        faults.append(Fault(folder, str(unfinished)))
    return faults + list(_strangers(folder, {a.folder.name for a in arrays} | {"source"}))


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
    faults += [Fault(beside.joinpath(*parts), "not part of the store") for parts in strangers]
    for name in sorted({parts[0] for parts in files if len(parts) > 1}):
        try:
            arrays = FeatureArrays(store.root, beside / name)
        except StoreError as error:
            faults.append(Fault(beside / name / "zarr.json", str(error)))
            continue
        for array in arrays.arrays.values():
            faults += _array_faults(array, arrays.count)
            faults += _shard_faults(array, -(-arrays.count // array.capacity))
        faults += _strangers(arrays.folder, set(arrays.arrays))
    return faults


def _shard_faults(array: ShardedArray, shards: int) -> Iterator[Fault]:
    """Yield what is wrong with those shards that are there: the rest nobody computed yet."""
    out = np.empty(array.shape, array.dtype)
    for number in range(shards):
        path = writable(array.path(number))
        if not path.exists():
            continue
        try:
            shard = Shard.map(path, array.capacity)
            for place in range(shard.present):
                shard.read(place, out)
        except StoreError as error:
            yield Fault(path, str(error))


def discard_damaged(store: SynthStore, key: StoreKey, category: str) -> int:
    """Delete the shards of a set that hold a damaged sample; return how many.

    The set's samples are functions of their address: generating it again renders the same bytes.
    """
    stored = store.read(key, category)
    damaged = set()
    for index in range(stored.count):
        try:
            sample_digest(stored, index)
        except StoreError:
            damaged.add(index // stored.image.capacity)
    for number in damaged:
        writable(stored.image.path(number)).unlink(missing_ok=True)
    return len(damaged)


def _array_faults(array: ShardedArray, count: int) -> list[Fault]:
    names = ["sample", "y", "x", "c"][: len(array.shape) + 1]
    document = shard_metadata((count, *array.shape), array.dtype.name, array.capacity, names)
    return _file_faults(array.folder / "zarr.json", encode(document))


def _file_faults(path: Place, expected: bytes) -> list[Fault]:
    if not path.exists():
        return [Fault(path, "missing")]
    if path.read_bytes() != expected:
        return [Fault(path, "damaged: not the metadata this array should have")]
    return []


def _strangers(folder: Place, arrays: set[str]) -> Iterator[Fault]:
    """Yield the files in a category's folder that are neither its metadata nor its chunks.

    Nor its features, for which `verify_features` answers.
    """
    for path in sorted(path for path, _ in folder.files()):
        parts = below(path, folder)
        if parts[0] == FEATURES and len(parts) > 1:
            continue
        metadata = parts == ("zarr.json",) or (parts[0] in arrays and parts[1:] == ("zarr.json",))
        chunk = (
            parts[0] in arrays and parts[1:2] == ("c",) and all(p.isdecimal() for p in parts[2:])
        )
        if not (metadata or chunk):
            yield Fault(path, "not part of the store")
