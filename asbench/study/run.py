"""A study is run: phases with a barrier between them, each a list of independent jobs.

What stands is not done again; what fails is noted and tried again as told; nothing that fails stops
the rest, but for what needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asbench.generation.generate import prepare
from asbench.generation.plan import SetPlan
from asbench.generation.render import render_job
from asbench.grid import engines
from asbench.mend import regenerate_command
from asbench.nets.pretrained import is_network
from asbench.progress import Notify, Progress, quiet, silent
from asbench.quality.weights import NETWORKS as QUALITY_NETWORKS
from asbench.settings import GenerateSettings
from asbench.study import record, standing
from asbench.study.jobs import (
    DatasetRef,
    FitJob,
    MeasureJob,
    NormalsJob,
    Place,
    TrainJob,
    alone_in,
    fit_job,
    measure_job,
    normals_job,
    train_job,
)
from asbench.study.plan import StudyPlan, plan
from asbench.study.preflight import refuse
from asbench.study.record import Cell, LeftOut, Measured, Record, SetNeeded
from asbench.study.session import Session
from asbench.study.spec import Study
from asbench.types import Interrupted, LearnedSynthesizer
from synth_store import StoreError, StoreKey, SynthStore, UserError
from synth_store.places import absolute, writable

VARIABLES = ("ASBENCH_DATA", "ASBENCH_WEIGHTS")


def run(
    study: Study,
    folder: Path | str,
    *,
    store: Path | str | None = None,
    runs: Path | str | None = None,
    engine: engines.Engine | None = None,
    retries: int = 0,
    available: bool = False,
    progress: Progress = quiet,
    notify: Notify = silent,
    stop: Callable[[], bool] | None = None,
) -> Record:
    """Run what a study asks for and return what became of it; the same call continues.

    Args:
        folder: of the study: `study.json`, `failures.jsonl`, `quality`, and by default `store` and
            `runs`.
        store: a folder, or `s3://bucket/prefix` where all sets of the study stand.
        engine: where jobs run, from `asbench.grid.engines`; None for a process per core. Trainings
            take a GPU each where the engine has any.
        retries: how often what failed is tried again.
        available: leave out what needs something that is not here, instead of refusing.
        progress: called with phases and with running jobs, from a thread of its own too.
        stop: asked from time to time; when it returns True, trainings save and end.

    Raises UserError for a study with faults, for one that needs what is not here, and for too
    little disk, all of it at once and before the first job; Interrupted when it was stopped.
    """
    folder = Path(os.path.abspath(folder))
    place = Place(
        folder=folder,
        store=absolute(store if store is not None else folder / "store"),
        runs=Path(os.path.abspath(runs if runs is not None else folder / "runs")),
        device="cuda" if engine is not None and engine.gpus else "cpu",
        environment={name: os.environ[name] for name in VARIABLES if name in os.environ},
    )
    planned = plan(study)
    refuse(planned, place.store, place.runs, available=available)
    on = engine if engine is not None else engines.Pool()
    with alone_in(place):
        session = Session(place, on, retries, progress, notify, stop or (lambda: False))
        return _run(planned, place, session)


def _run(planned: StudyPlan, place: Place, session: Session) -> Record:
    """Run what was planned, phase by phase, and write down what became of it."""
    opened = SynthStore.create(place.store, planned.study.geometry)
    session.engine.check_sees(place.folder if opened.remote else writable(opened.root))
    work = _Work(planned, place, opened, session)
    work.look()
    # So that a report made meanwhile knows what is still to come.
    record.write(work.record(), place.folder)
    try:
        with session.watching():
            work.normals()
            work.fits()
            work.sets()
            work.trainings()
            work.quality()
    except Interrupted:
        raise Interrupted(
            f"stopped with {len(work.done)} of {len(planned.present)} runs done; what was trained "
            "of others is saved: the same command continues."
        ) from None
    finally:
        outcome = work.record()
        record.write(outcome, place.folder)
    return outcome


@dataclass
class _Work:
    """One session of a study: its phases, and what failed in them."""

    plan: StudyPlan
    place: Place
    store: SynthStore
    session: Session
    failed: dict[Any, str] = field(default_factory=dict)
    """Sets, normals and cells that could not be made, with what was said of them."""
    done: dict[Cell, str] = field(default_factory=dict)
    measured: dict[SetNeeded, str] = field(default_factory=dict)
    unmeasured: dict[SetNeeded, str] = field(default_factory=dict)
    """Sets whose quality could not be measured, with the reason."""

    def look(self) -> None:
        """Find what stands already."""
        self.done = self._standing()
        self.measured = standing.sets_measured(self.plan, self.store, self.place.quality)

    def normals(self) -> None:
        """Store the normals of every category, and the texture bank where one is needed."""
        study, cells = self.plan.study, self.plan.present
        places = dict.fromkeys((cell.dataset, cell.category) for cell in cells)
        jobs = [
            NormalsJob(self.place, self._origin(d), c, study.objects.get(d), study.empty_tiles)
            for d, c in places
        ]
        methods = {method for cell in cells for method in cell.methods}
        if any("textures" in self.plan.methods[method].needs for method in methods):
            jobs.append(NormalsJob(self.place, DatasetRef(study.textures), None))
        for job, error in self.session.tried("normals", normals_job, jobs):
            key = "textures" if job.category is None else (job.origin, job.category)
            self.failed[key] = f"{job}: {error}"

    def fits(self) -> None:
        """Fit the learned methods that are not fitted yet; none where all sets are only read."""
        if self.store.remote:
            return
        jobs = [self._fit_job(one) for one in self.plan.fits(self.plan.present)]
        for job, error in self.session.tried("fits", fit_job, jobs, gpu=True):
            self.failed[job] = f"{job}: {error}"

    def sets(self) -> None:
        """Render what is missing of every set, and finish those of which all is there."""
        plans: dict[tuple[StoreKey, str], SetPlan] = {}
        needed: dict[tuple[StoreKey, str], SetNeeded] = {}
        wanted = self.plan.sets(self.plan.present)
        for number, one in enumerate(wanted):
            self.session.progress("looking at sets", number, len(wanted))
            self.session.check_stop()
            problem = self._lacking_for(one)
            if problem is None:
                try:
                    prepared = self._prepared(one)
                except (UserError, OSError) as error:
                    record.note_failure(self.place.folder, str(one), error, 1)
                    problem = str(error)
                else:
                    if prepared is not None:
                        plans[prepared.key, prepared.category] = prepared
                        needed[prepared.key, prepared.category] = one
            if problem is not None:
                self.failed[one] = problem
        self.session.progress("looking at sets", len(wanted), len(wanted))
        jobs = [job for prepared in plans.values() for job in prepared.jobs]
        # Learned methods render where trainings run: on a GPU each, where there are any.
        learned = [job for job in jobs if job.loading is not None]
        drawn = [job for job in jobs if job.loading is None]
        for job, failure in [
            *self.session.tried("shards", render_job, drawn),
            *self.session.tried("learned shards", render_job, learned, gpu=True),
        ]:
            self.failed[needed[job.key, job.category]] = str(failure)
        for place, prepared in plans.items():
            if needed[place] not in self.failed:
                self._finish(needed[place], prepared)

    def _prepared(self, one: SetNeeded) -> SetPlan | None:
        """Write a set's metadata, where it is not there, and return the jobs that are left.

        None for real defects, which are stored at once, and for a learned method's set on an object
        store, which stands there without the fit that it was rendered from.
        """
        study, origin = self.plan.study, self._origin(one.dataset)
        learned = isinstance(self.plan.methods[one.method], LearnedSynthesizer)
        if learned and self.store.remote:
            key = StoreKey(one.dataset, one.method, one.seed)
            stored = self.store.read(key, one.category)
            if len(stored) < study.samples:
                line = regenerate_command(self.store, key, one.category, count=study.samples)
                raise StoreError(
                    f"{one} has {len(stored)} of {study.samples} samples: run `{line}`"
                )
            return None
        settings = study.variants.get(one.method)
        plain, _, variant = one.method.partition("@")
        prepared = prepare(
            GenerateSettings(
                origin.dataset,
                plain if settings else one.method,
                category=one.category,
                n=study.samples,
                seed=one.seed,
                store=str(self.place.store),
                textures=study.textures,
                visible=study.visible,
                where=study.where,
                settings=settings,
                variant=variant if settings else None,
                name=origin.name,
                fits=self.place.fits,
                weights={name: Path(path) for name, path in self._weights_of(one.method)},
                device=self.place.device,
            )
        )
        return next(iter(prepared.plans.values()), None)

    def _finish(self, one: SetNeeded, prepared: SetPlan) -> None:
        key, category = prepared.key, prepared.category
        if not prepared.jobs and self.store.count(key, category) >= prepared.count:
            return
        try:
            self.store.finish(key, category, prepared.count)
        except (UserError, OSError) as error:
            record.note_failure(self.place.folder, str(one), error, 1)
            self.failed[one] = str(error)

    def trainings(self) -> None:
        """Train and score every cell that has no run yet, and all that it needs."""
        study = self.plan.study
        self.place.runs.mkdir(parents=True, exist_ok=True)
        self.done = self._standing()
        jobs = []
        for cell in self.plan.present:
            problem = self._lacking_for_cell(cell)
            if problem is not None:
                self.failed[cell] = problem
            elif cell not in self.done:
                given = study.weights.items()
                weights = tuple(sorted((n, path) for n, path in given if is_network(n)))
                jobs.append(TrainJob(self.place, cell, self._origin(cell.dataset), weights))
        if self.done:
            self.session.notify(f"{len(self.done)} of {len(self.plan.present)} runs stand already")

        try:
            for job, error in self.session.tried("runs", train_job, jobs, gpu=True):
                self.failed[job.cell] = str(error)
        finally:
            self.done = self._standing()

    def quality(self) -> None:
        """Measure the sets that are not measured yet, if the study asks for any quality."""
        metrics = self.plan.metrics
        if not metrics:
            return
        asked = tuple({**(self.plan.study.quality or {}), "metrics": metrics}.items())
        self.measured = standing.sets_measured(self.plan, self.store, self.place.quality)
        given = self.plan.study.weights.items()
        weights = tuple(sorted((n, path) for n, path in given if n in QUALITY_NETWORKS))
        jobs = []
        for one in self.plan.sets(self.plan.present):
            problem = self._lacking_for_quality(one)
            if problem is not None:
                self.unmeasured[one] = problem
            elif one not in self.measured:
                origin = self._origin(one.dataset)
                jobs.append(MeasureJob(self.place, origin, one, asked, weights))
        if self.measured:
            wanted = len(self.plan.sets(self.plan.present))
            self.session.notify(f"{len(self.measured)} of {wanted} sets are measured already")
        try:
            for job, error in self.session.tried("quality", measure_job, jobs, gpu=True):
                self.unmeasured[job.one] = str(error)
        finally:
            self.measured = standing.sets_measured(self.plan, self.store, self.place.quality)

    def record(self) -> Record:
        """Return what the study asks for and what became of it until now."""
        left_out = [
            LeftOut(cell, tuple(map(str, reasons))) for cell, reasons in self.plan.absent.items()
        ]
        failed = {key: text for key, text in self.failed.items() if isinstance(key, Cell)}
        study, quality = self.plan.study, None
        if study.quality is not None:
            quality = Measured(
                samples=study.quality["n"],
                real=study.quality["real"],
                metrics=self.plan.metrics,
                left_out={name: str(absence) for name, absence in self.plan.unmeasurable.items()},
                sets=self.plan.sets(self.plan.present),
                done=self.measured,
                failed=self.unmeasured,
            )
        cells = self.plan.cells
        return Record(study.name, study.text, cells, self.done, failed, tuple(left_out), quality)

    # --- within ----------------------------------------------------------------------------------

    def _origin(self, dataset: str) -> DatasetRef:
        folder = self.plan.study.folders.get(dataset)
        if folder is None:
            return DatasetRef(dataset)
        # What is not here lies below ASBENCH_DATA, where whatever opens it looks too.
        return DatasetRef(os.path.abspath(folder) if os.path.exists(folder) else folder, dataset)

    def _lacking_for(self, one: SetNeeded) -> str | None:
        """Return what a set needs and could not be made."""
        problem = self.failed.get((self._origin(one.dataset), one.category))
        method = self.plan.methods[one.method]
        if problem is None and "textures" in method.needs:
            problem = self.failed.get("textures")
        if problem is None and isinstance(method, LearnedSynthesizer):
            problem = self.failed.get(self._fit_job(one))
        return problem

    def _fit_job(self, one: SetNeeded) -> FitJob:
        """Return the fit that a set is rendered from; one that is joint serves all categories."""
        method = self.plan.methods[one.method]
        assert isinstance(method, LearnedSynthesizer)
        return FitJob(
            self.place,
            self._origin(one.dataset),
            one.method,
            None if method.joint else one.category,
            tuple(sorted(self.plan.study.variants.get(one.method, {}).items())),
            self._weights_of(one.method),
        )

    def _weights_of(self, method: str) -> tuple[tuple[str, str], ...]:
        """Return those of the study's weights that a method starts from."""
        synthesizer = self.plan.methods[method]
        files = synthesizer.pretrained if isinstance(synthesizer, LearnedSynthesizer) else ()
        names = {file.name for file in files}
        given = self.plan.study.weights.items()
        return tuple(sorted((name, path) for name, path in given if name in names))

    def _lacking_for_cell(self, cell: Cell) -> str | None:
        """Return what a cell needs and could not be made."""
        origin, seed = (self._origin(cell.dataset), cell.category), cell.training.synth_seed
        sets = [SetNeeded(cell.dataset, cell.category, m, seed) for m in cell.methods]
        for key in (origin, *sets):
            if key in self.failed:
                what = key if isinstance(key, SetNeeded) else "its normals"
                return f"it needs {what}, which failed: {self.failed[key]}"
        return None

    def _standing(self) -> dict[Cell, str]:
        """Return the cells whose run stands, but for those that lack what they are to rest on."""
        runs = standing.runs_that_stand(self.plan, self.store, self.place.runs)
        return {cell: run for cell, run in runs.items() if self._lacking_for_cell(cell) is None}

    def _lacking_for_quality(self, one: SetNeeded) -> str | None:
        """Return what measuring a set needs and could not be made."""
        for key in ((self._origin(one.dataset), one.category), one):
            if key in self.failed:
                return f"it was not made: {self.failed[key]}"
        return None
