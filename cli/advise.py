"""`asbench advise`: from good photographs alone, what to train on."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from asbench.settings import AdviseSettings
from cli import options

if TYPE_CHECKING:
    from asbench.results.advised import Advised

EPILOG = """
\b
Example: your own photographs, then the training that was advised
  asbench advise ./photos --quick
  asbench advise ./photos
  asbench train --mix advised --dataset ./photos


Example: some photographs of defects are at hand, and may choose too
  asbench advise ./photos --defects ./defects
"""


@click.command("advise", epilog=EPILOG)
@click.argument("dataset")
@options.of(AdviseSettings, without=("dataset",))
@options.workers
def command(asked: AdviseSettings, dataset: str, workers: int | None) -> None:
    """Say what to train on, from the good photographs of DATASET alone.

    Every method that can be tried is rendered on the photographs and taught to the detector
    `memory`, which must then find what all the others drew on photographs that it has not seen. No
    real defect is looked at, but for those of --defects. A rule makes a mixture of that: `asbench
    train --mix advised` trains it. A page of pictures and numbers and a study file stand beside
    the store; samples and features stay in it. After Ctrl-C, or a kill, the same command goes on
    where it was.
    """
    from asbench.advising.advise import advise
    from asbench.report.page.advice import following
    from asbench.results.advised import PAGE, folder_of
    from asbench.types import Interrupted
    from cli import console
    from cli.main import INTERRUPTED
    from cli.stopping import Stopping

    stopping = Stopping("stopping after this training")
    with console.progress(fleeting=True) as bars:
        heard = replace(
            asked,
            dataset=dataset,
            workers=workers,
            progress=bars,
            notify=console.say,
            stop=stopping.asked,
        )
        try:
            with stopping:
                advised = advise.of(heard)
        except Interrupted as interrupted:
            click.echo(str(interrupted), err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
    show(advised)
    folder = folder_of(asked.store, advised.dataset, advised.category)
    console.say(f"\npage: {folder / PAGE}")
    elsewhere = None if str(asked.store) == str(options.STORE) else asked.store
    console.next_step(*following(advised, elsewhere, folder))


def show(advised: Advised) -> None:
    """Print the methods in order, those of the mixture marked, and what to expect."""
    from asbench.report.page.advice import rows_of
    from cli import console

    heads = ["share", "alike", "head finds", "+-", "outlines", "memory"]
    heads += ["defects"] if advised.seen else []
    table = console.table("method", *heads, right=tuple(heads))
    for row in rows_of(advised, {}):
        numbers = (row.alike, row.heads, row.spread or "-", row.outlines, row.memory)
        seen = (row.seen,) if advised.seen else ()
        table.add_row(row.method, row.share or "-", *numbers, *seen)
    console.out.print()
    console.out.print(table)
    mean = sum(advised.expected) / len(advised.expected)
    worst = min(zip(advised.expected, advised.methods, strict=True))
    often = "once" if advised.trials == 1 else f"{advised.trials} times"
    say(
        "alike: how much a head trained on the method alone ranks images as the others' heads do; "
        f"head finds: its image AUROC on what all others drew on {advised.kept} photographs kept "
        f"out, {often}; outlines: precision of the whole detector, with its memory of the "
        "photographs; memory: how well that alone finds the method's samples."
        + (f" defects: image AUROC on the {advised.defects} real ones." if advised.seen else "")
    )
    if advised.quick:
        say(
            "A quick look: few methods, photographs and steps, one trial. Another seed may order "
            "them otherwise; without --quick all are tried, and thrice."
        )
    say(f"train on {advised.mixture.title}")
    console.say(textwrap.indent(textwrap.fill(f"rule {advised.rule}: {advised.reason}", 76), "  "))
    if advised.blind:
        say(f"without the defects: {' + '.join(advised.blind)}")
    told = "the few that chose tell least" if advised.seen else "no number made without one tells"
    say(
        f"Trained on it, the detector finds drawn anomalies with image AUROC {mean:.3f}, those of "
        f"{worst[1]} with {worst[0]:.3f}. What it will score on your defects, {told}."
    )


def say(text: str) -> None:
    """Print a paragraph that fits a terminal."""
    from cli import console

    console.say("\n" + textwrap.fill(text, 79))
