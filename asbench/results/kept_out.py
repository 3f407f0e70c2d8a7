"""What a run's detector said of images that serve its threshold: one small table.

Every rule for a threshold is a function of it, so that another can be applied at any time.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asbench.files.csv_cells import cell, uncell
from asbench.files.documents import damaged, into_place
from asbench.results.images import read_lines
from asbench.results.run import AGAIN
from synth_store.types import UserError

TABLE = "kept_out.csv"


@dataclass(frozen=True, slots=True)
class KeptRow:
    """One image: a normal's id, or a stored anomaly's `method/index`.

    label: 1 = anomaly; trained: 1 = training saw it, which it does of normals where none is kept
    out; score: higher = more anomalous.
    """

    id: str
    label: int
    trained: int
    score: float


@dataclass(frozen=True, eq=False)
class KeptOut:
    """The scores that thresholds are chosen on: float64 (n,) of normals, (m,) of anomalies.

    trained: whether training saw the normals; the anomalies it never saw. of: how many normals
    there were to choose from, where not all were scored; bounded: whether scores lie in [0, 1].
    """

    normals: npt.NDArray[np.float64]
    anomalies: npt.NDArray[np.float64]
    trained: bool
    of: int | None = None
    bounded: bool = False

    @classmethod
    def from_rows(
        cls, rows: Iterable[KeptRow], of: int | None = None, *, bounded: bool = False
    ) -> KeptOut:
        """Return the scores of a table's rows."""
        rows = list(rows)
        normals = [r.score for r in rows if not r.label]
        anomalies = [r.score for r in rows if r.label]
        return cls(
            np.array(normals, np.float64),
            np.array(anomalies, np.float64),
            any(r.trained for r in rows),
            of,
            bounded,
        )


def write_kept_out(folder: Path, rows: Iterable[KeptRow]) -> None:
    """Write `kept_out.csv` into a run's folder, whole or not at all; scores to the last digit."""

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(f.name for f in fields(KeptRow))
            lines.writerows([cell(r.id), r.label, r.trained, repr(float(r.score))] for r in rows)

    into_place(folder / TABLE, write)


def read_kept_out(folder: Path, *, bounded: bool = False) -> KeptOut | None:
    """Return the scores in a run's folder; None for a run of a version that kept none.

    bounded: whether its detector's scores lie in [0, 1]. Raises UserError naming a damaged file.
    """
    path = folder / TABLE
    if not path.exists():
        return None
    try:
        with read_lines(path) as file:
            rows = [
                KeptRow(uncell(r["id"]), int(r["label"]), int(r["trained"]), float(r["score"]))
                for r in csv.DictReader(file)
            ]
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise damaged(path, error, AGAIN) from error
    return KeptOut.from_rows(rows, bounded=bounded)
