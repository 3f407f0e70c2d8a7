"""Two processes of one `generate` against two processes that know nothing of each other.

Both render and store as many samples end to end, on the demo data at 256 x 256, by the clock: from
the start of the command to its end, with the normals stored beforehand. Rounds take turns, since
other work on the machine moves the clock; its load is printed beside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from asbench import generate

ROOT = Path(__file__).parents[2]
CATEGORY, SAMPLES, ROUNDS = "weave", 4096, 3
PROGRAM = f"""
import sys
from asbench import generate
store, method, n, workers = sys.argv[1:]
generate("demo", method, category="{CATEGORY}", n=int(n), store=store, workers=int(workers))
"""


def rows() -> list[dict[str, Any]]:
    """Return one row a method: ms a sample with two workers, alone twice, and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready")
        generate("demo", ["draem"], category=CATEGORY, n=1, store=ready, workers=1)
        return [_row(method, ready, Path(folder)) for method in ("draem", "nsa")]


def _row(method: str, ready: Path, folder: Path) -> dict[str, Any]:
    together, apart = [], []
    for number in range(ROUNDS):
        stores = [folder / f"{method}-{number}-{part}" for part in range(3)]
        for store in stores:
            shutil.copytree(ready, store)
            shutil.rmtree(store / "demo" / "draem")
        together.append(_seconds(method, SAMPLES, 2, stores[:1]))
        apart.append(_seconds(method, SAMPLES // 2, 1, stores[1:]))
        for store in stores:
            shutil.rmtree(store)
    ratio = median(b / a for a, b in zip(together, apart, strict=True))
    load = os.getloadavg()[0]
    return {
        "what": f"{method}, two workers",
        "ms": 1e3 * median(together) / SAMPLES,
        "reference": f"two independent processes (load {load:.1f})",
        "reference_ms": 1e3 * median(apart) / SAMPLES,
        "ratio": ratio,
        "goal": ">= 0.9",
    }


def _seconds(method: str, samples: int, workers: int, stores: list[Path]) -> float:
    """Return how long it takes until every store has its samples, all at once."""
    clock = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(store), method, str(samples), str(workers)],
            cwd=ROOT,
        )
        for store in stores
    ]
    if any([process.wait() for process in running]):
        raise RuntimeError(f"generate failed for {method} in {stores}")
    return time.perf_counter() - clock
