"""A store from one place to another: a folder to an object store, back, or to another of its kind.

A set is copied as it is, file by file, in the order in which it would be written: metadata that say
it was begun, shards, and last the metadata that say how many samples there are and their digest.
Until then nobody reads it. Every file is read back from where it went, and the digest of all
samples is computed before that last step; so whatever stops a copy, the same call continues it.
Features stay behind: they weigh more than what they are of, and are computed where they are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from synth_store.arrays import ShardedArray, array_metadata
from synth_store.digest import combine, image_digest, sample_digest
from synth_store.errors import DamagedSource, NormalsAtTarget, OtherAddress, PixelsAtTarget
from synth_store.fetching import ahead
from synth_store.identity import refuse_other_identity, refuse_other_versions
from synth_store.local import LocalPath
from synth_store.metadata import Json, attributes_in, encode, group
from synth_store.places import Place, below, place, writable
from synth_store.reader import Normals, StoredSet
from synth_store.selection import select
from synth_store.shards import vector_metadata
from synth_store.store import SynthStore
from synth_store.types import StoreError

Progress = Callable[[str, int, int], None]
"""Called with an address, how many of its samples are copied, and how many there are."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one category of a set, or of its normals.

    sent: bytes that were written; stood: whether it was there already, as new or newer.
    """

    address: str
    samples: int
    sent: int
    stood: bool


def copy_store(
    source: SynthStore,
    to: Path | Place | str,
    addresses: Sequence[str] = (),
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> list[Copied]:
    """Copy the sets below the addresses (all for none) with the normals they are drawn on.

    A set that stands there and has grown here grows there. Sets that were only begun are left out.
    `replace` puts these sets in place of others that stand under their keys.

    Raises StoreError for an unknown address, a target of another geometry, another set or other
    normals under the same key, and for what cannot be read, is damaged, or cannot be written.
    """
    sets = [(key, c) for key, c in select(source, addresses) if source.count(key, c)]
    drawn_on = sorted({(key.dataset, category) for key, category in sets})
    target = _opened(source, place(to))
    copied = []
    for dataset, category in drawn_on if addresses else source.stored_normals():
        normals = source.normals(dataset, category)
        folder = target.normals_folder(dataset, category)
        copying = _Copying(f"{dataset}/normal/{category}", normals, target.root, folder, progress)
        copied.append(copying.run(replace=replace))
    for key, category in sets:
        stored = source.read(key, category)
        folder = target.folder(key, category)
        copying = _Copying(f"{key}/{category}", stored, target.root, folder, progress)
        copied.append(copying.run(replace=replace))
    return copied


def _opened(source: SynthStore, to: Place) -> SynthStore:
    """Open the store to copy into, or make an empty one of the source's geometry."""
    if source.root == to:
        raise StoreError(f"{to} cannot be copied to itself: name another place.")
    if to.remote:
        _create(to / "zarr.json", (source.root / "zarr.json").read_bytes())
        target = SynthStore.open(to)
    else:
        target = SynthStore.create(to, None if SynthStore.stands_at(to) else source.geometry)
    if target.geometry != source.geometry:
        raise StoreError(
            f"the store at {to} holds {target.geometry} images, that at {source.root} "
            f"{source.geometry}: one store has one geometry. Copy to another place."
        )
    return target


@dataclass
class _Copying:
    """One category on its way."""

    address: str
    source: Normals | StoredSet
    root: Place
    """Of the target."""
    folder: Place
    progress: Progress | None
    sent: list[int] = field(default_factory=list)

    def run(self, *, replace: bool) -> Copied:
        count = len(self.source)
        mine = _read(self.source.folder / "zarr.json")
        if attributes_in(mine, self.source.folder / "zarr.json") != self.source.attributes:
            raise self._changed(self.source.folder)
        self._refuse_links()
        if isinstance(self.folder, LocalPath):
            self.folder.remove_abandoned()  # a copy that was killed may have left parts of files
        there = _bytes(self.folder / "zarr.json")
        if there == mine:
            return Copied(self.address, count, 0, stood=True)
        before = self._known(there)
        if not replace and self._refuse_other(before):
            return Copied(self.address, count, 0, stood=True)
        if replace and there is not None:
            (self.folder / "zarr.json").remove()
            there = None
        begun = self._begin(there)
        digest = self._shards(None if replace else before)
        if digest != self.source.attributes["digest"]:
            raise DamagedSource(self.source.folder)
        if _read(self.source.folder / "zarr.json") != mine:
            raise self._changed(self.source.folder)
        with self.root.locked():
            if _bytes(self.folder / "zarr.json") != begun:
                raise self._changed(self.folder)
            (self.folder / "zarr.json").write(mine)
        return Copied(self.address, count, sum(self.sent), stood=False)

    def _refuse_links(self) -> None:
        """Raise StoreError where writing would lead out of the store that is copied to."""
        if isinstance(self.folder, LocalPath):
            (self.folder / "zarr.json").refuse_link_above(writable(self.root))
            for path, _ in self.folder.files():
                if path.is_symlink():
                    raise StoreError(
                        f"{path} is a link, and may lead out of the store: nothing is written "
                        "there. Remove it, and copy again."
                    )

    def _known(self, there: bytes | None) -> Json:
        """Return what stands at the target; an empty mapping where nothing does."""
        return {} if there is None else attributes_in(there, self.folder / "zarr.json")

    def _refuse_other(self, before: Json) -> bool:
        """Raise StoreError if another set stands there; say whether it has more than this one."""
        here = self.source.attributes
        if not before:
            return False
        if before.get("address", self.address) != self.address:
            raise OtherAddress(self.root, self.address, str(before["address"]))
        if isinstance(self.source, StoredSet):
            own = {name: here[name] for name in here["identity"]}
            refuse_other_identity(self.address, before, own)
            # Before anything is known of its pixels, versions tell whether they will be the same.
            refuse_other_versions(self.address, before["versions"], here["versions"])
            return bool(before["count"] > len(self.source))
        if before["digest"] != here["digest"]:
            raise NormalsAtTarget(self.folder, self.source.folder)
        return False

    def _begin(self, there: bytes | None) -> bytes | None:
        """Claim the key at the target; return the metadata that stand there until the end."""
        if there is None:  # what else is there an interrupted replacement left
            numbers = range(-(-len(self.source) // self.source.image.capacity))
            wanted = {call.args[-1] for n in numbers for call in self._calls(n)}
            there_now: list[tuple[Place, int]] = list(self.folder.files())
            for path, _ in there_now:
                if path not in wanted:
                    path.remove()
        for above in _groups(self.root, self.folder):
            _create(above / "zarr.json", encode(group()))
        if there is not None or isinstance(self.source, Normals):
            return there
        begun = {**self.source.attributes, "count": 0, "digest": None, "complete": False}
        claim = encode(group(begun))
        if _create(self.folder / "zarr.json", claim) != claim:
            raise self._changed(self.folder)
        return claim

    def _shards(self, before: Json | None) -> str:
        """Copy shard by shard, then the arrays' metadata; return the digest of all samples."""
        count, capacity = len(self.source), self.source.image.capacity
        numbers = range(-(-count // capacity))
        digests: list[bytes] = []
        foregrounds: list[bytes] = []
        self._say(0)
        for number in ahead((n, self._calls(n)) for n in numbers):
            for index in range(number * capacity, min((number + 1) * capacity, count)):
                if isinstance(self.source, StoredSet):
                    digests.append(sample_digest(self.source, index))
                else:
                    digests.append(_digest(self.source.image, index))
                    foregrounds.append(_digest(self.source.foreground, index))
            self._say(len(digests))
        if isinstance(self.source, Normals):
            recorded = self.source.attributes["foreground_digest"]
            if combine(foregrounds) != recorded:
                raise StoreError(f"{self.source.foreground.folder} is damaged: verify the store.")
        elif before and before["count"] and combine(digests[: before["count"]]) != before["digest"]:
            raise PixelsAtTarget(self.folder, self.source.folder)
        for path, wanted in self._metadata():
            here = self.source.folder.joinpath(*below(path, self.folder))
            if _read(here) != wanted:
                raise StoreError(f"{here} is damaged: verify the store.")
            if _bytes(path) != wanted:
                path.write(wanted)
        return combine(digests)

    def _say(self, done: int) -> None:
        if self.progress is not None:
            self.progress(self.address, done, len(self.source))

    def _arrays(self) -> list[ShardedArray]:
        if isinstance(self.source, Normals):
            return [self.source.image, self.source.foreground]
        arrays = (self.source.mask, self.source.clean, self.source.image)
        return [array for array in arrays if array is not None]

    def _metadata(self) -> list[tuple[Place, bytes]]:
        """Return the files of the arrays' metadata at the target, and what each must hold."""
        count = len(self.source)
        if isinstance(self.source, StoredSet):
            count = self.source.attributes["target"]
        wanted = {a.folder.name: array_metadata(a, count) for a in self._arrays()}
        if isinstance(self.source, StoredSet):
            wanted["source"] = encode(vector_metadata(count, self.source.image.capacity))
        return [(self.folder / name / "zarr.json", data) for name, data in wanted.items()]

    def _calls(self, number: int) -> list[partial[None]]:
        """Return the calls that copy a shard's files; the last argument says where to."""
        calls = []
        for array in self._arrays():
            to = self.folder.joinpath(*below(array.path(number), self.source.folder))
            calls.append(partial(self._copy, partial(_stored, array, number), to))
        if isinstance(self.source, StoredSet):
            part = ("source", "c", str(number))
            read = partial(_read, self.source.folder.joinpath(*part))
            calls.append(partial(self._copy, read, self.folder.joinpath(*part)))
        return calls

    def _copy(self, read: Callable[[], bytes], to: Place) -> None:
        """Bring a file to its place, unless it is there, and read it back."""
        data = read()
        if _bytes(to) == data:
            return
        to.write(data)
        self.sent.append(len(data))
        if _bytes(to) != data:
            raise StoreError(f"{to} is not what was written to it: copy again.")

    def _changed(self, folder: Place) -> StoreError:
        return StoreError(f"{folder} was changed while it was copied: copy again.")


def _stored(array: ShardedArray, number: int) -> bytes:
    return bytes(array.shard(number).data)


def _read(path: Place) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error


def _digest(array: ShardedArray, index: int) -> bytes:
    pixels = np.empty(array.shape, array.dtype)
    array.read(index, pixels)
    return image_digest(pixels)


def _groups(root: Place, folder: Place) -> list[Place]:
    """Return the folders between a store's root and a category's."""
    parts = below(folder, root)
    return [root.joinpath(*parts[:depth]) for depth in range(1, len(parts))]


def _bytes(path: Place) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error


def _create(path: Place, data: bytes) -> bytes:
    """Write a file unless there is one; return what it then holds."""
    content = _bytes(path)
    if content is None:
        path.create(data)
        content = path.read_bytes()
    return content
