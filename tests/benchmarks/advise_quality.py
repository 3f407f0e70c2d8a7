"""The six image-quality metrics of stored sets, beside what `asbench advise` goes by.

Read from the records of a study, `STUDY/quality`, where all methods of a category stand there;
`whole_images` measures fewer samples in a minute a data set, of whole images alone. Both give a
number a method whose rank correlation with true detection `tests.benchmarks.advise` prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from asbench.datasets import open_dataset
from asbench.evaluation.testset import TestSet, order_by_hash
from asbench.quality.distributions import frechet_distance, inception_score, kernel_distance
from asbench.quality.feature_extractors import Layer3
from asbench.quality.metrics import METRICS
from asbench.quality.pairwise import Psnr, Resnet, Ssim
from asbench.quality.record import Quality
from synth_store import StoreKey, SynthStore

Floats = npt.NDArray[np.float64]
SMALL = 50
"""Samples of a set, and real defects, that `whole_images` looks at."""
BETTER_LOW = ("lpips", "fid", "kid")
"""Metrics of which less is better: their sign is turned, so that + says that quality detects."""


def whole_images(
    path: str, name: str | None, category: str, root: Path, methods: Sequence[str], resnet: Path
) -> dict[str, Floats]:
    """Return six scores of whole images of each method, (M,) each, under the names of records.

    resnet: a file of ResNet-18: LPIPS, IS, FID and KID are the stand-ins that it serves. The first
    `SMALL` samples, against their own clean images, and against as many held-out real defects.
    """
    store, cpu = SynthStore.open(root), torch.device("cpu")
    layer3, pairwise = Layer3(resnet, cpu), {"ssim": Ssim(), "psnr": Psnr()}
    pairwise["lpips@resnet18"] = Resnet(resnet, cpu)
    data = open_dataset(path, name=name)
    held = [one for one in data.test(category) if one.label and not one.few_shot]
    test = TestSet(data, held, store.geometry)
    some = order_by_hash([item.id for item in held])[:SMALL]
    with torch.inference_mode():
        real = np.concatenate([_features(layer3, [test.image(held[i])]) for i in some])
    out: dict[str, list[float]] = {}
    for method in methods:
        stored = store.read(StoreKey(name or path, method, 0), category)
        samples = [stored[i] for i in range(min(SMALL, stored.count))]
        drawn = np.concatenate([_features(layer3, [one.image]) for one in samples])
        scores = {
            "is@resnet18-layer3:self": inception_score(drawn)[0],
            "fid@resnet18-layer3:real": frechet_distance(real, drawn),
            "kid@resnet18-layer3:real": kernel_distance(real, drawn)[0],
        }
        for metric, of in pairwise.items():
            with torch.inference_mode():
                each = [
                    of(_tensor([one.image]) / 255, _tensor([one.clean]) / 255, {"whole": None})
                    for one in samples
                    if one.clean is not None
                ]
            scores[f"{metric}:clean"] = float(np.mean([one["whole"].numpy() for one in each]))
        for score, value in scores.items():
            out.setdefault(score, []).append(value)
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


def _tensor(images: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def _features(space: Layer3, images: Sequence[npt.NDArray[np.uint8]]) -> Floats:
    with torch.inference_mode():
        return space.features(_tensor(images), {"whole": None})["whole"]
