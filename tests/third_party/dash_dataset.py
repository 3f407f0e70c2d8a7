"""Plates: grey squares, drawn; some with a white dot."""

from dataclasses import dataclass

import numpy as np

from asbench.types import Dataset, Item, mark_few_shot
from synth_store import UserError
from synth_store.types import Image, Mask


@dataclass(frozen=True)
class Plates(Dataset):
    """Four normals to train on, two to test, three with a dot."""

    name = "plates"

    def categories(self) -> tuple[str, ...]:
        return ("plate",)

    def items(self, category: str) -> tuple[Item, ...]:
        if category != "plate":
            raise UserError(f"category {category!r} is not in plates: choose plate.")
        normals = [Item(f"good/{i}", category, "train" if i > 1 else "test", 0) for i in range(6)]
        return mark_few_shot(
            [*normals, *(Item(f"dot/{i}", category, "test", 1, "dot") for i in range(3))]
        )

    def image(self, item: Item) -> Image:
        grey = np.full((40, 48, 3), 90 + 10 * int(item.id[-1]), np.uint8)
        grey[self.mask(item)] = 255
        return grey

    def mask(self, item: Item) -> Mask:
        mask = np.zeros((40, 48), np.bool_)
        mask[10:14, 20:24] = item.label
        return mask
