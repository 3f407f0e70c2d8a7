"""What a whole run costs on a GPU beside its steps: the second half of `tests.benchmarks.cuda`.

How far a step is from the device's peak, how busy the device is meanwhile, what a checkpoint and an
evaluation cost, what two trainings on one device gain, and the hours of the paper's grid.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from asbench.detectors import protocol_of
from asbench.evaluation.predict import predict
from asbench.evaluation.score import TestScores, evaluate
from asbench.nets import checkpoint
from asbench.nets.checkpoint_writer import SHARE
from asbench.nets.detector import Batch
from asbench.training.loop import CHECKPOINT_SECONDS
from tests.benchmarks.cuda import Constant, Rig, Scale, wait

PEAK = 790e12
"""bf16 operations a second that an H200 is known to reach in dense products."""
BASE, GRID = 1776, 6144
"""The paper's runs: its base grid, four detectors alike, and all of it."""
NORMALS = 240
"""Training normals of a category, about: what epochs are counted in."""
PROFILED = 5


@dataclass
class Whole:
    """One detector in bf16. Times in seconds, but `step` and `bound` in milliseconds.

    step: of the real loop on one resident batch; flops: of that step, forward and backward; busy:
    share of the time that the device computes; copied, written: of a checkpoint, for the training
    and for its thread; checkpoint_bytes: its size; evaluated: of `images` test images, their maps
    and both test sets' metrics; two: how many times the throughput of one training two have.
    """

    detector: str
    batch: int
    step: float
    flops: float
    busy: float
    copied: float
    written: float
    checkpoint_bytes: int
    images: int
    evaluated: float
    two: float | None
    published: int

    @property
    def bound(self) -> float:
        """Milliseconds that the step would take at the peak."""
        return 1e3 * self.flops / PEAK

    @property
    def apart(self) -> float:
        """Seconds between two checkpoints by the clock."""
        return max(CHECKPOINT_SECONDS, (self.copied + self.written) / SHARE)

    @property
    def hours(self) -> float:
        """Of one published training, its evaluation included."""
        return (self.published * self.step / 1e3 + self.evaluated) / 3600


def measure_whole(rig: Rig, name: str, step: float, images: int, two: bool) -> Whole:
    """Measure what is not a step; `step`: milliseconds of the one that was measured."""
    with rig.samplers(name) as samplers:
        batch = samplers["constant"].batch_at(0)
    flops, busy = _step(rig, name, batch)
    copied, written, size = _checkpoint(rig, name)
    protocol = protocol_of(name.replace("@scratch", ""))
    return Whole(
        detector=name,
        batch=len(batch.image),
        step=step,
        flops=flops,
        busy=busy,
        copied=copied,
        written=written,
        checkpoint_bytes=size,
        images=images,
        evaluated=_evaluation(rig, name, images),
        two=_together(rig, name, step) if two else None,
        published=protocol.steps_for(NORMALS),
    )


def _step(rig: Rig, name: str, batch: Batch) -> tuple[float, float]:
    """Return the operations of a step, and for what share of the time the device is busy."""
    model = rig.detector(name).to(memory_format=torch.channels_last)
    stage = model.stages(rig.scale.last)[-1]
    image = batch.image.contiguous(memory_format=torch.channels_last)
    batch = replace(batch, image=image)
    kind = torch.device(rig.scale.device).type

    def once() -> None:
        with torch.autocast(kind, torch.bfloat16):
            loss = stage.loss(batch)
        model.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in stage.optimizers:
            optimizer.step()

    with FlopCounterMode(display=False) as counted:
        once()
    once()
    wait(rig.scale.device)
    on_gpu = kind == "cuda"
    activities = [ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]
    began = time.perf_counter()
    with profile(activities=activities) as seen:
        began = time.perf_counter()
        for _ in range(PROFILED):
            once()
        wait(rig.scale.device)
        spent = time.perf_counter() - began
    events = seen.key_averages()
    used = sum(e.self_device_time_total if on_gpu else e.self_cpu_time_total for e in events)
    return float(counted.get_total_flops()), min(1.0, used / 1e6 / spent)


def _checkpoint(rig: Rig, name: str) -> tuple[float, float, int]:
    """Return the seconds of a copy and of a write, and the bytes of a checkpoint."""
    model = rig.detector(name)
    stage = model.stages(rig.scale.last)[-1]
    for group in (g for optimizer in stage.optimizers for g in optimizer.param_groups):
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    for optimizer in stage.optimizers:
        optimizer.step()  # so that it has its state
    wait(rig.scale.device)
    began = time.perf_counter()
    state = checkpoint.state_of(model, stage, 1, {}).copied()
    copied = time.perf_counter() - began
    with tempfile.TemporaryDirectory(dir=rig.folder) as folder:
        began = time.perf_counter()
        checkpoint.commit(Path(folder), state)
        written = time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return copied, written, size


def _evaluation(rig: Rig, name: str, images: int) -> float:
    """Return the seconds that scoring so many decoded images takes, maps and metrics of both."""
    model = rig.detector(name).to(memory_format=torch.channels_last).eval()
    pictures = np.stack([rig.normals[i % len(rig.normals)] for i in range(images)])
    masks = np.zeros(pictures.shape[:3], np.bool_)
    labels = [i % 2 for i in range(images)]
    masks[1::2, 4:12, 4:12] = True
    predict(model, pictures[:16], rig.scale.device)
    began = time.perf_counter()
    maps, scores = predict(model, pictures, rig.scale.device)
    names = [str(i) for i in range(images)]
    few = [i % 6 == 1 for i in range(images)]
    evaluate(TestScores(names, labels, names, few, scores, maps, list(masks)))
    return time.perf_counter() - began


def _together(rig: Rig, name: str, alone: float) -> float:
    """Return how many times the throughput of one training two on the device have."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_beside, rig.scale, rig.folder, name) for _ in range(2)]
        return sum(alone / future.result() for future in futures)


def _beside(scale: Scale, folder: Path, name: str) -> float:
    """Train in a process of its own; return milliseconds a step."""
    rig = Rig(scale, folder)
    with rig.samplers(name) as samplers:
        constant = Constant(samplers["constant"].batch_at(0))
    return rig.trained(name, "bf16", constant)[0]


def markdown(rows: Sequence[Whole]) -> list[str]:
    """Return a table, and the hours of the paper's grid."""
    lines = [
        "| detector, bf16 | step, ms | at the peak, ms | TFLOP/s | of it | device busy "
        "| checkpoint: bytes, copy, write, s | one every, s | its share "
        "| evaluation, images/s | two at once |",
        "|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        reached = row.flops / (row.step / 1e3)
        share = (row.copied + row.written) / row.apart
        two = "not done" if row.two is None else f"{row.two:.2f}"
        lines.append(
            f"| {row.detector} | {row.step:.2f} | {row.bound:.3f} | {reached / 1e12:.2f} | "
            f"{100 * reached / PEAK:.2g} % | {100 * row.busy:.0f} % | "
            f"{row.checkpoint_bytes / 1e6:.1f} MB, {row.copied:.3f}, {row.written:.3f} | "
            f"{row.apart:.0f} | {100 * share:.2f} % | {row.images / row.evaluated:.0f} | {two} |"
        )
    each = sum(row.hours for row in rows) / len(rows)
    lines += [
        "",
        f"The paper's grid at these steps, one training at a time: {BASE * each:.0f} hours for the "
        f"base grid of {BASE} runs, {GRID * each:.0f} for all {GRID}; at the peak "
        f"{BASE * _at_peak(rows):.1f} and {GRID * _at_peak(rows):.1f}.",
    ]
    return lines


def _at_peak(rows: Sequence[Whole]) -> float:
    """Return the hours of one training, on average, were every step at the peak."""
    return sum(row.published * row.bound / 3.6e6 for row in rows) / len(rows)
