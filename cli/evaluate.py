"""`asbench evaluate`: score a trained run on test images again, or on others."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options

EPILOG = """
\b
Example: how a detector trained on one folder does on another
  asbench evaluate runs/0123456789ab --dataset ./other-line
"""


@click.command("evaluate", epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--dataset", help="Another data set or folder.  [the run's own]")
@click.option("--category", help="Another category.  [the run's own, or the only one]")
@options.name
@options.device
@click.option("--csv", type=click.Path(path_type=Path), help="Write a line per image.")
def command(
    run: Path,
    dataset: str | None,
    category: str | None,
    name: str | None,
    device: str | None,
    csv: Path | None,
) -> None:
    """Score a finished RUN on test images: its own data set's, or another's."""
    from asbench import Trained, open_dataset
    from asbench.evaluation.score import evaluate, table
    from asbench.evaluation.testset import TestSet
    from asbench.results import METRICS, SUBSETS, write_rows
    from cli import console

    trained = Trained(run, device)
    decides = trained.run.decides
    data = open_dataset(dataset or decides["dataset"], name=name)
    known = data.categories()
    chosen = category or (decides["category"] if decides["category"] in known else known[0])
    test = TestSet(data, data.test(chosen), trained.geometry)
    test.refuse_without_anomalies()
    with console.progress() as bars:
        scores = test.scores(
            trained.detector, trained.device, lambda done, total: bars("scoring", done, total)
        )
        bars("scoring", len(test.items), len(test.items))
    found = evaluate(scores)
    console.say(f"run {trained.id} on {data.name}/{chosen}")
    heads = [m.replace("_", " ") for m in METRICS]
    shown = console.table("test set", "normal", "anomalous", *heads, right=("normal", "anomalous"))
    for subset in SUBSETS:
        counts = found[subset]["counts"]
        values = [f"{found[subset][m]:.4f}" for m in METRICS]  # type: ignore[literal-required]
        shown.add_row(subset, str(counts["normal"]), str(counts["anomalous"]), *values)
    console.out.print(shown)
    for reason in {r for s in SUBSETS for r in found[s]["reasons"].values()}:
        console.say(f"nan: {reason}")
    if csv is not None:
        write_rows(csv, table(scores))
        console.say(str(csv))
    console.next_step(f"asbench predict {run} PHOTO.png")
