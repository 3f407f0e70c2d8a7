"""Tables of results: group-bys over runs."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from asbench.results import BEST_ON_TEST, METRICS, Run, Subset, by_category, frame, subset_for
from asbench.results.frame import complete, context, left_out, means
from asbench.results.verdicts import against_chance
from synth_store import Mix

TITLES = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "pro": "PRO",
}
"""What people call each metric of `asbench.results.METRICS`."""
KEYS = ("dataset", "category", "detector", "mix", "ratio")
"""What names a row."""
SUBSET_TITLES: Mapping[Subset, str] = {"full": "full test set", "held_out": "held-out test set"}


@dataclass(frozen=True, slots=True)
class SeedMean:
    """One metric of one row.

    values: one per training seed, in 0..1; mean: NaN where any of them is undefined; sd: sample
    standard deviation (n - 1), NaN for a single seed; reason: why the mean is NaN.
    """

    values: tuple[float, ...]
    mean: float
    sd: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """Runs that differ in nothing but the training seed, or a mean of such rows over categories.

    runs: in the order of their seeds; cells: by metric; settings: the settings (by name) in which
    this row differs from others of the same `KEYS`; categories: 1, or how many were averaged.
    """

    runs: tuple[Run, ...]
    category: str
    cells: Mapping[str, SeedMean]
    settings: Mapping[str, str]
    categories: int = 1

    @property
    def dataset(self) -> str:
        return str(self.runs[0].decides["dataset"])

    @property
    def detector(self) -> str:
        return str(self.runs[0].decides["detector"])

    @property
    def mix(self) -> Mix:
        return Mix.of(self.runs[0].decides["mix"])

    @property
    def ratio(self) -> float:
        return float(self.runs[0].decides["ratio"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds the mean and the spread cover."""
        return tuple(sorted({run.decides["seed"] for run in self.runs}))

    @property
    def synth_seed(self) -> int:
        return int(self.runs[0].decides["synth_seed"])

    @property
    def saw_defects(self) -> int:
        """The real defects that training saw, of each of the categories averaged."""
        return max(run.saw_defects for run in self.runs)

    @property
    def selected_on_test(self) -> bool:
        return bool(self.runs[0].decides["select"] == BEST_ON_TEST)

    @property
    def reduced(self) -> bool:
        """A reduced network, not to be compared with printed numbers."""
        return "@tiny" in self.detector

    @property
    def spread(self) -> str:
        """What the spread covers, in words."""
        if len(self.seeds) == 1:
            return f"one training seed at synth seed {self.synth_seed}, no spread"
        return f"{len(self.seeds)} training seeds at synth seed {self.synth_seed}"

    def chance(self, subset: Subset) -> str:
        """Say how the mean image AUROC stands to chance, where it is not plainly better.

        Nothing for a mean over categories.
        """
        counts = self.runs[0].counts[subset]
        normal, anomalous = (counts.get(name, 0) for name in ("normal", "anomalous"))
        auroc = self.cells["image_auroc"].mean
        return against_chance(auroc, normal, anomalous) if self.categories == 1 else ""

    @property
    def block(self) -> tuple[str, str, str]:
        """What must be alike for two rows to be compared."""
        return self.dataset, self.category, self.detector


@dataclass(frozen=True, slots=True, eq=False)
class ResultTable:
    """Rows in reading order, all scored on the same `subset` of the test images.

    scores: the frame of all runs that the rows are of.
    """

    subset: Subset
    rows: tuple[ResultRow, ...]
    scores: pd.DataFrame

    def best(self, metric: str) -> frozenset[int]:
        """Return the places of the rows with the highest mean of their block.

        Rows selected on the test set do not compete; a block of one row has no best.
        """
        blocks: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            if not (row.selected_on_test or math.isnan(row.cells[metric].mean)):
                blocks[row.block].append(place)
        top: set[int] = set()
        for places in blocks.values():
            if len(places) > 1:
                highest = max(self.rows[p].cells[metric].mean for p in places)
                top.update(p for p in places if self.rows[p].cells[metric].mean == highest)
        return frozenset(top)


def results_table(runs: Sequence[Run]) -> ResultTable:
    """Group runs that differ in the training seed alone; all rows use one subset.

    Rows come sorted by data set, category, detector, number of sources, mix and ratio. Where
    several categories of a data set have a row of the same settings, their mean over categories
    follows; its spread is that of the seeds' means, over the seeds that all of them share. Joint
    runs are taken category by category, under settings of their own.
    """
    runs, subset = by_category(runs), subset_for(runs)
    kind = ("category", "normals", "test", "sets")
    scores = frame(runs, subset).assign(
        row=[context(run) for run in runs], over=[context(run, *kind) for run in runs]
    )
    needed = scores.groupby(["dataset", "detector"])["category"].transform("nunique")
    # Rows of one category under the same settings, of two states of a store say, have no mean.
    once = scores.groupby("over")["row"].transform("nunique") == needed
    several = scores[once & (needed > 1)]
    whole = complete(several, ["over", "seed"], needed[several.index])
    rows = [*_rows(scores, "row", runs, subset), *_rows(whole, "over", runs, subset)]
    return ResultTable(subset, tuple(sorted(_told_apart(rows), key=_order)), scores)


def percent(cell: SeedMean) -> str:
    """Return `91.3 ± 0.4`, `91.3` for one seed, or a dash; in percent."""
    if math.isnan(cell.mean):
        return "–"
    mean = f"{100 * cell.mean:.1f}"
    return mean if math.isnan(cell.sd) else f"{mean} ± {100 * cell.sd:.1f}"


def markdown(table: ResultTable) -> str:
    """Return the table in Markdown, with its notes below."""
    head = ["Data set", "Category", "Detector", "Mix", "Ratio", "Seeds", *TITLES.values()]
    lines = [head, ["---"] * 4 + ["--:"] * (len(head) - 4)]
    best = {metric: table.best(metric) for metric in METRICS}
    for place, row in enumerate(table.rows):
        cells = [percent(row.cells[m]) for m in METRICS]
        cells = [f"**{c}**" if place in best[m] else c for c, m in zip(cells, METRICS, strict=True)]
        lines.append([*_names(row), str(len(row.seeds)), *cells])
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    text = "\n".join(f"| {' | '.join(line)} |" for line in escaped)
    return f"{text}\n\n" + "\n".join(f"- {note}" for note in notes(table)) + "\n"


def csv_text(table: ResultTable) -> str:
    """Return the table as CSV: full precision in 0..1, nothing where undefined."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    numbers = [f"{metric}_{what}" for metric in METRICS for what in ("mean", "sd")]
    about = ("settings", "subset", "seeds", "synth_seed", "saw_defects", "select", "runs")
    lines.writerow([*KEYS, *about, *numbers])
    for row in table.rows:
        values = [v for m in METRICS for v in (row.cells[m].mean, row.cells[m].sd)]
        lines.writerow(
            [row.dataset, row.category, row.detector, str(row.mix), repr(float(row.ratio))]
            + ["; ".join(f"{k}={v}" for k, v in row.settings.items()), table.subset]
            + [" ".join(map(str, row.seeds)), row.synth_seed, row.saw_defects]
            + [row.runs[0].decides["select"], " ".join(run.id for run in row.runs)]
            + ["" if math.isnan(v) else repr(v) for v in values]
        )
    return out.getvalue()


def latex(table: ResultTable) -> str:
    """Return the table as a LaTeX `tabular` for booktabs, notes as comments above it."""
    best = {metric: table.best(metric) for metric in METRICS}
    head = ["Data set", "Category", "Detector", "Mix", "Ratio", "Seeds", *TITLES.values()]
    lines = [f"% {note}" for note in notes(table)]
    lines += [r"\begin{tabular}{llll" + "r" * (len(head) - 4) + "}", r"\toprule"]
    lines += [" & ".join(head) + r" \\", r"\midrule"]
    for place, row in enumerate(table.rows):
        cells = [percent(row.cells[m]).replace("±", r"$\pm$").replace("–", "--") for m in METRICS]
        cells = [
            rf"\textbf{{{c}}}" if place in best[m] else c
            for c, m in zip(cells, METRICS, strict=True)
        ]
        names = [_escaped(name) for name in (*_names(row), str(len(row.seeds)))]
        lines.append(" & ".join([*names, *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def notes(table: ResultTable) -> list[str]:
    """Return what a reader must know before comparing the rows, one sentence or two each."""
    rows = table.rows
    said = [
        f"In per cent, on the {SUBSET_TITLES[table.subset]}; mean ± standard deviation (n − 1)."
    ]
    if table.subset == "held_out":
        seen = sorted({r.mix.title for r in rows if r.saw_defects})
        said.append(
            f"Training with {', '.join(seen)} saw real defects, so every row is scored on the "
            "held-out test set, without the few-shot third of the defects."
        )
    single = [r for r in rows if len(r.seeds) == 1]
    if len(single) == len(rows):
        said.append("Every row rests on one seed, no spread: a difference may be chance.")
    elif single:
        said.append(f"{_count(single, 'row rests', 'rows rest')} on one seed, no spread.")
    if spreads := sorted({r.spread for r in rows if len(r.seeds) > 1}):
        said.append(
            f"A spread covers {', '.join(spreads)}: the chance of training, not of synthesis."
        )
    if any(r.categories > 1 for r in rows):
        said.append("A mean over categories weighs each alike; its spread is that of the seeds.")
    if any(r.reduced for r in rows):
        said.append("@tiny: a reduced network. Do not compare with printed numbers.")
    if any(r.selected_on_test for r in rows):
        said.append(
            "Rows marked “selected on test” kept the checkpoint that scored best on the test "
            "images: an upper bound, not a result."
        )
    if any(run.steps_mode == "per-component" for r in rows for run in r.runs):
        said.append(
            "Some mixtures were trained for the steps of one method times their number of methods: "
            "what they gain over their parts may be the longer training."
        )
    guesses = [r for r in rows if r.chance(table.subset).startswith(("no", "worse"))]
    if guesses:
        names = sorted({f"{r.detector} on {r.dataset}/{r.category}" for r in guesses})
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        said.append(
            f"{_count(guesses, 'row is', 'rows are')} no better than chance by image AUROC: "
            f"{', '.join(names[:3])}{more}."
        )
    undefined: dict[str, list[str]] = {}
    for metric in METRICS:
        for why in sorted({row.cells[metric].reason for row in rows} - {""}):
            undefined.setdefault(why, []).append(TITLES[metric])
    said += [f"A dash under {listed(titles)}: {why}." for why, titles in undefined.items()]
    return said


def _rows(scores: pd.DataFrame, by: str, runs: Sequence[Run], subset: Subset) -> list[ResultRow]:
    """Return a row per group: the mean over seeds of the means over categories."""
    ordered = scores.sort_values([by, "seed", "row"])
    members: defaultdict[str, list[Run]] = defaultdict(list)
    for place, key in zip(ordered.index, ordered[by], strict=True):
        members[key].append(runs[place])
    per_seed = means(scores, [by, "seed"])
    values: defaultdict[str, list[list[float]]] = defaultdict(list)
    for (key, _), of in zip(per_seed.index, per_seed.to_numpy().tolist(), strict=True):
        values[key].append(of)
    mean = means(per_seed, [by])
    sd = per_seed.groupby(by).std().where(mean.notna())
    rows = zip(mean.index, mean.to_numpy().tolist(), sd.to_numpy().tolist(), strict=True)
    return [_row(tuple(members[key]), values[key], m, s, subset) for key, m, s in rows]


def _row(
    runs: tuple[Run, ...],
    values: Sequence[Sequence[float]],
    mean: Sequence[float],
    sd: Sequence[float],
    subset: Subset,
) -> ResultRow:
    columns = zip(METRICS, zip(*values, strict=True), mean, sd, strict=True)
    cells = {
        metric: SeedMean(of, m, s, _reason(runs, metric, subset) if math.isnan(m) else "")
        for metric, of, m, s in columns
    }
    count = len(runs) // len(values)
    category = runs[0].decides["category"] if count == 1 else f"mean of {count} categories"
    return ResultRow(runs, category, cells, {}, categories=count)


def _reason(runs: Sequence[Run], metric: str, subset: Subset) -> str:
    """Say why a mean is undefined: for which seeds, of which categories."""
    told = {}
    for category in dict.fromkeys(run.decides["category"] for run in runs):
        own = [run for run in runs if run.decides["category"] == category]
        undefined = [run for run in own if math.isnan(run.metrics[subset][metric])]
        whys = sorted({run.reasons[subset].get(metric, "no reason on record") for run in undefined})
        seeds = ", ".join(str(run.decides["seed"]) for run in undefined)
        where = f"seed {seeds}: " if len(undefined) < len(own) else ""
        if undefined:
            told[category] = f"{where}{'; '.join(whys)}"
    if len(runs) == len({run.decides["seed"] for run in runs}):
        return "".join(told.values())
    return "; ".join(f"{category}: {why}" for category, why in told.items())


def _told_apart(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """Return the rows, those of the same names with the settings in which they differ."""
    same: defaultdict[tuple[Any, ...], list[ResultRow]] = defaultdict(list)
    for row in rows:
        same[(*row.block, str(row.mix), row.ratio)].append(row)
    told = []
    for alike in same.values():
        flat = [_flat(row.runs[0].decides) for row in alike]
        keys = sorted(set().union(*flat) - {"seed", "select", "select_every"})
        differ = [k for k in keys if any(f.get(k) != flat[0].get(k) for f in flat)]
        looks = {f["select_every"] for f in flat if "select_every" in f}
        differ += ["select_every"] if len(looks) > 1 else []  # rows of last checkpoints have none
        told += [
            replace(
                row, settings={k: str(f.get(k)) for k in differ if k != "select_every" or k in f}
            )
            for row, f in zip(alike, flat, strict=True)
        ]
    return told


def _flat(decides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, those within `sets` and `parameters` under names of their own."""
    inner = {
        f"{name} {key}": value
        for name, of in decides.items()
        if isinstance(of, Mapping)
        for key, value in of.items()
    }
    inner |= {f"excluded {method}": told for method, told in left_out(decides).items()}
    plain = {k: v for k, v in decides.items() if not isinstance(v, Mapping)}
    # A run that trained on all normals does not say so, nor one that is not joint.
    return {"kept_out": 0.0, "joint": "no"} | plain | inner


def _order(row: ResultRow) -> tuple[Any, ...]:
    place = (row.dataset, row.categories > 1, row.category, row.detector)
    data = (len(row.mix.names), str(row.mix), row.ratio)
    return (*place, *data, row.selected_on_test, sorted(row.settings.items()))


def _names(row: ResultRow) -> list[str]:
    told = "".join(f", {k} {v}" for k, v in row.settings.items())
    marks = ", selected on test" if row.selected_on_test else ""
    seen = f", saw {row.saw_defects} defects" if row.saw_defects else ""
    mix = f"{row.mix.title}{told}{marks}{seen}"
    return [row.dataset, row.category, row.detector, mix, f"{row.ratio:g}"]


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "_%&#$" else c for c in text)


def _count(things: Sequence[object], one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"


def listed(names: Sequence[str]) -> str:
    """Return names in a sentence: `a, b and c`."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
