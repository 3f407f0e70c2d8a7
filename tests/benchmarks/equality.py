"""A study run three ways comes to the same: at once, interrupted again and again, on a cluster.

    python -m tests.benchmarks.equality [STUDY [FOLDER]]

Of `demo` it takes about three times five minutes on two cores. In a folder that is named, what
stands is not done again. Exit status 1 if any run's id differs, or a metric by more than 1e-6.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asbench import results
from asbench.grid import engines
from asbench.study import spec
from asbench.study.run import run
from asbench.study.spec import Study
from asbench.types import Interrupted
from tests import clusters

TOLERANCE = 1e-6
SECONDS_BETWEEN_STOPS = 60.0


def at_once(study: Study, folder: Path) -> None:
    run(study, folder, engine=engines.Pool(2))


def interrupted(study: Study, folder: Path) -> None:
    """Stop every minute, as Ctrl-C does, and go on."""
    while True:
        until = time.monotonic() + SECONDS_BETWEEN_STOPS
        try:
            run(study, folder, engine=engines.Pool(2), stop=lambda t=until: time.monotonic() > t)  # type: ignore[misc]
        except Interrupted as stopped:
            print(f"  {stopped}", flush=True)
        else:
            return


def on_a_cluster(study: Study, folder: Path) -> None:
    with clusters.two_workers() as address, engines.engine(scheduler=address) as engine:
        run(study, folder, engine=engine)


WAYS: tuple[Callable[[Study, Path], None], ...] = (at_once, interrupted, on_a_cluster)


def differences(folder: Path, other: Path) -> list[str]:
    """Return in what the runs of two folders differ."""
    first, second = ({r.id: r for r in results.runs(f / "runs")} for f in (folder, other))
    found = [f"run {identity} is in one of them" for identity in first.keys() ^ second.keys()]
    for identity in first.keys() & second.keys():
        for subset in results.SUBSETS:
            for name in results.METRICS:
                a, b = (runs[identity].metrics[subset][name] for runs in (first, second))
                if not np.isclose(a, b, rtol=0, atol=TOLERANCE, equal_nan=True):
                    found.append(f"run {identity}: {subset} {name} is {a} and {b}")
    return found


def main() -> None:
    """Run the study every way, and compare."""
    study = spec.read(sys.argv[1] if len(sys.argv) > 1 else "demo")
    with tempfile.TemporaryDirectory() as nowhere:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else nowhere)
        for way in WAYS:
            start = time.monotonic()
            way(study, folder / way.__name__)
            print(f"{way.__name__}: {time.monotonic() - start:.0f} s", flush=True)
        found = [
            f"{way.__name__}: {difference}"
            for way in WAYS[1:]
            for difference in differences(folder / WAYS[0].__name__, folder / way.__name__)
        ]
        count = len(results.runs(folder / WAYS[0].__name__ / "runs"))
    print("\n".join(found) or f"{count} runs, equal ids, metrics equal to {TOLERANCE:g}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
