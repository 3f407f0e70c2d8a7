"""The store: created, filled shard by shard, finished, verified.

    <root>/<dataset>/normal/<category>/        image, foreground
    <root>/<dataset>/<method>/<seed>/<category>/   image, mask, source (, clean)

`create` writes all metadata of a set before any job runs; jobs write shards and touch no metadata;
`finish` reads everything back and records the count and the digest. Several processes may do any
of this at once, on one key too. On an object store (`s3://bucket/prefix`) a store is only read.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import numpy as np

from synth_store.arrays import ShardedArray, image_array, mask_array, write_array
from synth_store.digest import combine, sample_digests
from synth_store.errors import (
    ChangedSamples,
    MissingNormals,
    MissingSamples,
    MissingSet,
    NoStore,
    OtherGeometry,
    UnfinishedSet,
)
from synth_store.identity import refuse_other_identity, refuse_other_versions
from synth_store.labels import Owner
from synth_store.listing import listing
from synth_store.metadata import (
    VERSION,
    Json,
    encode,
    group,
    write_if_other,
    write_parents,
)
from synth_store.places import Place, place, writable
from synth_store.reader import (
    Normals,
    StoredSet,
    read_sources,
)
from synth_store.schema import read_root, read_set
from synth_store.shards import checksum_of, encode_chunk, vector_metadata
from synth_store.types import (
    Geometry,
    Sample,
    StoreError,
    StoreKey,
    check_category,
    check_name,
)

ARITHMETIC = {
    "residual": "image = (stored + clean) mod 256; clean = normal[source], or `clean` if present",
    "plain": "image = stored; clean = normal[source], or `clean` if present",
}


@dataclass(frozen=True, slots=True)
class Job:
    """What one shard still lacks: samples start..stop of the set, `number` counting shards."""

    number: int
    start: int
    stop: int


@dataclass(frozen=True)
class SynthStore:
    """A store at `root`, whose images all share one geometry. Pickles as its place."""

    root: Place
    geometry: Geometry

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", place(self.root))

    @property
    def remote(self) -> bool:
        """Whether it is on an object store, where it is read and not written."""
        return self.root.remote

    @classmethod
    def open(cls, root: Path | Place | str, geometry: Geometry | None = None) -> Self:
        """Open a store; raises StoreError if none is there or its geometry or version differs.

        root: a folder, or `s3://bucket/prefix` for a store that is read from there.
        """
        root = place(root)
        if not cls.stands_at(root):
            raise NoStore(root)
        stored = read_root(root)
        if geometry is not None and geometry != stored:
            raise OtherGeometry(root, stored, geometry)
        return cls(root, stored)

    @staticmethod
    def stands_at(root: Path | Place | str) -> bool:
        """Say whether there is a store at a place."""
        return (place(root) / "zarr.json").state() is not None

    @classmethod
    def create(cls, root: Path | Place | str, geometry: Geometry | None = None) -> Self:
        """Open the store at `root`, or make an empty one (256x256 unless `geometry` says else).

        One on an object store is opened where it stands, and refused where it does not.
        """
        root = place(root)
        if root.remote and cls.stands_at(root):
            return cls.open(root, geometry)
        root = writable(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make a store at {root}: {error.strerror}.") from error
        if not (root / "zarr.json").exists():
            attributes = {"version": VERSION, "geometry": (geometry or Geometry()).attributes()}
            (root / "zarr.json").create(encode(group(attributes)))
        return cls.open(root, geometry)

    # --- normals ---------------------------------------------------------------------------------

    def normals_folder(self, dataset: str, category: str) -> Place:
        """Return the folder of a category's normals."""
        check_name(dataset, "data set")
        return self.root / dataset / "normal" / check_category(category)

    def has_normals(self, dataset: str, category: str) -> bool:
        """Say whether the category's normals are stored, wholly."""
        return (self.normals_folder(dataset, category) / "zarr.json").state() is not None

    def normals(self, dataset: str, category: str) -> Normals:
        """Return the stored normals of a category; raises StoreError if there are none."""
        folder = self.normals_folder(dataset, category)
        state = (folder / "zarr.json").state()
        if state is None:
            raise MissingNormals(self.root, dataset, category)
        return _normals(folder, self.geometry, state)

    # --- sets ------------------------------------------------------------------------------------

    def folder(self, key: StoreKey, category: str) -> Place:
        """Return the folder of one category of a set."""
        return self.root / str(key) / check_category(category)

    def has(self, key: StoreKey, category: str) -> bool:
        """Say whether the set was created, finished or not."""
        return (self.folder(key, category) / "zarr.json").state() is not None

    def attributes(self, key: StoreKey, category: str) -> Json:
        """Return all that is recorded of a set, finished or not; raises StoreError if damaged.

        So it does where what stands there was written for another place.
        """
        return read_set(self.folder(key, category), f"{key}/{category}")

    def count(self, key: StoreKey, category: str) -> int:
        """Return how many finished samples of a set may be read; 0 for one that was only begun."""
        count: int = self.attributes(key, category)["count"]
        return count

    def create_set(
        self,
        key: StoreKey,
        category: str,
        count: int,
        *,
        identity: Mapping[str, Any],
        versions: Mapping[str, str],
        record: Mapping[str, Any] | None = None,
        shard: int = 256,
        replace: bool = False,
    ) -> list[Job]:
        """Write the metadata of a set that is to hold `count` samples; return the jobs left to do.

        `identity` says what makes the set this set: at least `encoding` (residual or plain),
        `generated` (samples bring their own clean image) and `normals` (their digest), and
        whatever else decides its pixels. A set under the same key with another identity is refused,
        naming the difference. So is growing or resuming one under other library versions, whose
        pixels could differ. `record` is kept beside it and never compared. A smaller `count` than
        stored leaves the set as it is. `shard` counts samples in a shard of a new set; it plays no
        part in the pixels. `replace` removes what is there first. On an object store, or a disk
        that is mounted to be read alone, a set of that identity that stands whole is found, and
        anything else is refused.
        """
        if self.root.read_only and not replace and self.has(key, category):
            stored = self.attributes(key, category)
            refuse_other_identity(f"{key}/{category}", stored, identity)
            if count <= stored["count"]:
                return []
        folder = writable(self.folder(key, category))
        with self.root.locked():
            # Shards without their metadata (a replacement killed halfway) belong to no set.
            if replace or not self.has(key, category):
                folder.clear(writable(self.root))
            if self.has(key, category):
                stored = self.attributes(key, category)
                refuse_other_identity(f"{key}/{category}", stored, identity)
                target = max(count, stored["target"])
                if target > stored["count"]:
                    refuse_other_versions(f"{key}/{category}", stored["versions"], versions)
                attributes = {**stored, "target": target, "complete": stored["count"] == target}
            else:
                attributes = {
                    "kind": "set",
                    "address": f"{key}/{category}",
                    **identity,
                    "identity": sorted(identity),
                    "shard": shard,
                    "record": dict(record or {}),
                    "arithmetic": ARITHMETIC[identity["encoding"]],
                    "versions": dict(versions),
                    "created": datetime.now(UTC).isoformat(timespec="seconds"),
                    "target": count,
                    "count": 0,
                    "digest": None,
                    "complete": False,
                }
            write_parents(self.root, folder)
            folder.remove_abandoned()
            for array in self._arrays(key, category, attributes):
                write_array(array, attributes["target"])
            vector = vector_metadata(attributes["target"], attributes["shard"])
            write_if_other(folder / "source" / "zarr.json", encode(vector))
            write_if_other(folder / "zarr.json", encode(group(attributes)))
        return self.missing(key, category, count)

    def missing(self, key: StoreKey, category: str, count: int | None = None) -> list[Job]:
        """Return what the first `count` samples (default: all intended) still lack, by shard."""
        attributes = self.attributes(key, category)
        capacity: int = attributes["shard"]
        wanted = attributes["target"] if count is None else count
        jobs = []
        for number in range(-(-wanted // capacity)):
            first, stop = number * capacity, min((number + 1) * capacity, wanted)
            start = first + self._present(key, category, attributes, number)
            if start < stop:
                jobs.append(Job(number, start, stop))
        return jobs

    def write(
        self,
        key: StoreKey,
        category: str,
        job: Job,
        samples: Sequence[Sample],
        sources: Sequence[int],
    ) -> None:
        """Store the samples of one job, keeping what its shard holds already.

        The image shard is renamed into place last and is the commit mark: a killed writer leaves
        a shard that counts as missing. A shard that others grew further meanwhile stays as it is:
        its samples are the same. Raises StoreError when the disk is full, ValueError when
        the samples are not what the set was created for.
        """
        if len(samples) != job.stop - job.start or len(sources) != len(samples):
            raise ValueError(f"{job} got {len(samples)} samples and {len(sources)} sources")
        folder = writable(self.folder(key, category))
        attributes = self.attributes(key, category)
        capacity: int = attributes["shard"]
        kept = job.start - job.number * capacity
        normals = self.normals(key.dataset, category)
        residual = attributes["encoding"] == "residual"
        arrays = {array.folder.name: array for array in self._arrays(key, category, attributes)}
        chunks = {name: array.encoded(job.number, kept) for name, array in arrays.items()}
        for sample, source in zip(samples, sources, strict=True):
            if sample.mask.shape != (self.geometry.height, self.geometry.width):
                raise ValueError(f"{key} made a {sample.mask.shape} sample for {self.geometry}")
            if (sample.clean is not None) != attributes["generated"] or (source < 0) != (
                sample.clean is not None
            ):
                raise ValueError(f"{key}: a sample's source is -1 exactly where it has its clean")
            clean = normals[source] if sample.clean is None else sample.clean
            chunks["image"].append(encode_chunk(sample.image - clean if residual else sample.image))
            chunks["mask"].append(encode_chunk(sample.mask))
            if sample.clean is not None:
                chunks["clean"].append(encode_chunk(sample.clean))
        vector = np.full(capacity, -1, "<i4")
        path = folder / "source" / "c" / str(job.number)
        if kept:
            vector[:kept] = read_sources(arrays["mask"], job.number)[:kept]
        vector[kept : kept + len(sources)] = sources
        beside = {"mask": checksum_of(vector[: kept + len(sources)])}
        shards = {
            name: array.encode(job.number, chunks[name], beside.get(name, b""))
            for name, array in arrays.items()
        }
        with self.root.locked():
            if self._present(key, category, attributes, job.number) >= kept + len(samples):
                return
            path.write(encode_chunk(vector))
            for name in ("mask", "clean", "image"):
                if name in shards:
                    arrays[name].path(job.number).write(shards[name])

    def finish(self, key: StoreKey, category: str, count: int, *, threads: int = 1) -> StoredSet:
        """Read the first `count` samples back, on so many threads; record their number and digest.

        Raises StoreError if any is missing or damaged, or if samples that were recorded before
        are others now. Never lowers the recorded count.
        """
        if self.root.read_only and count <= self.count(key, category):
            return self.read(key, category)
        folder = writable(self.folder(key, category))
        left = self.missing(key, category, count)
        if left:
            lacking = sum(job.stop - job.start for job in left)
            raise MissingSamples(f"{key}/{category}", lacking, count)
        count = max(count, self.count(key, category))
        digests = sample_digests(self._reader(key, category), count, threads)
        with self.root.locked():
            attributes = self.attributes(key, category)
            before: int = attributes["count"]
            if 0 < before <= count and combine(digests[:before]) != attributes["digest"]:
                raise ChangedSamples(folder, before)
            if count >= before:
                attributes |= {
                    "count": count,
                    "digest": combine(digests),
                    "complete": count == attributes["target"],
                }
                (folder / "zarr.json").write(encode(group(attributes)))
        return self.read(key, category)

    def read(self, key: StoreKey, category: str) -> StoredSet:
        """Return a set for reading; raises StoreError if it is absent or holds nothing yet."""
        if not self.has(key, category):
            raise MissingSet(self, key, category)
        stored = self._reader(key, category)
        if not stored.count:
            raise UnfinishedSet(self, key, category, 0, stored.attributes["target"])
        return stored

    def sets(self) -> list[tuple[StoreKey, str]]:
        """Return the key and category of every set, sorted; unfinished ones too."""
        return listing(self.root).sets

    def stored_normals(self) -> list[tuple[str, str]]:
        """Return data set and category of all stored normals, sorted."""
        return listing(self.root).normals

    # --- within ----------------------------------------------------------------------------------

    def _reader(self, key: StoreKey, category: str) -> StoredSet:
        normals = self.normals(key.dataset, category)
        return StoredSet(self.folder(key, category), key, category, normals)

    def _arrays(self, key: StoreKey, category: str, attributes: Json) -> list[ShardedArray]:
        folder, capacity = self.folder(key, category), attributes["shard"]
        owner = Owner.of(f"{key}/{category}", attributes)
        arrays = [
            image_array(folder, "image", capacity, self.geometry, owner),
            mask_array(folder, "mask", capacity, self.geometry, owner),
        ]
        if attributes["generated"]:
            arrays.append(image_array(folder, "clean", capacity, self.geometry, owner))
        return arrays

    def _present(self, key: StoreKey, category: str, attributes: Json, number: int) -> int:
        """Return how many samples of a shard stand, in all of its arrays; 0 if one is unreadable.

        What is damaged counts as absent here, so that it is rendered anew.
        """
        try:
            arrays = self._arrays(key, category, attributes)
            read_sources(arrays[1], number)
            return min(array.shard(number).present for array in arrays)
        except StoreError:
            return 0


@lru_cache(maxsize=8)
def _normals(folder: Place, geometry: Geometry, changed: Hashable) -> Normals:
    """Return one object per stored normals and process, so that each is inflated once."""
    return Normals(folder, geometry)
