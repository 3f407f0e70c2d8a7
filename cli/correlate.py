"""`asbench correlate`: whether a quality score goes with detection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options

if TYPE_CHECKING:
    from asbench.quality.quality_vs_detection import Correlated

EPILOG = """
\b
Example: two of the paper's metrics against image AUROC, as a file
  asbench correlate --score ssim:real:whole,fid:real:whole --csv correlation.csv
"""
DASH = "–"


@click.command("correlate", epilog=EPILOG)
@options.option(
    "--score",
    "scores",
    multiple=True,
    callback=options.listed,
    help="A metric or an address as fid:real:inside; several: a,b or repeat.  [all measured]",
)
@options.option(
    "--target",
    type=click.Choice(["image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "pro"]),
    default="image_auroc",
    help="Detection metric.",
)
@click.option("--dataset", multiple=True, callback=options.listed, help="Of these only.  [all]")
@click.option("--detector", multiple=True, callback=options.listed, help="Of these only.  [all]")
@click.option("--ratio", type=float, help="Of runs at this ratio only.  [all]")
@options.option(
    "--least", default=8, type=options.AtLeast(5), help="Methods below which nothing is tested."
)
@options.option("--seed", default=0, type=options.AtLeast(0), help="Seed of the bootstrap.")
@options.runs
@options.quality
@click.option("--csv", type=click.Path(path_type=Path), help="Write a line per row, with points.")
def command(
    scores: tuple[str, ...],
    target: str,
    dataset: tuple[str, ...],
    detector: tuple[str, ...],
    ratio: float | None,
    least: int,
    seed: int,
    runs: Path,
    quality: Path,
    csv: Path | None,
) -> None:
    """Correlate quality scores with a detection metric; one point is one method.

    Only runs on a single method count, averaged over seeds, detectors and categories that all
    methods share. Intervals are bootstrapped; p values are corrected for every row of the output.
    """
    from asbench import correlate
    from cli import console

    rows = correlate(
        scores or None,
        target=target,
        datasets=dataset or None,
        detectors=detector or None,
        ratio=ratio,
        least=least,
        seed=seed,
        runs=runs,
        quality=quality,
        csv=csv,
    )
    show(rows)
    if csv is not None:
        console.say(str(csv))
    console.next_step(console.command("asbench", "cross", runs=options.unless(runs, options.RUNS)))


def show(rows: list[Correlated]) -> None:
    """Print the rows, a table for each data set, then what they rest on."""
    from asbench.quality.correlate import notes
    from cli import console

    for dataset in dict.fromkeys(row.dataset for row in rows):
        members = [row for row in rows if row.dataset == dataset]
        numbers = ("n", "r", "95 %", "p (Holm)", "rho", "rho's p")
        console.say(f"\n{dataset}: against {members[0].target}")
        table = console.table("score", *numbers, right=numbers)
        for row in members:
            one, two = row.result.pearson, row.result.spearman
            between = f"{_number(one.low, '+.2f')} to {_number(one.high, '+.2f')}"
            table.add_row(
                row.score,
                str(row.result.n),
                _number(one.value, "+.3f"),
                between if one.low == one.low else DASH,
                _number(one.holm, ".3g"),
                _number(two.value, "+.3f"),
                _number(two.holm, ".3g"),
            )
        console.out.print(table)
    for sentence in notes(rows):
        console.say(sentence)


def _number(value: float, form: str) -> str:
    return format(value, form) if value == value else DASH
