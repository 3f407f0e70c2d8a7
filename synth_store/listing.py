"""What stands in a store, by the names of its folders; what does not belong there is named too.

Only names are read, no contents: groups down to the categories, and whether each has metadata.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from synth_store.places import Place, below
from synth_store.remote import RemotePath
from synth_store.types import StoreError, StoreKey, UserError, check_category, check_name

NOT_OURS = "not part of the store"
LEFT = "it has no zarr.json: left by a command that was interrupted"

Names = tuple[list[str], list[str]]
"""Of the folders and of the files in a folder."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A thing in a store's folder that is not the store's; unseen: one that cannot be looked into.

    What is unseen may hold something of the store.
    """

    path: Place
    reason: str = NOT_OURS
    unseen: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass
class Listing:
    """The normals (data set, category) and sets (key, category) of a store, sorted; and strays."""

    normals: list[tuple[str, str]] = field(default_factory=list)
    sets: list[tuple[StoreKey, str]] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)


def listing(root: Place) -> Listing:
    """List a store; raises StoreError where its own folder cannot be read."""
    look = _remote(root) if isinstance(root, RemotePath) else _local
    found = Listing()
    _datasets(root, look, found)
    found.normals.sort()
    found.sets.sort(key=lambda one: (one[0].dataset, one[0].method, one[0].seed, one[1]))
    found.strays.sort(key=lambda one: str(one.path))
    return found


Look = Callable[[Place], Names]


def _datasets(root: Place, look: Look, found: Listing) -> None:
    for dataset in _groups(root, look(root), found, lambda name: check_name(name, "data set")):
        for method in _inside(root / dataset, look, found, lambda name: check_name(name, "method")):
            folder = root / dataset / method
            if method == "normal":
                for category in _categories(folder, look, found):
                    found.normals.append((dataset, category))
                continue
            for seed in _inside(folder, look, found, _check_seed):
                for category in _categories(folder / seed, look, found):
                    found.sets.append((StoreKey(dataset, method, int(seed)), category))


def _check_seed(name: str) -> str:
    # Of a longer number Python makes no integer; of 00 it makes 0, which has its own folder.
    if not (name.isascii() and name.isdecimal() and len(name) < 40 and str(int(name)) == name):
        raise UserError(f"{name!r} is no seed.")
    return name


def _inside(folder: Place, look: Look, found: Listing, check: Callable[[str], str]) -> list[str]:
    try:
        return _groups(folder, look(folder), found, check)
    except StoreError as error:
        found.strays.append(_unseen(folder, error))
        return []


def _groups(folder: Place, names: Names, found: Listing, check: Callable[[str], str]) -> list[str]:
    """Return the folders with a name of the store's; the rest, but for metadata, are strays."""
    known = []
    for name in sorted(names[0]):
        try:
            known.append(check(name))
        except UserError:
            found.strays.append(Stray(folder / name))
    found.strays += [Stray(folder / name) for name in names[1] if name != "zarr.json"]
    return known


def _categories(folder: Place, look: Look, found: Listing) -> list[str]:
    known = []
    for category in _inside(folder, look, found, check_category):
        path = folder / category
        try:
            if (path / "zarr.json").state() is not None if not path.remote else _has(path, look):
                known.append(category)
            elif any(True for _ in path.files()):  # folders alone are what a full disk left
                found.strays.append(Stray(path, LEFT))
        except StoreError as error:
            found.strays.append(_unseen(path, error))
    return known


def _has(path: Place, look: Look) -> bool:
    return "zarr.json" in look(path)[1]


def _unseen(path: Place, error: StoreError) -> Stray:
    return Stray(path, str(error).removeprefix(f"{path} ").rstrip("."), unseen=True)


def _local(folder: Place) -> Names:
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(str(folder)) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(entry.name)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror or error}.") from error
    return folders, files


def _remote(root: RemotePath) -> Look:
    """Return what looks into folders of an object store, all of which are listed at once."""
    names: dict[tuple[str, ...], tuple[dict[str, None], list[str]]] = {}
    for path, _ in root.files():
        parts = below(path, root)
        for depth, name in enumerate(parts[:5]):
            folders, files = names.setdefault(parts[:depth], ({}, []))
            if depth + 1 == len(parts):
                files.append(name)
            else:
                folders[name] = None

    def look(folder: Place) -> Names:
        folders, files = names.get(below(folder, root), ({}, []))
        return list(folders), files

    return look
