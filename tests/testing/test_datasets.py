"""The contract catches the data sets it is there to catch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from asbench.testing import DatasetContract
from asbench.types import Dataset, Item, mark_few_shot
from synth_store.types import Image, Mask, UserError

CONTRACT = DatasetContract()


@dataclass(frozen=True)
class Sound(Dataset):
    """Four normals and six defects, in one category."""

    name = "sound"

    def categories(self) -> tuple[str, ...]:
        return ("a",)

    def items(self, category: str) -> tuple[Item, ...]:
        if category != "a":
            raise UserError(f"category {category!r} is not in sound: choose a.")
        normals = [Item(f"good/{i}", "a", "train" if i else "test", 0) for i in range(4)]
        defects = [Item(f"dot/{i}", "a", "test", 1, "dot") for i in range(6)]
        return mark_few_shot([*normals, *defects])

    def image(self, item: Item) -> Image:
        return np.full((6, 8, 3), 20 + int(item.id[-1]), np.uint8)

    def mask(self, item: Item) -> Mask | None:
        return np.full((6, 8), bool(item.label))


class Unsorted(Sound):
    def items(self, category: str) -> tuple[Item, ...]:
        return super().items(category)[::-1]


class Leaking(Sound):
    def items(self, category: str) -> tuple[Item, ...]:
        return tuple(replace(i, split="train") for i in super().items(category))


class Generous(Sound):
    def items(self, category: str) -> tuple[Item, ...]:
        return tuple(replace(i, few_shot=bool(i.label)) for i in super().items(category))


class Looking(Sound):
    def items(self, category: str) -> tuple[Item, ...]:
        items = super().items(category)
        return tuple(i for i in items if not i.label or self.mask(i) is not None)


class Open(Sound):
    def items(self, category: str) -> tuple[Item, ...]:
        return super().items("a")


class Grey(Sound):
    def image(self, item: Item) -> Any:
        return super().image(item)[..., 0]


class Marked(Sound):
    def mask(self, item: Item) -> Mask:
        return np.ones((6, 8), np.bool_)


class Levels(Sound):
    def mask(self, item: Item) -> Any:
        return np.full((6, 8), 255 * item.label, np.uint8)


class Moving(Sound):
    def image(self, item: Item) -> Image:
        rng = np.random.default_rng()
        return rng.integers(0, 256, (6, 8, 3), np.uint8)


@dataclass(frozen=True)
class Undocumented(Sound):
    grouped: bool = False


@pytest.mark.parametrize(
    ("test", "faulty"),
    [
        ("test_says_what_it_is_and_what_its_parameters_mean", Undocumented),
        ("test_categories_and_items_come_in_a_fixed_order", Unsorted),
        ("test_normals_train_and_every_item_has_its_split", Leaking),
        ("test_few_shot_marks_go_to_a_third_of_every_defect_type", Generous),
        ("test_labels_do_not_come_from_masks", Looking),
        ("test_images_and_masks_are_whole_and_read_alike_twice", Grey),
        ("test_images_and_masks_are_whole_and_read_alike_twice", Marked),
        ("test_images_and_masks_are_whole_and_read_alike_twice", Levels),
        ("test_images_and_masks_are_whole_and_read_alike_twice", Moving),
    ],
)
def test_a_fault_is_found(
    test: str, faulty: type[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = (monkeypatch,) if test == "test_labels_do_not_come_from_masks" else ()
    getattr(CONTRACT, test)(Sound(), *more)
    with pytest.raises(AssertionError):
        getattr(CONTRACT, test)(faulty(), *more)


def test_an_unknown_category_that_is_taken_is_found() -> None:
    with pytest.raises(pytest.fail.Exception):
        CONTRACT.test_an_unknown_category_is_refused_with_the_choices(Open())
