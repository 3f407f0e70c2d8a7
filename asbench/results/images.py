"""What a run keeps of its test images: a line of scores each, and a gallery to look at."""

from __future__ import annotations

import csv
import io
import math
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asbench.files.csv_cells import cell, uncell
from asbench.files.documents import damaged, into_place
from asbench.files.sums import read_checked
from asbench.results.run import AGAIN
from synth_store.types import UserError


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One test image. `score`: higher = worse; `pixel_ap`: NaN without a mask or a defect.

    aupimo: None there, where `Further` has none, and in runs of earlier releases.
    """

    id: str
    label: int
    defect: str
    few_shot: bool
    score: float
    pixel_ap: float
    aupimo: float | None = None


def write_table(folder: Path, rows: Iterable[ImageRow]) -> None:
    """Write `test.csv` into a run's folder."""
    write_rows(folder / "test.csv", rows)


def write_rows(path: Path, rows: Iterable[ImageRow]) -> None:
    """Write one line per test image as CSV, floats to the last digit, NaN as nothing.

    A name that a spreadsheet would run stands behind an apostrophe.
    """

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(ImageRow.__slots__)
            for r in rows:
                named = cell(r.id), r.label, cell(r.defect), int(r.few_shot)
                values = r.pixel_ap, math.nan if r.aupimo is None else r.aupimo
                told = ("" if math.isnan(v) else repr(float(v)) for v in values)
                lines.writerow([*named, repr(float(r.score)), *told])

    into_place(path, write)


def read_lines(path: Path) -> io.StringIO:
    """Return the text of a table, as a file; raises UserError where it is not as listed."""
    return io.StringIO(read_checked(path, AGAIN).decode(), newline="")


def read_table(folder: Path) -> list[ImageRow]:
    """Return the lines of `test.csv`; raises UserError naming a damaged file."""
    path = folder / "test.csv"
    try:
        with read_lines(path) as file:
            return [
                ImageRow(
                    id=uncell(r["id"]),
                    label=int(r["label"]),
                    defect=uncell(r["defect"]),
                    few_shot=bool(int(r["few_shot"])),
                    score=float(r["score"]),
                    pixel_ap=float(r["pixel_ap"] or "nan"),
                    aupimo=float(r["aupimo"]) if r.get("aupimo") else None,
                )
                for r in csv.DictReader(file)
            ]
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise damaged(path, error, AGAIN) from error


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Test images kept for looking at, chosen by hash before training.

    ids: k strings; images: uint8 (k, H, W, 3); masks: bool (k, H, W), the ground truth, all False
    where there is none; maps: float16 (k, H, W), the trained detector's anomaly maps.
    Raises ValueError when built from anything else.
    """

    ids: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    maps: npt.NDArray[np.float16]

    def __post_init__(self) -> None:
        shape = (len(self.ids), *self.images.shape[1:3])
        expected = {"images": (np.uint8, (*shape, 3)), "masks": (np.bool_, shape)}
        for name, (kind, form) in {**expected, "maps": (np.float16, shape)}.items():
            array = getattr(self, name)
            if array.dtype != kind or array.shape != form:
                raise ValueError(
                    f"{name} must be {np.dtype(kind)} {form}, not {array.dtype} {array.shape}"
                )


_NPZ_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise between them for a damaged file."""


def write_gallery(folder: Path, gallery: Gallery) -> None:
    """Write `gallery.npz`; equal galleries give equal bytes."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                ids=np.array(gallery.ids, dtype=np.str_),
                images=gallery.images,
                masks=gallery.masks,
                maps=gallery.maps,
            )

    into_place(folder / "gallery.npz", write)


def read_gallery(folder: Path) -> Gallery:
    """Return the gallery of a run; raises UserError naming a damaged file."""
    path = folder / "gallery.npz"
    try:
        with np.load(io.BytesIO(read_checked(path, AGAIN)), allow_pickle=False) as file:
            ids = tuple(map(str, file["ids"]))
            return Gallery(ids, file["images"], file["masks"], file["maps"])
    except UserError:
        raise
    except _NPZ_ERRORS as error:
        raise damaged(path, error, AGAIN) from error
