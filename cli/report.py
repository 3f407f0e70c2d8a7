"""`asbench report`: one HTML page, and tables, of all runs."""

from __future__ import annotations

from pathlib import Path

import click

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
"""


@click.command("report", epilog=EPILOG)
@options.runs
@options.store
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
    runs: Path,
    store: str,
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
    from asbench import preview, results
    from asbench.report import files, html
    from asbench.report import tables as own_tables
    from asbench.report.score_grid import score_grid
    from asbench.report.scores import from_runs
    from cli import console
    from synth_store import SynthStore

    found = results.runs(runs)
    pictures = not no_images and SynthStore.stands_at(store)
    page = html.write(
        runs,
        out,
        sheets=preview.sheets(store, found) if pictures else {},
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
            text = render(table)
            results.into_place(path, lambda part, text=text: part.write_text(text))  # type: ignore[misc]
            console.say(str(path))
    grid = score_grid(from_runs(found, table.subset))
    if tables is not None:
        for path in files.write(grid, tables, compare=compare == "paper"):
            console.say(str(path))
    if figures is not None:
        for path in files.write_figures(grid, figures):
            console.say(str(path))
    console.say(f"{len(found)} runs: {page}")
    console.next_step(f"open {page} in a browser")
