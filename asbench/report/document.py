"""A report of runs: the page, and whatever tables and figures are asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from asbench import results
from asbench.browse.listing import GALLERY, PAGES, shown_in, view_of
from asbench.data.excluded import DIGITS
from asbench.files.documents import into_place
from asbench.imaging import contact_sheet
from asbench.progress import Notify, silent
from asbench.quality import quality_vs_detection
from asbench.quality import record as qualities
from asbench.report import defect_types
from asbench.report.coverage import coverage_of, own, own_quality
from asbench.report.page import html, studies
from asbench.report.paper import files
from asbench.report.tables import csv_text, results_table
from asbench.report.tables import latex as latex_text
from asbench.report.tables import markdown as markdown_text
from asbench.settings import QUALITY, RUNS, STORE
from asbench.study import record
from synth_store import SynthStore


@dataclass(frozen=True)
class WrittenReport:
    """What was written: the page of so many runs, and the other files in order.

    study: how far the study's runs stand, in a sentence; empty where the runs are of none.
    """

    page: Path
    runs: int
    files: tuple[Path, ...]
    study: str


def write(
    runs: Path | str | None = None,
    out: Path | str | None = None,
    *,
    study: Path | str | None = None,
    store: Path | str | None = None,
    quality: Path | str | None = None,
    gallery: Path | str | None = None,
    markdown: Path | str | None = None,
    latex: Path | str | None = None,
    csv: Path | str | None = None,
    defects: Path | str | None = None,
    tables: Path | str | None = None,
    figures: Path | str | None = None,
    images: bool = True,
    compare: Literal["paper"] | None = None,
    notify: Notify = silent,
) -> WrittenReport:
    """Write one self-contained HTML page of all runs: results, plots, galleries, provenance.

    Args:
        runs, out, store, quality: folder of the runs, the page, the store and the folder of what
            was measured; by default `runs`, `report.html`, `asbench-store` and `quality`, and in
            a study's folder `runs`, `report.html`, `store` and `quality`.
        gallery: what `asbench browse` wrote, `gallery` by default: where it shows a set that was
            trained on, the page links to it.
        study: the folder of a study: only its runs are shown, and what is missing is named.
        markdown, latex, csv: files for the table of results.
        defects: a CSV file for the results by defect type.
        tables: a folder for the paper's tables 3 to 9 and the answers to its questions.
        figures: a folder for the paper's figures 2 to 13 and ours, as SVG and PNG.
        images: whether the page shows pictures of any data set.
        compare: `paper` puts what it prints beside yours, on the page and in `tables`.
        notify: told of what is left out.

    Raises UserError where no run has finished or one is damaged, where the folder holds no study,
    and where a file cannot be written.
    """
    within = Path() if study is None else Path(study)
    root = within / RUNS if runs is None else Path(runs)
    place = store if store is not None else STORE if study is None else within / "store"
    said = None if study is None else record.read(within)
    shown = results.by_category(results.runs(root))
    measured = qualities.rows(within / QUALITY if quality is None else Path(quality))
    coverage = None
    if said is not None:
        coverage = coverage_of(said, shown, measured)
        shown, measured = own(said, shown), own_quality(said, measured)
    kept = quality_vs_detection.latest(measured)
    if len(kept) < len(measured):
        notify(f"{len(measured) - len(kept)} sets measured otherwise than the latest left out")
    scores = quality_vs_detection.by_method(kept)
    pictured = images and SynthStore.stands_at(place)
    sheets = contact_sheet.sheets(place, shown) if pictured else {}
    target = within / "report.html" if out is None else Path(out)
    looked = within / GALLERY if gallery is None else Path(gallery)
    page = html.write(
        root,
        target,
        sheets=sheets,
        samples=_samples(place, looked, target) if sheets else {},
        runs=shown,
        quality=scores,
        coverage=coverage,
        compare=compare == "paper",
        images=images,
    )
    table = results_table(shown)
    written = []
    for path, form in ((markdown, markdown_text), (latex, latex_text), (csv, csv_text)):
        if path is not None:
            into_place(Path(path), form(table))
            written.append(Path(path))
    if defects is not None:
        types = defect_types.by_type(table, root)
        into_place(Path(defects), defect_types.csv_text(types, table.subset))
        written.append(Path(defects))
    grid = studies.grid_of(table.scores, coverage)
    if tables is not None:
        beside = compare == "paper"
        written += files.write(
            grid, Path(tables), quality=scores, compare=beside, coverage=coverage
        )
    if figures is not None:
        written += files.write_figures(grid, Path(figures), scores)
    return WrittenReport(
        page,
        len({run.id for run in shown}),
        tuple(written),
        "" if coverage is None else coverage.told,
    )


def _samples(store: Path | str, gallery: Path, page: Path) -> dict[str, str]:
    """Return by address where a gallery shows a set as it is stored now, as `page` links there."""
    opened, shown = SynthStore.open(store), shown_in(gallery)
    place = Path(os.path.relpath(gallery / PAGES[0], page.parent)).as_posix()
    return {
        address: quote(place) + view_of(key, category)
        for key, category in opened.sets()
        if (address := f"{key}/{category}") in shown
        and shown[address] == str(opened.attributes(key, category)["digest"])[:DIGITS]
    }
