"""One measured set, one file: what was measured of which pixels, and every score.

`<root>/<id>/quality.json` is renamed into place when all of it is known: a folder with the file is
done. The id is a digest of everything that decides the scores.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

from asbench.documents import into_place
from asbench.results import Subset, run_id
from synth_store.types import UserError

SCHEMA = 1
QUALITY_VERSION = 1
"""Part of every id: raised when the same pixels would get other scores."""

SAMPLES = 500
"""Samples measured of a set unless told otherwise."""

Pairing = Literal["self", "clean", "real", "normals", "few-shot", "held-out"]
"""What a set is held against: nothing (`self`), each sample's own clean image, the real defects
that `decides.real` names, the training normals, or the few-shot or the other real defects."""
Region = Literal["whole", "inside", "border"]
"""The whole image, the inside of the mask, or a band around the mask's border."""
REGIONS: tuple[Region, ...] = ("whole", "inside", "border")


class Decides(TypedDict):
    """Everything that decides the scores, so everything the id is made of.

    set, normals, test: digests of the n samples, the normals, the test images; n: samples asked
    for; real: which real defects are the reference; metrics: in sorted order; weights: network to
    digest.
    """

    version: int
    dataset: str
    category: str
    method: str
    seed: int
    geometry: str
    set: str
    normals: str
    test: str
    n: int
    real: Subset
    metrics: Sequence[str]
    weights: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Score:
    """One number.

    metric: its name, stand-ins with an `@`; n: samples it is made of; against: how many it was
    held against, 0 for `self`; spread: standard deviation (over pairs, KID's subsets or IS's
    splits), NaN where there is none; note: settings that depend on the data; reason: why `value`
    is NaN; weights: beginning of the digest of the network behind it, empty without one.
    """

    metric: str
    pairing: Pairing
    region: Region
    value: float
    n: int
    against: int = 0
    spread: float = math.nan
    note: str = ""
    reason: str = ""
    weights: str = ""

    @property
    def address(self) -> str:
        """The score's name among those of its set: `fid@histogram:real:inside`."""
        return f"{self.metric}:{self.pairing}:{self.region}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The contents of `quality.json`.

    saw_defects: real defects that the set was made from; created: ISO 8601; seconds: wall time.
    """

    decides: Decides
    scores: tuple[Score, ...]
    saw_defects: int
    environment: Mapping[str, Any]
    seconds: float
    created: str

    @property
    def id(self) -> str:
        """The name of the folder: 12 hex digits."""
        return quality_id(self.decides)

    def score(self, address: str) -> Score:
        """Return one score; raises UserError naming what there is."""
        for score in self.scores:
            if score.address == address:
                return score
        raise UserError(
            f"{address!r} was not measured of {self.decides['method']}: there are "
            f"{', '.join(s.address for s in self.scores)}."
        )

    def dual(self, metric: str, pairing: Pairing) -> tuple[float, float]:
        """Return a metric's (global, local) pair: of whole images, and of what the masks mark.

        Source: the ASBench paper, section 4.4.3, asks for a quality on both scales.
        """
        whole, inside = (self.score(f"{metric}:{pairing}:{r}").value for r in ("whole", "inside"))
        return whole, inside


def quality_id(decides: Mapping[str, Any]) -> str:
    """Return the id of what decides a measurement, as `asbench.results.run_id` does for runs."""
    return run_id(decides)


def save(quality: Quality, root: Path) -> None:
    """Write `<root>/<id>/quality.json`, whole or not at all."""
    record = {"schema": SCHEMA, "id": quality.id, **asdict(quality)}
    for score in record["scores"]:
        for name in ("value", "spread"):
            if not math.isfinite(score[name]):
                score[name] = None  # JSON has no NaN
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    path = root / quality.id / "quality.json"
    into_place(path, lambda part: part.write_text(text, encoding="utf-8"))


def read(folder: Path) -> Quality:
    """Return what a folder holds; raises UserError where it is damaged, edited or of later make."""
    path = folder / "quality.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise UserError(
                f"{path} has schema {record['schema']!r}; this version of ASBench reads schema "
                f"{SCHEMA}. Install the version that wrote it, or delete the folder."
            )
        scores = tuple(_score(score) for score in record["scores"])
        kept = {k: record[k] for k in Quality.__slots__ if k != "scores"}
        quality = Quality(scores=scores, **kept)
        if record["id"] != quality.id:
            raise ValueError(f"its id is {record['id']!r}, its settings give {quality.id!r}")
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error
    except UserError:
        raise
    except ValueError as error:
        raise _damaged(path, error) from error
    return quality


def rows(root: Path) -> list[Quality]:
    """Return what stands under `root`, oldest first; raises UserError for a damaged file."""
    found = [read(path.parent) for path in sorted(root.glob("*/quality.json"))]
    return sorted(found, key=lambda q: (q.created, q.id))


def finished(root: Path, decides: Mapping[str, Any]) -> Quality | None:
    """Return the measurement under `root` that `decides` names, None where there is none."""
    folder = root / quality_id(decides)
    return read(folder) if (folder / "quality.json").exists() else None


def addresses(qualities: Iterable[Quality]) -> list[str]:
    """Return the addresses of all scores, in the order in which they were measured."""
    return list(dict.fromkeys(score.address for q in qualities for score in q.scores))


def csv_text(qualities: Iterable[Quality]) -> str:
    """Return one line per score as CSV, full precision, nothing where undefined."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    about = ("id", "dataset", "category", "method", "seed", "real")
    lines.writerow([*about, *Score.__slots__])
    for quality in qualities:
        d = quality.decides
        named = (quality.id, d["dataset"], d["category"], d["method"], d["seed"], d["real"])
        for score in quality.scores:
            values = (getattr(score, name) for name in Score.__slots__)
            lines.writerow([*named, *("" if v != v else v for v in values)])
    return out.getvalue()


def _score(record: Mapping[str, Any]) -> Score:
    numbers = {k: math.nan if record[k] is None else float(record[k]) for k in ("value", "spread")}
    return Score(**{**record, **numbers})


def _damaged(path: Path, error: Exception) -> UserError:
    what = f"no {error}" if isinstance(error, KeyError) else str(error)
    return UserError(
        f"{path} cannot be read ({what}): delete its folder and run `asbench quality` again."
    )
