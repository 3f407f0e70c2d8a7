"""`asbench evaluate`: score a trained run on test images again, or on others."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options
from cli.imports import unsearched

EPILOG = """
\b
Example: how a detector trained on one folder does on another
  asbench evaluate runs/0123456789ab --dataset ./other-line
"""


@click.command("evaluate", epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--dataset", help="Another data set or folder.  [the run's own]")
@click.option(
    "--category",
    help="Another category, or one of a joint run's.  [the run's own, or the only one]",
)
@options.name
@options.device
@options.threshold
@options.false_alarms
@options.parity
@click.option("--csv", type=click.Path(path_type=Path), help="Write a line per image.")
def command(
    run: Path,
    dataset: str | None,
    category: str | None,
    name: str | None,
    device: str | None,
    threshold: str | None,
    false_alarms: float | None,
    parity: bool,
    csv: Path | None,
) -> None:
    """Score a finished RUN on test images: its own data set's, or another's.

    Its own is looked for where it lay when the run was trained, then by its name.
    With --parity the published code's scores are shown too, and written into the run's record if
    the test images are those that it was scored on.
    """
    with unsearched():
        from asbench import evaluate
        from asbench.results import SUBSETS
        from cli import console, verdicts

    with console.progress() as bars:
        scored = evaluate(
            run,
            dataset,
            category,
            name=name,
            device=device,
            threshold=threshold,
            false_alarms=false_alarms,
            parity=parity,
            csv=csv,
            progress=bars,
        )
    published = scored.parity
    console.say(f"run {scored.run} on {scored.dataset}/{scored.category}")
    counted = ("normal", "anomalous", *console.HEADS.values())
    shown = console.table("test set", *counted, right=counted)
    for category, of in scored.by_category.items():
        for subset in SUBSETS:
            counts = [str(of.counts[subset][label]) for label in ("normal", "anomalous")]
            row = f"{category}, {subset.replace('_', ' ')}"
            shown.add_row(row, *counts, *console.metrics(of.metrics[subset]))
    for subset in SUBSETS:
        counts = [str(scored.counts[subset][label]) for label in ("normal", "anomalous")]
        shown.add_row(subset.replace("_", " "), *counts, *console.metrics(scored.metrics[subset]))
        if published is not None:
            by = f"  as {published.flavour}"
            shown.add_row(by, *counts, *console.metrics(published.metrics[subset]))
    console.out.print(shown)
    if scored.further is not None:
        for subset in SUBSETS:
            told = scored.further.metrics[subset].items()
            values = ", ".join(f"{console.FURTHER_HEADS[name]} {value:.3f}" for name, value in told)
            console.say(f"{subset.replace('_', ' ')}: {values}")
        for reason in dict.fromkeys(scored.further.reasons["full"].values()):
            console.say(f"nan: {reason}")
    verdicts.say(scored)
    if saw := scored.saw_defects:
        console.say(f"training saw {saw} real defects of the full test set: compare on held out")
    for reason in scored.undefined:
        console.say(f"nan: {reason}")
    if published is not None and scored.recorded:
        console.say(f"the scores of {published.flavour}'s code stand in {run / 'run.json'} now")
    if csv is not None:
        console.say(str(csv))
    console.next_step(console.command("asbench", "predict", run, "PHOTO.png"))
