"""The page: everything the runs say, in one self-contained HTML file."""

from __future__ import annotations

import base64
import importlib.resources
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from asbench import results
from asbench.files.documents import into_place
from asbench.report import defect_types, tables
from asbench.report.coverage import HEAD, Coverage
from asbench.report.page import (
    figures,
    galleries,
    overlays,
    qualitative,
    sections,
    studies,
    verdicts,
)
from asbench.report.page.sections import Plot
from asbench.report.paper.relations import QualityByMethod
from asbench.report.tables import ResultRow, ResultTable
from asbench.results import METRICS, SUBSETS, Run
from synth_store import Mix
from synth_store.types import UserError

_PLOTTED = ("image_auroc", "pixel_ap")
"""The metrics that are drawn: one of images, one of pixels."""
MANY = 120
"""Runs from which on the page lists them in one line each, and shows pictures of some."""


@dataclass(frozen=True, slots=True)
class ContactSheet:
    """A contact sheet of one synthetic set."""

    name: str
    uri: str
    width: int
    height: int


def write(
    runs_root: Path,
    out: Path,
    *,
    sheets: Mapping[str, bytes] | None = None,
    samples: Mapping[str, str] | None = None,
    runs: Sequence[Run] | None = None,
    quality: QualityByMethod | None = None,
    coverage: Coverage | None = None,
    compare: bool = False,
    images: bool = True,
) -> Path:
    """Write the page of finished runs under `runs_root` to `out`, and return `out`.

    sheets: contact sheets of the synthetic sets, name to PNG; samples: by the same names, where all
    samples of a set are to be seen; runs: those that are shown, all by
    default; quality: as `asbench.report.paper.relations` takes it; coverage: of the study that the
    runs are of; compare: whether to set the paper's printed numbers beside ours; images: whether to
    show test images. Equal inputs give equal bytes.
    Raises UserError where no run has finished or one is damaged.
    """
    runs = results.runs(runs_root) if runs is None else runs
    runs = results.by_category(runs)
    if not runs:
        raise UserError(
            f"{runs_root} holds no finished run, so there is nothing to report: train one first "
            "with `asbench train` (its --help has an example)."
        )
    text = page(
        runs,
        runs_root,
        sheets or {},
        samples=samples,
        quality=quality,
        coverage=coverage,
        compare=compare,
        images=images,
    )
    into_place(out, text)
    return out


def page(
    runs: Sequence[Run],
    root: Path,
    sheets: Mapping[str, bytes],
    *,
    samples: Mapping[str, str] | None = None,
    quality: QualityByMethod | None = None,
    coverage: Coverage | None = None,
    compare: bool = False,
    images: bool = True,
) -> str:
    """Return the page as text; arguments as in `write`."""
    table = tables.results_table(runs)
    grid = studies.grid_of(table.scores, coverage)
    many = len(runs) > MANY
    view = _in_short(table) if many else table
    within = galleries.places(table, MANY)
    scenes = galleries.scenes(table, root, within) if images else []
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": _percent,
        "number": _number,
        "mix": _mix,
        "duration": _duration,
        "lacking": sections.lacking,
    }
    return environment.from_string(resource("page.html.jinja")).render(
        css=Markup(resource("page.css")),
        js=Markup(resource("page.js")),
        title=f"Anomaly synthesis on {tables.listed(sorted({r.decides['dataset'] for r in runs}))}",
        told=_what_was_run(runs, table),
        headlines=[] if many else _headlines(table),
        notes=tables.notes(table),
        table=view,
        many=many,
        study=studies.study(grid, quality, compare=compare),
        coverage=coverage,
        gap_head=HEAD,
        selected=grid.selected,
        blocks=_blocks(view),
        best={metric: view.best(metric) for metric in METRICS},
        metrics=tables.TITLES,
        subset_titles=tables.SUBSET_TITLES,
        subsets=SUBSETS,
        ratios=[] if many else _ratio_plots(table),
        mixtures=[] if many else _mixture_plots(table),
        sheets=_sheets(sheets),
        samples=samples or {},
        scenes=scenes,
        places=(len(within), len({(r.decides["dataset"], r.decides["category"]) for r in runs})),
        choices=qualitative.choices(table, scenes, root),
        ledgers=sections.ledgers(table.scores) if many else [],
        runs=[run for row in table.rows if row.categories == 1 for run in row.runs],
        losses={} if many else {run.label: _loss(run) for run in runs},
        flags={} if many else {run.label: verdicts.flags(run, root, table.subset) for run in runs},
        beside={} if many else {run.label: verdicts.beside(run, runs) for run in runs},
        chance=[row.chance(table.subset) for row in view.rows],
        types=[] if many else defect_types.blocks(defect_types.by_type(table, root)),
        unfinished=results.unfinished(root),
        versions=tables.listed(
            sorted({str(r.environment.get("asbench", "unknown")) for r in runs})
        ),
    )


def _in_short(table: ResultTable) -> ResultTable:
    """Return the means over categories, or no row where there are none; the CSV has every row."""
    return replace(table, rows=tuple(row for row in table.rows if row.categories > 1))


def _what_was_run(runs: Sequence[Run], table: ResultTable) -> str:
    decides = [run.decides for run in runs]
    places = sorted({(d["dataset"], d["category"]) for d in decides})
    mixes = {str(Mix.of(d["mix"])): d["mix"] for d in decides}
    sources = sorted({name for mix in mixes.values() for name in mix})
    mixed = sum(len(mix) > 1 for mix in mixes.values())
    detectors = sorted({d["detector"] for d in decides})
    ratios = sorted({d["ratio"] for d in decides})
    least, most = (pick(len(row.seeds) for row in table.rows) for pick in (min, max))
    seeds = _many(most, "training seed")
    text = (
        f"{_many(len({run.id for run in runs}), 'training run')} of {tables.listed(detectors)} on "
    )
    if len(places) > 4:
        kept = Counter(dataset for dataset, _ in places)
        text += tables.listed(
            [f"{_many(n, 'category', 'categories')} of {dataset}" for dataset, n in kept.items()]
        )
    else:
        text += tables.listed([f"{dataset}/{category}" for dataset, category in places])
    named = tables.listed(sources) if len(sources) < 7 else f"{len(sources)} sources"
    text += f", with anomalies from {named}" if sources else ", without anomalies"
    text += f" and {_many(mixed, 'mixture')} of them" if mixed else ""
    told = tables.listed([f"{r:g}" for r in ratios])
    text += f", at {'ratio' if len(ratios) == 1 else 'ratios'} {told}"
    return f"{text}, with {seeds if least == most else f'{least} to {seeds}'} each."


@dataclass(frozen=True, slots=True)
class Headline:
    """The row with the highest mean image AUROC of its data, and how many rows it was chosen of.

    chance: how that stands to chance, nothing where it is plainly better.
    """

    row: ResultRow
    where: str
    of: int
    value: str
    untrained: str
    pixel: str
    spread: str
    chance: str


def _headlines(table: ResultTable) -> list[Headline]:
    """Return one headline per data set over all its categories, else one per category.

    At most three: categories are not compared with each other, and a lead is no table.
    """
    averaged = {row.dataset for row in table.rows if row.categories > 1}
    places = {
        (row.dataset, row.category): None
        for row in table.rows
        if row.categories > 1 or row.dataset not in averaged
    }
    headlines = []
    for dataset, category in list(places)[:3]:
        rows = [
            row
            for row in table.rows
            if (row.dataset, row.category) == (dataset, category)
            and not row.selected_on_test
            and not math.isnan(row.cells["image_auroc"].mean)
        ]
        if not rows:
            continue
        top = max(rows, key=lambda row: row.cells["image_auroc"].mean)
        before = [r.untrained[table.subset]["image_auroc"] for r in top.runs if r.untrained]
        mean = math.fsum(before) / len(before) if len(before) == len(top.runs) else math.nan
        pixel = top.cells["pixel_ap"]
        headlines.append(
            Headline(
                top,
                f"{dataset} ({top.category})"
                if top.categories > 1
                else f"{dataset}/{top.category}",
                len(rows),
                tables.percent(top.cells["image_auroc"]),
                "" if math.isnan(mean) else f"{100 * mean:.1f}",
                "" if math.isnan(pixel.mean) else tables.percent(pixel),
                top.spread,
                top.chance(table.subset),
            )
        )
    return headlines


def _blocks(table: ResultTable) -> list[list[int]]:
    """Return the places of the rows that can be compared, block by block."""
    blocks: dict[tuple[str, str, str], list[int]] = {}
    for place, row in enumerate(table.rows):
        blocks.setdefault(row.block, []).append(place)
    return list(blocks.values())


def _ratio_plots(table: ResultTable) -> list[Plot]:
    plots = []
    for number, block in enumerate(_blocks(table)):
        rows = [table.rows[place] for place in block]
        curves = figures.with_ratios(rows)
        for metric in _PLOTTED:
            defined = [c for c in curves if not all(math.isnan(r.cells[metric].mean) for r in c)]
            if defined:
                svg = figures.ratio_curve(defined, metric, f"ratio-{number}-{metric}")
                plots.append(Plot(Markup(svg), _caption(rows[0], metric)))
    return plots


def _mixture_plots(table: ResultTable) -> list[Plot]:
    plots = []
    for number, block in enumerate(_blocks(table)):
        rows = [table.rows[place] for place in block]
        mixtures = figures.mixtures(rows)
        for metric in _PLOTTED:
            defined = [
                m
                for m in mixtures
                if not any(math.isnan(row.cells[metric].mean) for row in (m.mix, *m.singles))
            ]
            if defined:
                svg = figures.mixture_plot(defined, metric, f"mixture-{number}-{metric}")
                plots.append(Plot(Markup(svg), _caption(rows[0], metric)))
    return plots


def _caption(row: ResultRow, metric: str) -> str:
    return f"{tables.TITLES[metric]}, {row.detector} on {row.dataset}/{row.category}"


def _loss(run: Run) -> Markup | None:
    if sum(not math.isnan(loss) for _, loss in run.losses) < 2:
        return None
    return Markup(figures.loss_curve(run, f"loss-{run.label}"))


def _sheets(sheets: Mapping[str, bytes]) -> list[ContactSheet]:
    shown = []
    for name, data in sorted(sheets.items()):
        width, height = overlays.size(data)
        shown.append(ContactSheet(name, data_uri(data), width, height))
    return shown


def data_uri(data: bytes) -> str:
    """Return PNG or WebP bytes as a `data:` address."""
    kind = "webp" if data[8:12] == b"WEBP" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _mix(weights: Mapping[str, float]) -> str:
    return Mix.of(weights).title


def resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _number(value: Any) -> str:
    """Return a setting in a reader's form: floats to four digits, None as `none`."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _many(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
