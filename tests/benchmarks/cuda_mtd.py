"""`python -m tests.benchmarks.cuda_mtd --hours 8`: the four detectors on the magnetic tiles.

Trains each on `draem` and on `fractal` sets at 256x256 and prints our cells: at the published steps
where all of it fits into the hours, else at one fraction of them for all, which is stated. The
paper's cells stand beside ours only at the published steps. Needs CUDA, `ASBENCH_DATA` with `mtd`
and `dtd`, and `ASBENCH_WEIGHTS` with the full ResNet-18. A killed call continues where it was.
`--toy` takes the same path on the CPU with the drawn data set, tiny networks and four steps.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from asbench.detectors import protocol_of
from asbench.generation.generate import generate
from asbench.results import Run
from asbench.settings import TrainSettings
from asbench.training.loop import Precision
from asbench.training.plan import Plan, plan_run
from asbench.training.train import Interrupted, execute
from synth_store import UserError
from tests.benchmarks.cuda import refuse_without_cuda, wait

METHODS = ("draem", "fractal")
PAPER = {"draem": (0.9470, 0.3565, "DeSTSeg"), "fractal": (0.9090, 0.2710, "DeSTSeg")}
"""The paper's Table 4, MTD: image AUROC and pixel AP of the best of the four detectors, which its
colour names; each checkpoint was chosen on the test set."""
PROBE = 20
"""Steps of the probe that says how long a training will take; half of them are warm-up."""


@dataclass(frozen=True)
class Scale:
    """What is trained. `detectors`: name to settings; steps: None for the published ones."""

    dataset: str
    category: str
    textures: str
    size: int
    samples: int
    device: str
    detectors: Mapping[str, Mapping[str, Any]]
    steps: int | None = None
    workers: int | None = None


FULL = Scale(
    dataset="mtd",
    category="tile",
    textures="dtd",
    size=256,
    samples=1000,
    device="cuda",
    detectors={"draem": {}, "destseg": {}, "memseg": {}, "unet": {}},
)
TOY = Scale(
    dataset="demo",
    category="weave",
    textures="procedural",
    size=32,
    samples=20,
    device="cpu",
    detectors={
        "draem@tiny": {"width": 2, "seg_width": 2},
        "destseg@tiny-scratch": {"width": 2},
        "memseg@tiny-scratch": {"width": 2},
        "unet@tiny": {"width": 2},
    },
    steps=4,
    workers=1,
)


@dataclass(frozen=True)
class Settled:
    """Steps by detector, and the share of the published ones that they are."""

    share: float
    steps: Mapping[str, int]


@dataclass(frozen=True)
class Table:
    """The runs by method and detector, and the share of the published steps they took."""

    share: float
    runs: Mapping[tuple[str, str], Run]

    def markdown(self, scale: Scale) -> list[str]:
        """Return our cells as lines of Markdown, the paper's beside them where that is fair."""
        lines = [
            "| set | detector | steps | image AUROC | pixel AP | PRO | hours |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        for (method, detector), run in self.runs.items():
            at = run.metrics["full"]
            cells = " | ".join(f"{at[m]:.4f}" for m in ("image_auroc", "pixel_ap", "pro"))
            steps, hours = run.decides["steps"], run.seconds["train"] / 3600
            lines.append(f"| {method} | {detector} | {steps} | {cells} | {hours:.2f} |")
        if self.share < 1 or scale.dataset != "mtd":
            return [*lines, "", "Not at the published steps: the paper's cells are left out."]
        lines += ["", "| set | best of ours | the paper's cell, best on test |", "|---|---|---|"]
        for method in METHODS:
            ours = [(d, r.metrics["full"]) for (m, d), r in self.runs.items() if m == method]
            detector, best = max(ours, key=lambda pair: pair[1]["image_auroc"])
            auroc, ap, whose = PAPER[method]
            lines.append(
                f"| {method} | {best['image_auroc']:.4f} / {best['pixel_ap']:.4f} ({detector}) "
                f"| {auroc:.4f} / {ap:.4f} ({whose}) |"
            )
        return lines


def step_seconds(scale: Scale, detector: str, precision: Precision, folder: Path) -> float:
    """Return the seconds of one training step, from a training that is stopped and thrown away."""
    asked, seen = count(), list[float]()

    def stop() -> bool:
        step = next(asked)
        if step in (PROBE // 2, PROBE - 1):
            wait(scale.device)
            seen.append(time.perf_counter())
        return step == PROBE - 1

    with tempfile.TemporaryDirectory() as runs, suppress(Interrupted):
        plan = _plan(scale, detector, METHODS[0], PROBE, precision, folder, runs)
        execute(replace(plan, training=replace(plan.training, stop=stop)))
    first, last = seen
    return (last - first) / (PROBE - 1 - PROBE // 2)


def settle(scale: Scale, hours: float, precision: Precision, folder: Path) -> Settled:
    """Return how many steps each detector takes; settled once in a folder, however often called."""
    path = folder / f"steps-{precision}.json"
    if path.exists():
        return Settled(**json.loads(path.read_text(encoding="utf-8")))
    published, needed = {}, 0.0
    for detector in scale.detectors:
        normals = len(_plan(scale, detector, METHODS[0], 1, precision, folder).normals)
        published[detector] = scale.steps or protocol_of(detector).steps_for(normals)
        seconds = step_seconds(scale, detector, precision, folder)
        needed += published[detector] * seconds * len(METHODS)
        print(f"{detector}: {published[detector]} steps of {1e3 * seconds:.0f} ms", file=sys.stderr)
    share = min(1.0, 3600 * hours / needed)
    steps = {name: max(1, round(share * n)) for name, n in published.items()}
    print(f"{needed / 3600:.2f} hours at the published steps", file=sys.stderr)
    path.write_text(json.dumps({"share": share, "steps": steps}) + "\n", encoding="utf-8")
    return Settled(share, steps)


def carry_out(scale: Scale, hours: float, precision: Precision, folder: Path) -> Table:
    """Render both sets, see how much of the published training fits, and train everything."""
    generate(
        scale.dataset,
        METHODS,
        category=scale.category,
        n=scale.samples,
        size=scale.size,
        store=folder / "store",
        textures=scale.textures,
        workers=scale.workers,
    )
    settled = settle(scale, hours, precision, folder)
    runs = {}
    for method in METHODS:
        for detector, steps in settled.steps.items():
            plan = _plan(scale, detector, method, steps, precision, folder)
            runs[method, detector] = execute(plan).run
            print(f"{method} {detector}: done", file=sys.stderr)
    return Table(settled.share, runs)


def _plan(
    scale: Scale,
    detector: str,
    method: str,
    steps: int,
    precision: Precision,
    folder: Path,
    runs: Path | str | None = None,
) -> Plan:
    return plan_run(
        TrainSettings(
            scale.dataset,
            method,
            detector=detector,
            category=scale.category,
            steps=steps,
            precision=precision,
            settings=scale.detectors[detector] or None,
            store=folder / "store",
            runs=runs or folder / "runs",
            device=scale.device,
        )
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Train all cells and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.cuda_mtd", description=__doc__
    )
    parser.add_argument("--hours", type=float, default=8.0, help="for all trainings together")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--folder", type=Path, default=Path("cuda-mtd"), help="for store and runs")
    parser.add_argument("--toy", action="store_true", help="the same path on the CPU, tiny")
    parser.add_argument(
        "--detectors",
        help="other variants, as in draem,destseg,memseg@partial,unet where layer 4 is missing",
    )
    asked = parser.parse_args(arguments)
    if asked.hours <= 0:
        parser.error(f"--hours {asked.hours:g} leaves no time: give more than 0")
    refuse_without_cuda(asked.toy)
    scale = TOY if asked.toy else FULL
    if asked.detectors:
        scale = replace(scale, detectors={name: {} for name in asked.detectors.split(",")})
    try:
        found = carry_out(scale, asked.hours, asked.precision, asked.folder)
    except UserError as error:
        sys.exit(f"error: {error}")
    share = "the published steps"
    if scale.steps is not None:
        share = f"toy size, {scale.steps} steps"
    elif found.share < 1:
        share = f"{100 * found.share:.1f} % of the published steps"
    print(f"{scale.dataset}/{scale.category} at {scale.size}x{scale.size}, {asked.precision}, ")
    print(f"one seed, the last checkpoint, {share}\n")
    print("\n".join(found.markdown(scale)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
