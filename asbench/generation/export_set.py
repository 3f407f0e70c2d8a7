"""A stored set for other tools: a folder of PNG files as MVTec lays them out, or a plain Zarr."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import zarr

from asbench.files.images import read_image, read_mask, write_png
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
    `ground_truth/<method>`. Several methods may be exported to one place. What stands there already
    stays. Raises UserError where other samples or normals do, and naming a file that cannot be
    written; a folder gets its name when it is whole.
    """
    folder = out / stored.category
    images, masks = (folder / kind / stored.key.method for kind in ("test", "ground_truth"))
    names = _names(stored.count)
    if images.exists():
        _refuse_other(images, masks, names, stored)
        return folder
    _export_normals(stored.normals, folder / "train" / "good")
    with _whole(images) as to_images, _whole(masks) as to_masks:
        for i, (name, sample) in enumerate(zip(names, stored, strict=True), 1):
            write_png(to_images / f"{name}.png", sample.image)
            write_png(to_masks / f"{name}_mask.png", sample.mask.astype(np.uint8) * 255)
            if progress is not None:
                progress(i, stored.count)
    return folder


def _refuse_other(images: Path, masks: Path, names: list[str], stored: StoredSet) -> None:
    """Raise UserError unless these very samples stand there: a call that was cut off left them."""
    paths = [images / f"{name}.png" for name in names]
    if sorted(images.iterdir()) != paths or not all(
        np.array_equal(read_image(path), sample.image)
        and (masks / f"{name}_mask.png").is_file()
        and np.array_equal(read_mask(masks / f"{name}_mask.png"), sample.mask)
        for name, path, sample in zip(names, paths, stored, strict=True)
    ):
        raise UserError(f"{images} is there already: remove it, or export to another --out.")


def _export_normals(normals: Normals, folder: Path) -> None:
    """Write the normals, or make sure that a method exported before left these very ones."""
    paths = [folder / f"{name}.png" for name in _names(len(normals))]
    if not folder.exists():
        with _whole(folder) as part:
            for path, image in zip(paths, normals, strict=True):
                write_png(part / path.name, image)
    elif sorted(folder.iterdir()) != paths or not all(
        np.array_equal(read_image(path), image) for path, image in zip(paths, normals, strict=True)
    ):
        raise UserError(f"{folder} holds other normals: remove it, or export to another --out.")


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which gets its name when all is written, and else is gone.

    What a killed call left of it goes first.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as error:
        where = error.filename or folder
        raise UserError(f"cannot write {where}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _names(count: int) -> list[str]:
    """Return numbers as file names that sort in their order."""
    digits = max(4, len(str(count - 1)))
    return [f"{i:0{digits}d}" for i in range(count)]


STORAGE = ("arithmetic", "complete", "encoding", "kind", "shard", "target")
"""What a set records of how the store keeps it: untrue of a decoded copy."""


def export_zarr(stored: StoredSet, out: Path, progress: Counted | None = None) -> Path:
    """Write a set as one plain Zarr group: image, clean, mask and source, decoded.

    `xarray.open_zarr(out, consolidated=False)` opens it. The group gets its name when it is whole.
    Raises UserError if another stands at `out`, and naming the file that cannot be written.
    """
    if out.exists():
        if _digest_of(out) != stored.digest:
            raise UserError(f"{out} is there already: remove it, or export to another --out.")
        return out
    with _whole(out) as part:
        _write_zarr(stored, part, progress)
    return out


def _digest_of(group: Path) -> object:
    """Return the digest of the set that a plain Zarr holds; None where it is none."""
    try:
        return zarr.open_group(group, mode="r").attrs.get("digest")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_zarr(stored: StoredSet, part: Path, progress: Counted | None) -> None:
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
