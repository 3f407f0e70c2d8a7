"""A category's test images, and what a detector says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from asbench import results
from asbench.evaluation.predict import predict
from asbench.evaluation.score import TestScores
from asbench.imaging.geometry import fit, fit_mask
from asbench.ingest import Progress, quiet
from asbench.nets.detector import Detector
from asbench.types import Dataset, Item
from synth_store.types import Geometry, Image, Mask, UserError

GALLERY_DEFECTS, GALLERY_NORMALS = 9, 3


@dataclass(frozen=True)
class TestSet:
    """Test images of one category, brought to a store's geometry as they are needed."""

    __test__ = False  # not a test, whatever pytest makes of its name

    data: Dataset
    items: Sequence[Item]
    geometry: Geometry

    def refuse_without_anomalies(self) -> None:
        """Raise UserError if there is nothing that a detector could find."""
        if not any(item.label for item in self.items):
            raise UserError(
                f"{self.data.name} has no anomalous test images here, so nothing could be scored: "
                "see what was recognised with `asbench data check PATH`."
            )

    def refuse_unusable(self, progress: Progress = quiet) -> None:
        """Read every image and mask file; raises UserError for the first that cannot be used.

        Done before a training, because a file that cannot be scored would waste all of it.
        """
        files = [item for item in self.items if self.data.image_path(item) is not None]
        for done, item in enumerate(files, 1):
            self.data.image(item)
            self.data.mask(item)
            progress(f"checking test images of {self.data.name}", done, len(files))

    def image(self, item: Item) -> Image:
        """Return an item's image: uint8 (H, W, 3)."""
        return fit(self.data.image(item), self.geometry)

    def mask(self, item: Item) -> Mask | None:
        """Return an item's mask: bool (H, W), None where none is on record."""
        found = self.data.mask(item)
        return None if found is None else fit_mask(found, self.geometry)

    def scores(
        self,
        model: Detector,
        device: torch.device,
        progress: Callable[[int, int], None] | None = None,
    ) -> TestScores:
        """Return what a detector on `device` says of every image, beside the truth."""

        def images() -> Iterator[Image]:
            for done, item in enumerate(self.items):
                if progress is not None:
                    progress(done, len(self.items))
                yield self.image(item)

        maps, scores = predict(model, images(), device)
        return TestScores(
            ids=[i.id for i in self.items],
            labels=[i.label for i in self.items],
            defects=[i.defect for i in self.items],
            few_shot=[i.few_shot for i in self.items],
            scores=scores,
            maps=maps,
            masks=[self.mask(i) for i in self.items],
        )

    def gallery(self, found: TestScores) -> results.Gallery:
        """Return some defects and normals, chosen by a hash of their names: by nobody's taste."""
        order = sorted(
            range(len(self.items)), key=lambda i: hashlib.sha256(self.items[i].id.encode()).digest()
        )
        chosen = [i for i in order if self.items[i].label][:GALLERY_DEFECTS]
        chosen += [i for i in order if not self.items[i].label][:GALLERY_NORMALS]
        shape = (self.geometry.height, self.geometry.width)
        masks = [found.masks[i] for i in chosen]
        return results.Gallery(
            ids=tuple(self.items[i].id for i in chosen),
            images=np.stack([self.image(self.items[i]) for i in chosen]),
            masks=np.stack([np.zeros(shape, np.bool_) if m is None else m for m in masks]),
            maps=found.maps[chosen].astype(np.float16),
        )


def only_metrics(evaluated: Mapping[str, Any]) -> results.Scores:
    """Return the metrics of an evaluation, without its counts and reasons."""
    return {s: {m: float(evaluated[s][m]) for m in results.METRICS} for s in results.SUBSETS}
