"""What a method costs, measured here and now: CPU milliseconds a sample on one core."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path

from asbench.datasets import open_dataset
from asbench.grid import processes
from asbench.imaging.foreground import foreground
from asbench.imaging.geometry import fit_mask, resize
from asbench.types import Canvas, Defect, Material, PerSample
from synth_store import Geometry, address_rng

CATEGORY = "capsule"
"""The demo category that costs are measured on: an object, so that foregrounds play their part."""
IMAGES = 3
"""Normals, and as many textures: enough that a method with `another` has one."""
SECONDS = 0.2
"""CPU time spent on measuring."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds of CPU a sample, over how many samples, and on what."""

    milliseconds: float
    samples: int
    cpu: str

    def __str__(self) -> str:
        return (
            f"about {self.milliseconds:.2g} ms a sample of 256x256 here, on one core of "
            f"{self.cpu} (CPU time over {self.samples} samples on demo/{CATEGORY})"
        )


def measure(synthesizer: PerSample, seconds: float = SECONDS) -> Cost:
    """Render samples of 256x256 on the demo data, one at a time on one thread, for some seconds.

    Reading and storing are left out; so is the first sample, which loads what is loaded once.
    """
    offered = _material()
    rendered, spent = 0, 0.0
    with processes.one_thread():
        _render(synthesizer, offered, 0)
        while spent < seconds:
            rendered += 1
            clock = time.process_time()
            _render(synthesizer, offered, rendered)
            spent += time.process_time() - clock
    return Cost(1e3 * spent / rendered, rendered, cpu())


def cpu() -> str:
    """Return the processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _material() -> Material:
    geometry = Geometry(256, 256)
    demo, bank = open_dataset("demo"), open_dataset("procedural")
    normals = [resize(demo.image(item), geometry) for item in demo.train(CATEGORY)[:IMAGES]]
    textures = [resize(bank.image(item), geometry) for item in bank.train("all")[:IMAGES]]
    objects = [foreground(image).mask for image in normals]
    few = [item for item in demo.test(CATEGORY) if item.few_shot][:IMAGES]
    shown = [
        Defect(item.id, item.defect, resize(demo.image(item), geometry), fit_mask(mask, geometry))
        for item, mask in zip(few, map(demo.mask, few), strict=True)
        if mask is not None
    ]
    masks = [defect.mask for defect in shown]
    return Material("demo", CATEGORY, normals, objects, textures, masks, defect_images=shown)


def _render(synthesizer: PerSample, offered: Material, index: int) -> None:
    canvas = Canvas(offered, index % len(offered.normals))
    synthesizer.render([canvas], [address_rng("cost", index)])
