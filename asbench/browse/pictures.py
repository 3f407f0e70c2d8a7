"""The pictures and the measures of one stored set, in a folder of the gallery that is its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image

from asbench.data.excluded import short_digest
from asbench.files.documents import into_place, record_id
from asbench.imaging.visibility import change
from synth_store import Normals, StoredSet, UserError
from synth_store.types import Image, Mask

VERSION = 1
"""Of how pictures are drawn and measured: another draws them anew."""
QUALITY = 80
"""Of WebP: at it a mask's border and a faint change still show."""
EFFORT = 2
"""Of WebP, 0 to 6: OpenCV's 4 takes twice the time, for files a twentieth smaller."""
GAIN = 4
"""Times that a difference is shown enlarged: 64 grey levels are white."""
RUN = 16
"""Samples that a thread takes at once."""

Counted = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a set's samples, one value a sample in each list.

    source: the normal that each was drawn on, -1 where it has its own; change, unchanged: as
    `asbench.imaging.visibility.Change`; area: the share of the image that is masked; digest: as
    marks carry it.
    """

    source: list[int]
    change: list[float]
    unchanged: list[float]
    area: list[float]
    digest: list[str]


def folder_of(of: StoredSet | Normals, size: tuple[int, int]) -> str:
    """Return the folder's name: other pixels, another size of pictures have another one."""
    what = (str(of.key), of.category, of.normals.digest) if isinstance(of, StoredSet) else ()
    made_of = {"of": what, "digest": of.digest, "size": size, "version": VERSION}
    return record_id(made_of)


def draw(stored: StoredSet, folder: Path, size: tuple[int, int], counted: Counted) -> Measured:
    """Draw every sample of a set, unless that was done, and return what was measured.

    size: (height, width) of one picture. A sample is `<index>.webp`, image, difference and mask
    side by side; where it has a clean image of its own, that is `clean-<index>.webp`.
    Raises StoreError for a damaged byte, UserError where a file cannot be written.
    """
    record = folder / "set.json"
    if record.is_file():
        counted(stored.count, stored.count)
        return Measured(**json.loads(record.read_text()))
    _fresh(folder)

    def one(index: int) -> tuple[int, float, float, float, str]:
        sample = stored[index]
        assert sample.clean is not None
        strip = [shrunk(of, size) for of in (sample.image, *_beside(sample.image, sample.clean))]
        strip.append(shrunk(_grey(sample.mask), size))
        _save(folder / f"{index}.webp", np.hstack(strip))
        if stored.clean is not None:
            _save(folder / f"clean-{index}.webp", shrunk(sample.clean, size))
        seen = change(sample.image, sample.clean, sample.mask)
        area = float(sample.mask.mean())
        source = -1 if stored.clean is not None else stored.source_of(index)
        return source, seen.levels, seen.unchanged, area, short_digest(stored, index)

    columns = zip(*_threaded(one, range(stored.count), counted), strict=True)
    source, levels, unchanged, area, digest = map(list, columns)
    rounded: Mapping[str, Any] = {
        "change": [round(float(value), 1) for value in levels],
        "unchanged": [round(float(value), 3) for value in unchanged],
        "area": [round(float(value), 5) for value in area],
    }
    measured = Measured(source=source, digest=digest, **rounded)
    into_place(record, json.dumps(asdict(measured)))
    return measured


def draw_normals(
    normals: Normals, wanted: Iterable[int], folder: Path, size: tuple[int, int], counted: Counted
) -> None:
    """Draw those normals that samples were drawn on as `<index>.webp`, unless they are there."""
    missing = [i for i in sorted(set(wanted)) if not (folder / f"{i}.webp").is_file()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)

        def one(index: int) -> None:
            _save(folder / f"{index}.webp", shrunk(normals[index], size))

        _threaded(one, missing, counted)


def shrunk(image: Image, size: tuple[int, int]) -> Image:
    """Return an image at (height, width), which is no larger."""
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _beside(image: Image, clean: Image) -> list[Image]:
    """Return the difference of the strongest channel, enlarged, as a grey image."""
    largest = cv2.absdiff(image, clean).max(axis=2)
    return [cv2.merge([cv2.convertScaleAbs(largest, alpha=GAIN)] * 3)]


def _grey(mask: Mask) -> Image:
    return np.repeat(mask[..., None].view(np.uint8) * np.uint8(255), 3, axis=2)


def _save(path: Path, image: Image) -> None:
    try:
        PIL.Image.fromarray(image).save(path, "WEBP", quality=QUALITY, method=EFFORT)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


def _fresh(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}.") from error


def _threaded(one: Callable[[int], Any], of: Iterable[int], counted: Counted) -> list[Any]:
    """Return what `one` makes of every index, in order; encoding lets go of Python's lock."""
    indices = list(of)
    runs = [indices[start : start + RUN] for start in range(0, len(indices), RUN)]
    made: list[Any] = []
    pool = ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), 8))
    try:
        for some in pool.map(lambda run: [one(index) for index in run], runs):
            made += some
            counted(len(made), len(indices))
    finally:
        pool.shutdown(cancel_futures=True)
    return made
