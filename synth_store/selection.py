"""Addresses as people type them: `demo`, `demo/draem`, `demo/draem/0`, `demo/draem/0/weave`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synth_store.errors import MoreThanHeld
from synth_store.fetching import held
from synth_store.places import Place
from synth_store.reader import Normals, StoredSet
from synth_store.remote import RemotePath
from synth_store.store import SynthStore
from synth_store.types import StoreError, StoreKey


def select(store: SynthStore, addresses: Iterable[str] = ()) -> list[tuple[StoreKey, str]]:
    """Return key and category of the sets below the addresses, sorted; of all sets for none.

    Raises StoreError for an address with nothing below it, naming what is there.
    """
    every = store.sets()
    asked = list(addresses)
    chosen = set()
    for address in asked:
        parts = address.strip("/").split("/")
        below = [(k, c) for k, c in every if [*str(k).split("/"), c][: len(parts)] == parts]
        if not below:
            listed = ", ".join(dict.fromkeys(str(k) for k, _ in every)) or "no set"
            raise StoreError(
                f"{address} is not in the store at {store.root}, which holds {listed}."
            )
        chosen.update(below)
    return [stored for stored in every if stored in chosen or not asked]


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One category of a set, or of a data set's normals.

    count: samples that may be read, of the `target` intended; size: bytes of its files; digest: of
    its pixels, None where none is finished.
    """

    address: str
    count: int
    target: int
    size: int
    digest: str | None


def contents(store: SynthStore, addresses: Sequence[str] = ()) -> list[StoreEntry]:
    """Return the sets below the addresses; for none all that is stored, normals first.

    Raises StoreError for an address with nothing below it.
    """
    sets, entries = select(store, addresses), []
    for dataset, category in () if addresses else store.stored_normals():
        normals = store.normals(dataset, category)
        address, size = f"{dataset}/normal/{category}", bytes_on_disk(normals.folder)
        entries.append(StoreEntry(address, len(normals), len(normals), size, normals.digest))
    for key, category in sets:
        stored, size = store.attributes(key, category), bytes_on_disk(store.folder(key, category))
        numbers = stored["count"], stored["target"], size, stored["digest"]
        entries.append(StoreEntry(f"{key}/{category}", *numbers))
    return entries


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
