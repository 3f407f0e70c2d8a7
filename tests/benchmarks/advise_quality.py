"""The six image-quality metrics of stored sets, beside what `asbench advise` goes by.

Read from the records of a study, `STUDY/quality`, where all methods of a category stand there;
`whole_images` measures fewer samples in a minute a data set, of whole images alone. Both give a
number a method whose rank correlation with true detection `tests.benchmarks.advise` prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asbench.datasets import open_dataset
from asbench.evaluation.testset import TestSet, order_by_hash
from asbench.quality.distributions import frechet_distance, inception_score, kernel_distance
from asbench.quality.metrics import METRICS
from asbench.quality.pairwise import Psnr, Resnet, Ssim, _unit
from asbench.quality.record import Quality, Region
from synth_store import StoreKey, SynthStore

Floats = npt.NDArray[np.float64]
SMALL = 50
"""Samples of a set, and real defects, that `whole_images` looks at."""
PAIRS = ("ssim", "psnr", "lpips@resnet18")
BETTER_LOW = ("lpips", "fid", "kid")
"""Metrics of which less is better: their sign is turned, so that + says that quality detects."""


@torch.inference_mode()
def whole_images(
    path: str, name: str | None, category: str, root: Path, methods: Sequence[str], resnet: Path
) -> dict[str, Floats]:
    """Return six scores of whole images of each method, (M,) each, under the names of records.

    resnet: a file of ResNet-18: LPIPS, IS, FID and KID are the stand-ins that it serves. The first
    `SMALL` samples, against their own clean images, and against as many held-out real defects.
    """
    store, cpu = SynthStore.open(root), torch.device("cpu")
    net, ssim, psnr = Resnet(resnet, cpu), Ssim(), Psnr()
    data = open_dataset(path, name=name)
    held = [one for one in data.test(category) if one.label and not one.few_shot]
    test = TestSet(data, held, store.geometry)
    real = [
        _feature(net.net(_tensor(test.image(held[i]))))
        for i in order_by_hash([item.id for item in held])[:SMALL]
    ]
    sets = [store.read(StoreKey(name or path, method, 0), category) for method in methods]
    drawn: list[list[Floats]] = [[] for _ in methods]
    pairs: dict[str, list[list[float]]] = {m: [[] for _ in methods] for m in PAIRS}
    levels: dict[bytes, Any] = {}
    for i in range(SMALL):
        levels.clear()  # the sets' i-th samples share their clean image, mostly
        for at, stored in enumerate(sets):
            sample = stored[i]
            assert sample.clean is not None
            image, clean = _tensor(sample.image), _tensor(sample.clean)
            key = sample.clean.tobytes()
            if key not in levels:
                levels[key] = net.net(clean)
            own = net.net(image)
            drawn[at].append(_feature(own))
            whole: dict[Region, None] = {"whole": None}
            apart = [(_unit(own[k]) - _unit(levels[key][k])).square().sum(1).mean() for k in own]
            pairs["lpips@resnet18"][at].append(float(torch.stack(apart).sum()))
            pairs["ssim"][at].append(float(ssim(image, clean, whole)["whole"]))
            pairs["psnr"][at].append(float(psnr(image, clean, whole)["whole"]))
    features = [np.concatenate(one) for one in drawn]
    against = np.concatenate(real)
    out = {
        "is@resnet18-layer3:self": [inception_score(one)[0] for one in features],
        "fid@resnet18-layer3:real": [frechet_distance(against, one) for one in features],
        "kid@resnet18-layer3:real": [kernel_distance(against, one)[0] for one in features],
        **{f"{metric}:clean": [np.mean(one) for one in each] for metric, each in pairs.items()},
    }
    return {score: _signed(score, np.array(values)) for score, values in out.items()}


def from_records(
    qualities: Iterable[Quality], dataset: str, category: str, methods: Sequence[str]
) -> dict[str, Floats]:
    """Return the global scores that records have of every method of a category: (M,) each.

    Of measurements with several numbers of samples the one with most of them counts.
    """
    own = [
        q for q in qualities if (q.decides["dataset"], q.decides["category"]) == (dataset, category)
    ]
    for n in sorted({q.decides["n"] for q in own}, reverse=True):
        by = {q.decides["method"]: q for q in own if q.decides["n"] == n}
        if set(methods) <= set(by):
            break
    else:
        return {}
    out: dict[str, list[float]] = {}
    for method in methods:
        for score in by[method].scores:
            if score.metric in METRICS and score.region == "whole" and score.pairing != "normals":
                out.setdefault(f"{score.metric}:{score.pairing}", []).append(float(score.value))
    whole = {score: np.array(v) for score, v in out.items() if len(v) == len(methods)}
    return {score: _signed(score, v) for score, v in whole.items() if np.isfinite(v).all()}


def _signed(score: str, values: Floats) -> Floats:
    return -values if score.startswith(BETTER_LOW) else values


def _tensor(image: npt.NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image)[None].permute(0, 3, 1, 2).float() / 255


def _feature(levels: Mapping[str, torch.Tensor]) -> Floats:
    return np.asarray(levels["layer3"].mean((2, 3)).double().numpy())
