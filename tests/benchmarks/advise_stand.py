"""What benchmarks of advice stand on: a set tried as `advise` does, and its real defects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from asbench.advising.gather import trial_of
from asbench.advising.trial import Bench, Judged, Shown, judged, single
from asbench.datasets import open_dataset
from asbench.detectors import build, pretrained_of
from asbench.detectors.memory import MARKED
from asbench.evaluation.testset import TestSet
from asbench.nets.features import FeatureDetector, cell_share
from asbench.training.feature_store import FeatureStore, TestImages
from synth_store import Mix, StoreKey, SynthStore

METHODS = (
    *("compose", "cutout", "cutpaste", "cutpaste_scar", "defectmaker", "destseg", "draem", "fpi"),
    *("fractal", "glass", "memseg", "nsa", "pii", "riad", "simplex"),
)
STEPS, PHOTOGRAPHS, SAMPLES = 200, 300, 120


@dataclass(frozen=True)
class Place:
    """A data set's category; path: where its images are, if it is a folder."""

    dataset: str
    category: str
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read `demo:board` or `tire=PATH:tire`."""
        name, _, category = text.rpartition(":")
        dataset, equals, path = name.partition("=")
        return cls(dataset, category, path if equals else None)

    def __str__(self) -> str:
        return f"{self.dataset}/{self.category}"


@dataclass(frozen=True, eq=False)
class Stand:
    """One seed's bench over all methods, and the real test images that only judges see.

    marked: which cells of each image are defective: bool (n, h, w); of none where there are no
    masks, which `masked` tells.
    """

    bench: Bench
    test: TestSet
    shown: Shown
    marked: npt.NDArray[np.bool_]

    @property
    def masked(self) -> bool:
        """Whether the data set says where its defects are."""
        return bool(self.marked.any())

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Of each test image, whether it is defective: (n,) of 0 and 1."""
        return np.array([item.label for item in self.test.items])

    def singles(self, shown: Shown) -> Judged:
        """Return what the heads trained on each method alone say of images."""
        heads = [self.bench.head(single(method)) for method in METHODS]
        return judged(self.bench.memory, heads, shown)

    def said(self, mixes: list[Mix]) -> Judged:
        """Return what heads trained on mixtures say of the test images."""
        return judged(self.bench.memory, [self.bench.head(mix) for mix in mixes], self.shown)


def stand(place: Place, root: Path, seed: int) -> Stand:
    """Return a data set's stand, of the sets in the store at `root`."""
    store, pretrained = SynthStore.open(root), pretrained_of("memory")
    model = build("memory", 0)
    assert isinstance(model, FeatureDetector)
    assert pretrained is not None
    model.load_backbone(pretrained.tensors)
    features = FeatureStore(store, model.eval())
    normals = store.normals(place.dataset, place.category)
    sets = [store.read(StoreKey(place.dataset, m, 0), place.category) for m in METHODS]
    trial = trial_of(features, normals, sets, SAMPLES, PHOTOGRAPHS, pretrained)
    named = place.path is not None
    data = open_dataset(place.path or place.dataset, name=place.dataset if named else None)
    test = TestSet(data, data.test(place.category), store.geometry)
    images = TestImages(test, normals, test.digest())
    looked = features.of(images, range(len(images)))
    empty = np.zeros((store.geometry.height, store.geometry.width), np.bool_)
    masks = [empty if mask is None else mask for mask in test.masks]
    share = cell_share(torch.from_numpy(np.stack(masks))[:, None].float())
    shown = Shown(looked, share, torch.full((len(images),), -1))
    return Stand(Bench.of(trial, seed, STEPS), test, shown, share.numpy() > MARKED)
