"""A stored set for other tools: a folder of PNG files as MVTec lays them out, or a plain Zarr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import zarr

from asbench.files.images import read_image, write_png
from asbench.progress import Progress, quiet
from synth_store import Normals, StoredSet, StoreKey, SynthStore, UserError
from synth_store.selection import select

Counted = Callable[[int, int], None]
SLAB = 64
"""Samples written to a plain Zarr at once: one chunk."""


@dataclass(frozen=True, slots=True)
class Exported:
    """One category of a set that was written: how many samples, and where."""

    category: str
    count: int
    place: Path


def export_set(
    store: SynthStore,
    key: StoreKey | str,
    out: Path | str,
    *,
    categories: Sequence[str] | None = None,
    form: Literal["mvtec", "zarr"] = "mvtec",
    progress: Progress = quiet,
) -> Iterator[Exported]:
    """Write a set for other tools, yielding each category once it is written.

    out: a folder; form: PNG files as MVTec AD lays them out, or one plain Zarr group a category,
    `<out>/<category>.zarr`; categories: None for all. Raises StoreError where there is no such set,
    UserError for an unknown category and where something stands already.
    """
    named = key if isinstance(key, StoreKey) else StoreKey.parse(key)
    there = [category for _, category in select(store, (str(named),))]
    for category in categories or ():
        if category not in there:
            raise UserError(
                f"{named} has no category {category!r}: choose from {', '.join(there)}."
            )
    for category in categories or there:
        stored, what = store.read(named, category), f"{named}/{category}"

        def report(done: int, total: int, what: str = what) -> None:
            progress(what, done, total)

        if form == "mvtec":
            place = export_folder(stored, Path(out), report)
        else:
            place = export_zarr(stored, Path(out) / f"{category}.zarr", report)
        yield Exported(category, stored.count, place)


def export_folder(stored: StoredSet, out: Path, progress: Counted | None = None) -> Path:
    """Write a set as MVTec AD lays out a category; returns the category's folder.

    The normals become `train/good`, the anomalies `test/<method>` with 8-bit grey masks in
    `ground_truth/<method>`. Several methods may be exported to one place. Raises UserError if the
    method stands there already, or if other normals do.
    """
    folder = out / stored.category
    images = _fresh(folder / "test" / stored.key.method)
    masks = _fresh(folder / "ground_truth" / stored.key.method)
    _export_normals(stored.normals, folder / "train" / "good")
    for i, (name, sample) in enumerate(zip(_names(stored.count), stored, strict=True), 1):
        write_png(images / f"{name}.png", sample.image)
        write_png(masks / f"{name}_mask.png", sample.mask.astype(np.uint8) * 255)
        if progress is not None:
            progress(i, stored.count)
    return folder


def _export_normals(normals: Normals, folder: Path) -> None:
    """Write the normals, or make sure that a method exported before left these very ones."""
    paths = [folder / f"{name}.png" for name in _names(len(normals))]
    if not folder.exists():
        for path, image in zip(paths, normals, strict=True):
            write_png(path, image)
    elif sorted(folder.iterdir()) != paths or not all(
        np.array_equal(read_image(path), image) for path, image in zip(paths, normals, strict=True)
    ):
        raise UserError(f"{folder} holds other normals: remove it, or export to another --out.")


def _names(count: int) -> list[str]:
    """Return numbers as file names that sort in their order."""
    digits = max(4, len(str(count - 1)))
    return [f"{i:0{digits}d}" for i in range(count)]


STORAGE = ("arithmetic", "complete", "encoding", "kind", "shard", "target")
"""What a set records of how the store keeps it: untrue of a decoded copy."""


def export_zarr(stored: StoredSet, out: Path, progress: Counted | None = None) -> Path:
    """Write a set as one plain Zarr group: image, clean, mask and source, decoded.

    `xarray.open_zarr(out, consolidated=False)` opens it. The group gets its name when it is whole:
    until then it stands beside it as `<name>.part`. Raises UserError if `out` is there.
    """
    part = _fresh(out).with_name(f"{out.name}.part")
    attributes = {name: v for name, v in stored.attributes.items() if name not in STORAGE}
    group = zarr.create_group(part, attributes=attributes, overwrite=True)
    count, shape = stored.count, stored.image.shape
    chunk = min(SLAB, count)
    arrays = {
        name: group.create_array(
            name,
            shape=(count, *form),
            chunks=(chunk, *form),
            dtype=dtype,
            dimension_names=["sample", *["y", "x", "c"][: len(form)]],
        )
        for name, form, dtype in (
            ("image", shape, "uint8"),
            ("clean", shape, "uint8"),
            ("mask", shape[:2], "bool"),
            ("source", (), "int32"),
        )
    }
    arrays["source"][:] = stored.source
    for start in range(0, count, chunk):
        slab = range(start, min(start + chunk, count))
        image = np.empty((len(slab), *shape), np.uint8)
        clean, mask = np.empty_like(image), np.empty(image.shape[:3], np.bool_)
        stored.read_batch(slab, image, mask, clean)
        here = slice(slab.start, slab.stop)
        arrays["image"][here], arrays["clean"][here], arrays["mask"][here] = image, clean, mask
        if progress is not None:
            progress(slab.stop, count)
    part.rename(out)
    return out


def _fresh(path: Path) -> Path:
    if path.exists():
        raise UserError(f"{path} is there already: remove it, or export to another --out.")
    return path
