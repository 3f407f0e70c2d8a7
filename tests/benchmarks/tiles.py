"""Small defects on large photographs: found with tiles, and not on the photograph squashed.

`python -m tests.benchmarks.tiles --folder large` draws photographs of 4000x3000 pixels, a part on a
plain ground, and defects of 20 px, of 8 px and scratches of 400x4 px, all 20 grey levels darker. As
cast or brushed surfaces do, the part varies at several scales, by 6 levels in each octave of 48 to
192 pixels, so that what squashing leaves of a defect, 1.3 pixels of 20, looks like its grain. It
trains the same detector on the same methods for as many steps, on the photographs stretched to
256x256 and on tiles at every `--scale`, and prints of each kind the image AUROC against good
photographs, on how many of the defective ones the map is highest on the defect, and the medians of
its highest value there and elsewhere. Then one prediction by itself: CPU seconds, and the most
memory that its process ever held. `--quick` draws small photographs, and shows only that the script
runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from asbench.datasets import open_dataset
from asbench.evaluation.metrics import image_auroc
from asbench.evaluation.trained import Trained
from asbench.files.images import write_png
from asbench.generation.generate import generate
from asbench.results import read_table
from asbench.training.train import train
from synth_store import address_rng
from synth_store.types import Image, Mask

METHODS = ["draem", "cutpaste_scar"]
DARKER = 20
"""Grey levels by which a defect is darker."""
GRAIN, OCTAVES = 6.0, (48, 96, 192)
"""Grey levels, one standard deviation, of a part's grain in each octave, and their lengths."""
KINDS = {"disc-20": (20, 20), "disc-8": (8, 8), "scratch-400x4": (4, 400)}
NEAR = 16
"""Pixels from the defect within which a map's highest value counts as on it."""
ALONE = """
import sys, time
from asbench.evaluation.trained import Trained
run = Trained(sys.argv[1], "cpu")
run.detector
start = time.process_time()
run.predict(sys.argv[2])
seconds = time.process_time() - start
(peak,) = (s.split()[1] for s in open("/proc/self/status") if s.startswith("VmHWM"))
print(f"{seconds:.1f} {peak}")
"""


def part(name: str, height: int, width: int) -> Image:
    """Draw a photograph: a part with grain, on a ground that grows brighter to the right."""
    rng = address_rng("benchmark", "tiles", name)
    ground = np.broadcast_to(np.linspace(195, 210, width, dtype=np.float32), (height, width))
    grain = np.full((height, width), 110, np.float32)
    for length in OCTAVES:
        shape = -(-height // length) + 1, -(-width // length) + 1
        coarse = rng.normal(0, GRAIN, shape).astype(np.float32)
        grain += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    top, left = (int(rng.integers(side // 12, side // 6)) for side in (height, width))
    image = ground.copy()
    inside = slice(top, top + 3 * height // 4), slice(left, left + 3 * width // 4)
    image[inside] = grain[inside]
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    image += rng.normal(0, 2, image.shape).astype(np.float32)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def spoil(image: Image, name: str, size: tuple[int, int]) -> Mask:
    """Darken a defect of (height, width) on a photograph's part; return where it is."""
    rng = address_rng("benchmark", "defect", name)
    height, width = image.shape[:2]
    tall, wide = size[0], min(size[1], width // 4)
    top = int(rng.integers(height // 5, 3 * height // 4 - tall))
    left = int(rng.integers(width // 5, 3 * width // 4 - wide))
    mask = np.zeros((height, width), np.uint8)
    if tall == wide:
        cv2.circle(mask, (left + wide // 2, top + tall // 2), wide // 2, 1, -1)
    else:
        mask[top : top + tall, left : left + wide] = 1
    image[mask > 0] -= np.minimum(image[mask > 0], DARKER)
    return mask > 0


def draw(folder: Path, height: int, width: int, normals: int, each: int) -> None:
    """Write photographs as MVTec AD is laid out."""
    for split, count in (("train", normals), ("test", each)):
        for i in range(count):
            file = folder / split / "good" / f"{i:03}.png"
            if not file.exists():
                write_png(file, part(f"{split}{i}", height, width))
    for kind, size in KINDS.items():
        for i in range(each):
            file = folder / "test" / kind / f"{i:03}.png"
            if not file.exists():
                image = part(f"{kind}{i}", height, width)
                mask = spoil(image, f"{kind}{i}", size)
                truth = folder / "ground_truth" / kind / f"{i:03}.png"
                write_png(truth, mask.astype(np.uint8) * 255)
                write_png(file, image)


def peaks(heat: npt.NDArray[np.float32], mask: Mask) -> tuple[float, float]:
    """Return a map's highest value within 16 pixels of the defect, and elsewhere."""
    square = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    near = cv2.dilate(mask.astype(np.uint8), square) > 0
    return float(heat[near].max()), float(heat[~near].max())


def alone(run: Trained, photograph: Path) -> str:
    """Return CPU seconds and memory of one prediction by a process of its own, in words."""
    line = [sys.executable, "-c", ALONE, str(run.folder), str(photograph)]
    out = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    seconds, memory = out.split()
    return f"{seconds} CPU s, {int(memory) / 1024:.0f} MB at most"


def main(arguments: Sequence[str]) -> None:
    """Draw, train on every store, and print the table."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--folder", type=Path, default=Path("large"))
    given.add_argument("--size", type=int, default=256)
    given.add_argument("--scale", type=float, nargs="*", default=[0.5])
    given.add_argument("--steps", type=int, default=300)
    given.add_argument("--normals", type=int, default=8)
    given.add_argument("--each", type=int, default=4)
    given.add_argument("--detector", default="memory")
    given.add_argument("--quick", action="store_true")
    asked = given.parse_args(arguments)
    height, width = (192, 256) if asked.quick else (3000, 4000)
    size, squashed, steps = (32, 32, 4) if asked.quick else (asked.size, 256, asked.steps)
    photographs = asked.folder / "photographs"
    draw(photographs, height, width, asked.normals, asked.each)
    data = open_dataset(photographs, name="large")
    print("| store | " + " | ".join(f"{k}: AUROC, on it" for k in KINDS) + " | one prediction |")
    print("|---|" + "---|" * (len(KINDS) + 1))
    frames: dict[str, dict[str, Any]] = {"stretch": {"resize": "stretch", "size": squashed}}
    for scale in asked.scale:
        tiles = {"resize": "tile", "size": size, "scale": scale, "empty_tiles": 0.1}
        frames[f"tile-{scale:g}"] = tiles
    for folder, frame in frames.items():
        place = {"name": "large", "store": asked.folder / folder}
        generate(photographs, METHODS, n=200, **frame, **place)
        run = train(
            str(photographs),
            ",".join(f"{m}:0.5" for m in METHODS),
            detector=asked.detector,
            steps=steps,
            runs=asked.folder / "runs",
            device="cpu",
            **place,
        )
        rows = read_table(run.folder)
        good = [row.score for row in rows if not row.label]
        cells = []
        for kind in KINDS:
            scores = [*good, *(row.score for row in rows if row.defect == kind)]
            auroc = image_auroc(scores, [0] * len(good) + [1] * (len(scores) - len(good)))
            bad = [item for item in data.test(*data.categories()) if item.defect == kind]
            found = []
            for item in bad:
                mask = data.mask(item)
                assert mask is not None
                found.append(peaks(run.predict(data.image(item)).map, mask))
            hits = sum(on > beside for on, beside in found)
            on, beside = np.median(found, axis=0)
            cells.append(f"{auroc:.2f}, {hits} of {len(bad)} ({on:.2f}; {beside:.2f})")
        one = alone(run, photographs / "test/good/000.png")
        print(f"| {run.geometry} | {' | '.join(cells)} | {one} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
