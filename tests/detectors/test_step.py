"""What a training step asks of its device: one layout throughout, and never to be waited for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from asbench.detectors import build
from asbench.nets.detector import Batch, Detector
from asbench.nets.device import tuned

pytestmark = pytest.mark.slow

SMALL: Mapping[str, Mapping[str, Any]] = {
    "draem@tiny": {"width": 4, "seg_width": 4},
    "unet@tiny": {"width": 4},
    "destseg@tiny-scratch": {},
    "memseg@tiny-scratch": {},
}
WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal")
"""What makes the host wait for a GPU: reading a number, and results of a size not known before."""


def made(name: str, device: str = "cpu") -> Detector:
    generator = torch.Generator().manual_seed(0)
    model = build(name, 0, SMALL[name]).to(device)
    normals = torch.randint(256, (6, 3, 64, 64), generator=generator, dtype=torch.uint8)
    model.prepare(normals, generator)
    return model.to(memory_format=torch.channels_last)


def batch(device: str = "cpu") -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(2, 3, 64, 64, generator=generator).to(device)
    image = image.contiguous(memory_format=torch.channels_last)
    mask = (torch.rand(2, 1, 64, 64, generator=generator) > 0.9).float().to(device)
    return Batch(image, image.clone(), mask)


def steps(model: Detector, given: Batch) -> Iterator[Tensor]:
    """One step of every stage."""
    for stage in model.stages(10):
        model.eval()
        for part in stage.trains:
            part.train()
        loss = stage.loss(given)
        loss.backward()
        for optimizer in stage.optimizers:
            optimizer.step()
        for schedule in stage.schedules:
            schedule.step()
        model.zero_grad(set_to_none=True)
        yield loss.detach()


@pytest.mark.parametrize("name", SMALL)
def test_every_convolution_of_an_image_sees_channels_last(name: str) -> None:
    model, others = made(name), []

    def look(title: str, x: Tensor) -> None:
        picture = x.ndim == 4 and min(x.shape[1:]) > 1  # else both layouts are one, or as good
        if picture and not x.is_contiguous(memory_format=torch.channels_last):
            others.append(title)

    for title, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(
                lambda _, given, title=title: look(title, given[0])  # type: ignore[misc]
            )
    for _ in steps(model, batch()):
        pass
    model.eval().maps_and_scores(batch().image)
    assert others == []


class Waits(TorchDispatchMode):
    """Counts the operations that would make the host wait, were the tensors on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).rpartition(".")[0]
        by_mask = name == "aten.index" and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        if name in WAITS or by_mask:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


def test_what_waits_is_seen() -> None:
    x = torch.rand(5)
    with Waits() as waits:
        x.sum().item()
        x[x > 0.5]
        x.nonzero()
    assert waits.seen == {"aten._local_scalar_dense": 1, "aten.index": 1, "aten.nonzero": 1}


@pytest.mark.parametrize("name", SMALL)
def test_no_step_reads_what_is_on_the_device(name: str) -> None:
    model, given = made(name), batch()
    with Waits() as waits:
        for _ in steps(model, given):
            pass
    assert waits.seen == {}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", SMALL)
def test_no_step_waits_on_cuda(name: str) -> None:
    model, given = made(name, "cuda"), batch("cuda")
    for _ in steps(model, given):  # what is set up once may wait
        pass
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in steps(model, given):
            pass
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_tuning_is_of_cuda_alone_and_put_back() -> None:
    before = torch.backends.cudnn.benchmark
    with tuned(torch.device("cpu")):
        assert torch.backends.cudnn.benchmark == before
    with tuned(torch.device("cuda")):
        assert torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.benchmark == before
