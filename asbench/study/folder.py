"""A study in its folder: planned, run, continued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asbench.grid import engines
from asbench.progress import Notify, Progress, quiet, silent
from asbench.study import record as records
from asbench.study.plan import StudyPlan
from asbench.study.plan import plan as plan_study
from asbench.study.record import Record
from asbench.study.run import run as run_study
from asbench.study.spec import Study, read


@dataclass(frozen=True)
class StudyFolder:
    """A study, and where all of it stands: its folder, its store and its runs."""

    study: Study
    folder: Path
    store: str
    runs: Path

    def plan(self) -> StudyPlan:
        """Settle what the study asks for, what is wrong with it, and what of it is not here.

        Nothing is written.
        """
        return plan_study(self.study)

    def run(
        self,
        *,
        workers: int | engines.Engine | None = None,
        retries: int = 0,
        available: bool = False,
        progress: Progress = quiet,
        notify: Notify = silent,
        stop: Callable[[], bool] | None = None,
    ) -> Record:
        """Render, train, score and measure all that the study asks for; the same call continues.

        Args:
            workers: processes, None for one per core; or an engine, which `asbench.grid.engines`
                makes: on GPUs, a run on each, or on a cluster.
            retries: how often what failed is tried again.
            available: leave out what needs something that is not here, instead of refusing.
            progress: called with phases and with running jobs, from a thread of its own too.
            notify: told where it runs, and what stands already.
            stop: asked from time to time; when it returns True, trainings save and end.

        Returns what became of it. Raises UserError for a study with faults, for one that needs
        what is not here, and for too little disk, all of it at once and before the first job;
        Interrupted when it was stopped.
        """
        engine = workers if isinstance(workers, engines.Engine) else engines.Pool(workers)
        notify(f"{self.study.name} in {self.folder}, on {engine}")
        return run_study(
            self.study,
            self.folder,
            store=self.store,
            runs=self.runs,
            engine=engine,
            retries=retries,
            available=available,
            progress=progress,
            notify=notify,
            stop=stop,
        )

    def record(self) -> Record:
        """Return what became of the study until now; raises UserError where it was never run."""
        return records.read(self.folder)


def open(
    study: Path | str,
    folder: Path | str | None = None,
    *,
    store: Path | str | None = None,
    runs: Path | str | None = None,
) -> StudyFolder:
    """Read a study, and say where it stands or is to stand.

    Args:
        study: a YAML file, or the name of one that ships with ASBench: see `shipped`.
        folder: None for a folder of the study's name.
        store: None for `store` in that folder; or `s3://bucket/prefix`, which holds all sets.
        runs: None for `runs` in that folder.

    Raises UserError where there is no such study; its faults are in its plan, all at once.
    """
    said = read(study)
    where = Path(said.name if folder is None else folder)
    return StudyFolder(
        study=said,
        folder=where,
        store=str(where / "store" if store is None else store),
        runs=Path(where / "runs" if runs is None else runs),
    )
