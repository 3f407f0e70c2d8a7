"""What the benchmark's paper prints of its five data sets, and where files at hand differ."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_TABLE2 = Path(__file__).with_name("published_table2.csv")
_TABLE3 = Path(__file__).with_name("published_table3.csv")
_COUNTS = Path(__file__).with_name("published_counts.csv")
_TRAINING = Path(__file__).with_name("published_training.csv")
_KINDS = ("train normals", "test normals", "test anomalies")


class Counts(NamedTuple):
    """Images of a data set or a category."""

    train_normal: int
    test_normal: int
    test_anomalous: int

    def __add__(self, other: object) -> Counts:
        """Return the sums, kind by kind."""
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Printed(NamedTuple):
    """A row of the paper's Table 3. Sides in pixels; note: what is known to be wrong in the row."""

    counts: Counts
    categories: int
    sides: tuple[int, int]
    note: str


class Listed(NamedTuple):
    """A row of the paper's Table 2. benchmarked: whether its other tables have it."""

    title: str
    paradigm: str
    family: str
    benchmarked: bool


class Training(NamedTuple):
    """How long a detector's authors train it on a category, and at which share of anomalies."""

    steps: int
    batch: int
    ratio: float


class Measured(NamedTuple):
    """What a category at hand holds. sides: smallest and largest in pixels; None if unread."""

    counts: Counts
    sides: tuple[int, int] | None


def table2() -> dict[str, Listed]:
    """Return the methods that Table 2 lists, by their name here."""
    with _TABLE2.open(newline="", encoding="utf-8") as file:
        return {
            row["name"]: Listed(
                row["title"], row["paradigm"], row["family"], row["benchmarked"] == "yes"
            )
            for row in csv.DictReader(file)
        }


def table3() -> dict[str, Printed]:
    """Return Table 3 as the paper prints it, by data set."""
    with _TABLE3.open(newline="", encoding="utf-8") as file:
        return {
            row["dataset"]: Printed(
                _counts(row),
                int(row["categories"]),
                (int(row["smallest"]), int(row["largest"])),
                row["note"],
            )
            for row in csv.DictReader(file)
        }


def categories(dataset: str) -> dict[str, Counts]:
    """Return the counts of each category in the authors' release; empty for other data sets."""
    with _COUNTS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["category"]: _counts(row) for row in rows if row["dataset"] == dataset}


def training(detector: str, dataset: str, category: str) -> Training | None:
    """Return the published training of a detector (with or without its variant) on a category.

    None for other detectors, and for one trained in epochs where the category's size is unknown.
    """
    row = _trainings().get(detector.partition("@")[0])
    if row is None:
        return None
    batch, ratio = int(row["batch"]), float(row["ratio"])
    if row["steps"]:
        return Training(int(row["steps"]), batch, ratio)
    counts = categories(dataset.partition("@")[0]).get(category)
    if counts is None:
        return None
    return Training(int(row["epochs"]) * -(-counts.train_normal // batch), batch, ratio)


def default_ratios() -> dict[str, float]:
    """Return the share of anomalous items that each detector's authors train with."""
    return {detector: float(row["ratio"]) for detector, row in _trainings().items()}


@functools.cache
def _trainings() -> dict[str, dict[str, str]]:
    with _TRAINING.open(newline="", encoding="utf-8") as file:
        return {row["detector"]: row for row in csv.DictReader(file)}


def differences(dataset: str, measured: Mapping[str, Measured]) -> tuple[str, ...] | None:
    """Say, a sentence each, how a data set at hand differs from Table 3.

    A variant splits in its own way: of it, all normals are counted together. Categories are named
    by what the authors' release holds of them. None for a data set that is not in the table.
    """
    plain, _, variant = dataset.partition("@")
    printed = table3().get(plain)
    if printed is None:
        return None
    sentences = [f"{plain} category {c} is missing" for c in categories(plain) if c not in measured]
    if len(measured) != printed.categories:
        sentences.append(f"{len(measured)} categories here, {printed.categories} printed")
    total = sum((m.counts for m in measured.values()), Counts(0, 0, 0))
    sentences += _numbers("in all", total, printed.counts, "printed", bool(variant))
    if total != printed.counts:
        for name, counts in categories(plain).items():
            if name in measured:
                here = measured[name].counts
                sentences += _numbers(name, here, counts, "in the release", bool(variant))
    sides = [side for m in measured.values() if m.sides for side in m.sides]
    if sides and (min(sides), max(sides)) != printed.sides:
        smallest, largest = printed.sides
        note = f"; {printed.note}" if printed.note else ""
        sentences.append(
            f"sides of {min(sides)}-{max(sides)} pixels here, {smallest}-{largest} printed{note}"
        )
    return tuple(sentences)


def _numbers(what: str, here: Counts, there: Counts, where: str, own_split: bool) -> list[str]:
    pairs = list(zip(_KINDS, here, there, strict=True))
    if own_split:
        normals = (sum(here[:2]), sum(there[:2]))
        pairs = [("normals", *normals), pairs[2]]
    return [f"{what}: {a} {kind} here, {b} {where}" for kind, a, b in pairs if a != b]


def _counts(row: Mapping[str, str]) -> Counts:
    return Counts(*(int(row[field]) for field in Counts._fields))
