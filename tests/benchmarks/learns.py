"""Does every detector learn? Four detectors, one store made once, three training seeds each.

`python -m tests.benchmarks.learns --data demo` (or `mtd`) trains each detector at reduced width on
one mixture, at its own anomaly ratio and at ratio 0, scores it untrained as well, and prints a
Markdown table. Runs that stand are not trained again. What it prints is reduced: small images, few
steps, narrow networks; never comparable with published numbers. Needs `ASBENCH_WEIGHTS`, and for
`mtd` `ASBENCH_DATA`; `--toy` needs neither and shows only that the path works.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import torch
from threadpoolctl import threadpool_limits

from asbench.detectors import protocol_of
from asbench.generation.generate import generate
from asbench.results import Run
from asbench.training.train import train
from synth_store import StoreKey, SynthStore, UserError

MEASURES = {"image_auroc": "image AUROC", "pixel_ap": "pixel AP"}


@dataclass(frozen=True)
class Study:
    """What is trained on what. `steps`: detector, with its variant, to optimiser steps.

    `settings`: detector to those of its parameters that differ from its variant's.
    """

    dataset: str
    category: str
    textures: str
    mix: str
    samples: int
    size: int
    steps: Mapping[str, int]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: int = 3

    @property
    def methods(self) -> list[str]:
        """The methods of the mixture."""
        return [part.partition(":")[0] for part in self.mix.split(",")]


STUDIES = {
    "demo": Study(
        dataset="demo",
        category="weave",
        textures="procedural",
        mix="draem:0.5,fractal:0.5",
        samples=300,
        size=64,
        steps={
            "draem@tiny": 150,
            "destseg@tiny": 250,
            "memseg@tiny-partial": 150,
            "unet@tiny": 250,
        },
    ),
    "mtd": Study(
        dataset="mtd",
        category="tile",
        textures="mtd",
        mix="destseg:0.4,draem:0.3,cutpaste_scar:0.3",
        samples=300,
        size=64,
        steps={
            "draem@tiny-detached": 900,
            "destseg@tiny": 300,
            "memseg@tiny-partial": 200,
            "unet@tiny": 400,
        },
        # 21 pixels are a third of these images' side, and their defects are small.
        settings={"draem@tiny-detached": {"window": 5}, "unet@tiny": {"window": 5}},
    ),
}


def toy(study: Study) -> Study:
    """Return the same study with two steps of the smallest detectors on 20 samples of 32x32."""
    steps = {"draem@tiny": 2, "destseg@tiny-scratch": 2, "memseg@tiny-scratch": 2, "unet@tiny": 2}
    return replace(study, samples=20, size=32, steps=steps, settings={}, seeds=1)


@dataclass(frozen=True)
class Row:
    """One detector's runs: at its own ratio, and at ratio 0, one per seed."""

    detector: str
    trained: list[Run]
    normals: list[Run]

    def values(self, measure: str) -> dict[str, list[float]]:
        """Return a measure on the full test set by what was done, one value per seed."""
        before = [run.untrained["full"][measure] for run in self.trained if run.untrained]
        return {
            "trained": [run.metrics["full"][measure] for run in self.trained],
            "ratio 0": [run.metrics["full"][measure] for run in self.normals],
            "untrained": before,
        }

    @property
    def learnt(self) -> bool:
        """Whether every trained seed is above every untrained one and every one at ratio 0."""
        return all(
            min(v["trained"]) > max(v["ratio 0"] + v["untrained"])
            for v in map(self.values, MEASURES)
        )


def carry_out(study: Study, store: Path, runs: Path) -> list[Row]:
    """Render the sets once, train every detector from them; the store's bytes stay as they are.

    Raises RuntimeError if a byte of the store changed or a row names another set's digest.
    """
    generate(
        study.dataset,
        study.methods,
        category=study.category,
        n=study.samples,
        size=study.size,
        store=store,
        textures=study.textures,
        workers=1,
    )
    opened = SynthStore.open(store)
    digests = {
        method: opened.read(StoreKey(study.dataset, method, 0), study.category).digest
        for method in study.methods
    }
    before = bytes_digest(store)
    found = {detector: Row(detector, [], []) for detector in study.steps}
    for seed in range(study.seeds):  # the outer loop: what was cut off still has every detector
        for detector, row in found.items():
            own = protocol_of(detector).ratio
            row.trained.append(trained(study, detector, own, seed, store, runs))
            row.normals.append(trained(study, detector, 0.0, seed, store, runs))
    rows = list(found.values())
    if bytes_digest(store) != before:
        raise RuntimeError(f"training changed the store at {store}")
    for run in (run for row in rows for run in row.trained):
        if run.decides["sets"] != digests:
            raise RuntimeError(f"run {run.id} names the sets {run.decides['sets']}, not {digests}")
    return rows


def trained(study: Study, detector: str, ratio: float, seed: int, store: Path, runs: Path) -> Run:
    """Train and score one detector once, or return the run that stands."""
    run = train(
        study.dataset,
        study.mix if ratio else None,
        ratio=ratio,
        detector=detector,
        category=study.category,
        steps=study.steps[detector],
        seed=seed,
        settings=study.settings.get(detector),
        store=store,
        runs=runs,
        device="cpu",
        untrained=bool(ratio),
    ).run
    at = run.metrics["full"]
    figures = ", ".join(f"{title} {at[name]:.3f}" for name, title in MEASURES.items())
    seconds = run.seconds["train"]
    print(f"{detector} ratio {ratio:g} seed {seed}: {figures}, {seconds:.0f} s", file=sys.stderr)
    return run


def bytes_digest(folder: Path) -> str:
    """Return the SHA-256 of all files below a folder, names and contents."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole.update(f"{path.relative_to(folder)}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def markdown(study: Study, rows: Sequence[Row]) -> list[str]:
    """Return the table's lines: mean ± standard deviation over the seeds."""
    heads = [
        f"{m}: {kind}" for m in MEASURES.values() for kind in ("trained", "ratio 0", "untrained")
    ]
    lines = [
        f"| detector | steps | ratio | {' | '.join(heads)} | seconds a training |",
        f"|---|---:|---:|{'---:|' * len(heads)}---:|",
    ]
    for row in rows:
        cells = [_spread(v) for m in MEASURES for v in row.values(m).values()]
        seconds = min(run.seconds["train"] for run in [*row.trained, *row.normals])
        first = row.trained[0].decides
        head = f"`{row.detector}` | {first['steps']} | {first['ratio']:g}"
        lines.append(f"| {head} | {' | '.join(cells)} | {seconds:.0f} |")
    return lines


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study that is named; return 1 if a detector did not learn (not judged for a toy)."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.learns", description=__doc__)
    parser.add_argument("--data", choices=sorted(STUDIES), default="demo")
    parser.add_argument("--toy", action="store_true", help="two steps each: only the path")
    parser.add_argument("--folder", type=Path, default=Path("learns"), help="for store and runs")
    parser.add_argument("--detectors", help="only these of the study's, as in unet@tiny,draem@tiny")
    asked = parser.parse_args(arguments)
    study = toy(STUDIES[asked.data]) if asked.toy else STUDIES[asked.data]
    if asked.detectors:
        chosen = asked.detectors.split(",")
        if unknown := set(chosen) - set(study.steps):
            parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(study.steps)}")
        study = replace(study, steps={name: study.steps[name] for name in chosen})
    # Numbers depend on the number of threads in their last digits.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    began = time.perf_counter()
    name = f"{asked.data}{'-toy' if asked.toy else ''}"
    try:
        with threadpool_limits(1):
            rows = carry_out(study, asked.folder / f"store-{name}", asked.folder / f"runs-{name}")
    except UserError as error:
        sys.exit(f"error: {error}")
    minutes = (time.perf_counter() - began) / 60
    print(
        f"Reduced, not comparable with published numbers: {study.dataset}/{study.category} at "
        f"{study.size}x{study.size}, `{study.mix}` ({study.samples} samples a set, textures "
        f"`{study.textures}`), batch 8, {study.seeds} training seeds, one thread, {minutes:.0f} "
        "min in all. Seconds: the quickest training, which others on the machine disturbed least.\n"
    )
    print("\n".join(markdown(study, rows)))
    dull = [row.detector for row in rows if not row.learnt]
    if asked.toy or not dull:
        return 0
    print(f"\nnot above ratio 0 and untrained with every seed: {', '.join(dull)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
