"""`asbench train`: train a detector on stored anomalies, and score it."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

import click

from cli import options

if TYPE_CHECKING:
    from asbench.evaluation.trained import Trained

EPILOG = """
\b
Example: three trainings on half draem, half fractal, a quarter of all items anomalous
  asbench train --mix draem:0.5,fractal:0.5 --ratio 0.25 --seed 0 --seed 1 --seed 2
"""


@click.command("train", epilog=EPILOG)
@click.option("--mix", help="Stored methods and their shares: draem:0.5,fractal:0.5.")
@click.option("--ratio", type=float, help="Share of anomalous items.  [the detector's own]")
@options.option("--detector", default="draem@tiny", help="draem is the published network.")
@options.dataset
@options.name
@click.option(
    "--category", multiple=True, help="A category; repeat, or 'all'.  [the first of the data set]"
)
@click.option("--steps", type=int, help="Optimiser steps, whatever the ratio.  [the protocol's]")
@click.option("--batch", type=int, help="Items of a step.  [the protocol's]")
@options.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32")
@options.option("--seed", "seeds", multiple=True, default=[0], help="Training seed; repeat.")
@options.option("--synth-seed", default=0, help="Seed of the stored sets.")
@click.option("--pool", type=int, help="Samples read of every set.  [all]")
@options.settings
@options.store
@options.runs
@options.device
@click.option("--untrained", is_flag=True, help="Score the detector before its first step too.")
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
    seeds: tuple[int, ...],
    synth_seed: int,
    pool: int | None,
    settings: tuple[str, ...],
    store: Path,
    runs: Path,
    device: str | None,
    untrained: bool,
) -> None:
    """Train a detector on stored anomalies, and score it on the real test images.

    The number of steps depends neither on the ratio nor on the mixture: runs differ in their data,
    not in how long they trained. A run that stands already is not trained again; an interrupted one
    continues to the same result.
    """
    from asbench import open_dataset, train
    from cli import console

    known = open_dataset(dataset, name=name).categories()
    chosen = known if "all" in category else category or known[:1]
    if not category and len(known) > 1:
        console.say(f"category {known[0]} of {', '.join(known)} (--category all trains every one)")
    if "@" in detector:
        console.say(f"{detector} is a reduced or changed network: not to be held against papers")
    stopping = _Stopping()
    trained: list[Trained] = []
    with console.progress() as bars, stopping:
        for one in chosen:
            for seed in seeds:
                run = train(
                    dataset,
                    mix,
                    ratio=ratio,
                    detector=detector,
                    category=one,
                    steps=steps,
                    batch=batch,
                    precision=precision,
                    seed=seed,
                    synth_seed=synth_seed,
                    pool=pool,
                    settings=options.parsed(settings),
                    store=store,
                    runs=runs,
                    device=device,
                    untrained=untrained,
                    name=name,
                    progress=bars,
                    stop=stopping.asked,
                )
                trained.append(run)
    show(trained)
    given = options.given(runs=(runs, options.RUNS))
    console.next_step(
        f"asbench report{given}",
        f"asbench predict {runs / trained[-1].id} PHOTO.png",
    )


def show(trained: list[Trained]) -> None:
    """Print what was trained and what it scored."""
    from asbench.results import METRICS
    from cli import console

    realised = trained[0].run.realised
    total = sum(realised.values())
    counts = ", ".join(f"{n} {name}" for name, n in realised.items())
    console.say(f"items trained on: {counts} ({total} in all)")
    heads = [m.replace("_", " ") for m in METRICS]
    shown = console.table("run", "category", "seed", *heads, right=("seed", *heads))
    for one in trained:
        rows = [("", one.run.metrics)]
        if one.run.untrained is not None:
            rows.append((" untrained", one.run.untrained))
        for suffix, scores in rows:
            values = [f"{scores['full'][m]:.3f}" for m in METRICS]
            decides = one.run.decides
            shown.add_row(one.id + suffix, decides["category"], str(decides["seed"]), *values)
    console.out.print(shown)
    for reason in {r for one in trained for r in one.run.reasons["full"].values()}:
        console.say(f"nan: {reason}")


class _Stopping:
    """While entered, Ctrl-C and SIGTERM ask the training to save and stop; twice kills."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[signal.Signals, object] = {}

    def asked(self) -> bool:
        return self._asked

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        click.echo("\nstopping after this step; once more to stop at once", err=True)
