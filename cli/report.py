"""`asbench report`: one HTML page, and tables, of all runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

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
@options.option(
    "--gallery",
    type=click.Path(path_type=Path),
    default="gallery",
    help="What `asbench browse` wrote: the page links to the sets it shows.",
)
@options.option("--out", type=click.Path(path_type=Path), default="report.html", help="The page.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Results as Markdown.")
@click.option("--latex", type=click.Path(path_type=Path), help="Results as LaTeX.")
@click.option("--csv", type=click.Path(path_type=Path), help="Results as CSV.")
@click.option("--defects", type=click.Path(path_type=Path), help="Results by defect type as CSV.")
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
    gallery: Path,
    out: Path,
    markdown: Path | None,
    latex: Path | None,
    csv: Path | None,
    defects: Path | None,
    tables: Path | None,
    figures: Path | None,
    no_images: bool,
    compare: Literal["paper"] | None,
) -> None:
    """Write one self-contained HTML page of all runs: results, plots, galleries, provenance."""
    from asbench import report
    from cli import console

    # Where a study is named, what nobody typed is in its folder.
    typed = click.get_current_context().get_parameter_source
    places: dict[str, Any] = {"runs": runs, "store": store, "quality": quality, "out": out}
    places["gallery"] = gallery
    if study is not None:
        places = {k: v for k, v in places.items() if typed(k) is ParameterSource.COMMANDLINE}
    written = report.write(
        study=study,
        markdown=markdown,
        latex=latex,
        csv=csv,
        defects=defects,
        tables=tables,
        figures=figures,
        images=not no_images,
        compare=compare,
        notify=console.say,
        **places,
    )
    for path in written.files:
        console.say(str(path))
    if written.study:
        console.say(written.study)
    console.say(f"{written.runs} run{'s' * (written.runs != 1)}: {written.page}")
    console.next_step(f"open {written.page} in a browser")
