"""A category's photographs as the tiles of a store: which are kept, and which lies where."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asbench.imaging.tiles import Grid, Place, places, scale_image, window
from asbench.types import Dataset, Item
from synth_store import Geometry, Normals, SynthStore, UserError
from synth_store.types import Image, Mask


class Photograph(NamedTuple):
    """A photograph among a category's normals, and the numbers of those that were cut from it."""

    id: str
    normals: range


def photographs(normals: Normals) -> list[Photograph]:
    """Return the photographs that stored normals are of; each is one normal but for tiles."""
    record = normals.attributes.get("tiles")
    return _numbered(
        ((id_, 1) for id_ in normals.ids) if record is None else map(tuple, record["photographs"])
    )


def foreseen(store: SynthStore, dataset: Dataset, category: str) -> list[Photograph]:
    """Return the photographs of a category's normals as they are, or will be, in a store."""
    items = dataset.train(category)
    if not store.geometry.tiled:
        return _numbered((item.id, 1) for item in items)
    if store.has_normals(dataset.name, category):
        return photographs(store.normals(dataset.name, category))
    sizes = ((item.id, dataset.image(item).shape) for item in items)
    return _numbered((id_, len(Grid(s[0], s[1], store.geometry).places)) for id_, s in sizes)


def check_share(empty: float | None, geometry: Geometry) -> None:
    """Raise UserError for a share of tiles without the object that cannot be."""
    if empty is None:
        return
    if not geometry.tiled:
        raise UserError(f"empty tiles are of tiles, and the store is {geometry}: leave them out.")
    if not 0 <= empty <= 1:
        raise UserError(f"{empty:g} of the tiles without the object are impossible: 0 to 1.")


class Tiling:
    """Cuts a category's photographs, one after the other, and keeps the record of it.

    ids: of the tiles so far: the photograph's, `#`, and the place, as in `a.png#0,224`; from the
    right it can be read in one way alone, whatever a photograph is called.
    """

    def __init__(self, items: Sequence[Item], geometry: Geometry, empty: float) -> None:
        self.ids: list[str] = []
        self._items, self._geometry, self._empty = items, geometry, empty
        self._counts: list[int] = []
        self._places: list[Place] = []
        self._without: list[int] = []
        self._left_out = 0

    def cut(self, read: Iterable[tuple[Image, Mask]]) -> Iterator[tuple[Image, Mask]]:
        """Yield the tiles of photographs as `Finding.normals` gives them, each with its object."""
        for item, (image, mask) in zip(self._items, read, strict=True):
            kept = len(self.ids)
            for place in places(image.shape, self._geometry):
                tile, id_ = window(mask, place, self._geometry), _id(item, place)
                if not tile.any():
                    if not _drawn(id_) < self._empty:
                        self._left_out += 1
                        continue
                    self._without.append(len(self.ids))
                self.ids.append(id_)
                self._places.append(place)
                yield window(image, place, self._geometry), tile
            self._counts.append(len(self.ids) - kept)

    def attributes(self) -> dict[str, Any]:
        """Return what is kept beside the tiles once all are cut.

        photographs: the id of each, and how many of the tiles are its, in their order; places: top
        and left of each tile, in pixels of the scaled photograph; without_object: numbers of those
        that do not show it; empty: the share kept of such; left_out: how many were not.
        """
        ids = (item.id for item in self._items)
        return {
            "empty": self._empty,
            "left_out": self._left_out,
            "without_object": self._without,
            "photographs": [list(pair) for pair in zip(ids, self._counts, strict=True)],
            "places": [list(place) for place in self._places],
        }


def compared(
    dataset: Dataset, items: Sequence[Item], geometry: Geometry, record: Mapping[str, Any]
) -> Iterator[tuple[Image, Mask]]:
    """Yield the tiles that stand in a store, cut again; masks play no part.

    record: `Tiling.attributes` of those that stand. Of photographs that are not there, all tiles.
    """
    stored: dict[str, list[Place]] = {}
    rest = iter(record["places"])
    for id_, count in record["photographs"]:
        stored[id_] = [Place(*next(rest)) for _ in range(count)]
    for item in items:
        image = scale_image(dataset.image(item), geometry)
        for place in stored.get(item.id, places(image.shape, geometry)):
            tile = window(image, place, geometry)
            if tile.shape[:2] == (geometry.height, geometry.width):  # the photograph has shrunk
                yield tile, np.ones(tile.shape[:2], np.bool_)


def said(normals: Normals) -> str:
    """Say how many tiles of how many photographs there are; empty where they are no tiles."""
    record = normals.attributes.get("tiles")
    if record is None:
        return ""
    without, left = len(record["without_object"]), record["left_out"]
    kept = f", {len(normals) - without} of them with the object" if without else ""
    out = f"; {left} of {without + left} without the object are left out" if left else ""
    return f"{len(normals)} tiles of {len(record['photographs'])} photographs{kept}{out}"


def sources(normals: Normals) -> tuple[int, ...]:
    """Return the numbers of the normals that anomalies are drawn on; empty where all of them are.

    Of tiles, those that show the object.
    """
    record = normals.attributes.get("tiles")
    without = set() if record is None else set(record["without_object"])
    return tuple(i for i in range(len(normals)) if i not in without) if without else ()


def _numbered(counts: Iterable[tuple[str, int]]) -> list[Photograph]:
    """Give the normals of each photograph, by its id and their number, their own numbers."""
    found, first = [], 0
    for id_, count in counts:
        found.append(Photograph(id_, range(first, first + count)))
        first += count
    return found


def _id(item: Item, place: Place) -> str:
    return f"{item.id}#{place.top},{place.left}"


def _drawn(id_: str) -> float:
    """Return a number in [0, 1) that is a function of a tile's id alone."""
    digest = hashlib.sha256(id_.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / (1 << 48)
