"""`asbench predict`: score your own images and draw heat maps."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options

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
    "--out", type=click.Path(path_type=Path), default="predictions", help="Folder of heat maps."
)
@options.device
def command(run: Path, images: tuple[Path, ...], out: Path, device: str | None) -> None:
    """Score IMAGES (files or folders) with a finished RUN; write heat maps, CSV and JSON.

    The threshold was chosen on synthetic anomalies kept out of training: no real defect is needed,
    and none was used. A file that cannot be used is named and stops no other; the exit status is
    then 1.
    """
    from asbench import Trained
    from asbench.evaluation.predict_files import TABLE, predict_files
    from cli import console

    trained = Trained(run, device)
    with console.progress() as bars:
        rows, unusable = predict_files(
            trained, images, out, lambda done, total: bars("predicting", done, total)
        )
    if rows:
        shown = console.table("image", "score", "verdict", right=("score", "verdict"))
        verdicts = {True: "anomalous", False: "normal", None: "no threshold"}
        for row in rows[:SHOWN]:
            shown.add_row(row.image, f"{row.score:.4f}", verdicts[row.anomalous])
        console.out.print(shown)
        if len(rows) > SHOWN:
            console.say(f"... and {len(rows) - SHOWN} more in {out / TABLE}")
        threshold = trained.run.threshold
        if threshold is not None:
            console.say(f"threshold {threshold.value:.4f}: {threshold.rule}")
        console.next_step(f"look at the heat maps in {out}")
    for error in unusable:
        click.echo(f"error: {error}", err=True)
    if unusable:
        raise click.exceptions.Exit(1)
