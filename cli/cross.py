"""`asbench cross`: detectors of one method on the samples of the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options

if TYPE_CHECKING:
    from asbench.quality.cross_matrix import Matrix

EPILOG = """
\b
Example: after a training on each method alone
  asbench cross --detector unet@tiny
"""


@click.command("cross", epilog=EPILOG)
@click.option("--dataset", multiple=True, callback=options.listed, help="Of these only.  [all]")
@options.categories
@click.option("--detector", multiple=True, callback=options.listed, help="Of these only.  [all]")
@options.option(
    "--metric",
    type=click.Choice(["image_auroc", "pixel_ap"]),
    default="image_auroc",
    help="Of the matrix's cells, and the true one that it is held against.",
)
@options.option(
    "--negatives", default=50, type=options.AtLeast(1), help="Training normals scored against."
)
@options.store
@options.runs
@options.quality
@options.device
def command(
    dataset: tuple[str, ...],
    category: tuple[str, ...],
    detector: tuple[str, ...],
    metric: str,
    negatives: int,
    store: str,
    runs: Path,
    quality: Path,
    device: str | None,
) -> None:
    """Score detectors trained on one method on the stored samples of the others.

    Rows are what was trained on, columns what is looked for, in samples that no training saw. No
    real defect plays a part, except in the column of true scores that the prediction is held
    against.
    """
    from asbench import cross
    from asbench.quality.cross_matrix import matrices_in
    from cli import console

    with console.progress() as bars:
        rows = cross(
            datasets=dataset or None,
            categories=category or None,
            detectors=detector or None,
            negatives=negatives,
            store=store,
            runs=runs,
            out=quality,
            device=device,
            progress=bars,
            notify=console.say,
        )
    for matrix in matrices_in(rows, runs, metric):
        show(matrix)
    console.say(f"\n{len(rows)} rows: {quality}")
    console.next_step(
        console.command(
            "asbench",
            "correlate",
            runs=options.unless(runs, options.RUNS),
            quality=options.unless(quality, options.QUALITY),
        )
    )


def show(matrix: Matrix) -> None:
    """Print a matrix, its prediction and how that ranks with the truth."""
    from cli import console

    heads = (*matrix.methods, "others", "true")
    console.say(
        f"\n{matrix.dataset}, {matrix.metric}: trained on the row, scored on the column "
        f"({', '.join(matrix.detectors)}; {', '.join(matrix.categories)})"
    )
    table = console.table("trained on", *heads, right=heads)
    for method, cells, mean, true in zip(
        matrix.methods, matrix.cells, matrix.predictor, matrix.truth, strict=True
    ):
        table.add_row(method, *(f"{v:.3f}" for v in (*cells, mean, true)))
    console.out.print(table)
    rho, p = matrix.result.spearman.value, matrix.result.spearman.p
    line = f"mean over the other methods against true {matrix.target}: rho {rho:+.3f}"
    line += f", n {matrix.result.n}"
    if matrix.result.reason:
        console.say(f"{line}, not tested ({matrix.result.reason})")
    else:
        low, high = min(matrix.without), max(matrix.without)
        console.say(f"{line}, p {p:.3g}; without any one method {low:+.3f} to {high:+.3f}")
