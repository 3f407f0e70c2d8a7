"""Features of stored images: computed once, kept beside them, read by every training."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from random import Random

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asbench.evaluation.testset import TestSet
from asbench.grid.processes import one_thread
from asbench.nets.features import CELL, COARSE, TOGETHER, FeatureDetector, Features
from asbench.nets.pretrained import weights_digest
from asbench.progress import Progress, quiet
from asbench.types import Interrupted
from synth_store import Normals, StoredSet, SynthStore
from synth_store.digest import combine, sample_digests
from synth_store.features import SHARD, FeatureArrays, Pictured, kept
from synth_store.types import Image, Sample

FORM = f"levels at strides {CELL} and {COARSE}, {TOGETHER} image at a time"
"""Another where the numbers become others: what was kept before is then computed anew."""
LEVELS = ("fine", "coarse")
Counted = Callable[[int, int], None]
"""Told how many of how many images are done."""


@dataclass(frozen=True)
class TestImages:
    """The test images of the category that these normals are of; digest: of the test set."""

    __test__ = False  # not a test, whatever pytest makes of its name

    test: TestSet
    normals: Normals
    digest: str

    def __len__(self) -> int:
        return len(self.test.items)

    def __getitem__(self, index: int) -> Image:
        return self.test.image(self.test.items[index])


Source = Normals | StoredSet | TestImages


@dataclass(frozen=True)
class FeatureStore:
    """Gives a detector the features of normals, stored samples and test images.

    What the store lacks is computed shard by shard and kept there, unless the store is only read.
    An image's features are the same bytes whatever is computed beside them and on how many threads:
    every group of images passes through the network on one.

    progress: hears of what is computed, not of what is read; stop: asked before every shard; where
    it returns True, Interrupted is raised.
    """

    store: SynthStore
    detector: FeatureDetector
    progress: Progress = quiet
    stop: Callable[[], bool] | None = None

    def of(self, source: Source, indices: Sequence[int]) -> Features:
        """Return the features of some images of a source, in their order, on the detector's device.

        Raises StoreError for damaged bytes, and where another process replaced the images or
        dropped the features meanwhile.
        """
        wanted = [int(index) for index in indices]
        return self.reader(source, wanted)(wanted)

    def reader(self, source: Source, indices: Sequence[int]) -> Callable[[Sequence[int]], Features]:
        """Compute what the store lacks of some images; return what gives any of them in any order.

        Of a store that keeps none they are computed whenever they are asked for. Both raise what
        `of` raises.
        """
        arrays = self._kept(source, indices)
        heard = partial(self.progress, f"features of {_named(source)}")
        if arrays is None:
            return partial(self._afresh, source, heard)
        missing = arrays.missing(indices)
        # Each in an order of its own, so that several processes that lack the same share the work.
        Random(os.getpid()).shuffle(missing)
        done, total = 0, sum(len(arrays.images(number)) for number in missing)
        for number in missing:
            images = arrays.images(number)
            if arrays.present(number) < len(images):
                computed = self._computed(source, images, heard, done, total)
                arrays.write(number, {name: _array(getattr(computed, name)) for name in LEVELS})
            done += len(images)
        return partial(self._read, arrays)

    def _afresh(self, source: Source, heard: Counted, indices: Sequence[int]) -> Features:
        parts = []
        for begin in range(0, len(indices), SHARD):
            some = indices[begin : begin + SHARD]
            parts.append(self._computed(source, some, heard, begin, len(indices)))
        return Features.together(parts)

    def _read(self, arrays: FeatureArrays, indices: Sequence[int]) -> Features:
        read = arrays.read(indices)
        return Features(*(torch.from_numpy(read[name]).to(self._device) for name in LEVELS))

    def _kept(self, source: Source, wanted: Sequence[int]) -> FeatureArrays | None:
        """Return where the features of a source are kept; None where they cannot be."""
        of_test = isinstance(source, TestImages)
        backbone = re.sub("[^A-Za-z0-9_.-]", "-", self.detector.backbone_name)
        name = f"{backbone}-{self._weights[:12]}"
        geometry, channels = self.store.geometry, self.detector.channels
        return kept(
            self.store,
            _pictured(source),
            f"test-{name}" if of_test else name,
            identity={
                "images": "test" if of_test else "stored",
                "backbone": self.detector.backbone_name,
                "weights": self._weights,
                "form": FORM,
            },
            levels={
                level: (geometry.height // side, geometry.width // side, width)
                for level, side, width in zip(LEVELS, (CELL, COARSE), channels, strict=True)
            },
            versions={
                "torch": torch.__version__,
                "device": self._device.type,
                "cpu": torch.backends.cpu.get_cpu_capability(),
                **self.detector.extractor.versions(),
            },
            wanted=wanted,
        )

    @cached_property
    def _weights(self) -> str:
        """What the features depend on, in 64 hex digits; `Pretrained.digest` with all channels."""
        return weights_digest(self.detector.extractor.weights())

    @property
    def _device(self) -> torch.device:
        return self.detector.get_buffer("kernel").device

    def _computed(
        self, source: Source, indices: Sequence[int], heard: Counted, done: int, total: int
    ) -> Features:
        """Look at some images on as many threads as torch has; `done` of `total` have been."""
        if self.stop is not None and self.stop():
            raise Interrupted(
                f"stopped while features of {_named(source)} were computed: the same command "
                "continues."
            )
        threads = 1 if self._device.type == "cuda" else torch.get_num_threads()
        parts = []
        # Images are read on this thread: a normal that two inflate at once would be torn.
        with one_thread(), ThreadPoolExecutor(threads) as pool:
            for part in pool.map(partial(looked_at, self.detector), _groups(source, indices)):
                parts.append(part)
                done += len(part)
                heard(done, total)
        return Features.together(parts)


def looked_at(detector: FeatureDetector, images: Sequence[Image]) -> Features:
    """Return the features of up to `TOGETHER` images, uint8 (H, W, 3), on the detector's device.

    Fewer are filled up, so that an image's features are the same whatever stands beside it.
    """
    pixels = np.stack([*images, *[images[-1]] * (TOGETHER - len(images))])
    device = detector.get_buffer("kernel").device
    given = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
    return detector.look(given)[: len(images)]


def _groups(source: Source, indices: Sequence[int]) -> Iterator[list[Image]]:
    """Yield the images in groups of `TOGETHER`, fewer at the end."""
    for begin in range(0, len(indices), TOGETHER):
        some = (source[i] for i in indices[begin : begin + TOGETHER])
        yield [one.image if isinstance(one, Sample) else one for one in some]


def _pictured(source: Source) -> Pictured:
    """Return which images a source has, and where their features belong."""
    if isinstance(source, StoredSet):

        def first(count: int) -> str:
            return combine(sample_digests(source, count))

        return Pictured(source.folder, source.count, str(source.digest), first)
    folder = source.folder if isinstance(source, Normals) else source.normals.folder
    return Pictured(folder, len(source), source.digest)


def _named(source: Source) -> str:
    if isinstance(source, StoredSet):
        return f"{source.key}/{source.category}"
    normals = source if isinstance(source, Normals) else source.normals
    kind = "normals" if isinstance(source, Normals) else "test images"
    return f"{kind} of {normals.folder.parent.parent.name}/{normals.folder.name}"


def _array(features: Tensor) -> npt.NDArray[np.float16]:
    array: npt.NDArray[np.float16] = features.cpu().numpy()
    return array
