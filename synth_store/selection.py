"""Addresses as people type them: `demo`, `demo/draem`, `demo/draem/0`, `demo/draem/0/weave`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from synth_store.errors import MoreThanHeld
from synth_store.fetching import held
from synth_store.listing import Listing, listing
from synth_store.metadata import Json
from synth_store.places import Place
from synth_store.reader import Normals, StoredSet
from synth_store.remote import RemotePath
from synth_store.schema import read_normals, read_set
from synth_store.store import SynthStore
from synth_store.types import StoreError, StoreKey

FEATURES = "features"
"""The folder beside a set's arrays that holds what was derived of it."""


def select(
    store: SynthStore, addresses: Iterable[str] = (), listed: Listing | None = None
) -> list[tuple[StoreKey, str]]:
    """Return key and category of the sets below the addresses, sorted; of all sets for none.

    listed: what stands in the store, where that is known.
    Raises StoreError for an address with nothing below it, naming what is there.
    """
    every = store.sets() if listed is None else listed.sets
    asked = list(addresses)
    chosen = set()
    for address in asked:
        parts = address.strip("/").split("/")
        found = [(k, c) for k, c in every if [*str(k).split("/"), c][: len(parts)] == parts]
        if not found:
            names = ", ".join(dict.fromkeys(str(k) for k, _ in every)) or "no set"
            raise StoreError(f"{address} is not in the store at {store.root}, which holds {names}.")
        chosen.update(found)
    return [stored for stored in every if stored in chosen or not asked]


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One category of a set, or of a data set's normals.

    count: samples that may be read, of the `target` intended; size: bytes of its files; digest: of
    its pixels, None where none is finished; features: bytes of features beside it; fault: why
    nothing more is known of it.
    """

    address: str
    count: int
    target: int
    size: int
    digest: str | None
    features: int = 0
    fault: str | None = None


def contents(
    store: SynthStore, addresses: Sequence[str] = (), listed: Listing | None = None
) -> list[StoreEntry]:
    """Return the sets below the addresses; for none all that is stored, normals first.

    listed: what stands in the store, where that is known. One that is damaged stands there with its
    fault. Raises StoreError for an address with nothing below it.
    """
    listed = listing(store.root) if listed is None else listed
    sets, entries = select(store, addresses, listed), []
    for dataset, category in () if addresses else listed.normals:
        folder, address = store.normals_folder(dataset, category), f"{dataset}/normal/{category}"
        entries.append(_entry(address, folder, read_normals))
    for key, category in sets:
        entries.append(_entry(f"{key}/{category}", store.folder(key, category), read_set))
    return entries


def _entry(address: str, folder: Place, read: Callable[[Place, str], Json]) -> StoreEntry:
    try:
        stored = read(folder, address)
        count = stored["count"] if "count" in stored else len(stored["ids"])
        size, features = _sizes(folder)
    except StoreError as error:
        return StoreEntry(address, 0, 0, 0, None, fault=str(error))
    target, digest = {"target": count, **stored}["target"], stored["digest"]
    return StoreEntry(address, count, target, size, digest, features)


def _sizes(folder: Place) -> tuple[int, int]:
    """Return the bytes of what stands in a category's folder: its own, and of its features."""
    own = derived = 0
    beside = f"{folder / FEATURES}/"
    for name, size in folder.sizes():
        if name.startswith(beside):
            derived += size
        else:
            own += size
    return own, derived


def bytes_on_disk(folder: Place) -> int:
    """Return how many bytes the files below a folder hold."""
    return sum(size for _, size in folder.sizes())


def refuse_refetching(read: Sequence[Normals | StoredSet]) -> None:
    """Raise MoreThanHeld where random reading would fetch the same shards again and again.

    That is where those on an object store hold more bytes together than a process keeps.
    """
    folders = [of.folder for of in read if isinstance(of.folder, RemotePath)]
    size = sum(bytes_on_disk(folder) for folder in folders)
    if size > held.bound:
        raise MoreThanHeld(folders[0].store, size, held.bound)
