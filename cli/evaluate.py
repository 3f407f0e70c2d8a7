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
@options.parity
@click.option("--csv", type=click.Path(path_type=Path), help="Write a line per image.")
def command(
    run: Path,
    dataset: str | None,
    category: str | None,
    name: str | None,
    device: str | None,
    parity: bool,
    csv: Path | None,
) -> None:
    """Score a finished RUN on test images: its own data set's, or another's.

    With --parity the published code's scores are shown too, and written into the run's record if
    the test images are those that it was scored on.
    """
    from asbench import Trained, open_dataset
    from asbench.evaluation.parity import flavour_of, parity_scores
    from asbench.evaluation.score import evaluate, table
    from asbench.evaluation.testset import TestSet, only_metrics
    from asbench.results import SUBSETS, add_parity, write_rows
    from cli import console
    from synth_store.types import UserError

    trained = Trained(run, device)
    decides = trained.run.decides
    data = open_dataset(dataset or decides["dataset"], name=name)
    known = data.categories()
    own = decides["category"] if decides["category"] in known else None
    chosen = category or own or (known[0] if len(known) == 1 else None)
    if chosen is None:
        raise UserError(
            f"{data.name} has no category {decides['category']!r}, which the run was trained on: "
            f"name one of {', '.join(known)} with --category."
        )
    flavour = flavour_of(type(trained.detector), trained.geometry) if parity else None
    test = TestSet(data, data.test(chosen), trained.geometry)
    test.refuse_without_anomalies()
    test.refuse_unusable()
    with console.progress() as bars:
        scores = test.scores(
            trained.detector, trained.device, lambda done, total: bars("scoring", done, total)
        )
        bars("scoring", len(test.items), len(test.items))
    found = evaluate(scores)
    published = None if flavour is None else parity_scores(flavour, scores, test.greys())
    console.say(f"run {trained.id} on {data.name}/{chosen}")
    counted = ("normal", "anomalous", *console.HEADS.values())
    shown = console.table("test set", *counted, right=counted)
    for subset in SUBSETS:
        counts = found[subset]["counts"]
        values = console.metrics(only_metrics(found)[subset])
        shown_as = subset.replace("_", " ")
        counted_as = (str(counts["normal"]), str(counts["anomalous"]))
        shown.add_row(shown_as, *counted_as, *values)
        if published is not None:
            values = console.metrics(published.metrics[subset])
            shown.add_row(f"  as {published.flavour}", *counted_as, *values)
    console.out.print(shown)
    if saw := trained.run.saw_defects:
        console.say(f"training saw {saw} real defects of the full test set: compare on held out")
    told = {r for s in SUBSETS for r in found[s]["reasons"].values()}
    if published is not None:
        told |= {r for s in SUBSETS for r in published.reasons[s].values()}
    for reason in told:
        console.say(f"nan: {reason}")
    if published is not None and test.digest() == decides["test"]:
        add_parity(run, published)
        console.say(f"the scores of {published.flavour}'s code stand in {run / 'run.json'} now")
    if csv is not None:
        write_rows(csv, table(scores))
        console.say(str(csv))
    console.next_step(console.command("asbench", "predict", run, "PHOTO.png"))
