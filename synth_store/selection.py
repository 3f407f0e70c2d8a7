"""Addresses as people type them: `demo`, `demo/draem`, `demo/draem/0`, `demo/draem/0/weave`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synth_store.errors import MoreThanHeld
from synth_store.fetching import held
from synth_store.places import Place, below
from synth_store.reader import Normals, StoredSet
from synth_store.remote import RemotePath
from synth_store.store import SynthStore
from synth_store.types import StoreError, StoreKey

FEATURES = "features"
"""The folder beside a set's arrays that holds what was derived of it."""


def select(store: SynthStore, addresses: Iterable[str] = ()) -> list[tuple[StoreKey, str]]:
    """Return key and category of the sets below the addresses, sorted; of all sets for none.

    Raises StoreError for an address with nothing below it, naming what is there.
    """
    every = store.sets()
    asked = list(addresses)
    chosen = set()
    for address in asked:
        parts = address.strip("/").split("/")
        found = [(k, c) for k, c in every if [*str(k).split("/"), c][: len(parts)] == parts]
        if not found:
            listed = ", ".join(dict.fromkeys(str(k) for k, _ in every)) or "no set"
            raise StoreError(
                f"{address} is not in the store at {store.root}, which holds {listed}."
            )
        chosen.update(found)
    return [stored for stored in every if stored in chosen or not asked]


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One category of a set, or of a data set's normals.

    count: samples that may be read, of the `target` intended; size: bytes of its files; digest: of
    its pixels, None where none is finished; features: bytes of features beside it.
    """

    address: str
    count: int
    target: int
    size: int
    digest: str | None
    features: int = 0


def contents(store: SynthStore, addresses: Sequence[str] = ()) -> list[StoreEntry]:
    """Return the sets below the addresses; for none all that is stored, normals first.

    Raises StoreError for an address with nothing below it.
    """
    sets, entries = select(store, addresses), []
    for dataset, category in () if addresses else store.stored_normals():
        normals = store.normals(dataset, category)
        address, count = f"{dataset}/normal/{category}", len(normals)
        size, features = _sizes(normals.folder)
        entries.append(StoreEntry(address, count, count, size, normals.digest, features))
    for key, category in sets:
        stored = store.attributes(key, category)
        size, features = _sizes(store.folder(key, category))
        numbers = stored["count"], stored["target"], size, stored["digest"], features
        entries.append(StoreEntry(f"{key}/{category}", *numbers))
    return entries


def _sizes(folder: Place) -> tuple[int, int]:
    """Return the bytes of what stands in a category's folder: its own, and of its features."""
    own = derived = 0
    for path, size in folder.files():
        if below(path, folder)[0] == FEATURES:
            derived += size
        else:
            own += size
    return own, derived


def bytes_on_disk(folder: Place) -> int:
    """Return how many bytes the files below a folder hold."""
    return sum(size for _, size in folder.files())


def refuse_refetching(read: Sequence[Normals | StoredSet]) -> None:
    """Raise MoreThanHeld where random reading would fetch the same shards again and again.

    That is where those on an object store hold more bytes together than a process keeps.
    """
    folders = [of.folder for of in read if isinstance(of.folder, RemotePath)]
    size = sum(bytes_on_disk(folder) for folder in folders)
    if size > held.bound:
        raise MoreThanHeld(folders[0].store, size, held.bound)
