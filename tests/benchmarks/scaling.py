"""Two processes of one `generate` against two processes that know nothing of each other.

Both render and store as many samples end to end, on the demo data at 256 x 256, from the start of
the command to its end, with the normals stored beforehand. Rounds take turns. The clock tells what
a user waits for, and whatever else the machine does moves it: its load is printed beside. The CPU
time of all processes moves little, and shows what the pool itself costs.
"""

from __future__ import annotations

import os
import resource
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
METHOD, CATEGORY, SAMPLES, ROUNDS = "draem", "weave", 8192, 3
PROGRAM = f"""
import sys
from asbench import generate
store, n, workers = sys.argv[1:]
generate("demo", "{METHOD}", category="{CATEGORY}", n=int(n), store=store, workers=int(workers))
"""


def rows() -> list[dict[str, Any]]:
    """Return ms a sample with two workers and in two processes alone, by the clock and of CPU."""
    together, apart = [], []
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready")
        generate("demo", METHOD, category=CATEGORY, n=1, store=ready, workers=1)
        shutil.rmtree(ready / "demo" / METHOD)
        for number in range(ROUNDS):
            stores = [Path(folder, f"{number}-{part}") for part in range(3)]
            for store in stores:
                shutil.copytree(ready, store)
            together.append(_seconds(SAMPLES, 2, stores[:1]))
            apart.append(_seconds(SAMPLES // 2, 1, stores[1:]))
            for store in stores:
                shutil.rmtree(store)
    load = f"(load {os.getloadavg()[0]:.1f})"
    return [
        {
            "what": f"{METHOD}, two workers, {kind}",
            "ms": 1e3 * median(ours[at] for ours in together) / SAMPLES,
            "reference": f"two independent processes {note}",
            "reference_ms": 1e3 * median(theirs[at] for theirs in apart) / SAMPLES,
            "ratio": median(b[at] / a[at] for a, b in zip(together, apart, strict=True)),
            "goal": ">= 0.9",
        }
        for at, (kind, note) in enumerate((("clock", load), ("CPU", "")))
    ]


def _seconds(samples: int, workers: int, stores: list[Path]) -> tuple[float, float]:
    """Return clock and CPU seconds until every store has its samples, all begun at once."""
    clock, cpu = time.perf_counter(), _cpu()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(store), str(samples), str(workers)], cwd=ROOT
        )
        for store in stores
    ]
    ended = [process.wait() for process in running]
    if any(ended):
        raise RuntimeError(f"generate ended with {ended} in {stores}")
    return time.perf_counter() - clock, _cpu() - cpu


def _cpu() -> float:
    """Return the CPU seconds of the processes that ended, their own children counted."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
