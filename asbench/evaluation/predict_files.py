"""Scores of anyone's image files, and heat maps of them, written as a folder."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2

from asbench.evaluation.prediction_tables import (
    Line,
    Origin,
    Row,
    add,
    add_error,
    begin,
    finish,
    read_lines,
)
from asbench.evaluation.trained import Trained
from asbench.files.alone import alone
from asbench.files.documents import into_place
from asbench.files.images import SUFFIXES, FileError, read_image
from asbench.files.mask_places import MASK_FOLDERS
from asbench.files.walk import walk
from asbench.grid.memory import freed_memory_kept
from asbench.imaging.contact_sheet import heat, png
from asbench.progress import Progress, quiet
from asbench.results import Threshold
from synth_store.types import UserError

LOCK = ".predicting"
"""Lies in a folder while a call writes there: two at a time would undo each other's tables."""
LONGEST = 240
"""Bytes in the name of a heat map: file systems take 255, and a name on its way needs some."""
REFUSED_NAMES = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
"""What a file system says of a name that it cannot hold, which is no matter of the next name."""


@dataclass(frozen=True)
class Predictions:
    """What a run says of image files.

    rows: one per image that could be read, in the order of the files; unusable: an error for each
    of the others, and for those whose heat map could not be written; threshold: of the verdicts,
    None where there is none; table: the rows as CSV, None where nothing was written; kept: how
    many rows an earlier call had written.
    """

    rows: tuple[Row, ...]
    unusable: tuple[FileError, ...]
    threshold: Threshold | None
    table: Path | None
    kept: int = 0


class Photograph(NamedTuple):
    """An image file, and where its heat map belongs; None where none is to be written."""

    file: Path
    heat_map: Path | None


def predict(
    run: Trained | Path | str,
    images: Path | str | Sequence[Path | str],
    out: Path | str | None = None,
    *,
    threshold: str | float | None = None,
    false_alarms: float | None = None,
    device: str | None = None,
    progress: Progress = quiet,
) -> Predictions:
    """Score image files, and all those below folders, with a finished run.

    Args:
        run: the run, or its folder.
        images: a file or folder, or several; a file that is in two of them is read once.
        out: a folder for a heat map of each image, in the folders they have below the one that all
            of `images` share, and for `predictions.csv`, `predictions.jsonl`, `predictions.json`
            and `errors.csv`; None writes nothing.
        threshold, false_alarms: another rule for the threshold, as for `train`; None for the one
            that the run has.
        device: where the run's folder is given; None for CUDA where there is one.

    Rows are written as they come. The same call after an interruption keeps those whose image (by
    size and date), run and threshold are still the same, and ends with the same tables. A file that
    cannot be used stops no other: see `Predictions.unusable`. Raises UserError for a path that is
    not there, where there is no image at all, where heat maps would lie among the images, and where
    another call is writing into `out`.
    """
    trained = run if isinstance(run, Trained) else Trained(run, device)
    trained = trained.ruled(threshold, false_alarms=false_alarms)
    folder = None if out is None else Path(out)
    named = [Path(p) for p in ([images] if isinstance(images, Path | str) else images)]
    photographs = _photographs(named, folder, trained.id)
    if folder is None:
        with freed_memory_kept():
            return _predicted(trained, photographs, None, progress)
    with alone(folder / LOCK, partial(_refusal, folder)), freed_memory_kept():
        return _predicted(trained, photographs, folder, progress)


def _refusal(out: Path, holder: str) -> str:
    return (
        f"{holder} is predicting into {out}: wait for it and repeat the command, or name another "
        "folder with --out."
    )


def _predicted(
    trained: Trained, photographs: Sequence[Photograph], folder: Path | None, progress: Progress
) -> Predictions:
    """Score what is not scored yet, and write it into a folder, where one is given."""
    lines = {} if folder is None else _kept(photographs, folder, trained)
    kept = len(lines)
    if folder is not None:
        begin(folder, [lines[p] for p in photographs if p in lines])
    progress("predicting", kept, len(photographs))
    unusable: list[FileError] = []
    for done, photograph in enumerate([p for p in photographs if p not in lines], kept + 1):
        try:
            line = _scored(photograph, trained)
            lines[photograph] = line
            if folder is not None:
                add(folder, line)
                if line.row.heat_map is None:
                    raise FileError(photograph.file, "has a name too long or odd for a heat map.")
        except FileError as error:
            unusable.append(error)
            if folder is not None:
                add_error(folder, error)
        progress("predicting", done, len(photographs))
    ordered = [lines[p] for p in photographs if p in lines]
    return Predictions(
        tuple(line.row for line in ordered),
        tuple(unusable),
        trained.threshold,
        None if folder is None else finish(folder, ordered),
        kept,
    )


def _kept(photographs: Sequence[Photograph], out: Path, trained: Trained) -> dict[Photograph, Line]:
    """Return what an earlier call wrote and what still holds."""
    earlier = read_lines(out)
    lines: dict[Photograph, Line] = {}
    for one in photographs:
        line = earlier.get(str(one.file))
        if (
            line is not None
            and line.row.heat_map == str(one.heat_map)
            and os.path.isfile(line.row.heat_map)
            and os.path.exists(one.file)
            and line.origin == _origin(one.file, trained)
        ):
            lines[one] = line
    return lines


def _origin(file: Path, trained: Trained) -> Origin:
    facts, threshold = file.stat(), trained.threshold
    value = None if threshold is None else threshold.value
    return Origin(trained.id, value, facts.st_size, facts.st_mtime_ns)


def _scored(photograph: Photograph, trained: Trained) -> Line:
    """Score one photograph by itself: in a batch, the last bits would depend on its neighbours.

    Its heat map is written first, so that a row never promises one that is not there; the row has
    none where the file system cannot hold the name. Raises FileError where the file cannot be used.
    """
    file, heat_map = photograph
    try:
        pixels = read_image(file)
        origin = _origin(file, trained)
        said = trained.predict(pixels)
        if heat_map is not None:
            threshold = trained.threshold
            drawn = png(heat(pixels, said.map, threshold.value if threshold else None))
    except (MemoryError, cv2.error) as error:
        raise FileError(file, f"is too large for this machine: {error}") from error
    except OSError as error:
        raise FileError(file, f"cannot be read: {error.strerror or error}.") from error
    try:
        if heat_map is not None:
            into_place(heat_map, drawn)
    except UserError as error:
        cause = error.__cause__
        if not (isinstance(cause, OSError) and cause.errno in REFUSED_NAMES):
            raise
        heat_map = None
    where = None if heat_map is None else str(heat_map)
    return Line(Row(str(file), said.score, said.anomalous, where), origin)


def _photographs(named: Sequence[Path], out: Path | None, run: str) -> list[Photograph]:
    """Return every image file among `named` and below its folders once, in their order.

    Heat maps mirror the folders below the one that all of `named` share. A folder `out` inside of a
    named one is not read, nor is one below it that is called like a folder of masks. Raises
    UserError as `predict` does.
    """
    for path in named:
        if not path.exists():
            raise UserError(f"{path} is not there: name image files, or a folder that holds some.")
    target = None if out is None else Path(os.path.realpath(out))
    files: dict[tuple[str, str], Path] = {}
    read: list[Path] = []  # folders that will be read again when the command is
    for path in named:
        if not path.is_dir():
            files.setdefault((os.path.realpath(path.parent), path.name), path)
            continue
        root = Path(os.path.realpath(path))
        own = target is not None and root in target.parents
        read += [] if own else [root]
        for file in walk(path):
            if any(part.lower() in MASK_FOLDERS for part in file.relative_to(path).parts[:-1]):
                continue  # a whole data set was named, and its masks are no photographs
            place = os.path.realpath(file.parent)
            if not (own and target is not None and Path(place).is_relative_to(target)):
                files.setdefault((place, file.name), file)
    if not files:
        listed = ", ".join(map(str, named))
        raise UserError(f"no images in {listed}: files must end in {', '.join(sorted(SUFFIXES))}.")
    if out is None or target is None:
        return [Photograph(file, None) for file in files.values()]
    folders = [os.path.abspath(path if path.is_dir() else path.parent) for path in named]
    shared = os.path.commonpath(folders)
    photographs = []
    for file in files.values():
        below = Path(os.path.relpath(os.path.abspath(file.parent), shared))
        if any((target / below).is_relative_to(root) for root in read):
            raise UserError(
                f"heat maps in {out} would lie among the photographs and be read as some: name "
                "another folder with --out."
            )
        photographs.append(Photograph(file, out / below / _heat_map(file.name, run)))
    return photographs


def _heat_map(name: str, run: str) -> str:
    """Return the name of an image's heat map; a long one is cut, and told apart by a digest.

    The ending stays in the name: a.png and a.jpg are two images.
    """
    ending, data = f".{run}.png", os.fsencode(name)
    room = LONGEST - len(ending)
    if len(data) > room:
        digest = f"~{hashlib.sha256(data).hexdigest()[:8]}"
        name = data[: room - len(digest)].decode(errors="ignore") + digest
    return name + ending
