"""`make faults`: a seeded campaign of faults, counted: python -m tests.faults [PART...] [--long].

Parts: damage, inputs, kills, disk, crowd, leaks. Without --long minutes, with it half an hour; more
by --cases. The exit status is 1 if a case was silent, ended in a traceback, hung or was lost.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

PARTS = {
    "kills": (30, 330),  # first: it forks, and must not have threads
    "damage": (1500, 16000),
    "inputs": (2000, 8000),
    "disk": (8, 40),
    "crowd": (3, 12),
    "leaks": (10, 200),
}
"""How many cases each has, and in the long form."""


def main() -> None:
    """Run what is named on the command line, or all, and print the table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    asked.add_argument("--long", action="store_true", help="twenty thousand cases")
    asked.add_argument("--cases", type=int, help="cases of every part, in place of its own number")
    asked.add_argument("--seed", type=int, default=0, help="of all chance  [0]")
    given = asked.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        asked.error(f"choose from {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore")
    import torch

    from tests.faults import crowd, damage, disk, inputs, kills, leaks
    from tests.faults.tally import Tally

    torch.set_num_threads(1)
    run = {
        "damage": damage.run, "inputs": inputs.run, "kills": kills.run,
        "disk": disk.run, "crowd": crowd.run, "leaks": leaks.run,
    }  # fmt: skip
    tally = Tally()
    memory = Path("/dev/shm")
    for part in [one for one in PARTS if one in (given.parts or PARTS)]:
        cases = given.cases or PARTS[part][given.long]
        began, before = time.monotonic(), tally.cases
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as work:
            run[part](tally, cases, given.seed, Path(work))
        seconds = time.monotonic() - began
        print(f"{part}: {tally.cases - before} cases in {seconds:.0f} s", flush=True)
    print(f"\nseed {given.seed}\n{tally.table()}")
    sys.exit(1 if tally.bad else 0)


if __name__ == "__main__":
    main()
