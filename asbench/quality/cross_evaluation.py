"""Score trained detectors on the stored samples of other methods: rows of the cross matrix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asbench import results
from asbench.data.validation_part import validation_part
from asbench.evaluation.kept_normals import kept_normals
from asbench.evaluation.metrics import image_metrics, pixel_metrics
from asbench.evaluation.predict import predict
from asbench.evaluation.testset import order_by_hash
from asbench.evaluation.trained import Trained
from asbench.mend import regenerate_command
from asbench.progress import Notify, Progress, quiet, silent
from asbench.quality import cross_matrix
from asbench.quality.cross_matrix import CROSS_VERSION, CrossDecides, Crossed
from asbench.results import BEST_ON_TEST, Run
from asbench.types import REAL
from synth_store import Normals, StoredSet, StoreKey, SynthStore, UserError

NEGATIVES = 50
"""Training normals that samples are scored against, chosen by hash: as many as samples at most."""


def cross(
    *,
    datasets: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    detectors: Sequence[str] | None = None,
    negatives: int = NEGATIVES,
    store: Path | str = "asbench-store",
    runs: Path | str = "runs",
    out: Path | str = "quality",
    device: str | None = None,
    progress: Progress = quiet,
    notify: Notify = silent,
) -> list[Crossed]:
    """Score every run on a single method on the sets of all methods that have such runs.

    Positives are the samples of each set that no training saw (its last tenth, at most 50), the
    same for every run; negatives are `negatives` training normals, which every run saw.

    Args:
        datasets, categories, detectors: keep only such runs; None keeps all.
        out: folder of the rows, `<out>/<id>/cross.json`; those that stand are not scored again.
        notify: told which runs were left out, and why. Joint runs are: a row is of one category.

    Returns the rows, of which `asbench.quality.cross_matrix.matrices_in` makes the matrix. Raises
    UserError where fewer than two methods have runs, and for sets too small to have kept anything
    back.
    """
    if negatives < 1:
        raise UserError(f"{negatives} normals cannot be scored against: give 1 or more.")
    opened, root = SynthStore.open(store), Path(runs)
    chosen = [
        run
        for run in results.runs(root)
        if _wanted(run, datasets, categories, detectors) and _fits(run, opened, notify)
    ]
    groups: defaultdict[tuple[str, str, int], list[Run]] = defaultdict(list)
    for run in chosen:
        d = run.decides
        groups[d["dataset"], d["category"], d["synth_seed"]].append(run)
    rows = []
    for (dataset, category, synth_seed), members in sorted(groups.items()):
        methods = sorted({_method(run) for run in members})
        if len(methods) < 2:
            notify(f"{dataset}/{category}: runs on {methods[0]} alone, and two methods are needed")
            continue
        sets = {m: opened.read(StoreKey(dataset, m, synth_seed), category) for m in methods}
        _refuse_small(opened, sets)
        normals = opened.normals(dataset, category)
        for run in members:
            there = _decides(run, sets, normals, negatives)
            row = cross_matrix.finished(Path(out), there)
            if row is None:
                where = f"{_method(run)} of {dataset}/{category}, seed {run.decides['seed']}"
                trained = Trained(root / run.id, device)
                row = _score(trained, there, sets, normals, where, progress)
                cross_matrix.save(row, Path(out))
            rows.append(row)
    if not rows:
        raise UserError(
            "there are no runs to cross: train on two methods or more, each alone, as in "
            "`asbench train --mix draem` and `asbench train --mix fractal`."
        )
    return rows


def _wanted(
    run: Run,
    datasets: Sequence[str] | None,
    categories: Sequence[str] | None,
    detectors: Sequence[str] | None,
) -> bool:
    d = run.decides
    given = ((datasets, d["dataset"]), (categories, d["category"]), (detectors, d["detector"]))
    return (
        len(d["mix"]) == 1
        and not run.by_category
        and d["select"] != BEST_ON_TEST
        and all(choices is None or value in choices for choices, value in given)
    )


def _fits(run: Run, store: SynthStore, notify: Notify) -> bool:
    """Say whether a run's normals and set are those of the store; tell where they are not.

    A set that was changed since could hold, among its last samples, what the run was trained on.
    """
    d, method = run.decides, _method(run)
    if method == REAL:
        notify(f"run {run.id} left out: the matrix rests on no real defect")
        return False
    key, category = StoreKey(d["dataset"], method, d["synth_seed"]), d["category"]
    why = ""
    if d["geometry"] != str(store.geometry):
        why = f"it was trained at {d['geometry']}, the store holds {store.geometry}"
    elif not store.has(key, category):
        why = f"{key}/{category} is not in the store"
    else:
        stored = store.read(key, category)
        if stored.digest != d["sets"][method] or stored.normals.digest != d["normals"]:
            why = f"{key}/{category} has changed since it was trained: train again"
    if why:
        notify(f"run {run.id} left out: {why}")
    return not why


def _decides(
    run: Run, sets: Mapping[str, StoredSet], normals: Normals, negatives: int
) -> CrossDecides:
    return CrossDecides(
        version=CROSS_VERSION,
        run=run.id,
        sets={method: str(stored.digest) for method, stored in sets.items()},
        normals=normals.digest,
        negatives=negatives,
    )


def _score(
    trained: Trained,
    decides: CrossDecides,
    sets: Mapping[str, StoredSet],
    normals: Normals,
    where: str,
    progress: Progress,
) -> Crossed:
    """Score one run on the kept-back samples of every set."""
    # Not those kept out for the threshold: every run is judged on what it saw.
    kept = set(kept_normals(normals, trained.run.decides.get("kept_out", 0.0)))
    seen = [i for i in order_by_hash(normals.ids) if i not in kept]
    chosen = sorted(seen[: decides["negatives"]])
    looked = [validation_part(stored.count) for stored in sets.values()]
    total, done = len(chosen) + sum(map(len, looked)), 0

    def shown(images: Iterable[npt.NDArray[np.uint8]]) -> Iterator[npt.NDArray[np.uint8]]:
        nonlocal done
        for image in images:
            yield image
            done += 1
            progress(f"crossing {where}", done, total)

    model, device = trained.detector, trained.device
    clear, calm = predict(model, shown(normals[i] for i in chosen), device)
    empty = np.zeros(clear.shape[1:], np.bool_)
    values = {}
    for (method, stored), part in zip(sets.items(), looked, strict=True):
        samples = [stored[i] for i in part]
        maps, scores = predict(model, shown(s.image for s in samples), device)
        labels = np.repeat([0, 1], [len(calm), len(scores)])
        whole = image_metrics(np.concatenate([calm, scores]), labels)
        masks = [*([empty] * len(clear)), *(s.mask for s in samples)]
        pixels = pixel_metrics([*clear, *maps], masks)
        values[method] = {"image_auroc": whole.auroc, "pixel_ap": pixels.ap}
    return Crossed(
        decides=decides,
        method=_method(trained.run),
        values=values,
        counts={method: len(part) for method, part in zip(sets, looked, strict=True)},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _refuse_small(store: SynthStore, sets: Mapping[str, StoredSet]) -> None:
    for stored in sets.values():
        if not validation_part(stored.count):
            line = regenerate_command(store, stored.key, stored.category, count=100)
            raise UserError(
                f"{stored.key}/{stored.category} has {stored.count} samples, of which none is kept "
                f"back from training: ten or more are needed. Make more with\n  {line}\n"
                "and train on them; or leave the method's data set out with --dataset."
            )


def _method(run: Run) -> str:
    return str(next(iter(run.decides["mix"])))
