"""What commands say of what a run flags, of chance, and of the baseline beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli import console, options

if TYPE_CHECKING:
    from asbench.evaluation.evaluate import Evaluation
    from asbench.evaluation.trained import Trained
    from asbench.results import Run, Subset
    from asbench.settings import TrainSettings

BASELINE = "patchcore"
"""What stands beside a training: it looks at the normals alone, and trains nothing."""

TRY = (
    "Look whether the synthetic anomalies resemble the real ones and lie on the object (`asbench "
    "preview`), train for more --steps, or take another --detector."
)
TRY_UNTRAINED = (
    "Look whether defects still show at the store's size (`asbench generate --size` makes another "
    "store), or take another --detector."
)


def show(trained: Sequence[Trained]) -> list[Trained]:
    """Say what each run flags, beside the baseline; return those that have no baseline yet."""
    from asbench import Trained as Finished
    from asbench.results import read_kept_out, read_table, subset_for
    from asbench.results.verdicts import baselines, run_against_chance, scored_alike, unlike
    from synth_store.types import UserError

    subset = subset_for([one.run for one in trained])
    without = []
    for one in trained:
        run, name = one.run, one.id
        _flags(f"run {name} flags", one, subset)
        if told := run_against_chance(run, subset):
            console.say(
                f"run {name} is {told}: its image AUROC is {run.metrics[subset]['image_auroc']:.3f}"
                f" on {_images(run, subset)}. {TRY if run.decides['steps'] else TRY_UNTRAINED}"
            )
        threshold = one.threshold
        rows = read_table(one.folder)
        more = threshold and unlike(read_kept_out(one.folder), rows, threshold.value)
        if more:
            console.say(
                f"the good test images are not like the normals it trained on: {more.good} of "
                f"{more.of_good} are flagged, and {more.defective} of {more.of_defective} kept-out "
                "normals. Add normals taken as they were (light, place, day), or choose another "
                "--false-alarms."
            )
        if not run.decides["steps"]:
            continue
        try:
            beside = baselines(run, scored_alike(one.folder.parent, run))
        except UserError as error:
            console.say(f"no baseline is looked for: {error}")
            continue
        for other in beside:
            said = Finished(one.folder.parent / other.id, "cpu")
            scores = other.metrics[subset]
            console.say(
                f"  {other.decides['detector']} beside it, without synthesis: image AUROC "
                f"{scores['image_auroc']:.3f} (here {run.metrics[subset]['image_auroc']:.3f}), "
                f"pixel AP {scores['pixel_ap']:.3f} (here {run.metrics[subset]['pixel_ap']:.3f})"
            )
            _flags("  it flags", said, subset)
        without += [] if beside else [one]
    return without


def say(scored: Evaluation) -> None:
    """Say what an evaluation flags, and how it stands to chance."""
    from asbench.results import SUBSETS
    from asbench.results.verdicts import against_chance

    for subset in SUBSETS:
        flagged = scored.flagged(subset)
        where = f"{subset.replace('_', ' ')} test set"
        if flagged is not None:
            console.say(f"{where}: flags {flagged}")
        counts = scored.counts[subset]
        auroc = scored.metrics[subset]["image_auroc"]
        if told := against_chance(auroc, counts["normal"], counts["anomalous"]):
            console.say(f"{where}: image AUROC {auroc:.3f} is {told}")
    if scored.threshold is not None:
        console.say(f"threshold {scored.threshold.value:.4g}: {scored.threshold.rule}")


def baseline_command(training: TrainSettings, run: Run) -> str:
    """Return the command that runs the baseline on the photographs of a run."""
    return console.command(
        "asbench",
        "train",
        dataset=options.unless(training.dataset, type(training)().dataset),
        name=training.name,
        category=run.decides["category"],
        detector=BASELINE,
        store=options.unless(training.store, options.STORE),
        runs=options.unless(training.runs, options.RUNS),
        kept_out=options.unless(training.kept_out, type(training)().kept_out),
    )


def _flags(begin: str, one: Trained, subset: Subset) -> None:
    """Say what a run flags at its threshold, and by which rule that was chosen."""
    flagged = one.flagged(subset)
    if flagged is None or one.threshold is None:
        return
    console.say(f"{begin} {flagged} at its threshold {one.threshold.value:.4g}")
    console.say(f"  ({one.threshold.rule})")


def _images(run: Run, subset: Subset) -> str:
    counts = run.counts[subset]
    return f"{counts['normal']} good and {counts['anomalous']} defective images"
