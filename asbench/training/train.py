"""One training run, top to bottom: data, stream, detector, loop, scores, record."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from asbench import results
from asbench.datasets import open_dataset
from asbench.detectors import build, protocol_of, resolve
from asbench.evaluation.metrics import best_f1_threshold
from asbench.evaluation.predict import predict
from asbench.evaluation.score import evaluate, table
from asbench.evaluation.testset import TestSet, only_metrics, order_by_hash
from asbench.evaluation.trained import Trained, find_device
from asbench.ingest import Progress, ensure_normals, quiet
from asbench.nets.detector import Detector
from asbench.nets.weights import save_weights
from asbench.results import SUBSETS, Decides, Run, Threshold
from asbench.training.loop import Precision, check
from asbench.training.loop import fit as fit_detector
from asbench.training.sampler import open_sampler
from asbench.training.sources import Sources, find_sources
from synth_store import Geometry, Mix, Normals, SynthStore, UserError

CHECKPOINT_EVERY = 200
"""Steps between checkpoints: what a killed training loses at most."""
THRESHOLD_NORMALS = 200
"""A threshold is chosen on at most this many normals: scoring them all would outlast the test."""
NEW = Geometry()
"""The geometry of a store that training without anomalies is about to make."""


class Interrupted(UserError):
    """Training was stopped and saved; the same call continues it."""


def train(
    dataset: str = "demo",
    mix: str | None = None,
    *,
    ratio: float | None = None,
    detector: str = "draem@tiny",
    category: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
    precision: Precision = "fp32",
    seed: int = 0,
    synth_seed: int = 0,
    pool: int | None = None,
    settings: Mapping[str, Any] | None = None,
    store: Path | str = "asbench-store",
    runs: Path | str = "runs",
    device: str | None = None,
    untrained: bool = False,
    name: str | None = None,
    progress: Progress = quiet,
    stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train a detector on stored anomalies and score it on the data set's test images.

    Args:
        dataset: a name or the path of a folder; category: one of its categories, by default the
            first.
        mix: the stored methods and their shares, `draem:0.5,fractal:0.5`; not needed at ratio 0.
        ratio: share of anomalous items; None for the detector's published one.
        detector: its name with its variant. `draem@tiny` is reduced; `draem` is the published one.
        steps, batch: None for the detector's protocol.
        precision: `fp32` or `bf16`.
        seed: of the training; synth_seed: of the stored sets.
        pool: samples read of every set; None for all that may train.
        settings: parameters of the detector that differ from its variant's.
        untrained: score the detector before its first step as well; a run that stands already is
            not given these scores afterwards.
        device: `cpu`, `cuda`, ...; None for CUDA where there is one.
        stop: asked at every step; when it returns True the training is saved, and Interrupted says
            how to continue.

    Returns the trained run, which stands in `<runs>/<id>`. One that stands already is returned as
    it is; one that was interrupted continues. At ratio 0 neither mix nor pool nor synth_seed plays
    a part, and the run's id knows nothing of them. Raises UserError for what the caller can mend.
    """
    # What the run is: everything that decides its outcome, and so its id. All that can be refused
    # is refused before anything is written.
    data = open_dataset(dataset, name=name)
    chosen = category if category is not None else data.categories()[0]
    if chosen not in data.categories():
        raise UserError(
            f"category {chosen!r} is not in {data.name}: choose from "
            f"{', '.join(data.categories())}."
        )
    cls, parameters = resolve(detector, settings)
    protocol = protocol_of(detector)
    where = find_device(device)
    share = _share(protocol.ratio if ratio is None else ratio, mix)
    _check_length(steps, batch, precision)
    root = Path(store)
    opened = SynthStore.open(root) if (root / "zarr.json").exists() else SynthStore(root, NEW)
    _check_stride(cls, opened.geometry)
    test = TestSet(data, data.test(chosen), opened.geometry)
    test.refuse_without_anomalies()
    wanted = Mix.parse(mix) if mix is not None and share else Mix()
    sources = find_sources(opened, data.name, chosen, wanted, synth_seed, pool)
    normals = ensure_normals(SynthStore.create(root), data, chosen, progress)
    decides = Decides(
        dataset=data.name,
        category=chosen,
        geometry=str(opened.geometry),
        normals=normals.digest,
        test=test.digest(),
        mix={method: float(weight) for method, weight in sources.mix.shares},
        sets={s.key.method: str(s.digest) for s in sources.sets},
        ratio=float(share),
        ratio_mode="exact",
        pool=pool if share else None,
        detector=detector,
        parameters=parameters,
        steps=steps if steps is not None else protocol.steps_for(len(normals)),
        batch=batch if batch is not None else protocol.batch,
        precision=precision,
        weights=None,
        seed=seed,
        synth_seed=synth_seed if share else 0,
        select="last",
    )
    folder = Path(runs) / results.run_id(decides)
    if results.finished(Path(runs), decides) is not None:
        return Trained(folder, device)

    # The stream of items, and the detector that learns from it.
    schedule = sources.schedule(share, len(normals), seed)
    model = build(detector, seed, settings).to(where)
    pixels = torch.from_numpy(np.stack(list(normals))).permute(0, 3, 1, 2)
    model.prepare(pixels, torch.Generator().manual_seed(seed))
    del pixels
    _ = test.masks  # one that cannot be read is to be found before the training, not after it
    what = f"{detector} on {data.name}/{chosen}"
    before = None
    if untrained:
        found = test.scores(model, where, partial(progress, f"scoring untrained {what}"))
        before = only_metrics(evaluate(found))

    # The loop.
    with open_sampler(normals, sources.sets, schedule, decides["batch"], where) as sampler:
        trajectory = fit_detector(
            model,
            sampler.batch_at,
            steps=decides["steps"],
            seed=seed,
            device=where,
            precision=precision,
            folder=folder / "checkpoint",
            progress=lambda done, _: progress(what, done, decides["steps"]),
            checkpoint_every=CHECKPOINT_EVERY,
            stop=stop,
        )
    if not trajectory.done:
        raise Interrupted(
            f"stopped at step {trajectory.steps} of {decides['steps']}, saved in {folder}: the "
            "same command continues from there."
        )

    # The scores, then the record: run.json comes last and says that the run is done.
    start = perf_counter()
    found = test.scores(model, where, partial(progress, f"scoring {what}"))
    metrics = evaluate(found)
    threshold = _threshold(model, normals, sources, where)
    scored = perf_counter() - start
    names = ("normal", *sources.mix.names)
    realised = schedule.counts(decides["steps"] * decides["batch"])
    run = Run(
        decides=decides,
        metrics=only_metrics(metrics),
        counts={s: metrics[s]["counts"] for s in SUBSETS},
        reasons={s: dict(metrics[s]["reasons"]) for s in SUBSETS},
        untrained=before,
        saw_defects=0,
        realised=dict(zip(names, realised, strict=True)),
        losses=trajectory.losses,
        threshold=threshold,
        environment=_environment(where),
        seconds={"train": trajectory.seconds, "score": scored},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    save_weights(model, folder / "model.safetensors")
    results.write_table(folder, table(found))
    results.write_gallery(folder, test.gallery(found))
    results.save(run, folder)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return Trained(folder, device)


def _share(ratio: float, mix: str | None) -> Fraction:
    """Return the ratio as written in decimals; raises UserError for an impossible one."""
    if not 0 <= ratio <= 1:  # nor NaN
        raise UserError(f"ratio {ratio:g} is impossible: choose from 0 to 1.")
    share = Fraction(str(ratio))
    if share and mix is None:
        raise UserError(
            f"ratio {ratio:g} needs a mix of stored methods: add for example "
            "--mix draem:0.5,fractal:0.5, or --ratio 0 to train on normals alone."
        )
    return share


def _check_length(steps: int | None, batch: int | None, precision: str) -> None:
    check(1 if steps is None else steps, precision, CHECKPOINT_EVERY)
    if batch is not None and batch < 1:
        raise UserError(f"a batch of {batch} items trains nothing: give 1 or more.")


def _threshold(
    model: Detector, normals: Normals, sources: Sources, device: torch.device
) -> Threshold:
    """Choose the score from which an image counts as anomalous, without any real defect."""
    chosen = sorted(order_by_hash(normals.ids)[:THRESHOLD_NORMALS])
    few = f"{len(chosen)} training normals"
    if len(chosen) < len(normals):
        few = f"{len(chosen)} of {len(normals)} training normals, chosen by hash,"
    _, normal_scores = predict(model, (normals[i] for i in chosen), device)
    kept = [(stored, index) for stored, part in sources.kept_back() for index in part]
    if not kept:
        return Threshold(
            value=float(np.quantile(normal_scores, 0.995)),
            rule=f"99.5 % quantile of {few}: no synthetic anomaly was kept out of training",
        )
    _, scores = predict(model, (stored[index].image for stored, index in kept), device)
    labels = np.repeat([0, 1], [len(normal_scores), len(scores)])
    best = best_f1_threshold(np.concatenate([normal_scores, scores]), labels)
    return Threshold(
        value=best.threshold,
        rule=f"best F1 between {few} and {len(scores)} synthetic anomalies kept out of training",
    )


def _check_stride(cls: type[Detector], geometry: Geometry) -> None:
    if geometry.height % cls.stride or geometry.width % cls.stride:
        raise UserError(
            f"{cls.title} needs image sides that are multiples of {cls.stride}, and the store's "
            f"are {geometry}: make another, as in `asbench generate --store other --size 256`."
        )


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


def _commit() -> str | None:
    """Return the commit of the working copy that this file is in, None where it is installed."""
    root = Path(__file__).parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():  # another's repository may lie further up
        return None
    command = [git, "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
