"""What stands already of a study, and was made of the pixels that the store holds now."""

from __future__ import annotations

from pathlib import Path

from asbench import results
from asbench.detectors import resolve
from asbench.quality import record as qualities
from asbench.quality.arrays import digest_of
from asbench.quality.record import Quality
from asbench.study import record
from asbench.study.plan import StudyPlan
from asbench.study.record import Cell, SetNeeded
from synth_store import StoreError, StoreKey, SynthStore


def runs_that_stand(plan: StudyPlan, store: SynthStore, runs: Path) -> dict[Cell, str]:
    """Return the cells that can run here and have a run under `runs`, each with its id.

    One of other pixels, or by an earlier version of its detector, is none.
    """

    def still_true(cell: Cell, run: results.Run) -> bool:
        if run.decides.get("version", 1) != resolve(cell.detector)[0].version:
            return False
        try:
            normals = store.normals(cell.dataset, cell.category).digest
            seed = cell.training.synth_seed
            digests = {
                method: store.read(StoreKey(cell.dataset, method, seed), cell.category).digest
                for method in cell.methods
            }
        except StoreError:
            return False
        return bool(run.decides["normals"] == normals and dict(run.decides["sets"]) == digests)

    known = record.standing(plan.present, results.runs(runs), still_true)
    return {cell: run.id for cell, run in known.items()}


def sets_measured(plan: StudyPlan, store: SynthStore, quality: Path) -> dict[SetNeeded, str]:
    """Return the sets that are measured as the study asks, each with its record's id."""
    measure = plan.study.quality
    if measure is None:
        return {}
    wanted = {one.stored: one for one in plan.sets(plan.present)}
    asked = (measure["n"], measure["real"], sorted(plan.metrics))
    measured = {}
    for row in qualities.rows(quality):
        d = row.decides
        one = wanted.get(SetNeeded(d["dataset"], d["category"], d["method"], d["seed"]))
        said = (d["n"], d["real"], sorted(d["metrics"]))
        if one is not None and said == asked and _still_measured(store, one, row):
            measured[one] = row.id
    return measured


def _still_measured(store: SynthStore, one: SetNeeded, quality: Quality) -> bool:
    decides = quality.decides
    if decides["version"] != qualities.QUALITY_VERSION:
        return False
    key = StoreKey(one.dataset, one.method, one.stored.seed)
    try:
        normals = store.normals(one.dataset, one.category)
        count = min(decides["n"], store.read(key, one.category).count)
        digest = digest_of(store, key, one.category, count)
    except StoreError:
        return False
    return (decides["normals"], decides["set"]) == (normals.digest, digest)
