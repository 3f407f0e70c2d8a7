"""A stored set for other tools: a folder of PNG files as MVTec lays them out, or a plain Zarr."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr

from asbench.preview import png
from synth_store import StoredSet, UserError

Progress = Callable[[int, int], None]
SLAB = 64
"""Samples written to a plain Zarr at once: one chunk."""


def export_folder(stored: StoredSet, out: Path, progress: Progress | None = None) -> Path:
    """Write a set as MVTec AD lays out a category; returns the category's folder.

    The normals become `train/good`, the anomalies `test/<method>` with masks in
    `ground_truth/<method>`. Raises UserError if something stands there already.
    """
    folder = _fresh(out / stored.category / "test" / stored.key.method).parents[1]
    images = folder / "test" / stored.key.method
    masks = folder / "ground_truth" / stored.key.method
    normals = folder / "train" / "good"
    for place in (images, masks, normals):
        place.mkdir(parents=True, exist_ok=True)
    for i, normal in enumerate(stored.normals):
        (normals / f"{i:04d}.png").write_bytes(png(normal))
    for i, sample in enumerate(stored):
        (images / f"{i:04d}.png").write_bytes(png(sample.image))
        white = np.repeat(sample.mask[..., None] * np.uint8(255), 3, axis=2)
        (masks / f"{i:04d}_mask.png").write_bytes(png(white))
        if progress is not None:
            progress(i + 1, stored.count)
    return folder


def export_zarr(stored: StoredSet, out: Path, progress: Progress | None = None) -> Path:
    """Write a set as one plain Zarr group: image, clean, mask and source, decoded.

    `xarray.open_zarr(out, consolidated=False)` opens it. Raises UserError if `out` is there.
    """
    group = zarr.create_group(_fresh(out), attributes=dict(stored.attributes))
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
        part = range(start, min(start + chunk, count))
        image = np.empty((len(part), *shape), np.uint8)
        clean, mask = np.empty_like(image), np.empty(image.shape[:3], np.bool_)
        stored.read_batch(part, image, mask, clean)
        here = slice(part.start, part.stop)
        arrays["image"][here], arrays["clean"][here], arrays["mask"][here] = image, clean, mask
        if progress is not None:
            progress(part.stop, count)
    return out


def _fresh(path: Path) -> Path:
    if path.exists():
        raise UserError(f"{path} is there already: remove it, or export to another --out.")
    return path
