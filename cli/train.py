"""`asbench train`: train a detector on stored anomalies, and score it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from cli import options

if TYPE_CHECKING:
    from asbench.evaluation.trained import Trained
    from asbench.results import Subset

EPILOG = """
\b
Example: three trainings on half draem, half fractal, a quarter of all items anomalous
  asbench train --mix draem:0.5,fractal:0.5 --ratio 0.25 --seed 0,1,2
"""


@click.command("train", epilog=EPILOG)
@click.option(
    "--mix", help="Stored methods and their shares: draem:0.5,fractal:0.5.  [none at ratio 0]"
)
@click.option("--ratio", type=float, help="Share of anomalous items.  [the detector's own]")
@options.option(
    "--detector",
    default="unet@tiny",
    help="As published: draem, destseg, memseg, unet. On normals alone: patchcore. "
    "Reduced: draem@tiny, unet@tiny.",
)
@options.dataset
@options.name
@click.option(
    "--category",
    multiple=True,
    callback=options.listed,
    help="A category, or 'all'; several: a,b or repeat.  [the first of the data set]",
)
@click.option(
    "--steps",
    type=options.AtLeast(1),
    help="Optimiser steps, whatever the ratio.  [the protocol's]",
)
@click.option("--batch", type=options.AtLeast(1), help="Items of a step.  [the protocol's]")
@options.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    help="bf16: mixed precision.",
)
@options.option(
    "--seed",
    "seeds",
    multiple=True,
    default=["0"],
    callback=options.seeds,
    metavar="INTEGER",
    help="Training seed; several: 0,1,2 or repeat.",
)
@options.option("--synth-seed", default=0, type=options.AtLeast(0), help="Seed of the stored sets.")
@click.option("--pool", type=options.AtLeast(1), help="Samples read of every set.  [all]")
@options.option(
    "--ratio-mode",
    type=click.Choice(["exact", "bernoulli"]),
    default="exact",
    help="bernoulli: every item drawn independently, as in published code.",
)
@options.option(
    "--select",
    type=click.Choice(["last", "best-on-test"]),
    default="last",
    help="The checkpoint that counts. best-on-test: an upper bound, marked; writes both runs.",
)
@click.option(
    "--select-every",
    type=options.AtLeast(1),
    help="Steps between looks at the test set.  [the published number]",
)
@options.option(
    "--steps-mode",
    type=click.Choice(["same", "per-component"]),
    default="same",
    help="per-component: the steps times the number of methods in the mix.",
)
@options.settings
@options.weights
@options.store
@options.runs
@options.device
@click.option("--untrained", is_flag=True, help="Score the detector before its first step too.")
@options.parity
def command(
    mix: str | None,
    ratio: float | None,
    detector: str,
    dataset: str,
    name: str | None,
    category: tuple[str, ...],
    steps: int | None,
    batch: int | None,
    precision: Literal["fp32", "bf16"],
    seeds: list[int],
    synth_seed: int,
    pool: int | None,
    ratio_mode: Literal["exact", "bernoulli"],
    select: Literal["last", "best-on-test"],
    select_every: int | None,
    steps_mode: Literal["same", "per-component"],
    settings: tuple[str, ...],
    weights: tuple[str, ...],
    store: str,
    runs: Path,
    device: str | None,
    untrained: bool,
    parity: bool,
) -> None:
    """Train a detector on stored anomalies, and score it on the real test images.

    The number of steps depends neither on the ratio nor, unless --steps-mode says so, on the
    mixture: runs differ in their data, not in how long they trained. A run that stands already is
    not trained again. Ctrl-C saves and stops with exit status 130; the same command then continues
    to the same result.
    """
    from asbench import open_dataset
    from asbench.nets.pretrained import parse_weights
    from asbench.training.plan import Plan, plan_run
    from asbench.training.train import execute
    from asbench.types import Interrupted
    from cli import console
    from cli.main import INTERRUPTED
    from cli.stopping import Stopping

    known = open_dataset(dataset, name=name).categories()
    chosen = known if "all" in category else category or known[:1]
    if not category and len(known) > 1:
        console.say(f"category {known[0]} of {', '.join(known)} (--category all trains every one)")
    if "@" in detector:
        console.say(f"{detector} is a reduced or changed network: not to be held against papers")
    stopping = Stopping()
    with console.progress() as bars:
        # Every run is settled before the first is trained, so that a refusal wastes no training.
        plans: list[Plan] = []
        for one in chosen:
            plan = plan_run(
                dataset,
                mix,
                ratio=ratio,
                detector=detector,
                category=one,
                steps=steps,
                batch=batch,
                precision=precision,
                seed=seeds[0],
                synth_seed=synth_seed,
                pool=pool,
                ratio_mode=ratio_mode,
                select=select,
                select_every=select_every,
                steps_mode=steps_mode,
                settings=options.parsed(settings),
                weights=parse_weights(weights),
                store=store,
                runs=runs,
                device=device,
                name=name,
                progress=bars,
                notify=console.say,
            )
            plans += [plan.with_seed(seed) for seed in seeds]
        for plan in plans:
            console.say(str(plan))
        try:
            with stopping:
                trained = [
                    execute(
                        plan,
                        untrained=untrained,
                        parity=parity,
                        progress=bars,
                        notify=console.say,
                        stop=stopping.asked,
                    )
                    for plan in plans
                ]
        except Interrupted as interrupted:
            click.echo(str(interrupted), err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
    show(trained)
    console.next_step(
        console.command(
            "asbench",
            "report",
            runs=options.unless(runs, options.RUNS),
            store=options.unless(store, options.STORE),
        ),
        console.command("asbench", "predict", runs / trained[-1].id, "PHOTO.png"),
    )


def show(trained: list[Trained]) -> None:
    """Print what was trained and what it scored."""
    from asbench.results import finished, last_of
    from cli import console

    # As in tables: what one of them saw is left out for all.
    saw = max(one.run.saw_defects for one in trained)
    subset: Subset = "held_out" if saw else "full"
    counted = ("seed", *console.HEADS.values())
    shown = console.table("run", "category", *counted, right=counted)
    for one in trained:
        place = (one.run.decides["category"], str(one.run.decides["seed"]))
        if one.run.untrained is not None:
            shown.add_row("untrained", *place, *console.metrics(one.run.untrained[subset]))
        last = finished(one.folder.parent, last_of(one.run.decides)) if one.run.selected else None
        for run in filter(None, (last, one.run)):
            mark = " (best on test)" if run.selected else ""
            shown.add_row(run.id + mark, *place, *console.metrics(run.metrics[subset]))
            if run.parity is not None:
                by = f"  as {run.parity.flavour}"
                shown.add_row(by, *place, *console.metrics(run.parity.metrics[subset]))
    console.out.print(shown)
    if saw:
        console.say(
            f"Scored without the few-shot third of the defects: training saw {saw} real defects"
        )
    for reason in {r for one in trained for r in one.run.reasons[subset].values()}:
        console.say(f"nan: {reason}")
