"""Sharded arrays of a store: read sample by sample from mapped or fetched shards."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Any
from weakref import ref

import numpy as np
import numpy.typing as npt

from synth_store import fetching
from synth_store.labels import Owner
from synth_store.local import LocalPath
from synth_store.metadata import encode, write_if_other
from synth_store.places import Place
from synth_store.remote import RemotePath
from synth_store.shards import Shard, checked_frame, encode_shard, shard_metadata
from synth_store.types import Geometry

# Every mapped shard holds a file descriptor, and many sets of small shards hold thousands of them.
_MAPPED = min(max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2, 64), 4096)


class ShardedArray:
    """One sharded array of a store, read sample by sample.

    Shards are mapped, or from an object store fetched whole, when first touched; those mapped
    longest ago are let go when they are many, and all of them with the array.
    """

    def __init__(
        self,
        folder: Place,
        capacity: int,
        shape: tuple[int, ...],
        dtype: Any,
        owner: Owner,
        version: Hashable = None,
    ) -> None:
        self.folder = folder
        self.owner = owner
        """What its shards belong to, which each of them says."""
        self.capacity = capacity
        self.shape = shape
        """Shape of one sample."""
        self.dtype = np.dtype(dtype)
        self.version = version
        """Another once all was written anew: what was fetched of the old is not of the new."""
        self._shards: dict[int, Shard] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        what = self.folder, self.capacity, self.shape, self.dtype, self.owner, self.version
        return ShardedArray, what

    def path(self, number: int) -> Place:
        """Return the file of a shard: zarr's default chunk key."""
        return self.folder.joinpath("c", str(number), *["0"] * len(self.shape))

    def label(self, number: int) -> bytes:
        """Return the label that a shard carries."""
        return self.owner.label(self.folder.name, number)

    def shard(self, number: int) -> Shard:
        """Map or fetch a shard; raises StoreError if it is missing, damaged or another's."""
        shard = self._shards.get(number)
        if shard is not None:
            return shard
        path = self.path(number)
        if isinstance(path, RemotePath):
            label = self.label(number)
            return fetching.held(path, self.capacity, self.version, self.owner, label)
        return self._map(path, number)

    def _map(self, path: LocalPath, number: int) -> Shard:
        shard = Shard.map(path, self.capacity, self.owner, self.label(number))
        self._shards[number] = shard
        _mapped.append((ref(self), number))
        while len(_mapped) > _MAPPED:
            of, oldest = _mapped.popleft()
            array = of()
            if array is not None:
                array._shards.pop(oldest, None)
        return shard

    def encode(self, number: int, chunks: Sequence[bytes], beside: bytes = b"") -> bytes:
        """Return the file of a shard of these encoded chunks; beside: see `encode_shard`."""
        return encode_shard(chunks, self.capacity, self.label(number), beside)

    def read(self, index: int, out: npt.NDArray[Any]) -> None:
        """Inflate one sample into `out`, C-contiguous, of this array's shape and dtype."""
        number, place = divmod(index, self.capacity)
        self.shard(number).read(place, out)

    def encoded(self, number: int, count: int) -> list[bytes]:
        """Return the first `count` chunks of a shard as stored, their checksums checked."""
        if not count:
            return []
        shard = self.shard(number)
        chunks = [bytes(shard.encoded(place)) for place in range(count)]
        for place, chunk in enumerate(chunks):
            checked_frame(memoryview(chunk), f"{shard.where}, chunk {place},")
        return chunks


_mapped: deque[tuple[ref[ShardedArray], int]] = deque()
"""The shards of this process that are mapped, the oldest first, by array and number."""


def array_metadata(array: ShardedArray, count: int) -> bytes:
    """Return what the `zarr.json` of an array of `count` samples holds."""
    names = ["sample", "y", "x", "c"][: len(array.shape) + 1]
    return encode(shard_metadata((count, *array.shape), array.dtype.name, array.capacity, names))


def write_array(array: ShardedArray, count: int) -> None:
    """Write the `zarr.json` of an array of `count` samples."""
    write_if_other(array.folder / "zarr.json", array_metadata(array, count))


def image_array(
    folder: Place,
    name: str,
    capacity: int,
    geometry: Geometry,
    owner: Owner,
    version: Hashable = None,
) -> ShardedArray:
    """Return the uint8 array `name` of a category's folder."""
    shape = (geometry.height, geometry.width, 3)
    return ShardedArray(folder / name, capacity, shape, np.uint8, owner, version)


def mask_array(
    folder: Place,
    name: str,
    capacity: int,
    geometry: Geometry,
    owner: Owner,
    version: Hashable = None,
) -> ShardedArray:
    """Return the bool array `name` of a category's folder."""
    shape = (geometry.height, geometry.width)
    return ShardedArray(folder / name, capacity, shape, np.bool_, owner, version)
