"""What keeps a study from being run, all of it at once and before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asbench.study import estimate
from asbench.study.plan import StudyPlan
from synth_store import StoreError, SynthStore, UserError
from synth_store.places import Place


def refuse(planned: StudyPlan, store: Place, runs: Path, *, available: bool) -> None:
    """Raise UserError naming all that keeps a study from being run, before anything is done."""
    faults = list(planned.faults)
    if SynthStore.stands_at(store):
        try:
            SynthStore.open(store, planned.study.geometry)
        except StoreError as error:
            faults.append(f"size: {error}")
    if planned.unmeasurable and not available:
        faults += [
            f"not here: {absence}" for absence in dict.fromkeys(planned.unmeasurable.values())
        ]
        faults.append("--available leaves out the metrics of quality that cannot be had here.")
    if planned.absent and not available:
        absences = dict.fromkeys(a for of_cell in planned.absent.values() for a in of_cell)
        faults += [f"not here: {absence}" for absence in absences]
        faults.append(
            f"{len(planned.absent)} of {len(planned.cells)} runs need what is not here: "
            "--available leaves them out."
        )
    elif not faults and not planned.present:
        faults.append("nothing of it can be run here: `asbench study plan` says why.")
    faults += _disk_faults(planned, store, runs)
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults)
        raise UserError(f"study {planned.study.name} cannot be run:\n{listed}")


def _disk_faults(planned: StudyPlan, store: Place, runs: Path) -> Iterator[str]:
    """Yield what does not fit; what stands already is not counted off: it may be another's."""
    needed = estimate.disk(planned, planned.present)
    for where, size in ((store, needed.store), (runs, needed.runs + needed.weights)):
        if not isinstance(where, Path):  # nothing is written there
            continue
        free = estimate.free(where)
        if size > free:
            yield (
                f"disk: {where} needs about {size / 1e9:.1f} GB and has {free / 1e9:.1f} GB free: "
                "name another place with --store or --runs, or set keep: false."
            )
