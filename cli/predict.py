"""`asbench predict`: score your own images and draw heat maps."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options
from cli.imports import unsearched
from cli.printable import printable

SHOWN = 20
"""Rows printed; the table that is written has all."""
EPILOG = """
\b
Example: every photograph of a folder, scores as a table
  asbench predict runs/0123456789ab ./photos --out predictions
"""


@click.command("predict", epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.option(
    "--out",
    type=click.Path(path_type=Path),
    default="predictions",
    help="Folder of heat maps and tables.",
)
@options.threshold
@options.false_alarms
@options.device
def command(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    threshold: str | None,
    false_alarms: float | None,
    device: str | None,
) -> None:
    """Score IMAGES (files or folders) with a finished RUN; write heat maps, CSV and JSON.

    Rows are written as they come: after Ctrl-C, or a kill, the same command continues. A file that
    cannot be used is named in errors.csv and stops no other; the exit status is then 1. The
    threshold is the run's own unless another rule is named: no real defect was used to choose it.
    """
    with unsearched():
        from asbench import predict
        from asbench.evaluation.prediction_tables import ERRORS
        from cli import console

    with console.progress() as bars:
        said = predict(
            run,
            images,
            out,
            threshold=threshold,
            false_alarms=false_alarms,
            device=device,
            progress=bars,
        )
    if said.rows:
        shown = console.table("image", "score", "verdict", right=("score", "verdict"))
        verdicts = {True: "anomalous", False: "normal", None: "no threshold"}
        for row in said.rows[:SHOWN]:
            shown.add_row(row.image, f"{row.score:.4f}", verdicts[row.anomalous])
        console.out.print(shown)
        if len(said.rows) > SHOWN:
            console.say(f"... and {len(said.rows) - SHOWN} more in {said.table}")
        if said.kept:
            console.say(f"{said.kept} of {len(said.rows)} stood there from an earlier call")
        if said.threshold is not None:
            flagged = sum(bool(row.anomalous) for row in said.rows)
            console.say(f"threshold {said.threshold.value:.4f}: {said.threshold.rule}")
            console.say(f"{flagged} of {len(said.rows)} are anomalous by it")
        console.next_step(
            f"look at the heat maps in {out}", console.command("asbench", "export", run)
        )
    for error in said.unusable[:SHOWN]:
        click.echo(printable(f"error: {error}"), err=True)
    if said.unusable:
        scored = {Path(row.image) for row in said.rows}
        files = len(scored.union(error.path for error in said.unusable))
        click.echo(
            f"{len(said.unusable)} of {files} files could not be used: {out / ERRORS} names them; "
            "the same command tries them again",
            err=True,
        )
        raise click.exceptions.Exit(1)
