"""Scores of anyone's image files, and heat maps of them, written as a folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from asbench.documents import into_place, json_text
from asbench.evaluation.trained import Prediction, Trained
from asbench.files.images import FileError, image_files, read_image
from asbench.imaging.contact_sheet import heat, png
from asbench.progress import Progress, quiet
from asbench.results import Threshold
from synth_store.types import Image

TABLE = "predictions.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One image: its file, its score (higher = more anomalous), the verdict, its heat map.

    anomalous: whether the score reaches the run's threshold, None where it has none; heat_map: its
    file, None where none was written.
    """

    image: str
    score: float
    anomalous: bool | None
    heat_map: str | None


@dataclass(frozen=True)
class Predictions:
    """What a run says of image files.

    rows: one per image that could be read, in the order of the files; unusable: an error for each
    of the others; threshold: of the verdicts, None where the run has none; table: the rows as CSV,
    None where nothing was written.
    """

    rows: tuple[Row, ...]
    unusable: tuple[FileError, ...]
    threshold: Threshold | None
    table: Path | None


def predict(
    run: Trained | Path | str,
    images: Path | str | Sequence[Path | str],
    out: Path | str | None = None,
    *,
    device: str | None = None,
    progress: Progress = quiet,
) -> Predictions:
    """Score image files, and all those below folders, with a finished run.

    Args:
        run: the run, or its folder.
        images: a file or folder, or several.
        out: a folder for a heat map of each image, in the folders they have under the one that was
            named, and for `predictions.csv` and `predictions.json`; None writes nothing.
        device: where the run's folder is given; None for CUDA where there is one.

    A file that cannot be used stops no other: see `Predictions.unusable`. Raises UserError for a
    path that is not there and where there is no image at all.
    """
    trained = run if isinstance(run, Trained) else Trained(run, device)
    folder = None if out is None else Path(out)
    paths = [Path(p) for p in ([images] if isinstance(images, Path | str) else images)]
    named = [(file, path) for path in paths for file in image_files([path])]
    rows: list[Row] = []
    unusable: list[FileError] = []
    for done, (file, path) in enumerate(named, 1):
        try:
            pixels = read_image(file)
        except FileError as error:
            unusable.append(error)
            continue
        said = trained.predict(pixels)
        picture = None
        if folder is not None:
            # The ending stays in the name: a.png and a.jpg are two images.
            below = file.relative_to(path) if path.is_dir() else Path(file.name)
            picture = folder / below.with_name(f"{below.name}.{trained.id}.png")
            _draw(picture, pixels, said, trained.run.threshold)
        heat_map = None if picture is None else str(picture)
        rows.append(Row(str(file), said.score, said.anomalous, heat_map))
        progress("predicting", done, len(named))
    written = _write(rows, folder) if rows and folder is not None else None
    return Predictions(tuple(rows), tuple(unusable), trained.run.threshold, written)


def _draw(path: Path, pixels: Image, said: Prediction, threshold: Threshold | None) -> None:
    into_place(path, png(heat(pixels, said.map, threshold.value if threshold else None)))


def _write(rows: Sequence[Row], out: Path) -> Path:
    def table(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as opened:
            lines = csv.writer(opened, lineterminator=os.linesep)
            lines.writerow([f.name for f in fields(Row)])
            lines.writerows([r.image, r.score, r.anomalous, r.heat_map] for r in rows)

    into_place(out / TABLE, table)
    into_place(out / "predictions.json", json_text(rows, ascii_only=True))
    return out / TABLE
