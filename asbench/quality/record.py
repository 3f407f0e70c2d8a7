"""One measured set, one file: what was measured of which pixels, and every score.

`<root>/<id>/quality.json` is renamed into place when all of it is known: a folder with the file is
done. The id is a digest of everything that decides the scores.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import TypedDict

from asbench.files.documents import Number, RecordFolder, record_id
from asbench.results import Subset
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
    value: Number
    n: int
    against: int = 0
    spread: Number = math.nan
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
    seconds: Number
    created: str

    @property
    def id(self) -> str:
        """The name of the folder: 12 hex digits."""
        return record_id(self.decides)

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


QUALITIES = RecordFolder(
    Quality, "quality.json", SCHEMA, "delete its folder and run `asbench quality` again"
)
save, read = QUALITIES.save, QUALITIES.read
rows, finished = QUALITIES.rows, QUALITIES.finished


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
