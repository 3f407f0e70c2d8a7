"""A disk that fills under every command that writes: a small file system in memory, then a larger.

Needs the right to mount one; without it, nothing of this is reached, and that is said.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import photograph
from tests.faults.kills import GENERATE, LIMIT, TRAIN, _start, _wait
from tests.faults.tally import Tally

SETUP = (f"{GENERATE} --method cutpaste -n 300", f"{GENERATE} --method cutout -n 300", TRAIN)
LINES = {
    "generate": f"{GENERATE} --method cutpaste --seed 7 -n 900",
    "train": f"{TRAIN} --seed 3",
    "store copy": "store copy asbench-store other",
    "store export": "store export photos/cutpaste/0 --out png",
    "store export zarr": "store export photos/cutpaste/0 --out plain --format zarr",
    "store export coco": "store export photos/cutpaste/0 --out coco --format coco",
    "store export parquet": "store export photos/cutpaste/0 --out pq --format parquet",
    "store export webdataset": "store export photos/cutpaste/0 --out tar --format webdataset",
    "report": "report --csv runs.csv --out r.html --tables tables",
    "predict": "predict RUN photos/bolt/test --out said",
    "export": "export RUN --output model.pt2",
    "preview": "preview --dataset photos --method cutpaste --out p.png",
    "evaluate": "evaluate RUN --csv e.csv",
}
BLOCK = 4096


def run(tally: Tally, cases: int, seed: int, work: Path) -> None:
    """Fill the disk at so many moments, each once for every command in turn."""
    rng = random.Random(seed)
    base, place = work / "base", work / "place"
    base.mkdir()
    place.mkdir()
    photograph(base / "photos", ("bolt",))
    for line in SETUP:
        if _wait(_start(line, base), LIMIT) != 0:
            raise RuntimeError((base / "said.txt").read_text()[-2000:])
    used = sum(-(-p.stat().st_size // BLOCK) * BLOCK for p in base.rglob("*") if p.is_file())
    for number in range(cases):
        name = list(LINES)[number % len(LINES)]
        spare = rng.choice((0, 1, 2, 4, 8, 16, 40, 100))
        if not _mount(place, used + 300 * BLOCK + spare * BLOCK):
            tally.unreached.append("a full disk: no right to mount a tmpfs here")
            return
        try:
            _case(tally, name, base, place, spare, f"{number}: {spare} blocks")
        finally:
            subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def _case(tally: Tally, name: str, base: Path, place: Path, spare: int, what: str) -> None:
    shutil.copytree(base, place, dirs_exist_ok=True)
    line = LINES[name].replace("RUN", f"runs/{next(base.glob('runs/*')).name}")
    with (place / "filler").open("wb") as filler:  # all but the spare blocks
        free = shutil.disk_usage(place).free - spare * BLOCK
        filler.write(bytes(max(0, free)))
    (place / "said.txt").unlink(missing_ok=True)
    (place / "said.txt").symlink_to(base / "said.txt")  # what it says needs room too
    status = _wait(_start(line, place), LIMIT)
    said = (base / "said.txt").read_text()
    if status is None or "Traceback" in said:
        tally.note(
            "full disk", name, "hang" if status is None else "traceback", f"{what} {said[-600:]!r}"
        )
        return
    left = [p for p in place.rglob("*") if p.name.endswith((".part", ".partial", ".tmp"))]
    if status and (left or "No space left" not in said):
        tally.note("full disk", name, "lost", f"{what}: {left[:1]} {said[-300:]!r}")
        return
    (place / "filler").unlink()
    _mount(place, 2**28, again=True)
    if _wait(_start(line, place), LIMIT) != 0:
        said = (base / "said.txt").read_text()
        tally.note("full disk", name, "lost", f"{what}: then {said[-300:]!r}")
        return
    tally.note("full disk", name, "refused" if status else "equal")


def _mount(place: Path, size: int, *, again: bool = False) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    how = f"{'remount,' if again else ''}size={size}"
    line = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", str(place)]
    return subprocess.run(line, check=False, capture_output=True).returncode == 0
