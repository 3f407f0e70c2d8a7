"""The device that a detector works on, and in which precision."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

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


def usual_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """Return in which precision a device trains unless it is told: bf16 on GPUs that have it.

    There it is nearly twice as fast as TF32. A CPU gains where it multiplies bf16 in hardware
    (`bf16_gain`): there it is an option, so that a run is the same on any CPU unless asked for.
    """
    known = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if known else "fp32"


def bf16_gain() -> float:
    """Return how many times as fast as float32 this CPU multiplies matrices in bf16, measured.

    7 on one that has tiles for it (AMX).
    """
    whole = torch.ones(512, 512)

    def seconds(matrix: Tensor) -> float:
        matrix @ matrix  # the first product lays the matrices out
        began = time.perf_counter()
        matrix @ matrix
        return time.perf_counter() - began

    return min(seconds(whole) for _ in range(3)) / min(seconds(whole.bfloat16()) for _ in range(3))


def uploaded(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on a device, without making the host wait for the device.

    What lies in pageable memory is copied only when all that was asked for before is done.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextmanager
def tuned(device: torch.device) -> Iterator[None]:
    """Let cuDNN try its convolutions once for each shape and keep the quickest; CUDA alone.

    A training sees few shapes, thousands of times each. What was set before is put back.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute in float32 where autocast is on; nothing, which exports need, where it is not."""
    if not torch.is_autocast_enabled(device.type):
        yield
        return
    with torch.autocast(device.type, enabled=False):
        yield
