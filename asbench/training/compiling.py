"""A training step through torch.compile, held against the step as it is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from asbench.nets.seeds import private_rng
from synth_store.types import UserError

BACKEND = "inductor"
"""What compiles: torch's own name of it."""
APART = {"fp32": 1e-3, "bf16": 3e-2}
"""How far apart, as a share, the first losses of both ways may be: kernels that are fused round
otherwise, and in bf16 every number has eight bits."""
COMPILERS = ("c++", "g++", "clang++", "cl")


def refuse_uncompilable(device: torch.device) -> None:
    """Raise UserError, naming what is missing, where torch cannot compile for a device."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise UserError(
                "--compile needs Triton on CUDA, which is not installed: `pip install triton`, or "
                "leave --compile out."
            )
        return
    named = os.environ.get("CXX")
    if not any(map(shutil.which, [named] if named else COMPILERS)):
        what = f"{named!r}, which CXX names," if named else "g++ or clang++"
        raise UserError(
            f"--compile needs a C++ compiler for {device.type}, and {what} is not in the path: "
            "install one, or leave --compile out."
        )


class CompiledLoss:
    """A stage's loss, compiled when it is first called; that first value is checked.

    Both ways see the same batch, chance and batch norm's statistics, which the check leaves as they
    were. Raises UserError where they come to different losses.
    """

    def __init__(self, loss: Callable[[Any], Tensor], detector: nn.Module, precision: str) -> None:
        self._written, self._detector, self._apart = loss, detector, APART[precision]
        self._compiled: Callable[[Any], Tensor] = torch.compile(loss, backend=BACKEND)
        self._checked = False

    def __call__(self, batch: Any) -> Tensor:
        """Return the loss of a batch, to be differentiated."""
        if self._checked:
            return self._compiled(batch)
        wanted = self._wanted(batch)
        found = self._compiled(batch)
        value = float(found.detach())
        if abs(value - wanted) > self._apart * max(abs(wanted), 1e-6):
            raise UserError(
                f"the compiled step comes to a loss of {value:.6g}, the step as it is written to "
                f"{wanted:.6g}: leave --compile out on this machine."
            )
        self._checked = True
        return found

    def _wanted(self, batch: Any) -> float:
        """Return the loss as it is written; nothing is changed by it."""
        kept = [(buffer, buffer.clone()) for buffer in self._detector.buffers()]
        with torch.no_grad(), private_rng(next(self._detector.parameters()).device):
            wanted = float(self._written(batch))
            for buffer, value in kept:
                buffer.copy_(value)
        return wanted
