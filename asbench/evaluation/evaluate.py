"""A finished run scored on test images again: those of its own data set, or another's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from asbench.datasets import open_dataset, place_of
from asbench.evaluation.joint import rows_within, together
from asbench.evaluation.parity import flavour_of, parity_scores
from asbench.evaluation.score import TestScores, further, table
from asbench.evaluation.score import evaluate as metrics_of
from asbench.evaluation.testset import TestSet, only_metrics
from asbench.evaluation.trained import Trained
from asbench.progress import Progress, quiet
from asbench.results import (
    SUBSETS,
    Further,
    ImageRow,
    Parity,
    Scores,
    Subset,
    Threshold,
    add_parity,
    write_rows,
)
from asbench.results.verdicts import Flagged, flagged
from asbench.types import Dataset
from synth_store.types import UserError


@dataclass(frozen=True)
class Evaluation:
    """What a run scored on a category's test images.

    metrics: by subset (`full`, and `held_out` without the few-shot third of the defects) and name;
    counts, reasons: by subset, as in a run's record; rows: one per image, in the test set's order;
    parity: what the detector's published code would say of the same maps, None unless asked for;
    recorded: whether it stands in the run's record now; saw_defects: real defects that training
    saw, of the data set that the run was trained on; threshold: the score from which an image
    counts as anomalous, None where there is none; further: pixel F1, AUPIMO and sPRO; by_category:
    of several categories each by itself, all else being of their images as one test set.
    """

    run: str
    dataset: str
    category: str
    metrics: Scores
    counts: Mapping[Subset, Mapping[str, int]]
    reasons: Mapping[Subset, Mapping[str, str]]
    rows: tuple[ImageRow, ...]
    parity: Parity | None
    recorded: bool
    saw_defects: int
    threshold: Threshold | None = None
    further: Further | None = None
    by_category: Mapping[str, Evaluation] = field(default_factory=dict)

    def flagged(self, subset: Subset = "full") -> Flagged | None:
        """Return how many good and defective images the threshold flags; None without one."""
        return None if self.threshold is None else flagged(self.rows, self.threshold.value, subset)

    @property
    def undefined(self) -> tuple[str, ...]:
        """Why values are NaN, each reason once."""
        told = [*self.reasons.values(), *(self.parity.reasons.values() if self.parity else ())]
        return tuple(dict.fromkeys(reason for of in told for reason in of.values()))


def evaluate(
    run: Trained | Path | str,
    dataset: str | Path | None = None,
    category: str | None = None,
    *,
    name: str | None = None,
    device: str | None = None,
    threshold: str | float | None = None,
    false_alarms: float | None = None,
    parity: bool = False,
    csv: Path | str | None = None,
    progress: Progress = quiet,
) -> Evaluation:
    """Score a finished run on test images: its own data set's, or another's.

    Args:
        run: the run, or its folder.
        dataset: a name or the path of a folder; None for the run's own, looked for where it lay
            when the run was trained, then by its name. name: as for `generate`.
        category: None for the run's own, of a joint run all of them, or the data set's only one.
        device: where the folder is given; None for CUDA where there is one.
        threshold, false_alarms: another rule for the threshold, as for `train`; None for the one
            that the run has. It is not recorded.
        parity: also score as the detector's published code does; that is written into the run's
            record if the test images are those that the run was scored on.
        csv: a file for `rows`, a line per image.

    Raises UserError where there is no such run, data set or category, for test images that cannot
    be used or show no anomaly, for images of one's own that are no longer those that the run was
    scored on, and for a detector without published code to score as.
    """
    trained = run if isinstance(run, Trained) else Trained(run, device)
    trained = trained.ruled(threshold, false_alarms=false_alarms)
    decides = trained.run.decides
    data = _own(trained, name) if dataset is None else open_dataset(dataset, name=name)
    chosen = _chosen(data, category, decides["category"])
    flavour = flavour_of(type(trained.detector), trained.geometry) if parity else None
    if parity and len(chosen) > 1:
        raise UserError(
            f"published code scores one category at a time: name one of {', '.join(chosen)} with "
            "--category."
        )
    tests = {one: TestSet(data, data.test(one), trained.geometry) for one in chosen}
    for one, test in tests.items():
        if dataset is None and place_of(data) is not None:
            _refuse_changed(test, trained, one)
        test.refuse_without_anomalies()
        test.refuse_unusable()
    tested: dict[str, TestScores] = {}
    total = sum(len(test.items) for test in tests.values())
    for one, test in tests.items():
        first = sum(len(of.ids) for of in tested.values())

        def heard(done: int, _: int, first: int = first) -> None:
            progress("scoring", first + done, total)

        tested[one] = test.scores(trained.detector, trained.device, heard)
    by_category = {}
    if len(chosen) > 1:
        by_category = {c: _evaluation(trained, data, c, of) for c, of in tested.items()}
    scored = _evaluation(trained, data, ",".join(chosen), together(tested))
    if by_category:
        rows = [row for c, of in by_category.items() for row in rows_within(c, of.rows)]
        scored = replace(scored, rows=tuple(rows), by_category=by_category)
    if flavour is not None:
        (only,) = tests.values()
        published = parity_scores(flavour, tested[chosen[0]], only.greys())
        recorded = only.digest() == decides["test"]
        scored = replace(scored, parity=published, recorded=recorded)
        if recorded:
            add_parity(trained.folder, published)
    if csv is not None:
        write_rows(Path(csv), scored.rows)
    return scored


def _evaluation(trained: Trained, data: Dataset, category: str, scores: TestScores) -> Evaluation:
    """Return what scores come to, without those of published code."""
    scored = metrics_of(scores)
    more, each = further(scores, scored)
    own = (trained.run.by_category or {}).get(category, trained.run)
    return Evaluation(
        run=trained.id,
        dataset=data.name,
        category=category,
        metrics=only_metrics(scored),
        counts={subset: scored[subset]["counts"] for subset in SUBSETS},
        reasons={subset: scored[subset]["reasons"] for subset in SUBSETS},
        rows=tuple(table(scores, each)),
        parity=None,
        recorded=False,
        saw_defects=own.saw_defects,
        threshold=trained.threshold,
        further=more,
    )


def _own(trained: Trained, name: str | None) -> Dataset:
    """Open the data set that a run was trained on; raises UserError naming where it was."""
    own, recorded = trained.run.decides["dataset"], trained.run.environment.get("data")
    if recorded is not None and Path(recorded["path"]).exists():
        return open_dataset(Path(recorded["path"]), name=name or recorded["name"])
    try:
        return open_dataset(own, name=name)
    except UserError as error:
        if recorded is None:
            raise
        raise UserError(
            f"run {trained.id} was trained on {recorded['path']}, and nothing is there now: say "
            "where those photographs are with --dataset PATH."
        ) from error


def _refuse_changed(test: TestSet, trained: Trained, category: str) -> None:
    """Raise UserError unless these are the test images that a run was scored on.

    Of a category that it was not scored on, any will do.
    """
    decides = trained.run.decides
    alone = {decides["category"]: {"test": decides["test"]}}
    own = decides.get("joint", alone).get(category)
    if own is None or test.digest() == own["test"]:
        return
    place = str(place_of(test.data))
    line = shlex.join(["asbench", "evaluate", str(trained.folder), "--dataset", place])
    raise UserError(
        f"the test images in {place} are no longer those that run {trained.id} was scored on: some "
        f"were added, removed or changed. To score on them as they are now, name them: `{line}`."
    )


def _chosen(data: Dataset, category: str | None, own: str) -> list[str]:
    """Return the categories that are meant; raises UserError where that cannot be known.

    own: those that the run was trained on, with commas.
    """
    known = data.categories()
    if category is not None:
        return [category]
    if set(own.split(",")) <= set(known):
        return own.split(",")
    if len(known) == 1:
        return [known[0]]
    raise UserError(
        f"{data.name} has no category {own!r}, which the run was trained on: name one of "
        f"{', '.join(known)} with --category."
    )
