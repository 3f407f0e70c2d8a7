"""A tiny data set that draws itself, for tests of the stages: fast, and different in every id."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from asbench.types import Dataset, Item, mark_few_shot
from synth_store import address_rng
from synth_store.types import Image, Mask


@dataclass(frozen=True)
class Toys(Dataset):
    """Smooth grey-brown images of 48x40 pixels; defects are bright discs."""

    name: str = "toys"
    normals: int = 9
    shift: int = 0
    """Changes every pixel: another data set under the same name."""

    def categories(self) -> tuple[str, ...]:
        return ("a", "b")

    def items(self, category: str) -> tuple[Item, ...]:
        items = [Item(f"train/{i:02d}", category, "train", 0) for i in range(self.normals)]
        items += [Item(f"test/good/{i}", category, "test", 0) for i in range(4)]
        items += [Item(f"test/disc/{i}", category, "test", 1, "disc") for i in range(6)]
        return mark_few_shot(items)

    def image(self, item: Item) -> Image:
        rng = address_rng("toys", item.category, item.id, self.shift)
        coarse = rng.integers(90, 150, (4, 5, 3), dtype=np.uint8)
        image = np.asarray(cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC), np.uint8)
        mask = self.mask(item)
        assert mask is not None
        image[mask] = 230
        return image

    def mask(self, item: Item) -> Mask | None:
        mask = np.zeros((48, 40), np.uint8)
        if item.label:
            rng = address_rng("toys", "disc", item.id)
            centre = [int(c) for c in rng.integers(10, 30, 2)]
            cv2.circle(mask, centre, int(rng.integers(4, 9)), 1, -1)
        return mask.astype(bool)
