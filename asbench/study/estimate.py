"""What a study will take: bytes on disk, and hours, measured where runs stand and else guessed.

Guesses of hours are the detectors' own (`Protocol.seconds`). Those of reduced detectors were timed
on one core; the others come from their multiplications.
"""

from __future__ import annotations

import os
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asbench import results
from asbench.detectors import build, protocol_of
from asbench.nets.shapes import without_values
from asbench.results import Run
from asbench.study.plan import StudyPlan
from asbench.study.record import Cell
from synth_store import Geometry
from synth_store.places import place

PIXELS = 256 * 256
SECONDS_A_SAMPLE = 0.003
"""A guess: rendering and storing one sample of 256x256 by a hand-crafted method, on a core."""
SAMPLE_BYTES, PLAIN_SAMPLE_BYTES, NORMAL_BYTES = 18_000, 240_000, 110_000
"""Stored bytes at 256x256: a residual sample, one with its own background, a normal."""
RUN_BYTES = 2_500_000
"""Scores, gallery and record of one run at 256x256."""


@dataclass(frozen=True)
class Disk:
    """Bytes that a study will add: to the store, and to the runs without and with their weights."""

    store: int
    runs: int
    weights: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.store + self.runs + self.weights


@dataclass(frozen=True)
class Time:
    """What the runs of one detector will take.

    seconds: of them all on one worker; None where nothing is known. source: `measured` on so many
    runs, or `guessed`.
    """

    detector: str
    runs: int
    steps: int
    seconds: float | None
    source: str


@dataclass(frozen=True)
class Costs:
    """What a study will take. free: bytes that there are where it will stand."""

    times: tuple[Time, ...]
    disk: Disk
    free: int

    @property
    def seconds(self) -> float:
        """Of all runs on one worker, as far as something is known of them."""
        return sum(time.seconds or 0 for time in self.times)


def costs(plan: StudyPlan, store: Path | str, runs: Path, *, gpu: bool) -> Costs:
    """Return what all cells of a study will take; the runs that stand already say how long.

    store: its place. What is free on an object store nobody knows: then it is where the runs are.
    """
    known = results.runs(runs) if runs.is_dir() else []
    folder = place(store)
    return Costs(
        times=tuple(times(plan.cells, known, gpu=gpu)),
        disk=disk(plan, plan.cells),
        free=free(folder if isinstance(folder, Path) else runs),
    )


def disk(plan: StudyPlan, cells: Sequence[Cell]) -> Disk:
    """Return the bytes that these cells will add."""
    scale = _scale(plan.study.geometry)
    places = {(cell.dataset, cell.category) for cell in cells}
    store = sum(plan.normals.get(place, 0) for place in places) * NORMAL_BYTES
    for needed in plan.sets(cells):
        method = plan.methods.get(needed.method)
        plain = method is None or method.encoding == "plain"
        store += plan.study.samples * (PLAIN_SAMPLE_BYTES if plain else SAMPLE_BYTES)
    sizes = {cell.detector: 0 for cell in cells}
    for cell in cells:
        if cell.keep and not sizes[cell.detector]:
            sizes[cell.detector] = _weight_bytes(cell)
    weights = sum(sizes[cell.detector] for cell in cells if cell.keep)
    return Disk(round(store * scale), round(len(cells) * RUN_BYTES * scale), weights)


def times(cells: Sequence[Cell], runs: Iterable[Run], *, gpu: bool) -> list[Time]:
    """Return what training takes, detector by detector, in the cells' order.

    Seconds of a step are the median of runs of the same detector, geometry, batch and kind of
    device; else a guess.
    """
    measured: dict[tuple[str, str, int, bool], list[float]] = defaultdict(list)
    for run in runs:
        d = run.decides
        on_gpu = str(run.environment.get("device", "")).startswith("cuda")
        key = (d["detector"], d["geometry"], d["batch"], on_gpu)
        # What trains in no steps at all counts as one of a single step.
        measured[key].append((run.seconds["train"] + run.seconds["score"]) / max(1, d["steps"]))
    by_detector = []
    for detector in dict.fromkeys(cell.detector for cell in cells):
        own = [cell for cell in cells if cell.detector == detector]
        seconds: list[float | None] = []
        sources = set()
        for cell in own:
            known = measured.get((cell.detector, cell.geometry, cell.batch, gpu))
            if known:
                seconds.append(max(1, cell.steps) * statistics.median(known))
                sources.add(f"measured on {len(known)} runs")
            else:
                seconds.append(_guess(cell, gpu))
                sources.add("guessed")
        whole = None if None in seconds else sum(s for s in seconds if s is not None)
        source = " and ".join(sorted(sources)) if whole is not None else "nothing is known"
        by_detector.append(Time(detector, len(own), sum(c.steps for c in own), whole, source))
    return by_detector


def free(folder: Path) -> int:
    """Return the bytes that are free where a folder is, or is to be."""
    place = Path(os.path.abspath(folder))
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def _guess(cell: Cell, gpu: bool) -> float | None:
    """Return the seconds by the detector's own guess; None where it makes none."""
    names = (cell.detector, cell.detector.partition("@")[0])
    guesses = filter(None, (protocol_of(name).seconds for name in names))
    if (guess := next(guesses, None)) is None:
        return None
    steps = max(1, cell.steps)  # as what is measured counts
    return steps * cell.batch * guess[gpu] * _scale(Geometry.parse(cell.geometry))


def _scale(geometry: Geometry) -> float:
    return geometry.height * geometry.width / PIXELS


def _weight_bytes(cell: Cell) -> int:
    with without_values():
        model = build(cell.detector, 0, cell.training.settings)
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())
