"""What stays behind in a process that goes on: memory, descriptors, threads, children."""

from __future__ import annotations

import os
import resource
import threading
from pathlib import Path

import asbench
from synth_store import SynthStore
from synth_store.verify import verify_set
from tests.faults.tally import Tally
from tests.synth_store.making import CATEGORY, KEY, SMALL, generate

SAMPLES = 20_000
ALLOWED = 64 << 20
"""Bytes that a process may grow by after it has warmed up."""


def _state() -> dict[str, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {
        "memory": pages * resource.getpagesize(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "children": len(children),
    }


def run(tally: Tally, cases: int, seed: int, work: Path) -> None:
    """Train so many times in this process; verify a set of many samples."""
    place = {"store": work / "store", "workers": 1}
    asbench.generate("demo", "cutpaste", category="weave", n=20, size=32, **place)

    def train(number: int) -> None:
        asbench.train(
            "demo", "cutpaste", category="weave", detector="unet@tiny", steps=4, batch=2,
            settings={"width": 2}, device="cpu", seed=number, store=work / "store",
            runs=work / "runs",
        )  # fmt: skip

    warm = max(3, cases // 10)
    for number in range(warm):
        train(number)
    before = _state()
    for number in range(warm, cases):
        train(number)
    _compare(tally, f"{cases} trainings", before, _state())
    store = SynthStore.create(work / "many", SMALL)
    count = SAMPLES if cases >= 100 else 1000
    generate(store, count, key=KEY, shard=256)
    before = _state()
    faults = verify_set(store, KEY, CATEGORY)
    _compare(tally, f"verify of {count}", before, _state())
    if faults:
        tally.note("leak", "verify", "lost", str(faults[0]))


def _compare(tally: Tally, name: str, before: dict[str, int], after: dict[str, int]) -> None:
    for what, value in after.items():
        spare = ALLOWED if what == "memory" else 2 if what != "descriptors" else 8
        grown = value - before[what]
        said = f"{name}: {what} {before[what]} then {value}"
        print(said, flush=True)
        tally.note(
            "leak", f"{name.split()[-2]} {what}"[:21], "equal" if grown <= spare else "lost", said
        )
