"""Jobs for the tests of the grid, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from asbench.files.images import FileError
from synth_store import UserError


def square(number: int) -> int:
    return number * number


def process(_: int) -> int:
    return os.getpid()


def threads(_: int) -> dict[str, int]:
    """How many threads every library would use, those included that are first loaded here."""
    import cv2
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own
    import torch
    from threadpoolctl import threadpool_info

    pools = {f"{p['user_api']} {p['filepath']}": p["num_threads"] for p in threadpool_info()}
    return {"cv2": cv2.getNumThreads(), "torch": torch.get_num_threads(), **pools}


def fail_at_two(job: tuple[Path, int]) -> int:
    folder, number = job
    if number == 2:
        raise UserError("job 2 cannot be done: try another.")
    time.sleep(0.02)
    (folder / str(number)).touch()
    return number


def unreadable(path: Path) -> None:
    raise FileError(path, "is truncated.")


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow(job: tuple[Path, int]) -> None:
    folder, number = job
    (folder / f"begun-{number}").touch()
    time.sleep(0.4)
    (folder / f"ended-{number}").touch()


def die_once(folder: Path) -> int:
    """Kill the process at the first call, as an operator would; end well at the second."""
    mark = folder / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def card(_: int) -> str | None:
    time.sleep(0.2)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def die_at_two(number: int) -> int:
    time.sleep(0.05)
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
