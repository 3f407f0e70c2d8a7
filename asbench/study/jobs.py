"""The jobs of a study, as workers run them: places and parameters go in, files come out.

What crosses processes is small: a job names its cell or set and where things are. While a job runs
it writes how far it is into `status/`; a file `stop` there asks trainings to save and end.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asbench.data.ingest import ensure_normals
from asbench.datasets import open_dataset
from asbench.files.alone import alone
from asbench.files.documents import into_place
from asbench.generation.fit import fit
from asbench.generation.generate import ensure_bank
from asbench.progress import Progress
from asbench.quality.measure import measure
from asbench.study.record import Cell, SetNeeded
from asbench.training.train import train
from asbench.types import Interrupted
from synth_store import SynthStore
from synth_store.places import Place as StorePlace

SECONDS_BETWEEN_WORDS = 1.0
"""How often a job says how far it is, and looks whether it should stop."""


@dataclass(frozen=True)
class Place:
    """Where a study works, the same for driver and workers: absolute paths on a shared disk.

    store: may lie on an object store, where its sets are read; environment: variables that name
    data and weights, as the driver has them; device: of trainings.
    """

    folder: Path
    store: StorePlace
    runs: Path
    device: str
    environment: Mapping[str, str] = field(hash=False)

    @property
    def status(self) -> Path:
        """Where running jobs say how far they are."""
        return self.folder / "status"

    @property
    def fits(self) -> Path:
        """Where learned methods are fitted."""
        return self.folder / "fits"

    @property
    def quality(self) -> Path:
        """Where the quality of sets is recorded."""
        return self.folder / "quality"

    @property
    def stop(self) -> Path:
        """While this file is there, trainings save and end."""
        return self.status / "stop"

    def enter(self) -> None:
        """Take over the driver's variables; raise Interrupted if the study is being stopped."""
        os.environ.update(self.environment)
        if self.stop.exists():
            raise Interrupted("the study was stopped before this job began.")


@dataclass(frozen=True)
class DatasetRef:
    """How a data set is opened: its name, or the path of a folder and its name."""

    dataset: str
    name: str | None = None


@dataclass(frozen=True)
class NormalsJob:
    """Put the normals of one category into the store; of a texture bank where it is None.

    object: the rule of where the objects are; None for auto, or what is stored. empty: of a store
    of tiles, the share kept of those without the object; None for all, or what is stored.
    """

    place: Place
    origin: DatasetRef
    category: str | None
    object: str | None = None
    empty: float | None = None

    def __str__(self) -> str:
        return f"normals of {self.origin.name or self.origin.dataset}/{self.category or 'all'}"


def normals_job(job: NormalsJob) -> None:
    """Store what a `NormalsJob` names, unless it is there."""
    job.place.enter()
    with reporting(job.place, str(job)) as progress:
        store = SynthStore.open(job.place.store)
        if job.category is None:
            ensure_bank(store, job.origin.dataset, progress)
        else:
            data = open_dataset(job.origin.dataset, name=job.origin.name)
            ensure_normals(store, data, job.category, progress, job.object, job.empty)


@dataclass(frozen=True)
class FitJob:
    """Fit a learned method on one category, or on all where it is None.

    weights: files of the networks it starts from.
    """

    place: Place
    origin: DatasetRef
    method: str
    category: str | None
    settings: tuple[tuple[str, Any], ...]
    weights: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        name = self.origin.name or self.origin.dataset
        return f"fit of {self.method} on {name}/{self.category or 'all'}"


def fit_job(job: FitJob) -> None:
    """Fit what a `FitJob` names, on from its checkpoint, unless it stands.

    Raises what `fit` raises; Interrupted once it has saved what was fitted until it was stopped.
    """
    place = job.place
    place.enter()
    plain, _, variant = job.method.partition("@")
    with reporting(place, str(job)) as progress:
        fit(
            job.origin.dataset,
            plain if job.settings else job.method,
            name=job.origin.name,
            category=job.category,
            settings=dict(job.settings),
            variant=variant if job.settings else None,
            weights={name: Path(path) for name, path in job.weights},
            store=str(place.store),
            fits=place.fits,
            device=place.device,
            progress=progress,
            stop=_asking(place.stop),
        )


@dataclass(frozen=True)
class TrainJob:
    """Train and score one cell. weights: files of pretrained networks."""

    place: Place
    cell: Cell
    origin: DatasetRef
    weights: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return str(self.cell)


def train_job(job: TrainJob) -> str:
    """Train and score what a `TrainJob` names, on from its checkpoint; return the run's id.

    Raises what `train` raises; Interrupted once it has saved what was trained until it was stopped.
    """
    place, cell = job.place, job.cell
    place.enter()
    with reporting(place, str(job)) as progress:
        trained = train.of(
            replace(
                cell.training,
                dataset=job.origin.dataset,
                name=job.origin.name,
                steps_mode="same",  # a cell's steps are settled, whatever the mode
                weights={name: Path(path) for name, path in job.weights},
                store=str(place.store),
                runs=place.runs,
                device=place.device,
                progress=progress,
                stop=_asking(place.stop),
            )
        )
    if not cell.keep:
        (trained.folder / "model.safetensors").unlink(missing_ok=True)
    return trained.id


@dataclass(frozen=True)
class MeasureJob:
    """Measure the quality of one category of a set.

    asked: what is measured, by the names of `MeasureSettings`; weights: files of the networks
    behind metrics.
    """

    place: Place
    origin: DatasetRef
    one: SetNeeded
    asked: tuple[tuple[str, Any], ...]
    weights: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"quality of {self.one}"


def measure_job(job: MeasureJob) -> str:
    """Measure what a `MeasureJob` names, unless it stands; return the record's id.

    Raises what `measure` raises; Interrupted, with nothing written, once the study is stopped.
    """
    place, one = job.place, job.one
    place.enter()
    asked = _asking(place.stop)
    with reporting(place, str(job)) as progress:

        def unless_stopped(what: str, done: int, total: int) -> None:
            if asked():
                raise Interrupted(f"the study was stopped during the {job}.")
            progress(what, done, total)

        measured = measure(
            job.origin.dataset,
            one.method,
            name=job.origin.name,
            category=one.category,
            seed=one.seed,
            **dict(job.asked),
            weights={name: Path(path) for name, path in job.weights},
            store=str(place.store),
            out=place.quality,
            device=place.device,
            progress=unless_stopped,
        )
    return measured.id


def _asking(file: Path) -> Callable[[], bool]:
    """Return a question, cheap enough to be asked at every step: is the file there?"""
    asked_at, answer = float("-inf"), False

    def stop() -> bool:
        nonlocal asked_at, answer
        now = time.monotonic()
        if now - asked_at >= SECONDS_BETWEEN_WORDS:
            asked_at, answer = now, file.exists()
        return answer

    return stop


@contextmanager
def reporting(place: Place, job: str) -> Iterator[Progress]:
    """Give a callback that writes a job's progress where the driver looks; clear it at the end."""
    path = place.status / f"{hashlib.sha256(job.encode()).hexdigest()[:16]}.json"
    said = float("-inf")

    def progress(what: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said < SECONDS_BETWEEN_WORDS:
            return
        said = time.monotonic()
        shown = f"scoring {job}" if what.startswith("scoring") else job
        into_place(path, json.dumps([shown, done, total]))

    try:
        yield progress
    finally:
        path.unlink(missing_ok=True)


def statuses(place: Place) -> list[tuple[str, int, int]]:
    """Return what running jobs say of themselves: what they do, how much of it, of how much."""
    running = []
    for path in sorted(place.status.glob("*.json")):
        try:
            what, done, total = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # its job ended between the listing and the reading
            continue
        running.append((str(what), int(done), int(total)))
    return running


@contextmanager
def alone_in(place: Place) -> Iterator[None]:
    """Hold the study's folder; raise UserError where another process does.

    What a killed session left in `status` is cleared.
    """

    def refusal(holder: str) -> str:
        return (
            f"{holder} runs the study in {place.folder}: wait for it, or stop it with "
            f"`touch {place.stop}`."
        )

    with alone(place.status / "lock", refusal):
        for left in (*place.status.glob("*.json"), place.stop):
            left.unlink(missing_ok=True)
        try:
            yield
        finally:
            place.stop.unlink(missing_ok=True)
