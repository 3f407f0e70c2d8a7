"""`asbench correlate`: whether a quality score goes with detection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli import options

if TYPE_CHECKING:
    from asbench.quality.joined import Row

EPILOG = """
\b
Example: the paper's six metrics against image AUROC, as a file
  asbench correlate --score ssim:real:whole,fid:real:whole --csv correlation.csv
"""


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
    "--least", default=8, type=options.AtLeast(3), help="Methods below which nothing is tested."
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
    from asbench import results
    from asbench.quality import joined, record
    from cli import console

    rows = joined.correlate_runs(
        record.rows(quality),
        results.runs(runs),
        target=target,
        scores=scores or None,
        datasets=dataset or None,
        detectors=detector or None,
        ratio=ratio,
        least=least,
        seed=seed,
    )
    show(rows)
    if csv is not None:
        text = joined.csv_text(rows)
        results.into_place(csv, lambda part: part.write_text(text, encoding="utf-8"))
        console.say(str(csv))
    console.next_step(console.command("asbench", "cross", runs=options.unless(runs, options.RUNS)))


def show(rows: list[Row]) -> None:
    """Print the rows, then what they rest on."""
    from cli import console

    numbers = ("n", "r", "95 %", "p", "Holm", "BH", "rho", "rho's p", "rho's Holm")
    table = console.table("data set", "score", *numbers, "verdict", right=numbers)
    for row in rows:
        one, two = row.result.pearson, row.result.spearman
        table.add_row(
            row.dataset,
            row.score,
            str(row.result.n),
            f"{one.value:+.3f}",
            f"{one.low:+.2f}..{one.high:+.2f}",
            *(f"{v:.3g}" for v in (one.p, one.holm, one.bh)),
            f"{two.value:+.3f}",
            *(f"{v:.3g}" for v in (two.p, two.holm)),
            row.result.verdict(),
        )
    console.out.print(table)
    first = rows[0]
    console.say(
        f"{first.target} on the {first.subset.replace('_', '-')} test images; "
        f"{first.family} tests per coefficient, corrected by Holm (any false finding) and by "
        "Benjamini-Hochberg (share of false ones)"
    )
    said = dict.fromkeys(
        f"{row.dataset}: mean over {', '.join(row.detectors)}; {', '.join(row.categories)}; "
        f"training seeds {', '.join(map(str, row.seeds))}"
        for row in rows
    )
    said |= dict.fromkeys(
        f"{row.dataset}: {method} left out: {why}"
        for row in rows
        for method, why in row.left_out.items()
    )
    for sentence in said:
        console.say(sentence)
