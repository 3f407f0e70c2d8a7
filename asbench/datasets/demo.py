"""The built-in data set: parts of an inspection line, drawn by code. Needs no files and no network.

Its layout is that of MVTec AD: normals to train on, a test set of normals and of defects by type,
each with its mask. Every image is a pure function of its item's id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from asbench.imaging.scenes import board, capsule, weave
from asbench.types import GOOD, Dataset, Item, mark_few_shot
from synth_store.rng import address_rng
from synth_store.types import Image, Mask, UserError

_Draw = Callable[[np.random.Generator, str | None, np.random.Generator | None], tuple[Image, Mask]]
_SCENES: dict[str, tuple[_Draw, tuple[str, ...]]] = {
    "board": (board.draw, board.DEFECTS),
    "capsule": (capsule.draw, capsule.DEFECTS),
    "weave": (weave.draw, weave.DEFECTS),
}
TRAIN_NORMALS = 60
TEST_NORMALS = 20
TEST_DEFECTS = 9
"""Test images of each defect type of a category."""


@dataclass(frozen=True)
class Demo(Dataset):
    """A circuit board, a printed capsule and a twill: 60 train, 20 + 36 test images each, 320x320.

    board: aligned but for a small jitter; capsule: one object, turned freely; weave: a texture.
    Defects change the scene's geometry or material before it is lit and photographed; a mask
    marks the pixels that a defect changed visibly, sensor noise aside. At equal library versions
    the same id gives the same bytes.
    """

    name = "demo"

    def categories(self) -> tuple[str, ...]:
        """Return `board`, `capsule` and `weave`."""
        return tuple(_SCENES)

    def items(self, category: str) -> tuple[Item, ...]:
        """Return all items of a category; raises UserError for an unknown one."""
        if category not in _SCENES:
            raise UserError(
                f"category {category!r} is not in demo: choose from {', '.join(_SCENES)}."
            )
        return _items(category)

    def image(self, item: Item) -> Image:
        """Return the photograph: uint8 (320, 320, 3); raises UserError for an unknown id."""
        return self._draw(item)[0]

    def mask(self, item: Item) -> Mask:
        """Return the defect's mask: bool (320, 320); raises UserError for an unknown id."""
        return self._draw(item)[1]

    def _draw(self, item: Item) -> tuple[Image, Mask]:
        if item.id not in {known.id for known in self.items(item.category)}:
            raise UserError(
                f"item {item.id!r} is not in category {item.category} of demo: ids are "
                f"{', '.join(f'{folder}/000' for folder in _folders(item.category))} and on."
            )
        split, defect, number = item.id.split("/")
        return _drawn(item.category, split, defect, int(number))


@lru_cache(maxsize=64)
def _drawn(category: str, split: str, defect: str, number: int) -> tuple[Image, Mask]:
    """Draw an item, never to be written into. A test set is kept: run after run is scored on it."""
    address = ("demo", category, split, defect, number)
    draw, _ = _SCENES[category]
    if defect == GOOD:
        drawn = draw(address_rng(*address), None, None)
    else:
        drawn = draw(address_rng(*address), defect, address_rng(*address, "defect"))
    for array in drawn:
        array.setflags(write=False)
    return drawn


def _folders(category: str) -> dict[str, int]:
    """Return how many images each folder of a category holds."""
    defects = _SCENES[category][1]
    good = {f"train/{GOOD}": TRAIN_NORMALS, f"test/{GOOD}": TEST_NORMALS}
    return good | {f"test/{defect}": TEST_DEFECTS for defect in defects}


@cache
def _items(category: str) -> tuple[Item, ...]:
    items = []
    for folder, count in _folders(category).items():
        split, _, defect = folder.partition("/")
        items += [
            Item(
                f"{folder}/{number:03d}",
                category,
                "train" if split == "train" else "test",
                int(defect != GOOD),
                defect,
            )
            for number in range(count)
        ]
    return mark_few_shot(items)
