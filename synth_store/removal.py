"""Removing sets and data sets, under the store's lock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from synth_store.errors import NormalsByThemselves
from synth_store.listing import LEFT, listing
from synth_store.local import LocalPath
from synth_store.places import Place, writable
from synth_store.selection import bytes_on_disk, select
from synth_store.store import SynthStore
from synth_store.types import StoreError, StoreKey, check_name


@dataclass(frozen=True, slots=True)
class Removed:
    """A set's category that is gone, or a whole data set with its normals; size: its bytes.

    kind: `rest` for what an interrupted command left of one, `none` for an address with nothing
    below it: removed before, or never there.
    """

    address: str
    size: int
    whole: bool
    kind: Literal["set", "rest", "none"] = "set"


def remove(
    store: SynthStore, addresses: Sequence[str], *, dry_run: bool = False
) -> Iterator[Removed]:
    """Remove the sets below the addresses, yielding each once it is gone.

    A data set's bare name removes its normals as well. What an interrupted call left of a set goes
    too, and what it removed is told first, so that the same call again ends what it began.
    dry_run: say what would go, and leave it. Raises StoreError, before anything goes, where there
    is nothing below any of the addresses, and for normals.
    """
    listed = listing(store.root)
    datasets = sorted({dataset for dataset, _ in listed.normals} & set(addresses))
    rest = [address for address in addresses if address not in datasets]
    for address in rest:
        if _parts(address)[1:2] == ["normal"]:
            raise NormalsByThemselves(address)
    sets = {f"{key}/{category}": (key, category) for key, category in listed.sets}
    left = {_address(store, one.path): one.path for one in listed.strays if one.reason == LEFT}
    gone = [a for a in rest if not any(_is_below(one, a) for one in (*sets, *left))]
    if len(gone) == len(addresses):
        select(store, gone, listed)  # raises, and says what there is
    for address in gone:
        yield Removed(address, 0, whole=False, kind="none")
    for dataset in datasets:
        size = bytes_on_disk(store.root / dataset)
        if not dry_run:
            remove_dataset(store, dataset)
        yield Removed(dataset, size, whole=True)
    named = [address for address in rest if _parts(address)[0] not in datasets]
    for one, (key, category) in sets.items():
        if any(_is_below(one, address) for address in named):
            size = bytes_on_disk(store.folder(key, category))
            if not dry_run:
                remove_set(store, key, category)
            yield Removed(one, size, whole=False)
    for one, folder in left.items():
        if any(_is_below(one, address) for address in named):
            size = bytes_on_disk(folder)
            if not dry_run:
                _remove_rest(store, folder)
            yield Removed(one, size, whole=False, kind="rest")


def _parts(address: str) -> list[str]:
    return address.strip("/").split("/")


def _is_below(one: str, address: str) -> bool:
    """Return whether a set's category, or what is left of one, is at or below an address."""
    parts = _parts(address)
    return one.split("/")[: len(parts)] == parts


def _address(store: SynthStore, folder: Place) -> str:
    """Return the address of a folder of the store."""
    return str(folder).removeprefix(str(store.root)).strip("/")


def _remove_rest(store: SynthStore, folder: Place) -> None:
    """Remove what an interrupted command left, unless it has become a set meanwhile."""
    root = writable(store.root)
    with root.locked():
        if (folder / "zarr.json").state() is None:
            _remove(root, writable(folder))


def remove_set(store: SynthStore, key: StoreKey, category: str) -> None:
    """Remove one category of a set, and the groups above it that hold nothing any more.

    Its metadata goes first: killed halfway, what is left belongs to no set, and the next
    `create_set` clears it away. Raises StoreError if the set is not in the store, or cannot go.
    """
    if not store.has(key, category):
        raise StoreError(f"{key}/{category} is not in the store at {store.root}.")
    root = writable(store.root)
    with root.locked():
        _remove(root, writable(store.folder(key, category)))


def remove_dataset(store: SynthStore, dataset: str) -> None:
    """Remove all sets of a data set, then its normals: sets never stand without theirs.

    Raises StoreError if the store holds nothing of it, or what it holds cannot go.
    """
    root = writable(store.root)
    folder = root / check_name(dataset, "data set")
    if not folder.is_dir():
        raise StoreError(f"{dataset} is not in the store at {store.root}.")
    with root.locked():
        if folder.is_symlink():
            folder.clear(root)
            return
        for key, category in store.sets():
            if key.dataset == dataset:
                _remove(root, writable(store.folder(key, category)))
        for name, category in store.stored_normals():
            if name == dataset:
                _remove(root, writable(store.normals_folder(dataset, category)))
        if folder.exists():  # what an interrupted command began
            _remove(root, folder)


def _remove(root: LocalPath, folder: LocalPath) -> None:
    """Remove a folder, or a link, then every group above it that holds nothing else."""
    while True:
        folder.clear(root)
        folder = folder.parent
        if folder == root or any(path.name != "zarr.json" for path in folder.iterdir()):
            return
