"""Stored sets for other tools: PNG folders as MVTec AD lays them out, a plain Zarr, and more.

What needs an own file of annotations or archives is in `asbench.generation.formats`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import zarr

from asbench.files.images import read_image, read_mask, write_png
from asbench.files.whole import size_of, whole_folder
from asbench.generation.formats import LEFT_BY_READERS, export_packed
from asbench.generation.formats.content import Classes, numbers
from asbench.progress import Progress, quiet
from synth_store import Normals, StoredSet, StoreKey, SynthStore, UserError
from synth_store.selection import select

Counted = Callable[[int, int], None]
SLAB = 64
"""Samples written to a plain Zarr at once: one chunk."""


Form = Literal["mvtec", "zarr", "coco", "coco-polygons", "yolo", "parquet", "webdataset"]
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, slots=True)
class Exported:
    """One category of a set that was written: how many samples, and where.

    normals: images beside them; files, size: what lies at the place, and its bytes; notes: what
    else is worth knowing.
    """

    category: str
    count: int
    place: Path
    normals: int = field(default=0, compare=False)
    files: int = field(default=0, compare=False)
    size: int = field(default=0, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)


def export_set(
    store: SynthStore,
    key: StoreKey | str | Sequence[StoreKey | str],
    out: Path | str,
    *,
    categories: Sequence[str] | None = None,
    form: Form = "mvtec",
    classes: Classes = "methods",
    progress: Progress = quiet,
) -> Iterator[Exported]:
    """Write a set, or several of one data set, for other tools, yielding each category once done.

    out: a folder; form: PNG files as MVTec AD lays them out; one plain Zarr group a category,
    `<out>/<category>.zarr`, of one set; or `<out>/<category>/` with COCO's annotations (`coco`:
    RLE, or `coco-polygons`), YOLO's labels, Parquet as Hugging Face loads it, or tar files for
    webdataset. classes: a class for each method, or one, in the formats that know classes;
    categories: None for all. Raises StoreError where there is no such set, UserError for an unknown
    category, where something else stands already and where a package is missing.
    """
    asked = [key] if isinstance(key, StoreKey | str) else list(key)
    named = [one if isinstance(one, StoreKey) else StoreKey.parse(one) for one in asked]
    if len({one.dataset for one in named}) > 1:
        raise UserError(
            f"{' and '.join(map(str, named))} are of different data sets: export each by itself."
        )
    if form == "zarr" and len(named) > 1:
        raise UserError(f"--format zarr writes one set, not {len(named)}: export each by itself.")
    there = {one: [c for _, c in select(store, (str(one),))] for one in named}
    every = sorted({category for below in there.values() for category in below})
    for category in categories or ():
        if category not in every:
            raise UserError(
                f"{' and '.join(map(str, named))} has no category {category!r}: choose from "
                f"{', '.join(every)}."
            )
    for category in categories or every:
        sets = [store.read(one, category) for one in named if category in there[one]]
        yield _exported(sets, Path(out), form, classes, progress)


def _exported(
    sets: Sequence[StoredSet], out: Path, form: Form, classes: Classes, progress: Progress
) -> Exported:
    """Write one category."""
    first, notes = sets[0], tuple[str, ...]()
    what = f"{first.key if len(sets) == 1 else first.key.dataset}/{first.category}"

    def report(done: int, total: int) -> None:
        progress(what, done, total)

    if form == "mvtec":
        for one in sets:
            place = export_folder(one, out, report)
    elif form == "zarr":
        place = export_zarr(first, out / f"{first.category}.zarr", report)
    else:
        place, notes = export_packed(sets, out, form, classes, report)
    normals = 0 if form == "zarr" else len(first.normals)
    samples = sum(one.count for one in sets)
    return Exported(
        first.category, samples, place, normals, *size_of(place, LEFT_BY_READERS), notes
    )


def export_folder(stored: StoredSet, out: Path, progress: Counted | None = None) -> Path:
    """Write a set as MVTec AD lays out a category; returns the category's folder.

    The normals become `train/good`, the anomalies `test/<method>` with 8-bit grey masks in
    `ground_truth/<method>`. Several methods may be exported to one place. What stands there already
    stays. Raises UserError where other samples or normals do, and naming a file that cannot be
    written; a folder gets its name when it is whole.
    """
    folder = out / stored.category
    images, masks = (folder / kind / stored.key.method for kind in ("test", "ground_truth"))
    names = numbers(stored.count)
    if images.exists():
        _refuse_other(images, masks, names, stored)
        return folder
    _export_normals(stored.normals, folder / "train" / "good")
    with whole_folder(images) as to_images, whole_folder(masks) as to_masks:
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
    paths = [folder / f"{name}.png" for name in numbers(len(normals))]
    if not folder.exists():
        with whole_folder(folder) as part:
            for path, image in zip(paths, normals, strict=True):
                write_png(part / path.name, image)
    elif sorted(folder.iterdir()) != paths or not all(
        np.array_equal(read_image(path), image) for path, image in zip(paths, normals, strict=True)
    ):
        raise UserError(f"{folder} holds other normals: remove it, or export to another --out.")


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
    with whole_folder(out) as part:
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
