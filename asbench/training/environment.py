"""Where a run was trained: versions, device, and the place of one's own data."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asbench.datasets import place_of
from asbench.types import Dataset


def environment_of(device: torch.device) -> dict[str, Any]:
    """Return versions, and what the training ran on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "asbench": version("asbench"),
        "commit": _commit(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{device.type} ({name or platform.machine()})",
        "threads": torch.get_num_threads(),
    }


def place_for(data: Dataset) -> dict[str, Any]:
    """Return where one's own data set lies, so that `evaluate` finds it; no part of the run's id.

    Bytes of the path that are no UTF-8 are escaped: such a place is named, not found.
    """
    place = place_of(data)
    if place is None:
        return {}
    path = str(place).encode("utf-8", "backslashreplace").decode()
    return {"data": {"path": path, "name": data.name}}


def _commit() -> str | None:
    """Return the commit of the working copy that this file is in, None where it is installed."""
    root = Path(__file__).parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():  # another's repository may lie further up
        return None
    command = [git, "rev-parse", "--short", "HEAD"]
    completed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return completed.stdout.strip() or None
