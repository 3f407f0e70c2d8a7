"""A data set's training normals into the store, once: both stages stand on them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from asbench.files.images import read_turn
from asbench.imaging.foreground import FOREGROUND_VERSION, foreground
from asbench.imaging.geometry import resize
from asbench.progress import Progress, quiet
from asbench.types import Dataset, Item
from synth_store import Normals, SynthStore, UserError
from synth_store.normals import write_normals
from synth_store.types import Image, Mask


def ensure_normals(
    store: SynthStore, dataset: Dataset, category: str, progress: Progress = quiet
) -> Normals:
    """Return the category's normals from the store, writing them there first if they are not.

    Raises UserError if the data set has none, StoreError if the store holds others under its name.
    The comparison reads pixels only when a file's name, size or date has changed.
    """
    items = dataset.train(category)
    if not items:
        raise UserError(
            f"{dataset.name}/{category} has no normal training images: see what was recognised "
            "with `asbench data check PATH`."
        )
    stamp = _stamp(dataset, items)
    known = store.has_normals(dataset.name, category)
    if known:
        normals = store.normals(dataset.name, category)
        if normals.attributes["stamp"] == stamp:
            return normals
    rules: Counter[str] = Counter()

    def images() -> Iterator[tuple[Image, Mask]]:
        for done, item in enumerate(items):
            progress(f"normals of {dataset.name}/{category}", done, len(items))
            image = resize(dataset.image(item), store.geometry)
            estimate = foreground(image)
            rules[estimate.rule] += 1
            yield image, estimate.mask
        progress(f"normals of {dataset.name}/{category}", len(items), len(items))

    attributes: dict[str, Any] = {"stamp": stamp}
    if not known:  # foregrounds that are stored keep the version that made them
        attributes["foreground"] = {"version": FOREGROUND_VERSION, "rules": rules}
    ids = [item.id for item in items]
    return write_normals(store, dataset.name, category, ids, images(), attributes)


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
