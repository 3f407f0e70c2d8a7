"""What a category's sets are held against: its real defects and its normals, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from asbench.evaluation.testset import TestSet, order_by_hash
from asbench.progress import Progress, quiet
from asbench.quality.arrays import Pixels
from asbench.quality.feature_extractors import Space
from asbench.quality.record import REGIONS, Region
from asbench.quality.regions import bands
from asbench.results import Subset
from synth_store import Normals
from synth_store.rng import address_rng
from synth_store.types import Mask

BATCH = 16
"""Images that go through a network together."""

Floats = npt.NDArray[np.float64]
Features = Mapping[str, Mapping[Region, Floats]]
"""By space and region: float64 (n, C), NaN in rows whose image has no such region."""


@dataclass(frozen=True, eq=False)
class References:
    """The real defects of a category, and features of them and of its normals.

    real: which of the defects are the reference; n: normals looked at, chosen by hash.
    """

    test: TestSet
    normals: Normals
    real: Subset
    n: int
    spaces: Mapping[str, Space]
    device: torch.device
    progress: Progress = quiet

    @cached_property
    def defects(self) -> Pixels:
        """Every real defect's image, uint8 (m, H, W, 3)."""
        geometry = self.test.geometry
        out = np.empty((len(self._places), geometry.height, geometry.width, 3), np.uint8)
        for row, place in enumerate(self._places):
            self.progress(f"real defects of {self.test.data.name}", row + 1, len(self._places))
            out[row], _ = self.test.window(self.test.items[place])
        return out

    @cached_property
    def masks(self) -> list[Mask]:
        """The mask of each, bool (H, W); all False where none is on record."""
        return [self.test.window(self.test.items[place])[1] for place in self._places]

    @property
    def reference(self) -> list[int]:
        """The places, among the defects, of those that sets are held against."""
        few = self.few_shot
        return [i for i in range(len(few)) if self.real == "full" or not few[i]]

    @property
    def few_shot(self) -> list[bool]:
        """Of each defect, whether it may have been learned from."""
        return [self.test.items[place].few_shot for place in self._places]

    def partners(self, start: int, count: int) -> list[int]:
        """Return which reference each of samples start.. is paired with.

        The same for every set of the category, so that sets differ in their samples alone, and
        every reference as often as the others.
        """
        order = address_rng("quality pairs", self.test.data.name, self.test.items[0].category)
        places = order.permutation(np.array(self.reference))
        return [int(places[i % len(places)]) for i in range(start, start + count)]

    @cached_property
    def of_defects(self) -> Features:
        """Features of every real defect."""
        masks = np.stack(self.masks) if self.masks else np.empty((0, 1, 1), np.bool_)
        return features(self.spaces, self.defects, masks, self.device)

    @cached_property
    def of_normals(self) -> Mapping[str, Floats]:
        """Features of whole training normals, at most n of them: float64 (m, C) by space."""
        chosen = sorted(order_by_hash(self.normals.ids)[: self.n])
        parts: dict[str, list[Floats]] = {name: [] for name in self.spaces}
        for start in range(0, len(chosen), BATCH):
            self.progress(f"normals of {self.test.data.name}", start, len(chosen))
            images = tensor([self.normals[i] for i in chosen[start : start + BATCH]], self.device)
            for name, space in self.spaces.items():
                parts[name].append(space.features(images, {"whole": None})["whole"])
        self.progress(f"normals of {self.test.data.name}", len(chosen), len(chosen))
        return {name: np.concatenate(some) for name, some in parts.items()}

    @cached_property
    def _places(self) -> list[int]:
        return [i for i, item in enumerate(self.test.items) if item.label]


def features(
    spaces: Mapping[str, Space],
    images: Pixels,
    masks: npt.NDArray[np.bool_],
    device: torch.device,
) -> dict[str, dict[Region, Floats]]:
    """Return the features of images, uint8 (n, H, W, 3), with their masks, bool (n, H, W)."""
    parts: dict[str, dict[Region, list[Floats]]] = {
        name: {region: [] for region in REGIONS} for name in spaces
    }
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        pixels, regions = tensor(images[rows], device), region_tensors(masks[rows], device)
        for name, space in spaces.items():
            for region, values in space.features(pixels, regions).items():
                parts[name][region].append(values)
    return {
        name: {region: np.concatenate(some) for region, some in by.items() if some}
        for name, by in parts.items()
    }


def region_tensors(
    masks: npt.NDArray[np.bool_], device: torch.device
) -> dict[Region, torch.Tensor | None]:
    """Return the regions of masks, bool (B, H, W) each; None for the whole image."""
    return {
        "whole": None,
        "inside": torch.from_numpy(masks).to(device),
        "border": torch.from_numpy(bands(masks)).to(device),
    }


def tensor(images: Pixels | Sequence[Pixels], device: torch.device) -> torch.Tensor:
    """Return images as uint8 (B, 3, H, W) on a device."""
    stack = np.stack(list(images)) if not isinstance(images, np.ndarray) else images
    return torch.from_numpy(np.ascontiguousarray(stack)).to(device).permute(0, 3, 1, 2)
