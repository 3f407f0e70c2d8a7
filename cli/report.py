"""`asbench report`: one HTML page, and tables, of all runs."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: the page, and the results table for a paper
  asbench report --out report.html --latex results.tex
"""


@click.command("report", epilog=EPILOG)
@options.runs
@options.store
@options.option("--out", type=click.Path(path_type=Path), default="report.html", help="The page.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Results as Markdown.")
@click.option("--latex", type=click.Path(path_type=Path), help="Results as LaTeX.")
@click.option("--csv", type=click.Path(path_type=Path), help="Results as CSV.")
def command(
    runs: Path,
    store: str,
    out: Path,
    markdown: Path | None,
    latex: Path | None,
    csv: Path | None,
) -> None:
    """Write one self-contained HTML page of all runs: results, plots, galleries, provenance."""
    from asbench import preview, results
    from asbench.report import html, tables
    from cli import console
    from synth_store import SynthStore

    found = results.runs(runs)
    sheets = preview.sheets(store, found) if SynthStore.stands_at(store) else {}
    page = html.write(runs, out, sheets=sheets)
    table = tables.results_table(found)
    texts = ((markdown, tables.markdown), (latex, tables.latex), (csv, tables.csv_text))
    for path, render in texts:
        if path is not None:
            text = render(table)
            results.into_place(path, lambda part, text=text: part.write_text(text))  # type: ignore[misc]
            console.say(str(path))
    console.say(f"{len(found)} runs: {page}")
    console.next_step(f"open {page} in a browser")
