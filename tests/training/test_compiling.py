"""Compiled steps are the steps as written, to rounding; what cannot be compiled is refused."""

from __future__ import annotations

import copy
import math
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch.nn import functional as F

from asbench.detectors import build
from asbench.nets.detector import Batch
from asbench.nets.device import usual_precision
from asbench.nets.seeds import address_generator
from asbench.training import compiling
from asbench.training.loop import Precision, fit
from synth_store.types import UserError

pytestmark = pytest.mark.slow

SMALL = {"unet@tiny": {"width": 2}, "destseg@tiny-scratch": {"width": 8}}
"""The other two go the same way in `tests.benchmarks.cuda --toy`, which compiles all of them."""


def batch_at(step: int) -> Batch:
    generator = address_generator("compiling", step)
    clean = torch.rand(2, 3, 32, 32, generator=generator)
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, :, 8:20, 8:20] = 1
    return Batch(torch.where(mask > 0, clean.flip(0), clean), clean, mask)


def losses(
    name: str, folder: Path, compiled: bool, steps: int = 2, precision: Precision = "fp32"
) -> list[float]:
    detector = build(name, 0, SMALL[name])
    normals = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    detector.prepare(normals, torch.Generator().manual_seed(0))
    found = fit(
        detector,
        batch_at,
        steps=steps,
        seed=1,
        device="cpu",
        folder=folder,
        compiled=compiled,
        precision=precision,
    )
    return [loss for _, loss in found.losses]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch.compile traces runs as it is, which takes no compiler."""
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    torch.compiler.reset()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", SMALL)
def test_a_traced_training_is_the_training_to_the_bit(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    normal = losses(name, tmp_path / "a", compiled=False)
    torch.manual_seed(0)
    assert losses(name, tmp_path / "b", compiled=True) == normal


class Small(nn.Module):
    """What compiles in seconds, where a detector takes minutes."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def loss(self, x: Tensor) -> Tensor:
        return F.mse_loss(F.relu(self.norm(self.convolution(x))).mean(1), x.mean(1))


@pytest.mark.skipif(
    not any(map(shutil.which, compiling.COMPILERS)), reason="there is no C++ compiler"
)
def test_a_compiled_step_agrees_with_the_written_one() -> None:
    torch.manual_seed(0)
    small, x = Small(), torch.rand(2, 3, 16, 16)
    written = copy.deepcopy(small)
    with warnings.catch_warnings(), inductor.patch(compile_threads=1):
        warnings.simplefilter("ignore")  # torch's own, of its compiler
        found = compiling.CompiledLoss(small.loss, small, "fp32")(x)
    found.backward()
    wanted = written.loss(x)
    wanted.backward()
    assert torch.allclose(found, wanted, rtol=1e-5)
    for ours, theirs in zip(small.parameters(), written.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)
    assert torch.allclose(small.norm.running_mean, written.norm.running_mean)


@pytest.mark.usefixtures("traced")
def test_another_loss_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def wrong(loss, backend):
        return lambda batch: 1.1 * loss(batch)

    monkeypatch.setattr(torch, "compile", wrong)
    with pytest.raises(UserError, match="leave --compile out on this machine"):
        losses("unet@tiny", tmp_path, compiled=True)


@pytest.mark.usefixtures("traced")
def test_a_training_is_compiled_or_not_to_its_end(tmp_path: Path) -> None:
    losses("unet@tiny", tmp_path, compiled=True)
    with pytest.raises(UserError, match="its compiled is True, not False"):
        losses("unet@tiny", tmp_path, compiled=False)


@pytest.mark.usefixtures("traced")
def test_the_check_changes_no_statistics() -> None:
    detector = build("unet@tiny", 0, SMALL["unet@tiny"])
    stage = detector.stages(2)[0]
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    state = torch.get_rng_state()
    checked = compiling.CompiledLoss(stage.loss, detector, "fp32")
    wanted: float = checked._wanted(batch_at(0))
    assert math.isfinite(wanted)
    assert torch.equal(state, torch.get_rng_state())
    for name, value in detector.state_dict().items():
        assert torch.equal(value, before[name])


def test_without_a_compiler_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler for cpu.*install one"):
        compiling.refuse_uncompilable(torch.device("cpu"))
    monkeypatch.setattr(compiling, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="needs Triton on CUDA"):
        compiling.refuse_uncompilable(torch.device("cuda"))


def test_bf16_is_usual_on_cuda_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_precision(torch.device("cpu")) == "fp32"
    for known, wanted in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, known=known: known
        )
        assert usual_precision(torch.device("cuda")) == wanted


def test_mixed_precision_trains_on_a_cpu(tmp_path: Path) -> None:
    whole = losses("unet@tiny", tmp_path / "a", compiled=False)
    mixed = losses("unet@tiny", tmp_path / "b", compiled=False, precision="bf16")
    assert mixed != whole
    assert mixed == pytest.approx(whole, rel=0.03)
