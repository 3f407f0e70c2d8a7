"""`asbench quality`: image quality of stored sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asbench.settings import MeasureSettings
from cli import options

if TYPE_CHECKING:
    from asbench.quality.record import Quality

EPILOG = """
\b
Example: two methods of one category, with a ResNet-18 for the stand-ins
  asbench quality --method draem,fractal --category weave --weights resnet18=FILE.pth
"""
COLUMNS = 5
"""Methods side by side in one table."""


@click.command("quality", epilog=EPILOG)
@options.of(MeasureSettings, several={"method": "all stored", "category": "all"})
@click.option("--csv", type=click.Path(path_type=Path), help="Write a line per score.")
def command(
    asked: MeasureSettings,
    method: tuple[str, ...] | None,
    category: tuple[str, ...] | None,
    csv: Path | None,
) -> None:
    """Measure the image quality of stored sets.

    SSIM, PSNR, LPIPS, IS, FID and KID, each over whole images, inside the masks and in a band
    around their borders, and what the masks themselves say. A name with an @ is a stand-in: the
    same formula over other features. What is measured already is not measured again.
    """
    from asbench.files.documents import into_place
    from asbench.quality import record
    from asbench.quality.measure import measure_all
    from cli import console

    measured: list[Quality] = []
    with console.progress() as bars:
        heard = replace(asked, progress=bars, notify=console.say)
        for of_category in measure_all(heard, method, category):
            show(of_category)
            measured += of_category
    if csv is not None:
        into_place(csv, record.csv_text(measured))
        console.say(str(csv))
    console.say(f"{len(measured)} sets: {asked.out}")
    quality = options.unless(asked.out, options.QUALITY)
    console.next_step(console.command("asbench", "correlate", quality=quality))


def show(measured: list[Quality]) -> None:
    """Print the scores of one category's sets: whole image, then inside the masks."""
    from asbench.quality.record import addresses
    from cli import console

    first = measured[0].decides
    console.say(f"\n{first['dataset']}/{first['category']}: whole image | inside the mask")
    # What an earlier release measured may lack a score that this one adds.
    values = [{score.address: score.value for score in q.scores} for q in measured]
    rows = dict.fromkeys(a.rpartition(":")[0] for a in addresses(measured))
    for start in range(0, len(measured), COLUMNS):
        some = slice(start, start + COLUMNS)
        heads = tuple(f"{q.decides['method']} (n={_count(q)})" for q in measured[some])
        table = console.table("score", "against", *heads, right=heads)
        for row in rows:
            cells = [_cell(row, of) for of in values[some]]
            if any(cells):
                metric, _, pairing = row.rpartition(":")
                table.add_row(metric, "" if pairing == "self" else pairing, *cells)
        console.out.print(table)
    notes = {s.note for q in measured for s in q.scores if s.metric == "change_levels"}
    for note in sorted(notes):
        console.say(f"change_levels and {note} of the normals: in grey levels of 255")
    for reason in dict.fromkeys(s.reason for q in measured for s in q.scores if s.reason):
        console.say(f"nan: {reason}")
    for quality in measured:
        if quality.saw_defects:
            console.say(
                f"{quality.decides['method']} was made from {quality.saw_defects} real defects"
            )


def _count(quality: Quality) -> int:
    return quality.scores[0].n


def _cell(row: str, values: Mapping[str, float]) -> str:
    """Return a row's values of one set: of the whole image, then after a bar inside the mask."""
    whole, inside = (values.get(f"{row}:{region}") for region in ("whole", "inside"))
    first, second = ("" if value is None else f"{value:.4g}" for value in (whole, inside))
    return f"{first} | {second}".strip() if second else first
