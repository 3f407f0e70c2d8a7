"""Features of stored images, beside them: what a network says of each, computed once, float16.

    <root>/<dataset>/normal/<category>/features/<name>/
    <root>/<dataset>/<method>/<seed>/<category>/features/<name>/

Below stands one sharded array a level, of as many items as there are images. What network that was,
this package does not know: it keeps what it is told of it, and which images it was shown. Features
are derived: no part of a set's identity or digest, dropped without loss, computed shard by shard as
they are asked for. An item that nobody computed reads as NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from synth_store.arrays import ShardedArray, write_array
from synth_store.labels import Owner
from synth_store.local import LocalPath
from synth_store.metadata import Json, encode, group, write_if_other
from synth_store.places import Place, below, writable
from synth_store.removal import Removed
from synth_store.schema import read_features
from synth_store.selection import FEATURES, bytes_on_disk
from synth_store.shards import Shard, encode_chunk
from synth_store.store import SynthStore
from synth_store.types import StoreError, check_category

SHARD = 64
"""Images in a shard: what a killed process loses, a few seconds of a core, and what is computed
where one image of it is asked for; yet 2 files for 5 to 100 MB."""

Levels = Mapping[str, npt.NDArray[np.float16]]
"""By level, float16 (n, h, w, c)."""


@dataclass(frozen=True)
class Pictured:
    """Images that features are of, and the folder of the store that these stand in.

    digest: of all `count` images; first: the digest of the first ones alone, where there can be
    more of them later.
    """

    folder: Place
    count: int
    digest: str
    first: Callable[[int], str] | None = None


class FeatureArrays:
    """What is kept under one name beside one set. Raises StoreError for a wrong or missing byte.

    count: images that it is to be of; attributes: everything recorded of it.
    """

    def __init__(self, root: Place, folder: Place) -> None:
        self.root, self.folder = writable(root), writable(folder)
        self.attributes: Json = read_features(folder)
        self.count: int = self.attributes["of"]["count"]
        owner = _owner(root, folder, self.attributes)
        self.arrays = {
            level: ShardedArray(folder / level, SHARD, tuple(shape), np.float16, owner)
            for level, shape in self.attributes["levels"]
        }

    def images(self, number: int) -> range:
        """Return which images a shard is to be of."""
        return range(number * SHARD, min((number + 1) * SHARD, self.count))

    def present(self, number: int) -> int:
        """Return how many images of a shard stand, in all levels; damaged ones are absent."""
        try:
            return min(self._shard(level, number).present for level in self.arrays)
        except StoreError:
            return 0

    def missing(self, indices: Iterable[int]) -> list[int]:
        """Return the shards that lack an image, of those that hold one of these images."""
        wanted = sorted({index // SHARD for index in indices})
        return [n for n in wanted if self.present(n) < len(self.images(n))]

    def write(self, number: int, levels: Levels) -> None:
        """Store a whole shard; its last level is renamed into place last and is the commit mark.

        One that others wrote meanwhile stays as it is: it holds the same. Raises StoreError when
        the disk is full, and where what is here was begun anew, or dropped, meanwhile.
        """
        shards = {}
        for level, array in self.arrays.items():
            if levels[level].shape != (len(self.images(number)), *array.shape):
                raise ValueError(f"shard {number} got {levels[level].shape} for {array.shape}")
            shards[level] = array.encode(number, [encode_chunk(one) for one in levels[level]])
        with self.root.locked():
            self._refuse_changed()
            if self.present(number) < len(self.images(number)):
                for level, shard in shards.items():
                    writable(self.arrays[level].path(number)).write(shard)

    def read(self, indices: Sequence[int]) -> dict[str, npt.NDArray[np.float16]]:
        """Return the features of these images, in their order."""
        rows: dict[int, list[int]] = {}
        for row, index in enumerate(indices):
            rows.setdefault(index // SHARD, []).append(row)
        out = {
            level: np.empty((len(indices), *array.shape), array.dtype)
            for level, array in self.arrays.items()
        }
        try:
            for number, of in rows.items():
                for level, array in out.items():
                    shard = self._shard(level, number)
                    for row in of:
                        shard.read(indices[row] % SHARD, array[row])
        finally:  # what changed meanwhile may be the reason why something is missing
            self._refuse_changed()
        return out

    def _shard(self, level: str, number: int) -> Shard:
        array = self.arrays[level]
        return Shard.map(writable(array.path(number)), SHARD, array.owner, array.label(number))

    def _refuse_changed(self) -> None:
        """Raise StoreError unless these are those that were opened, grown or not."""
        if (_recorded(self.folder) or {}).get("created") != self.attributes["created"]:
            raise StoreError(f"{self.folder} was changed or dropped meanwhile: run it again.")


def kept(
    store: SynthStore,
    of: Pictured,
    name: str,
    *,
    identity: Mapping[str, Any],
    levels: Mapping[str, tuple[int, ...]],
    versions: Mapping[str, str],
    wanted: Sequence[int],
) -> FeatureArrays | None:
    """Return what is kept of images under a name; begun where there is nothing that will do.

    identity: of what gives the features, anything that JSON holds; levels: the shape of one image's
    features, by level, the commit mark last; versions: of what computes them; wanted: the images
    whose features will be read. Those by another identity or of other images are replaced; so are
    those by other versions that lack an image. Where images were added, full shards stay. None
    where nothing can be kept: a store that is only read and has no features of all that is wanted,
    or one that has features of more images than these.
    """
    folder = of.folder / FEATURES / check_category(name)
    if store.remote:
        return None
    while True:
        before = _recorded(folder)
        fits = before is not None and _fits(before, of, identity, levels)
        if before is not None and fits:
            standing = FeatureArrays(store.root, folder)
            if standing.count > of.count:
                return None
            if max(wanted, default=-1) < standing.count and not standing.missing(wanted):
                return standing
            fits = before["versions"] == dict(versions)
        if store.root.read_only:
            return None
        attributes = {
            "kind": "features",
            "address": _address(store.root, folder),
            "identity": dict(identity),
            "levels": [[level, list(shape)] for level, shape in levels.items()],
            "shard": SHARD,
            "versions": dict(versions),
            "of": {"count": of.count, "digest": of.digest},
            "created": datetime.now(UTC).isoformat(),
        }
        if before is not None and fits:
            attributes["created"] = before["created"]
        with writable(store.root).locked():
            if _recorded(folder) != before:
                continue  # another process was quicker
            _begin(store.root, of, writable(folder), attributes, anew=not fits)
        return FeatureArrays(store.root, folder)


def folders(store: SynthStore, addresses: Sequence[str] = ()) -> list[tuple[str, Place]]:
    """Return address and folder of the normals and sets below the addresses, of all for none.

    `demo/normal` names normals alone. Raises StoreError for an address with nothing below it.
    """
    every = [(f"{d}/normal/{c}", store.normals_folder(d, c)) for d, c in store.stored_normals()]
    every += [(f"{key}/{category}", store.folder(key, category)) for key, category in store.sets()]
    asked = [address.strip("/") for address in addresses]
    for one in asked:
        if not any(_lies_below(address, one) for address, _ in every):
            listed = ", ".join(address for address, _ in every) or "nothing"
            raise StoreError(f"{one} is not in the store at {store.root}, which holds {listed}.")
    return [
        (address, folder)
        for address, folder in every
        if not asked or any(_lies_below(address, one) for one in asked)
    ]


@dataclass(frozen=True, slots=True)
class FeatureEntry:
    """What is kept under one name: how many images of how many, and the bytes of its files."""

    name: str
    present: int
    count: int
    size: int


def entries(store: SynthStore, folder: Place) -> list[FeatureEntry]:
    """Return what features stand beside the images in a folder."""
    found = []
    if not folder.remote:  # there they are not copied to
        for path in writable(folder / FEATURES).glob("*/zarr.json"):
            arrays = FeatureArrays(store.root, path.parent)
            present = sum(arrays.present(n) for n in range(-(-arrays.count // SHARD)))
            size = bytes_on_disk(path.parent)
            found.append(FeatureEntry(path.parent.name, present, arrays.count, size))
    return sorted(found, key=lambda entry: entry.name)


def remove_features(
    store: SynthStore, addresses: Sequence[str], *, dry_run: bool = False
) -> Iterator[Removed]:
    """Drop all features of the normals and sets below the addresses, of all for none.

    dry_run: say what would go, and leave it. Raises StoreError as `folders`, and for what cannot
    go.
    """
    for address, of in folders(store, addresses):
        folder = of / FEATURES
        size = bytes_on_disk(folder)
        if not size:
            continue
        if not dry_run:
            with writable(store.root).locked():
                drop(writable(store.root), writable(folder))
        yield Removed(address, size, whole=False)


def drop(root: LocalPath, folder: LocalPath) -> None:
    """Remove a folder of features of the store at `root`, or the link to one.

    Raises StoreError where it cannot go.
    """
    root = folder.parent if root is None else root
    if folder.is_dir() and not folder.is_symlink():
        for one in folder.iterdir():
            if one.is_dir():
                one.clear(root)
    folder.clear(root)


def _address(root: Place, folder: Place) -> str:
    return "/".join(below(folder, root))


def _owner(root: Place, folder: Place, attributes: Json) -> Owner:
    return Owner.of(_address(root, folder), attributes)


def _lies_below(address: str, asked: str) -> bool:
    return f"{address}/".startswith(f"{asked}/")


def _recorded(folder: Place) -> Json | None:
    """Return the attributes of features; None where there are none, or only damaged ones."""
    try:
        return read_features(folder)
    except StoreError:
        return None


def _fits(
    recorded: Json,
    of: Pictured,
    identity: Mapping[str, Any],
    levels: Mapping[str, tuple[int, ...]],
) -> bool:
    """Say whether features are by this identity, and of these images or of more or fewer of them.

    Whether these are the first of more that they are of, nobody can say here.
    """
    shapes = [[level, list(shape)] for level, shape in levels.items()]
    if (recorded["identity"], recorded["levels"]) != (dict(identity), shapes):
        return False
    count, digest = recorded["of"]["count"], recorded["of"]["digest"]
    if count == of.count or of.first is None:
        return (count, digest) == (of.count, of.digest)
    return bool(count > of.count or of.first(count) == digest)


def _begin(root: Place, of: Pictured, folder: LocalPath, attributes: Json, *, anew: bool) -> None:
    """Write the metadata of features, the group's last; the lock is held."""
    if not (of.folder / "zarr.json").exists():
        raise StoreError(f"{of.folder} was removed meanwhile.")
    if anew and folder.exists():
        drop(writable(root), folder)
    folder.remove_abandoned()
    write_if_other(of.folder / FEATURES / "zarr.json", encode(group()))
    for level, shape in attributes["levels"]:
        owner = _owner(root, folder, attributes)
        array = ShardedArray(folder / level, SHARD, tuple(shape), np.float16, owner)
        write_array(array, attributes["of"]["count"])
    (folder / "zarr.json").write(encode(group(attributes)))
