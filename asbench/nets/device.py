"""The device that a detector works on, and in which precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from synth_store.types import UserError


def find_device(name: str | None) -> torch.device:
    """Return the device called `name`; for None CUDA where there is one, else the CPU.

    Raises UserError, naming what there is, for one that is unknown or not in this machine.
    """
    cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    known = ["cpu", *(["cuda"] if cards else []), *cards]
    if torch.backends.mps.is_available():
        known.append("mps")
    wanted = name or ("cuda" if cards else "cpu")
    if wanted not in known:
        raise UserError(f"device {wanted!r} is not in this machine: choose {' or '.join(known)}.")
    return torch.device(wanted)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32 where autocast is on; nothing, which exports need, where it is not."""
    if not torch.is_autocast_enabled(device.type):
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield
