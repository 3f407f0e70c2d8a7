"""One training run, top to bottom: data, stream, detector, loop, scores, record."""

from __future__ import annotations

import math
import platform
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import numpy as np
import torch

from asbench import results
from asbench.datasets import place_of
from asbench.detectors import build, protocol_of, resolve
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
from asbench.results import BEST_ON_TEST, SUBSETS, KeptOut, Run, Scores, Selected
from asbench.settings import TrainSettings
from asbench.trackers import Loggers, flat, numbers, opened
from asbench.training.feature_sampler import FeatureSampler
from asbench.training.feature_store import FeatureStore, TestImages
from asbench.training.loop import CURVE, Trajectory
from asbench.training.loop import fit as fit_detector
from asbench.training.plan import Plan, plan_run
from asbench.training.sampler import Sampler, open_sampler
from asbench.training.selection import BestOnTest
from asbench.training.sources import naming_the_mend
from asbench.training.telling import tell
from asbench.training.threshold import kept_rows
from asbench.types import Dataset, Interrupted

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
    plan = plan_run(training)
    training.notify(str(plan))
    return execute(plan)


def execute(plan: Plan) -> Trained:
    """Carry out what was planned; what is raised is what `train` raises."""
    with opened(plan.training.log, plan.training.logs) as log:
        return _execute(plan, log)


def _execute(plan: Plan, log: Loggers) -> Trained:
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
    flavour = flavour_of(resolve(decides["detector"])[0], plan.test.geometry) if parity else None

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
    before = None
    if training.untrained:
        untrained = _scores(plan, model, features, partial(progress, f"scoring untrained {what}"))
        before = only_metrics(evaluate(untrained))
        log.metrics(0, numbers(before))

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


def _prepare(plan: Plan, model: Detector, features: FeatureStore | None) -> Features | None:
    """Let a detector look at the normals that train; return their features if it uses them."""
    generator = torch.Generator().manual_seed(plan.training.seed)
    if features is not None and isinstance(model, FeatureDetector):
        known = features.of(plan.normals, plan.trained)
        whole = torch.tensor([plan.photograph_of[i] for i in plan.trained])
        model.remember(known, generator, whole)
        return known
    pixels = torch.from_numpy(np.stack([plan.normals[i] for i in plan.trained]))
    model.prepare(pixels.permute(0, 3, 1, 2), generator)
    return None


def _sum_on_test(
    plan: Plan,
    model: Detector,
    metrics: Sequence[str],
    features: FeatureStore | None,
    progress: Callable[[int, int], None],
) -> float:
    """Return what published code maximises over checkpoints, on the full test set."""
    scores = cast(Mapping[str, float], evaluate_full(_scores(plan, model, features, progress)))
    return math.fsum(scores[metric] for metric in metrics)


def _scores(
    plan: Plan,
    model: Detector,
    features: FeatureStore | None,
    progress: Callable[[int, int], None] | None,
) -> TestScores:
    """Return what a detector says of the test images, from their features where it judges those."""
    known = None
    if features is not None and plan.store.geometry.resize in WHOLE:
        images = TestImages(plan.test, plan.normals, plan.decides["test"])
        known = features.of(images, range(len(images)))
    return plan.test.scores(model, plan.device, progress, known)


def record(
    plan: Plan,
    model: Detector,
    *,
    losses: tuple[tuple[int, float], ...],
    seconds: float,
    environment: Mapping[str, Any],
    before: Scores | None = None,
    selected: Selected | None = None,
    flavour: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    features: FeatureStore | None = None,
) -> None:
    """Score what was trained as planned, and write the run; `run.json` says that it is done.

    seconds: of the training; environment: what is to be said besides versions and device; before:
    scores of the untrained detector; selected: how the test set chose the checkpoint, if it did;
    flavour: the published code whose scores are to stand beside the exact ones; features: of a
    detector that judges those.
    """
    folder, where = plan.folder, plan.device
    start = perf_counter()
    with naming_the_mend(plan.store):
        scores = _scores(plan, model, features, progress)
    metrics = evaluate(scores)
    more, each = further(scores, metrics)
    published = None if flavour is None else parity_scores(flavour, scores, plan.test.greys())
    with naming_the_mend(plan.store):
        rows = kept_rows(plan, model, features)
    kept = KeptOut.from_rows(rows, of=len(plan.photographs), bounded=model.bounded)
    rule = Rule.of(plan.training.threshold, plan.training.false_alarms)
    threshold = by_default(kept) if rule is None else rule.threshold(kept)
    scored = perf_counter() - start
    run = Run(
        decides=plan.decides,
        metrics=only_metrics(metrics),
        counts={s: metrics[s]["counts"] for s in SUBSETS},
        reasons={s: dict(metrics[s]["reasons"]) for s in SUBSETS},
        untrained=before,
        saw_defects=plan.saw_defects,
        realised=plan.realised,
        losses=losses,
        threshold=threshold,
        environment=_environment(where) | _data(plan.data) | dict(environment),
        seconds={"train": seconds, "score": scored},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        selected=selected,
        steps_mode=plan.training.steps_mode,
        parity=published,
        further=more,
    )
    save_weights(model, folder / "model.safetensors")
    results.write_table(folder, table(scores, each))
    results.write_kept_out(folder, rows)
    results.write_gallery(folder, plan.test.gallery(scores))
    results.write_digests(folder, run)
    results.save(run, folder)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def _fit(
    plan: Plan,
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
    plan: Plan, model: Detector, features: FeatureStore | None, known: Features | None
) -> Iterator[Sampler | FeatureSampler]:
    """Give what hands out the batches: pixels, or features where the detector learns from those."""
    sets, batch, schedule = plan.sources.sets, plan.decides["batch"], plan.schedule
    if isinstance(model, FeatureDetector) and features is not None and known is not None:
        steps, of = plan.decides["steps"], plan.photograph_of
        yield FeatureSampler(
            model, known, features.reader, of, sets, schedule, batch, steps, plan.indices
        )
        return
    with open_sampler(plan.normals, sets, schedule, batch, plan.device, plan.indices) as sampler:
        yield sampler


def _environment(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "asbench": version("asbench"),
        "commit": _commit(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{device.type} ({name or platform.machine()})",
        "threads": torch.get_num_threads(),
    }


def _data(data: Dataset) -> dict[str, Any]:
    """Return where one's own data set lies, so that `evaluate` finds it; no part of the run's id.

    Bytes of the path that are no UTF-8 are escaped: such a place is named, not found.
    """
    place = place_of(data)
    if place is None:
        return {}
    path = str(place).encode("utf-8", "backslashreplace").decode()
    return {"data": {"path": path, "name": data.name}}


def _commit() -> str | None:
    """Return the commit of the working copy that this file is in, None where it is installed."""
    root = Path(__file__).parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():  # another's repository may lie further up
        return None
    command = [git, "rev-parse", "--short", "HEAD"]
    completed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return completed.stdout.strip() or None
