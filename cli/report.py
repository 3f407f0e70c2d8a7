"""`asbench report`: one HTML page, and tables, of all runs."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from cli import options

EPILOG = """
\b
Example: the page, and the results table for a paper
  asbench report --out report.html --latex results.tex
\b
Example: the paper's tables 3 to 9 of your runs, with its numbers beside them
  asbench report --tables tables --compare paper
\b
Example: every figure that the runs give rise to, and a page without images
  asbench report --figures figures --no-images

Example: a study's page in its folder, missing runs named
  asbench report --study demo
"""


@click.command("report", epilog=EPILOG)
@click.option(
    "--study",
    type=click.Path(path_type=Path),
    help="A study's folder: the places of runs, store, quality and page are in it, only its runs "
    "are shown, and what is missing is named.  [none]",
)
@options.runs
@options.store
@options.quality
@options.option("--out", type=click.Path(path_type=Path), default="report.html", help="The page.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Results as Markdown.")
@click.option("--latex", type=click.Path(path_type=Path), help="Results as LaTeX.")
@click.option("--csv", type=click.Path(path_type=Path), help="Results as CSV.")
@click.option(
    "--tables",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for the paper's tables 3 to 9 and the answers to its questions.  [none]",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for the paper's figures 2 to 13 and ours, as SVG and PNG.  [none]",
)
@click.option("--no-images", is_flag=True, help="A page without pictures of any data set.")
@click.option(
    "--compare",
    type=click.Choice(["paper"]),
    help="On the page and in --tables, put what the paper prints beside yours.  [nothing]",
)
def command(
    study: Path | None,
    runs: Path,
    store: str,
    quality: Path,
    out: Path,
    markdown: Path | None,
    latex: Path | None,
    csv: Path | None,
    tables: Path | None,
    figures: Path | None,
    no_images: bool,
    compare: str | None,
) -> None:
    """Write one self-contained HTML page of all runs: results, plots, galleries, provenance."""
    from asbench import results
    from asbench.documents import into_place
    from asbench.imaging import contact_sheet
    from asbench.quality import quality_vs_detection
    from asbench.quality import record as qualities
    from asbench.report import coverage
    from asbench.report import tables as own_tables
    from asbench.report.page import html, studies
    from asbench.report.paper import files
    from asbench.study import record
    from cli import console
    from synth_store import SynthStore

    asked, said = None, None
    if study is not None:
        said = record.read(study)
        runs, store, quality, out = _in_folder(study)
    found, measured = results.runs(runs), qualities.rows(quality)
    if said is not None:
        asked = coverage.asked(said, found, measured)
        found, measured = coverage.own(said, found), coverage.own_quality(said, measured)
    kept = quality_vs_detection.latest(measured)
    if len(kept) < len(measured):
        console.say(f"{len(measured) - len(kept)} sets measured otherwise than the latest left out")
    scores = quality_vs_detection.by_method(kept)
    pictures = not no_images and SynthStore.stands_at(store)
    page = html.write(
        runs,
        out,
        sheets=contact_sheet.sheets(store, found) if pictures else {},
        runs=found,
        quality=scores,
        asked=asked,
        compare=compare == "paper",
        images=not no_images,
    )
    table = own_tables.results_table(found)
    texts = (
        (markdown, own_tables.markdown),
        (latex, own_tables.latex),
        (csv, own_tables.csv_text),
    )
    for path, render in texts:
        if path is not None:
            into_place(path, render(table))
            console.say(str(path))
    grid = studies.grid_of(table.scores, asked)
    if tables is not None:
        paper = compare == "paper"
        for path in files.write(grid, tables, quality=scores, compare=paper, asked=asked):
            console.say(str(path))
    if figures is not None:
        for path in files.write_figures(grid, figures, scores):
            console.say(str(path))
    if asked is not None:
        console.say(asked.told)
    console.say(f"{len(found)} runs: {page}")
    console.next_step(f"open {page} in a browser")


def _in_folder(study: Path) -> tuple[Path, str, Path, Path]:
    """Return runs, store, quality and page: in the study's folder, unless they are named."""
    context = click.get_current_context()

    def place(name: str, file: str) -> str:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return str(context.params[name])
        return str(study / file)

    return (
        Path(place("runs", "runs")),
        place("store", "store"),
        Path(place("quality", "quality")),
        Path(place("out", "report.html")),
    )
