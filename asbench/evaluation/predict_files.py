"""Scores and heat maps of anyone's image files, written as a folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from asbench.documents import into_place, json_text
from asbench.evaluation.trained import Trained
from asbench.files.images import FileError, image_files, read_image
from asbench.imaging.contact_sheet import heat, png

TABLE = "predictions.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """One image: its file, its score (higher = more anomalous), the verdict, its heat map.

    anomalous: whether the score reaches the run's threshold, None where it has none.
    """

    image: str
    score: float
    anomalous: bool | None
    heat_map: str


def predict_files(
    trained: Trained,
    paths: Sequence[Path],
    out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Row], list[FileError]]:
    """Score image files, and all those below folders; return what was found and what failed.

    Writes a heat map for each under `out`, in the folders they have under the one that was named,
    then `predictions.csv` and `predictions.json`. A file that cannot be used stops no other.
    Raises UserError for a path that is not there and where there is no image at all.
    """
    named = [(file, path) for path in paths for file in image_files([path])]
    threshold = trained.run.threshold
    rows, unusable = [], []
    for done, (file, path) in enumerate(named, 1):
        try:
            pixels = read_image(file)
        except FileError as error:
            unusable.append(error)
            continue
        found = trained.predict(pixels)
        # The ending stays in the name: a.png and a.jpg are two images.
        below = file.relative_to(path) if path.is_dir() else Path(file.name)
        picture = out / below.with_name(f"{below.name}.{trained.id}.png")
        drawn = png(heat(pixels, found.map, threshold.value if threshold else None))
        into_place(picture, drawn)
        rows.append(Row(str(file), found.score, found.anomalous, str(picture)))
        if progress is not None:
            progress(done, len(named))
    if rows:
        _write(rows, out)
    return rows, unusable


def _write(rows: Sequence[Row], out: Path) -> None:
    def table(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as opened:
            lines = csv.writer(opened, lineterminator=os.linesep)
            lines.writerow([f.name for f in fields(Row)])
            lines.writerows([r.image, r.score, r.anomalous, r.heat_map] for r in rows)

    into_place(out / TABLE, table)
    into_place(out / "predictions.json", json_text(rows, ascii_only=True))
