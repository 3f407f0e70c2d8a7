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

BASELINE = "patchcore@lite0"
"""What stands beside a training: it looks at the normals alone, and trains nothing."""
TRY = (
    "Look whether the synthetic anomalies resemble the real ones and lie on the object (`asbench "
    "preview`), train for more --steps, or take another --detector."
)
TRY_UNTRAINED = (
    "Look whether defects still show at the store's size (`asbench generate --size` makes another "
    "store), or take another --detector."
)


def show(trained: Sequence[Trained], subset: Subset) -> list[Trained]:
    """Say what runs flag, beside the baseline on the same photographs; return those without one."""
    from asbench.evaluation.trained import Trained
    from asbench.results.verdicts import baselines, scored_alike
    from synth_store.types import UserError

    without: list[Trained] = []
    by_test: dict[tuple[str, str], list[Trained]] = {}
    for one in trained:
        by_test.setdefault((one.run.decides["test"], one.run.decides["geometry"]), []).append(one)
    for group in by_test.values():
        for one in group:
            _say_run(one, subset)
        learned = [one for one in group if one.run.decides["steps"]]
        if not learned or not learned[0].run.counts["full"]["anomalous"]:  # nothing to compare
            continue
        runs = learned[0].folder.parent
        try:
            beside = baselines(learned[0].run, scored_alike(runs, learned[0].run))
        except UserError as error:
            console.say(f"no baseline is looked for: {error}")
            continue
        for other in beside:
            scores = other.metrics[subset]
            console.say(
                f"beside them, without synthesis: {other.decides['detector']}, run {other.id}: "
                f"image AUROC {scores['image_auroc']:.3f}, pixel AP {scores['pixel_ap']:.3f}"
            )
            _say_flags(Trained(runs / other.id, "cpu"), subset)
        without += learned if not beside else []
    return without


def say(scored: Evaluation) -> None:
    """Say what an evaluation flags, and how it stands to chance."""
    from asbench.results import SUBSETS
    from asbench.results.verdicts import against_chance

    for subset in SUBSETS:
        flagged = scored.flagged(subset)
        where = f"on the {subset.replace('_', ' ')} test set"
        if flagged is not None:
            console.say(f"flags {flagged} {where}")
        for category, of in scored.by_category.items():
            if (own := of.flagged(subset)) is not None:
                console.say(f"  of {category}: {own}")
        for category, of in {"": scored, **scored.by_category}.items():
            counts, auroc = of.counts[subset], of.metrics[subset]["image_auroc"]
            if told := against_chance(auroc, counts["normal"], counts["anomalous"]):
                among = f" of {category}" if category else ""
                console.say(f"{told}: image AUROC {auroc:.3f}{among} {where}")
    if scored.threshold is not None:
        console.say(f"threshold {scored.threshold.value:.4g}: {scored.threshold.rule}")


def baseline_command(training: TrainSettings, run: Run) -> str:
    """Return the command that runs the baseline on the photographs of a run."""
    plain = type(training)()
    return console.command(
        "asbench",
        "train",
        *(["--joint"] if training.joint else []),
        dataset=options.unless(training.dataset, plain.dataset),
        name=training.name,
        category=run.decides["category"],
        detector=BASELINE,
        kept_out=options.unless(training.kept_out, plain.kept_out),
        store=options.unless(training.store, options.STORE),
        runs=options.unless(training.runs, options.RUNS),
    )


def _say_run(one: Trained, subset: Subset) -> None:
    """Say what a run flags, where it is no better than chance, and where its normals mislead."""
    from asbench.results import by_category, read_kept_out, read_table
    from asbench.results.verdicts import run_against_chance, unlike

    run = one.run
    _say_flags(one, subset)
    for part in [run, *(by_category([run]) if run.by_category else ())]:
        if told := run_against_chance(part, subset):
            of = "" if part is run else f" on {part.decides['category']}"
            counts = part.counts[subset]
            console.say(
                f"run {run.id} is {told}{of}: its image AUROC is "
                f"{part.metrics[subset]['image_auroc']:.3f} on {counts['normal']} good and "
                f"{counts['anomalous']} defective images. "
                f"{TRY if run.decides['steps'] else TRY_UNTRAINED}"
            )
    if one.threshold is None:
        return
    kept, rows = read_kept_out(one.folder), read_table(one.folder)
    if more := unlike(kept, rows, one.threshold.value):
        console.say(
            f"the good test images are not like the normals of run {run.id}: {more.good} of "
            f"{more.of_good} are flagged, and {more.defective} of {more.of_defective} normals kept "
            "out of training. Add normals taken in the light, place and time of these."
        )


def _say_flags(one: Trained, subset: Subset) -> None:
    """Say what a run flags at its threshold, and by which rule that was chosen."""
    from asbench.results import read_kept_out

    flagged = one.flagged(subset)
    if flagged is not None and one.threshold is not None:
        kept = None if flagged.of_good + flagged.of_defective else read_kept_out(one.folder)
        told = f"flags {flagged}, at its"
        if kept is not None:  # no test image: what else was kept out is all there is to flag
            found, drawn = int((kept.anomalies >= one.threshold.value).sum()), len(kept.anomalies)
            told = f"flags {found} of {drawn} drawn anomalies that it was not trained on, at its"
            told = told if drawn else "has the"
        console.say(
            f"run {one.id} {told} threshold {one.threshold.value:.4g} ({one.threshold.rule})"
        )
        for category, of in one.flagged_by_category(subset).items():
            console.say(f"  of {category}: {of}")
