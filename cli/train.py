"""`asbench train`: train a detector on stored anomalies, and score it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from asbench.settings import TrainSettings
from cli import options
from cli.imports import unsearched

if TYPE_CHECKING:
    from asbench.evaluation.trained import Trained
    from asbench.results import Subset

EPILOG = """
\b
Example: three trainings on half draem, half fractal, a quarter of all items anomalous
  asbench train --mix draem:0.5,fractal:0.5 --ratio 0.25 --seed 0,1,2
\b
Example: one detector for every category of a data set
  asbench train --mix draem --joint
"""
TOGETHER = "together"
"""What stands for a category where a row is of a joint run's images as one test set."""


@click.command("train", epilog=EPILOG)
@options.of(
    TrainSettings,
    several={"category": "the first, with --joint all; all: every one", "seed": "0"},
)
def command(training: TrainSettings, category: tuple[str, ...] | None, seed: list[int]) -> None:
    """Train a detector on stored anomalies, and score it on the real test images.

    The number of steps depends neither on the ratio nor, unless --steps-mode says so, on the
    mixture: runs differ in their data, not in how long they trained. A share of the normals is kept
    out of training, and the threshold is chosen on them: no real defect is needed. A run that
    stands already is not trained again; another rule for its threshold is. Ctrl-C saves and stops
    with exit status 130; the same command then continues to the same result.
    """
    with unsearched():
        from asbench.data.unread import unread_annotations
        from asbench.training.joint import plan_all
        from asbench.training.train import execute
        from asbench.types import Interrupted
        from cli import console, verdicts
        from cli.main import INTERRUPTED
        from cli.stopping import Stopping

    for line in unread_annotations(training.dataset, training.name):
        console.say(f"warning: {line}")
    stopping = Stopping()
    with console.progress() as bars:
        heard = replace(
            training,
            progress=bars,
            notify=console.say,
            watch=console.losses(bars),
            stop=stopping.asked,
        )
        plans = plan_all(heard, category, seed)
        try:
            with stopping:
                trained = [execute(plan) for plan in plans]
        except Interrupted as interrupted:
            click.echo(str(interrupted), err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
    without = verdicts.show(trained, show(trained))
    console.next_step(
        *[verdicts.baseline_command(training, one.run) for one in without[:1]],
        console.command(
            "asbench",
            "report",
            runs=options.unless(training.runs, options.RUNS),
            store=options.unless(training.store, options.STORE),
        ),
        console.command("asbench", "predict", trained[-1].folder, "PHOTO.png"),
    )


def show(trained: list[Trained]) -> Subset:
    """Print what was trained and what it scored; return on which test images."""
    from asbench.results import finished, last_of
    from cli import console

    # As in tables: what one of them saw is left out for all.
    saw = max(one.run.saw_defects for one in trained)
    subset: Subset = "held_out" if saw else "full"
    counted = ("seed", *console.HEADS.values())
    shown = console.table("run", "category", *counted, right=counted)
    for one in trained:
        category = TOGETHER if one.run.by_category else one.run.decides["category"]
        place = (category, str(one.run.decides["seed"]))
        if one.run.untrained is not None:
            shown.add_row("untrained", *place, *console.metrics(one.run.untrained[subset]))
        last = finished(one.folder.parent, last_of(one.run.decides)) if one.run.selected else None
        for run in filter(None, (last, one.run)):
            mark = " (best on test)" if run.selected else ""
            for category, of in (run.by_category or {}).items():
                values = console.metrics(of.metrics[subset])
                shown.add_row(run.id + mark, category, place[1], *values)
            shown.add_row(run.id + mark, *place, *console.metrics(run.metrics[subset]))
            if run.parity is not None:
                by = f"  as {run.parity.flavour}"
                shown.add_row(by, *place, *console.metrics(run.parity.metrics[subset]))
    console.out.print(shown)
    if saw:
        console.say(
            f"Scored without the few-shot third of the defects: training saw {saw} real defects"
        )
    told = [one.run.reasons for one in trained]
    told += [of.reasons for one in trained for of in (one.run.by_category or {}).values()]
    for reason in {r for reasons in told for r in reasons[subset].values()}:
        console.say(f"nan: {reason}")
    return subset
