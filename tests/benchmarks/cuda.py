"""`python -m tests.benchmarks.cuda`: what training costs on a CUDA machine, in under ten minutes.

Every detector at its published widths trains at 256x256 in fp32 and bf16 through the real loop, on
one constant batch, from the resident sampler and from the streaming one; then its bare step runs
contiguous, channels-last and compiled. `cuda_whole` measures what is no step: the distance from the
peak, checkpoints, evaluation, two trainings at once, the hours of the paper's grid. Detectors that
start from pretrained weights run `@scratch`: the same networks. Prints Markdown, writes JSON, and
fails where the sampler costs more than it may. `--toy` takes the same path on the CPU with tiny
networks: it shows that the path works, no more.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from asbench.detectors import build, protocol_of
from asbench.generation.generate import generate
from asbench.nets.detector import Batch, Detector
from asbench.training import compiling
from asbench.training.loop import Precision, fit
from asbench.training.sampler import ResidentSampler, Sampler, StreamingSampler
from asbench.training.sources import Sources, find_sources
from synth_store import Mix, Normals, SynthStore

CATEGORY = "weave"
MIX = "draem:0.5,fractal:0.5"
ALLOWED = 0.02
"""Of a step: what the resident sampler may add to it."""


@dataclass(frozen=True)
class Scale:
    """How much is done. `detectors`: name to settings; timed: steps `first` to `last` of `fit`.

    DeSTSeg's second leg begins after a fifth of the steps, so what is timed lies in the long one.
    """

    device: str
    size: int
    detectors: Mapping[str, Mapping[str, Any]]
    samples: int
    first: int
    last: int
    backend: str
    minutes: float
    workers: int | None = None
    images: int = 400
    together: int = 4


FULL = Scale(
    device="cuda",
    size=256,
    detectors={"draem": {}, "destseg@scratch": {}, "memseg@scratch": {}, "unet": {}},
    samples=200,
    first=30,
    last=70,
    backend="inductor",
    minutes=9.0,
)
TOY = Scale(
    device="cpu",
    size=32,
    detectors={
        "draem@tiny": {"width": 2, "seg_width": 2},
        "destseg@tiny-scratch": {"width": 2},
        "memseg@tiny-scratch": {"width": 2},
        "unet@tiny": {"width": 2},
    },
    samples=20,
    first=1,
    last=3,
    backend="eager",
    minutes=9.0,
    workers=1,
    images=12,
    together=1,
)


@dataclass
class Measured:
    """One detector at one precision; times in milliseconds a step, memory in bytes.

    constant, resident, streaming: steps of the real loop. contiguous, channels_last, compiled: the
    bare step; compiled is None where time ran out. loss_apart: of the compiled and the eager loss,
    relative. looped: of the real loop with --compile, from the resident sampler. peak: the most
    memory that tensors held in the real loop, resident data included.
    """

    detector: str
    precision: Precision
    batch: int
    loss: float
    constant: float
    resident: float
    streaming: float
    contiguous: float
    channels_last: float
    compiled: float | None
    loss_apart: float | None
    looped: float | None
    peak: int

    @property
    def overhead(self) -> float:
        """What the resident sampler adds to a step, as a share of it."""
        return self.resident / self.constant - 1

    @property
    def of_bound(self) -> float | None:
        """How much of its own bound a compiled training reaches: the bare step, compiled."""
        return None if self.looped is None or self.compiled is None else self.compiled / self.looped


@dataclass(frozen=True)
class Constant:
    """A sampler that costs nothing: one batch, already on the device."""

    batch: Batch

    def batch_at(self, step: int) -> Batch:
        """Return the batch."""
        return self.batch


class Clock:
    """Hands batches on and notes when the device had done every step before `first` and `last`."""

    def __init__(self, sampler: Sampler, scale: Scale) -> None:
        self.sampler, self.scale, self.seen = sampler, scale, list[float]()

    def batch_at(self, step: int) -> Batch:
        """Return the batch of a step."""
        if step in (self.scale.first, self.scale.last):
            wait(self.scale.device)
            self.seen.append(time.perf_counter())
        return self.sampler.batch_at(step)

    @property
    def step_ms(self) -> float:
        """Milliseconds a step between the two."""
        first, last = self.seen
        return 1e3 * (last - first) / (self.scale.last - self.scale.first)


def wait(device: str) -> None:
    """Wait until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


class Rig:
    """The stored data that every detector is measured on."""

    def __init__(self, scale: Scale, folder: Path) -> None:
        self.scale, self.folder = scale, folder
        store = folder / "store"
        methods = Mix.parse(MIX).names
        generate(
            "demo",
            methods,
            category=CATEGORY,
            n=scale.samples,
            size=scale.size,
            store=store,
            workers=scale.workers,
        )
        opened = SynthStore.open(store)
        self.normals: Normals = opened.normals("demo", CATEGORY)
        self.sources: Sources = find_sources(opened, "demo", CATEGORY, Mix.parse(MIX), 0, None)
        self.pixels = torch.stack(
            [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in self.normals]
        )

    def detector(self, name: str) -> Detector:
        """Return a detector at its first step, on the device."""
        made = build(name, 0, self.scale.detectors[name]).to(self.scale.device)
        made.prepare(self.pixels, torch.Generator().manual_seed(0))
        return made

    @contextmanager
    def samplers(self, name: str) -> Iterator[dict[str, Sampler]]:
        """Give the three kinds of sampler for a detector's published batch and ratio."""
        protocol, device = protocol_of(name), torch.device(self.scale.device)
        ratio = Fraction(str(protocol.ratio))
        schedule = self.sources.schedule(ratio, len(self.normals), 0)
        given = ([self.normals, *self.sources.sets], schedule, protocol.batch, device)
        resident = ResidentSampler(*given)
        constant = Constant(resident.batch_at(0))
        with StreamingSampler(*given) as streaming:
            yield {"constant": constant, "resident": resident, "streaming": streaming}

    def trained(
        self, name: str, precision: Precision, sampler: Sampler, compiled: bool = False
    ) -> tuple[float, float, int]:
        """Return milliseconds a step of the real loop, the last loss, and the peak of memory."""
        gc.collect()  # schedules and optimisers refer to each other, and keep past models
        if self.scale.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        clock = Clock(sampler, self.scale)
        with tempfile.TemporaryDirectory(dir=self.folder) as checkpoints:
            found = fit(
                self.detector(name),
                clock.batch_at,
                steps=self.scale.last + 1,
                seed=0,
                device=self.scale.device,
                folder=Path(checkpoints),
                precision=precision,
                compiled=compiled,
            )
        peak = torch.cuda.max_memory_allocated() if self.scale.device == "cuda" else 0
        return clock.step_ms, found.losses[-1][1], peak

    def bare(
        self,
        name: str,
        precision: Precision,
        batch: Batch,
        layout: torch.memory_format,
        compiled: bool,
    ) -> tuple[float, float]:
        """Return milliseconds a step of forward, backward and optimiser, and the first loss."""
        detector = self.detector(name).to(memory_format=layout)
        stage = detector.stages(self.scale.last)[-1]
        detector.eval()
        for part in stage.trains:
            part.train()
        batch = replace(batch, image=batch.image.contiguous(memory_format=layout))
        loss_of: Callable[[Batch], torch.Tensor] = stage.loss
        if compiled:
            loss_of = torch.compile(stage.loss, backend=self.scale.backend)
        kind = torch.device(self.scale.device).type
        first = float("nan")
        began = 0.0
        for step in range(self.scale.last):
            if step == self.scale.first:
                wait(self.scale.device)
                began = time.perf_counter()
            with torch.autocast(kind, torch.bfloat16, enabled=precision == "bf16"):
                loss = loss_of(batch)
            detector.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in stage.optimizers:
                optimizer.step()
            if step == 0:
                first = float(loss.detach())
        wait(self.scale.device)
        return 1e3 * (time.perf_counter() - began) / (self.scale.last - self.scale.first), first


def measure(rig: Rig, name: str, precision: Precision, time_left: bool) -> Measured:
    """Train and time one detector at one precision."""
    with rig.samplers(name) as samplers:
        looped = {kind: rig.trained(name, precision, made) for kind, made in samplers.items()}
        through = rig.trained(name, precision, samplers["resident"], True) if time_left else None
        batch = samplers["constant"].batch_at(0)
    bare = {
        layout: rig.bare(name, precision, batch, layout, compiled=False)
        for layout in (torch.contiguous_format, torch.channels_last)
    }
    eager, loss = bare[torch.channels_last]
    fast = rig.bare(name, precision, batch, torch.channels_last, True) if time_left else None
    return Measured(
        detector=name,
        precision=precision,
        batch=len(batch.image),
        loss=looped["resident"][1],
        constant=looped["constant"][0],
        resident=looped["resident"][0],
        streaming=looped["streaming"][0],
        contiguous=bare[torch.contiguous_format][0],
        channels_last=eager,
        compiled=None if fast is None else fast[0],
        loss_apart=None if fast is None else abs(fast[1] - loss) / abs(loss),
        looped=None if through is None else through[0],
        peak=looped["resident"][2],
    )


def measure_all(rig: Rig, began: float) -> list[Measured]:
    """Measure every detector in both precisions; compiling stops where the minutes are used up."""
    scale = rig.scale
    found: list[Measured] = []
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for name in scale.detectors:
        for precision in precisions:
            # fp32 is not compiled: four compilations fit into ten minutes, eight might not.
            wanted = precision == "bf16" and time.perf_counter() - began < 60 * scale.minutes * 0.8
            found.append(measure(rig, name, precision, wanted))
            print(f"{name} {precision}: done", file=sys.stderr)
    return found


def markdown(rows: Sequence[Measured]) -> list[str]:
    """Return two tables: the real loop, and the bare step."""
    lines = [
        "| detector | precision | batch | samples/s, constant batch | resident | streaming "
        "| sampler's share | peak memory, GiB |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        rates = " | ".join(
            f"{1e3 * row.batch / ms:.1f}" for ms in (row.constant, row.resident, row.streaming)
        )
        lines.append(
            f"| {row.detector} | {row.precision} | {row.batch} | {rates} | "
            f"{100 * row.overhead:.1f} % | {row.peak / 2**30:.2f} |"
        )
    lines += [
        "",
        "| detector | precision | bare step, contiguous, ms | channels-last | compiled "
        "| compiled loss differs by | training with --compile, ms a step | of its bound |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        compiled, apart, looped = "not done", "", " | "
        if row.looped is not None and row.of_bound is not None:
            looped = f"{row.looped:.2f} | {100 * row.of_bound:.0f} %"
        if row.compiled is not None and row.loss_apart is not None:
            compiled, apart = f"{row.compiled:.2f}", f"{row.loss_apart:.1e}"
        lines.append(
            f"| {row.detector} | {row.precision} | {row.contiguous:.2f} | "
            f"{row.channels_last:.2f} | {compiled} | {apart} | {looped} |"
        )
    return lines


def device_title(device: str) -> str:
    """Return what the figures were measured on."""
    kind = torch.cuda.get_device_name() if device == "cuda" else "CPU, toy size: no measurement"
    return f"{kind}, torch {torch.__version__}"


def refuse_without_cuda(toy: bool) -> None:
    """End the program with one line if there is no CUDA device and none is needed."""
    if not toy and not torch.cuda.is_available():
        sys.exit("this machine has no CUDA device: run it where there is one, or add --toy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return 1 if a sampler costs more than it may (not for a toy)."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cuda", description=__doc__)
    parser.add_argument("--toy", action="store_true", help="the same path on the CPU, tiny")
    parser.add_argument("--out", type=Path, default=Path("cuda.json"), help="the JSON file")
    asked = parser.parse_args(arguments)
    refuse_without_cuda(asked.toy)
    from tests.benchmarks import cuda_whole  # which stands on this file

    scale = TOY if asked.toy else FULL
    compiling.BACKEND = scale.backend
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(scale, Path(folder))
        rows = measure_all(rig, began)
        whole = []
        for row in rows:
            if row.precision == "bf16":
                two = len(whole) < scale.together
                two = two and time.perf_counter() - began < 60 * scale.minutes * 0.8
                given = (rig, row.detector, row.constant, scale.images, two)
                whole.append(cuda_whole.measure_whole(*given))
    seconds = time.perf_counter() - began
    title = device_title(scale.device)
    record = {
        "device": title,
        "size": scale.size,
        "seconds": seconds,
        "rows": list(map(asdict, rows)),
        "whole": list(map(asdict, whole)),
    }
    asked.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"{title}; {scale.size}x{scale.size}; {seconds:.0f} s in all\n")
    print("\n".join([*markdown(rows), "", *cuda_whole.markdown(whole)]))
    dear = [row for row in rows if row.overhead > ALLOWED]
    if asked.toy or not dear:
        return 0
    for row in dear:
        print(f"\n{row.detector} {row.precision}: the sampler costs {100 * row.overhead:.1f} %")
    return 1


if __name__ == "__main__":
    sys.exit(main())
