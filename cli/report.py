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
    help="A folder for the paper's tables 3 to 9 and the answers to its questions.",
)
@click.option(
    "--compare",
    type=click.Choice(["paper"]),
    help="In --tables, put the numbers that the paper prints beside yours.",
)
def command(
    runs: Path,
    store: Path,
    out: Path,
    markdown: Path | None,
    latex: Path | None,
    csv: Path | None,
    tables: Path | None,
    compare: str | None,
) -> None:
    """Write one self-contained HTML page of all runs: results, plots, galleries, provenance."""
    from asbench import preview, results
    from asbench.report import files, html
    from asbench.report import tables as own_tables
    from asbench.report.score_grid import score_grid
    from asbench.report.scores import from_runs
    from cli import console
    from synth_store.types import UserError

    if compare and tables is None:
        raise UserError(
            f"--compare {compare} has nothing to write into: say where, "
            f"`asbench report --tables tables --compare {compare}`."
        )
    found = results.runs(runs)
    sheets = preview.sheets(store, found) if (store / "zarr.json").exists() else {}
    page = html.write(runs, out, sheets=sheets)
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
    if tables is not None:
        grid = score_grid(from_runs(found, table.subset))
        for path in files.write(grid, tables, compare=compare == "paper"):
            console.say(str(path))
    console.say(f"{len(found)} runs: {page}")
    console.next_step(f"open {page} in a browser")
