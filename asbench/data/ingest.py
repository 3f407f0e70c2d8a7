"""A data set's training normals into the store, once: both stages stand on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from asbench.data.objects import Finding, asked_of
from asbench.data.tiling import Tiling, check_share, compared
from asbench.files.images import read_turn
from asbench.grid.processes import one_thread
from asbench.imaging.geometry import resize
from asbench.progress import Progress, quiet
from asbench.settings import AUTO
from asbench.types import Dataset, Item
from synth_store import Geometry, Normals, SynthStore, UserError
from synth_store.normals import write_normals
from synth_store.types import Image, Mask


def finding_of(
    store: SynthStore, dataset: Dataset, category: str, object: str | None = None
) -> Finding | None:
    """Return by which rule the objects of normals would be found that are not stored by it yet.

    Some normals are read for it, and nothing is written. None where they are stored, or there are
    none. Raises UserError where a tone was said that is not on most of them.
    """
    items = dataset.train(category)
    if store.has_normals(dataset.name, category):
        stored = asked_of(store.normals(dataset.name, category))
        if object in (None, stored):
            return None
    if not items:
        return None
    finding = Finding(dataset, items, store.geometry, object or AUTO)
    finding.refuse_unfound()
    return finding


def ensure_normals(
    store: SynthStore,
    dataset: Dataset,
    category: str,
    progress: Progress = quiet,
    object: str | None = None,
    empty: float | None = None,
    *,
    whole: bool = False,
    finding: Finding | None = None,
    threads: int = 1,
) -> Normals:
    """Return the category's normals from the store, writing them there first if they are not.

    object: by which rule its objects are found (`Settings.object`); None for what is stored, or
    auto. Objects that were found by another rule are found anew while no set stands on them.
    empty: of a store of tiles, the share kept of those without the object (`empty_tiles`); None for
    what is stored, or all. whole: images are brought to the size, and not cut: textures.
    finding: what `finding_of` returned for these, so that no file is read twice. threads: how many
    read, hash and compress; what is stored is the same.

    Raises UserError if the data set has none, if the object is not where the rule says, if sets
    stand on objects found by another rule, or if another share of tiles is stored; StoreError if
    the store holds others under its name.
    The comparison reads pixels only when a file's name, size or date has changed.
    """
    items = dataset.train(category)
    if not items:
        raise UserError(
            f"{dataset.name}/{category} has no normal training images: see what was recognised "
            "with `asbench data check PATH`."
        )
    check_share(empty, store.geometry)
    geometry = store.geometry
    if whole and geometry.tiled:
        geometry = Geometry(geometry.height, geometry.width)
    stamp = _stamp(dataset, items)
    known = store.has_normals(dataset.name, category)
    if known:
        normals = store.normals(dataset.name, category)
        _refuse_other_share(normals, store, f"{dataset.name}/{category}", object, empty)
        if object in (None, asked_of(normals)):
            if normals.attributes["stamp"] == stamp:
                return normals
        else:
            _refuse_standing(store, dataset.name, category, asked_of(normals), object)
            known = False
    if known:
        finding = None
    elif finding is None:
        finding = Finding(dataset, items, geometry, object or AUTO)
        finding.refuse_unfound()
    tiling = Tiling(items, geometry, 1.0 if empty is None else empty) if geometry.tiled else None
    attributes: dict[str, Any] = {"stamp": stamp}
    what = f"normals of {dataset.name}/{category}"

    def counted(read: Iterable[tuple[Image, Mask]]) -> Iterator[tuple[Image, Mask]]:
        for done, pair in enumerate(read):
            progress(what, done, len(items))
            yield pair
        progress(what, len(items), len(items))

    def images() -> Iterator[tuple[Image, Mask]]:
        if finding is None:
            yield from _compared(dataset, items, geometry, store.normals(dataset.name, category))
        elif tiling is None:
            yield from counted(finding.normals(threads))
        else:
            yield from tiling.cut(counted(finding.normals(threads)))
            attributes["tiles"] = tiling.attributes()
        if finding is not None:  # foregrounds that are stored keep the version that made them
            attributes["foreground"] = finding.attributes()

    ids = [item.id for item in items] if tiling is None else tiling.ids
    with one_thread():  # each of those asked for
        return write_normals(
            store,
            dataset.name,
            category,
            ids,
            images(),
            attributes,
            foregrounds=not known,
            threads=threads,
        )


def _refuse_other_share(
    normals: Normals, store: SynthStore, where: str, object: str | None, empty: float | None
) -> None:
    """Raise UserError where other tiles without the object stand than are asked for."""
    record = normals.attributes.get("tiles")
    stored = 1.0 if record is None else record["empty"]
    if empty is not None and empty != stored:
        raise UserError(
            f"{store.root} holds {where} with {stored:g} of the tiles without the object, not "
            f"{empty:g}: take another --store or --name."
        )
    if object not in (None, asked_of(normals)) and stored < 1:
        raise UserError(
            f"{store.root} holds {where} without some of the tiles that show no object, as "
            f"{asked_of(normals)} found it: for {object} take another --store or --name."
        )


def _refuse_standing(
    store: SynthStore, dataset: str, category: str, stored: str, asked: str | None
) -> None:
    """Raise UserError where sets were rendered on the objects that are stored."""
    standing = [
        str(key)
        for key, c in store.sets()
        if (key.dataset, c) == (dataset, category) and "foreground" in store.attributes(key, c)
    ]
    if standing:
        raise UserError(
            f"{store.root} holds {dataset}/{category} with its objects found by {stored}, on which "
            f"{', '.join(standing)} were rendered: for {asked} take another --store or --name."
        )


def _compared(
    dataset: Dataset, items: tuple[Item, ...], geometry: Geometry, normals: Normals
) -> Iterator[tuple[Image, Mask]]:
    """Yield normals to be compared with what is stored, for which masks play no part."""
    if "tiles" in normals.attributes:
        yield from compared(dataset, items, geometry, normals.attributes["tiles"])
        return
    for item in items:
        image = resize(dataset.image(item), geometry)
        yield image, np.ones(image.shape[:2], np.bool_)


def _stamp(dataset: Dataset, items: tuple[Item, ...]) -> str:
    """Return a digest of names, sizes and dates: cheap, and enough to notice other photographs.

    Without dates, bitmaps taken anew under the same names would pass: all have one size. Where EXIF
    turns an image, that too: stores made when it was not obeyed hold it as the camera lay.
    """
    stamp = hashlib.sha256()
    for item in items:
        path = dataset.image_path(item)
        status = path.stat() if path is not None else None
        size, date = (status.st_size, status.st_mtime_ns) if status else (0, 0)
        turn = f"\x1f{int(turned)}" if path and (turned := read_turn(path)) is not None else ""
        stamp.update(f"{item.id}\x1f{size}\x1f{date}{turn}\x1e".encode())
    return stamp.hexdigest()
