"""One training run, top to bottom: data, stream, detector, loop, scores, record."""

from __future__ import annotations

import math
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any, cast

import numpy as np
import torch

from asbench import results
from asbench.detectors import build, protocol_of, resolve
from asbench.evaluation.joint import galleries, rows_within, together
from asbench.evaluation.parity import flavour_of, parity_scores
from asbench.evaluation.score import TestScores, evaluate, evaluate_full, further, table
from asbench.evaluation.testset import only_metrics
from asbench.evaluation.thresholds import Rule, by_default
from asbench.evaluation.trained import Trained
from asbench.nets import checkpoint
from asbench.nets.detector import Detector
from asbench.nets.features import FeatureDetector, Features
from asbench.nets.weights import save_weights
from asbench.parameters import takes
from asbench.results import BEST_ON_TEST, SUBSETS, KeptOut, OneCategory, Run, Selected
from asbench.settings import TrainSettings
from asbench.trackers import Loggers, flat, numbers, opened
from asbench.training.environment import environment_of, place_for
from asbench.training.feature_sampler import FeatureSampler
from asbench.training.feature_store import FeatureStore, TestImages
from asbench.training.joint import plan_any
from asbench.training.loop import CURVE, Trajectory
from asbench.training.loop import fit as fit_detector
from asbench.training.planned import Planned, trained_photographs
from asbench.training.sampler import Sampler, open_sampler
from asbench.training.selection import BestOnTest
from asbench.training.sources import naming_the_mend
from asbench.training.telling import tell
from asbench.training.threshold import kept_rows
from asbench.types import Interrupted

WHOLE = ("stretch", "pad")
"""Resize rules by which a test image is scored as one, so that its features can be kept."""
CHECKPOINT_EVERY: int | None = None
"""Steps between checkpoints, besides those by the clock: none, but where tests want them soon."""


@takes(TrainSettings)
def train(training: TrainSettings) -> Trained:
    """Train a detector on stored anomalies and score it on the data set's test images.

    Returns the trained run, which stands in `<runs>/<id>`. One that stands already is returned as
    it is; one that was interrupted continues. At ratio 0 neither mix nor pool nor synth_seed plays
    a part, and the run's id knows nothing of them. Steps depend on neither ratio nor mix. Raises
    UserError for what the caller can mend, Interrupted where `stop` ended it.
    """
    plan = plan_any(training)
    training.notify(str(plan))
    return execute(plan)


def execute(plan: Planned) -> Trained:
    """Carry out what was planned; what is raised is what `train` raises."""
    with opened(plan.training.log, plan.training.logs) as log:
        return _execute(plan, log)


def _execute(plan: Planned, log: Loggers) -> Trained:
    training = plan.training
    parity, progress, notify = training.parity, training.progress, training.notify
    decides, folder, where = plan.decides, plan.folder, plan.device
    if results.finished(plan.runs, decides) is not None:
        notify(f"run {plan.id} stands already: it is not trained again")
        trained = Trained(folder, str(where))
        if parity and trained.run.parity is None:
            line = shlex.join(["asbench", "evaluate", str(folder), "--parity"])
            notify(f"it has no scores of published code: give it some with `{line}`")
        return _with_rule(trained, training)
    flavour = flavour_of(resolve(decides["detector"])[0], plan.store.geometry) if parity else None

    log.start(plan.id, flat(decides))
    # The stream of items, and the detector that learns from it.
    model = build(decides["detector"], decides["seed"], training.settings).to(where)
    if plan.pretrained is not None:
        model.load_backbone(plan.pretrained.tensors)
    what = f"{decides['detector']} on {decides['dataset']}/{decides['category']}"
    features = None
    if isinstance(model, FeatureDetector):
        features = FeatureStore(plan.store, model, progress, training.stop)
        if plan.store.root.read_only:
            notify(f"{plan.store.root} is only read: features it lacks are computed, and not kept")
    start = perf_counter()
    with naming_the_mend(plan.store):
        known = _prepare(plan, model, features)
    prepared = perf_counter() - start
    before: dict[str, TestScores] | None = None
    if training.untrained:
        before = _scores(plan, model, features, partial(progress, f"scoring untrained {what}"))
        log.metrics(0, numbers(only_metrics(evaluate(together(before)))))

    best, judged = None, protocol_of(decides["detector"]).select.metrics
    if decides["select"] == BEST_ON_TEST:
        heard = partial(progress, f"judging {what}")
        score = partial(_sum_on_test, plan, model, judged, features, heard)
        every, steps = decides["select_every"], decides["steps"]
        best = BestOnTest(score, every, steps, folder / "checkpoint")
    trajectory = _fit(plan, model, features, known, what, best, log)
    if not trajectory.done:
        raise Interrupted(
            f"stopped at step {trajectory.steps} of {decides['steps']}, saved in {folder}: the "
            "same command continues from there."
        )

    # The records: of the last checkpoint always, of the one that the test set chose if asked for.
    recorded = partial(
        record,
        model=model,
        losses=trajectory.losses,
        seconds=prepared + trajectory.seconds,
        before=before,
        flavour=flavour,
        environment={
            "pretrained": None if plan.pretrained is None else plan.pretrained.record(),
            **({"compiled": True} if training.compile else {}),
        },
        progress=partial(progress, f"scoring {what}"),
        features=features,
    )
    if results.finished(plan.runs, plan.last.decides) is None:
        recorded(plan.last)
    else:
        notify(f"run {plan.last.id}, whose last checkpoint counts, stands already: it is kept")
    if best is not None:
        best.restore(model)
        chosen = Selected(step=best.facts["step"], metrics=judged, value=best.facts["value"])
        recorded(plan, selected=chosen)
    trained = Trained(folder, str(where))
    tell(log, trained)
    return trained


def _with_rule(trained: Trained, training: TrainSettings) -> Trained:
    """Give a run that stands the threshold of the rule that was asked for, if one was."""
    ruled = trained.ruled(training.threshold, false_alarms=training.false_alarms)
    if ruled.threshold is not None and ruled.threshold != trained.threshold:
        results.set_threshold(trained.folder, ruled.threshold)
        training.notify(f"its threshold is now {ruled.threshold.value:.4g}: {ruled.threshold.rule}")
    return Trained(trained.folder, str(trained.device))


def _prepare(plan: Planned, model: Detector, features: FeatureStore | None) -> Features | None:
    """Let a detector look at the normals that train; return their features if it uses them."""
    generator = torch.Generator().manual_seed(plan.training.seed)
    if features is not None and isinstance(model, FeatureDetector):
        of = [features.of(part.normals, part.trained) for part in plan.parts]
        known = of[0] if len(of) == 1 else Features.together(of)
        model.remember(known, generator, torch.tensor(trained_photographs(plan)))
        return known
    normals = [part.normals[i] for part in plan.parts for i in part.trained]
    pixels = torch.from_numpy(np.stack(normals))
    model.prepare(pixels.permute(0, 3, 1, 2), generator)
    return None


def _sum_on_test(
    plan: Planned,
    model: Detector,
    metrics: Sequence[str],
    features: FeatureStore | None,
    progress: Callable[[int, int], None],
) -> float:
    """Return what published code maximises over checkpoints, on the full test set."""
    tested = together(_scores(plan, model, features, progress))
    scores = cast(Mapping[str, float], evaluate_full(tested))
    return math.fsum(scores[metric] for metric in metrics)


def _scores(
    plan: Planned,
    model: Detector,
    features: FeatureStore | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str, TestScores]:
    """Return what a detector says of each category's test images.

    From their features where it judges those.
    """
    total, first, tested = sum(len(part.test.items) for part in plan.parts), 0, {}
    for part in plan.parts:
        known = None
        if features is not None and part.test.items and plan.store.geometry.resize in WHOLE:
            images = TestImages(part.test, part.normals, part.decides["test"])
            known = features.of(images, range(len(images)))

        def heard(done: int, _: int, first: int = first) -> None:
            if progress is not None:
                progress(first + done, total)

        tested[str(part.training.category)] = part.test.scores(model, plan.device, heard, known)
        first += len(part.test.items)
    return tested


def record(
    plan: Planned,
    model: Detector,
    *,
    losses: tuple[tuple[int, float], ...],
    seconds: float,
    environment: Mapping[str, Any],
    before: Mapping[str, TestScores] | None = None,
    selected: Selected | None = None,
    flavour: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    features: FeatureStore | None = None,
) -> None:
    """Score what was trained as planned, and write the run; `run.json` says that it is done.

    seconds: of the training; environment: what is to be said besides versions and device; before:
    what the untrained detector said of each category; selected: how the test set chose the
    checkpoint, if it did; flavour: the published code whose scores are to stand beside the exact
    ones, of one category; features: of a detector that judges those.
    """
    folder, where = plan.folder, plan.device
    start = perf_counter()
    with naming_the_mend(plan.store):
        tested = _scores(plan, model, features, progress)
    scores, photographs = together(tested), sum(len(part.photographs) for part in plan.parts)
    metrics = evaluate(scores)
    more, each = further(scores, metrics)
    rows, by_category = table(scores, each), None
    if len(plan.parts) > 1:
        rows, by_category = _by_category(plan, tested, before)
    (only, *_), published = plan.parts, None
    if flavour is not None:
        published = parity_scores(flavour, scores, only.test.greys())
    with naming_the_mend(plan.store):
        kept_out = kept_rows(plan, model, features)
    kept = KeptOut.from_rows(kept_out, of=photographs, bounded=model.bounded)
    rule = Rule.of(plan.training.threshold, plan.training.false_alarms)
    threshold = by_default(kept) if rule is None else rule.threshold(kept)
    scored = perf_counter() - start
    run = Run(
        decides=plan.decides,
        metrics=only_metrics(metrics),
        counts={s: metrics[s]["counts"] for s in SUBSETS},
        reasons={s: dict(metrics[s]["reasons"]) for s in SUBSETS},
        untrained=None if before is None else only_metrics(evaluate(together(before))),
        saw_defects=sum(part.saw_defects for part in plan.parts),
        realised=plan.realised,
        losses=losses,
        threshold=threshold,
        environment=environment_of(where) | place_for(plan.data) | dict(environment),
        seconds={"train": seconds, "score": scored},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        selected=selected,
        steps_mode=plan.training.steps_mode,
        parity=published,
        further=more,
        by_category=by_category,
    )
    save_weights(model, folder / "model.safetensors")
    results.write_table(folder, rows)
    results.write_kept_out(folder, kept_out)
    shown = {str(p.training.category): p.test for p in plan.parts}
    results.write_gallery(folder, galleries({c: t.gallery(tested[c]) for c, t in shown.items()}))
    results.write_digests(folder, run)
    results.save(run, folder)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def _by_category(
    plan: Planned, tested: Mapping[str, TestScores], before: Mapping[str, TestScores] | None
) -> tuple[list[results.ImageRow], dict[str, OneCategory]]:
    """Return the rows of a joint run's table, and what it scored on each category by itself."""
    rows, of = [], {}
    for part in plan.parts:
        category = str(part.training.category)
        scores = tested[category]
        metrics = evaluate(scores)
        more, each = further(scores, metrics)
        rows += rows_within(category, table(scores, each))
        of[category] = OneCategory(
            metrics=only_metrics(metrics),
            counts={s: metrics[s]["counts"] for s in SUBSETS},
            reasons={s: dict(metrics[s]["reasons"]) for s in SUBSETS},
            untrained=None if before is None else only_metrics(evaluate(before[category])),
            saw_defects=part.saw_defects,
            realised=plan.realised_by_category[category],
            further=more,
        )
    return rows, of


def _fit(
    plan: Planned,
    model: Detector,
    features: FeatureStore | None,
    known: Features | None,
    what: str,
    best: BestOnTest | None,
    log: Loggers,
) -> Trajectory:
    """Train, or go on from where an earlier call was stopped; `what` names it to `progress`.

    known: the features of the normals, for a detector that learns from features.
    """
    training, decides, folder = plan.training, plan.decides, plan.folder / "checkpoint"
    if not decides["steps"]:
        return Trajectory(losses=(), seconds=0.0, steps=0, done=True)
    begun = checkpoint.peek(folder)
    if begun is not None:
        training.notify(f"run {plan.id} continues from step {begun['step']} of {decides['steps']}")

    def heard(done: int, loss: float) -> None:
        training.watch(done, loss)
        training.progress(what, done, decides["steps"])
        if done % max(1, decides["steps"] // CURVE) == 0:
            log.metrics(done, {"loss": loss})

    with (
        naming_the_mend(plan.store),
        _sampler(plan, model, features, known) as sampler,
    ):
        return fit_detector(
            model,
            sampler.batch_at,
            steps=decides["steps"],
            seed=training.seed,
            device=plan.device,
            precision=training.precision or "fp32",
            compiled=training.compile,
            folder=folder,
            progress=heard,
            checkpoint_every=CHECKPOINT_EVERY,
            stop=training.stop,
            best=best,
        )


@contextmanager
def _sampler(
    plan: Planned, model: Detector, features: FeatureStore | None, known: Features | None
) -> Iterator[Sampler | FeatureSampler]:
    """Give what hands out the batches: pixels, or features where the detector learns from those."""
    sources, batch, schedule = plan.drawn_from, plan.decides["batch"], plan.schedule
    if isinstance(model, FeatureDetector) and features is not None and known is not None:
        steps, of = plan.decides["steps"], plan.photograph_of
        yield FeatureSampler(
            model, known, features.reader, of, sources, schedule, batch, steps, plan.indices
        )
        return
    with open_sampler(sources, schedule, batch, plan.device, plan.indices) as sampler:
        yield sampler
