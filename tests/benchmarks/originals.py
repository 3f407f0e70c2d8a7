"""A training step beside the step of its authors' code, on the CPU, in CPU time of one run.

    git clone https://github.com/VitjanZ/DRAEM originals/draem
    git clone https://github.com/apple/ml-destseg originals/destseg
    git clone https://github.com/TooTouch/MemSeg originals/memseg
    pip install timm
    python -m tests.benchmarks.originals originals draem destseg memseg

Nothing of theirs is copied or shipped: what is cloned is imported and timed. Full widths, random
weights, images of 128x128, batches of two on one thread; ours as the loop has it (channels-last,
freed memory kept by neither), theirs as their script has it. Steps take turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from asbench.detectors import build
from asbench.nets.detector import Batch

SIDE, BATCH, TURNS = 128, 2, 4
OURS = {"draem": "draem", "destseg": "destseg@scratch", "memseg": "memseg@scratch"}
Step = Callable[[], Any]


def ours(name: str, images: torch.Tensor, clean: torch.Tensor, mask: torch.Tensor) -> list[Step]:
    """Return the steps of our stages."""
    model = build(OURS[name], 0)
    normals = torch.randint(256, (30, 3, SIDE, SIDE), dtype=torch.uint8)
    model.prepare(normals, torch.Generator().manual_seed(0))
    model.to(memory_format=torch.channels_last)
    batch = Batch(images.contiguous(memory_format=torch.channels_last), clean, mask)

    def of(stage: Any) -> Step:
        def step() -> None:
            model.eval()
            for part in stage.trains:
                part.train()
            model.zero_grad(set_to_none=True)
            stage.loss(batch).backward()
            stage.optimizers[0].step()

        return step

    return [of(stage) for stage in model.stages(100)]


def draem(images: torch.Tensor, clean: torch.Tensor, mask: torch.Tensor) -> list[Step]:
    """The body of train_DRAEM.py's loop."""
    import loss
    import model_unet

    torch.Tensor.cuda = lambda self: self  # type: ignore[assignment, method-assign]
    rebuilt = model_unet.ReconstructiveSubNetwork(in_channels=3, out_channels=3)
    parted = model_unet.DiscriminativeSubNetwork(in_channels=6, out_channels=2)
    optimizer = torch.optim.Adam([*rebuilt.parameters(), *parted.parameters()], lr=1e-4)
    l2, ssim, focal = nn.MSELoss(), loss.SSIM(), loss.FocalLoss()

    def step() -> None:
        found = rebuilt(images)
        said = torch.softmax(parted(torch.cat((found, images), dim=1)), dim=1)
        total = l2(found, clean) + ssim(found, clean) + focal(said, mask)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

    return [step]


def destseg(images: torch.Tensor, clean: torch.Tensor, mask: torch.Tensor) -> list[Step]:
    """The body of train.py's loop, in both of its legs."""
    import timm

    bare = ModuleType("model")  # whose own __init__ imports what scores, and so an old anomalib
    bare.__path__ = [str(Path(sys.path[0], "model"))]
    sys.modules["model"] = bare
    create = timm.create_model
    timm.create_model = lambda *args, **given: create(*args, **given | {"pretrained": False})
    from model.destseg import DeSTSeg
    from model.losses import cosine_similarity_loss, focal_loss, l1_loss

    net = DeSTSeg(dest=True, ed=True)
    given = {"momentum": 0.9, "weight_decay": 1e-4}
    optimizers = {
        "student": torch.optim.SGD(net.student_net.parameters(), lr=0.4, **given),
        "segmentation": torch.optim.SGD(net.segmentation_net.parameters(), lr=0.01, **given),
    }

    def of(leg: str) -> Step:
        def step() -> None:
            for optimizer in optimizers.values():
                optimizer.zero_grad()
            net.student_net.train(leg == "student")
            net.segmentation_net.train(leg == "segmentation")
            said, _, cosines = net(images, clean)
            seen = F.interpolate(mask, size=said.size()[2:], mode="bilinear", align_corners=False)
            seen = torch.where(seen < 0.5, torch.zeros_like(seen), torch.ones_like(seen))
            apart = cosine_similarity_loss(cosines)
            focal, absolute = focal_loss(said, seen, gamma=4), l1_loss(said, seen)
            (apart if leg == "student" else focal + absolute).backward()
            optimizers[leg].step()

        return step

    return [of("student"), of("segmentation")]


def memseg(images: torch.Tensor, clean: torch.Tensor, mask: torch.Tensor) -> list[Step]:
    """The body of train.py's loop."""
    import timm
    from focal_loss import FocalLoss
    from models.memory_module import MemoryBank
    from models.memseg import MemSeg

    extractor = timm.create_model("resnet18", pretrained=False, features_only=True)
    bank = MemoryBank([(torch.rand(3, SIDE, SIDE), 0, 0)] * 30)
    bank.update(extractor)
    for name in ("layer1", "layer2", "layer3"):
        for parameter in extractor[name].parameters():
            parameter.requires_grad = False
    net = MemSeg(memory_bank=bank, feature_extractor=extractor)
    learning = filter(lambda parameter: parameter.requires_grad, net.parameters())
    optimizer = torch.optim.AdamW(learning, lr=3e-3, weight_decay=5e-4)
    focal = FocalLoss(gamma=4, alpha=None)
    target = mask[:, 0].long()

    def step() -> None:
        net.train()
        optimizer.zero_grad()
        said = F.softmax(net(images), dim=1)
        absolute = F.l1_loss(said[:, 1, :], target)
        (0.6 * absolute + 0.4 * focal(said, target)).backward()
        optimizer.step()

    return [step]


THEIRS = {"draem": draem, "destseg": destseg, "memseg": memseg}


def seconds(step: Step) -> float:
    """Return the CPU seconds of a step."""
    began = time.process_time()
    step()
    return time.process_time() - began


def rows(name: str, folder: Path) -> Iterator[tuple[str, float, float]]:
    """Give for each leg its name, and the median seconds of our step and of theirs."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, str(folder / name))
    clean = torch.rand(BATCH, 3, SIDE, SIDE)
    mask = (torch.rand(BATCH, 1, SIDE, SIDE) > 0.95).float()
    images = torch.where(mask > 0, clean.flip(0), clean)
    pairs = zip(ours(name, images, clean, mask), THEIRS[name](images, clean, mask), strict=True)
    for leg, (own, theirs) in enumerate(pairs, 1):
        own(), theirs()  # what is set up once
        timed = [(seconds(own), seconds(theirs)) for _ in range(TURNS)]
        yield f"{name}, leg {leg}", *map(median, zip(*timed, strict=True))


def main() -> None:
    """Print a row per leg of what is named; each detector in a process, for their names collide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", choices=sorted(THEIRS))
    asked = parser.parse_args()
    if len(asked.names) > 1:
        for name in asked.names:
            command = [sys.executable, "-m", "tests.benchmarks.originals", str(asked.folder), name]
            subprocess.run(command, check=True)
        return
    for what, own, theirs in rows(asked.names[0], asked.folder):
        print(f"{what:20s} {own:6.2f} s, theirs {theirs:6.2f} s: {own / theirs:.2f}", flush=True)


if __name__ == "__main__":
    main()
