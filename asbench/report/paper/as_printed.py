"""The printed tables of the benchmark's paper (ASBench), as data.

Methods and detectors bear this package's names; the paper's "AnomalyDiffusion" detector is `unet`.
The tables print means over the categories of a data set, in 0..1 with four digits, without seeds.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from asbench.data import published
from asbench.results.frame import from_records

DATASETS = ("mvtec", "btad", "visa", "mpdd", "mtd")
DETECTORS = ("destseg", "draem", "memseg", "unet")
METHODS = (
    "anomalydiffusion",
    "cutout",
    "cutpaste",
    "cutpaste_scar",
    "destseg",
    "dfmgan",
    "draem",
    "fpi",
    "fractal",
    "memseg",
    "nsa",
    "realnet",
)
RATIOS = (0.25, 0.5, 0.75, 1.0)
QUALITIES = ("ssim", "psnr", "lpips", "is", "fid", "kid")
MIXED = ("anomalydiffusion", "draem", "fractal", "memseg")
"""The methods whose eleven combinations section 4.5 trains with; it prints no numbers of them."""
RATIO_TABLES = {"mvtec": 7, "btad": 8}

NOTES: Mapping[int, tuple[str, ...]] = {
    3: ("MTD: sides of 113-491 pixels are printed, the authors' own files measure 103-632.",),
    4: (
        "Cells are the best of the four detectors, which the paper does not say: DestSeg on MVTec "
        "AD stands here at 0.9892, in Table 7 its mean over detectors reaches 0.9794 at most.",
        "The detector is decoded from the cell's colour (red DestSeg, blue DRAEM, green MemSeg, "
        "yellow AnomalyDiffusion), which the paper does not explain either: the best cell of a "
        "colour is Table 5's method in 12 of the 16 places where the colour occurs, and no cell of "
        "a colour exceeds Table 5's method.",
        "Image AUROC and pixel AP choose their detector each by itself.",
    ),
    5: ("By image AUROC.",),
    6: (
        "PRO of MemSeg is the area up to a false-positive rate of 1, that of the others up to 0.3: "
        "a random map scores 0.5 there and 0.15 here.",
    ),
    7: ("Variance is the sample variance (n - 1) over four ratios of the mean over detectors.",),
    8: ("Variance is the sample variance (n - 1) over four ratios of the mean over detectors.",),
    9: (
        "VisA's column of p-values is a copy of BTAD's; its own p-values follow from r and n = 12, "
        "as those of the other columns do: IS, printed at 0.8817, has 0.0134.",
        "The label of the first row is lost in the text: SSIM, by the order of section 4.4.",
    ),
}
"""What is odd or damaged in a printed table, and what was done about it."""


class RatioSpread(NamedTuple):
    """A method over the ratios: of the mean image AUROC over detectors. variance: sample (n - 1);
    range: maximum - minimum."""

    mean: float
    variance: float
    maximum: float
    minimum: float
    range: float


class PrintedCorrelation(NamedTuple):
    """Pearson's r of a quality metric with detection, over methods, and its two-sided p."""

    r: float
    p: float


def table4() -> pd.DataFrame:
    """Return the printed cells as a table of results, of the detectors that their colours name.

    A row has both metrics where one detector is the best by both, else NaN for the other. Each
    detector stands at its published ratio; the test set is taken for the full one.
    """
    ratios = published.default_ratios()
    cells: defaultdict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    for row in _rows("table4.csv"):
        cells[row["dataset"], row["detector"], row["method"]][row["metric"]] = float(row["value"])
    return from_records(
        _record(dataset, detector, {method: 1.0}, ratios[detector], metrics)
        for (dataset, detector, method), metrics in cells.items()
    )


def table5() -> dict[tuple[str, str], str]:
    """Return the best method by (detector, data set)."""
    return {(row["detector"], row["dataset"]): row["method"] for row in _rows("table5.csv")}


def table6() -> pd.DataFrame:
    """Return the results of training without anomalies: image AUROC, pixel AP and PRO."""
    metrics = ("image_auroc", "pixel_ap", "pro")
    return from_records(
        _record(row["dataset"], row["detector"], {}, 0.0, {m: float(row[m]) for m in metrics})
        for row in _rows("table6.csv")
    )


def ratio_table(dataset: str) -> dict[str, RatioSpread]:
    """Return Table 7 (`mvtec`) or Table 8 (`btad`) by method; raises KeyError for others."""
    rows = _rows(f"table{RATIO_TABLES[dataset]}.csv")
    return {r["method"]: RatioSpread(*(float(r[f]) for f in RatioSpread._fields)) for r in rows}


def section_4_3() -> dict[str, PrintedCorrelation]:
    """Return the correlation of Mean with Range in tables 7 and 8, as the text prints it."""
    return {
        r["dataset"]: PrintedCorrelation(float(r["r"]), float(r["p"]))
        for r in _rows("section_4_3.csv")
    }


def table9() -> dict[tuple[str, str], PrintedCorrelation]:
    """Return Table 9 by (data set, quality metric), as printed."""
    return {
        (r["dataset"], r["quality"]): PrintedCorrelation(float(r["r"]), float(r["p"]))
        for r in _rows("table9.csv")
    }


def mixtures() -> list[tuple[str, ...]]:
    """Return the paper's eleven mixtures, each sorted: all subsets of two and more of `MIXED`."""
    return [m for k in (2, 3, 4) for m in itertools.combinations(MIXED, k)]


def _record(
    dataset: str,
    detector: str,
    mix: Mapping[str, float],
    ratio: float,
    metrics: Mapping[str, float],
) -> dict[str, Any]:
    about = {"dataset": dataset, "detector": detector, "mix": mix, "ratio": ratio}
    return {**about, "source": "paper", **metrics}


@functools.cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
