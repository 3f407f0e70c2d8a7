"""What `predict` has said of photographs, on disk: a row as it comes, whole tables at the end.

`predictions.jsonl` is what an interrupted call continues from: beside each row it holds what the
row was made from. `predictions.csv` has the rows for people and spreadsheets, `predictions.json`
has them once all are there, `errors.csv` the files that could not be used. In the CSV files a name
that a spreadsheet would run, as `=1.png`, stands behind an apostrophe.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from asbench.files.csv_cells import cell
from asbench.files.documents import into_place, json_text
from asbench.files.images import FileError
from synth_store.types import UserError

TABLE, LINES, ERRORS = "predictions.csv", "predictions.jsonl", "errors.csv"


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


class Origin(NamedTuple):
    """What a row was made from: while all of it is the same, the row holds.

    run: its id; threshold: of the verdict; bytes, modified: of the image file, the latter in
    nanoseconds since 1970.
    """

    run: str
    threshold: float | None
    bytes: int
    modified: int


class Line(NamedTuple):
    """A row with its origin: a line of `predictions.jsonl`."""

    row: Row
    origin: Origin


COLUMNS = [f.name for f in fields(Row)]


def read_lines(out: Path) -> dict[str, Line]:
    """Return what `predictions.jsonl` in a folder holds, by image; empty where there is none.

    A line that its writer could not finish is left out: its image is to be scored again.
    """
    path = out / LINES
    lines: dict[str, Line] = {}
    for text in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            said = json.loads(text)
            row = Row(*(said[name] for name in COLUMNS))
            line = Line(row, Origin(*(said[name] for name in Origin._fields)))
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(row.score, float):  # null stands for NaN
            lines[row.image] = line
    return lines


def begin(out: Path, lines: Sequence[Line]) -> None:
    """Begin the tables of a folder with the rows that are known already."""
    into_place(out / LINES, "".join(map(_json, lines)))
    into_place(out / TABLE, _csv([COLUMNS, *map(_cells, lines)]))
    (out / ERRORS).unlink(missing_ok=True)


def add(out: Path, line: Line) -> None:
    """Write a row at the end of the tables, at once.

    Raises UserError naming the file when the disk is full or refuses.
    """
    _append(out / LINES, _json(line))
    _append(out / TABLE, _csv([_cells(line)]))


def add_error(out: Path, error: FileError) -> None:
    """Write a file that could not be used into `errors.csv`; raises as `add` does."""
    head = [] if (out / ERRORS).exists() else [["image", "error"]]
    _append(out / ERRORS, _csv([*head, [cell(str(error.path)), cell(error.reason)]]))


def finish(out: Path, lines: Sequence[Line]) -> Path:
    """Write the tables whole, in the order of the lines; return the CSV."""
    into_place(out / LINES, "".join(map(_json, lines)))
    into_place(out / TABLE, _csv([COLUMNS, *map(_cells, lines)]))
    into_place(out / "predictions.json", json_text([line.row for line in lines], ascii_only=True))
    return out / TABLE


def _append(path: Path, content: bytes | str) -> None:
    data = content.encode() if isinstance(content, str) else content
    try:
        with path.open("ab") as opened:
            opened.write(data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


def _json(line: Line) -> str:
    """Return a line as JSON in ASCII, which names in any bytes survive; NaN is null."""
    score = line.row.score if math.isfinite(line.row.score) else None
    return json.dumps(asdict(line.row) | {"score": score} | line.origin._asdict()) + "\n"


def _cells(line: Line) -> list[object]:
    values = (getattr(line.row, name) for name in COLUMNS)
    return [cell(value) if isinstance(value, str) else value for value in values]


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as UTF-8; bytes of a name that are none are shown as `\\udcXX`, as in JSON."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=os.linesep).writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
