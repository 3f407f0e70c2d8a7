"""The contract of data sets: what they list, and a few images of every kind."""

from __future__ import annotations

import dataclasses
import pickle
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from asbench.parameters import parameters
from asbench.types import GOOD, Dataset, Item, mark_few_shot
from synth_store.types import UserError, check_category, check_name

UNKNOWN = "no-such-category"


class DatasetContract:
    """Tests of what every data set promises; give it a `dataset` fixture.

    One of files reads them from where the fixture says: the real ones, or a handful in their
    layout.
    """

    reads = 2
    """Images read of every category, split and defect type: the first ones."""
    lowest_third = True
    """Whether few-shot marks go to the lowest third by id; else to a third at most."""

    @pytest.fixture
    def dataset(self) -> Dataset:
        raise NotImplementedError("define a fixture `dataset` that returns yours")

    def read(self, dataset: Dataset) -> Iterator[Item]:
        """Yield the items whose images are read."""
        for category in dataset.categories():
            kinds: defaultdict[tuple[str, str], list[Item]] = defaultdict(list)
            for item in dataset.items(category):
                kinds[item.split, item.defect].append(item)
            for items in kinds.values():
                yield from items[: self.reads]

    def test_says_what_it_is_and_what_its_parameters_mean(self, dataset: Dataset) -> None:
        cls = type(dataset)
        assert check_name(dataset.name, "data set")
        assert cls.__doc__
        assert dataclasses.is_dataclass(cls), "a data set is a frozen dataclass"
        assert cls.__dataclass_params__.frozen, "a data set is a frozen dataclass"
        for parameter in parameters(cls):
            assert parameter.doc, f"parameter {parameter.name!r} has no documentation"

    def test_categories_and_items_come_in_a_fixed_order(self, dataset: Dataset) -> None:
        categories = dataset.categories()
        assert categories
        assert len(set(categories)) == len(categories)
        copy = pickle.loads(pickle.dumps(dataset))
        assert copy.categories() == categories == dataset.categories()
        for category in categories:
            check_category(category)
            items = dataset.items(category)
            assert {i.category for i in items} == {category}
            ids = [i.id for i in items]
            assert ids == sorted(set(ids)), "ids are unique, and items sorted by them"
            assert copy.items(category) == items == dataset.items(category)

    def test_normals_train_and_every_item_has_its_split(self, dataset: Dataset) -> None:
        for category in dataset.categories():
            items, train = dataset.items(category), dataset.train(category)
            assert train, "a category without normals to train on"
            assert not any(i.label for i in train), "detectors train on normal images only"
            assert {*train, *dataset.test(category)} == set(items)
            for item in items:
                assert item.label in (0, 1)
                assert (item.defect == GOOD) == (not item.label), item

    def test_few_shot_marks_go_to_a_third_of_every_defect_type(self, dataset: Dataset) -> None:
        """Rounded down; only they may ever train anything."""
        for category in dataset.categories():
            items = dataset.items(category)
            if self.lowest_third:
                unmarked = [dataclasses.replace(i, few_shot=False) for i in items]
                assert items == mark_few_shot(unmarked)
            marked = Counter(i.defect for i in items if i.few_shot)
            counts = Counter(i.defect for i in items if i.label)
            assert all(few <= counts[defect] // 3 for defect, few in marked.items())

    def test_labels_do_not_come_from_masks(
        self, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        copy = pickle.loads(pickle.dumps(dataset))
        expected = {c: dataset.items(c) for c in dataset.categories()}

        def refuse(self: Dataset, item: Item) -> None:
            raise AssertionError(f"the mask of {item} was read to list it")

        monkeypatch.setattr(type(dataset), "mask", refuse)
        assert {c: copy.items(c) for c in copy.categories()} == expected

    def test_images_and_masks_are_whole_and_read_alike_twice(self, dataset: Dataset) -> None:
        copy = pickle.loads(pickle.dumps(dataset))
        assert copy == dataset
        for item in self.read(dataset):
            image, mask = dataset.image(item), dataset.mask(item)
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3, "grey images are repeated to RGB"
            assert np.array_equal(copy.image(item), image)
            if not item.label:
                assert mask is not None, "the mask of a normal image is empty, not missing"
                assert not mask.any(), f"the mask of {item} marks something"
            if mask is not None:
                assert mask.dtype == np.bool_
                assert mask.shape == image.shape[:2]
                assert mask.any() == bool(item.label), "a mask without a mark is None"
                again = copy.mask(item)
                assert again is not None
                assert np.array_equal(again, mask)

    def test_paths_are_files_where_there_are_any(self, dataset: Dataset) -> None:
        for item in self.read(dataset):
            for path in (dataset.image_path(item), dataset.mask_path(item)):
                assert path is None or path.is_file(), f"{item}: {path} is no file"

    def test_an_unknown_category_is_refused_with_the_choices(self, dataset: Dataset) -> None:
        with pytest.raises(UserError) as refused:
            dataset.items(UNKNOWN)
        assert UNKNOWN in str(refused.value)
        assert dataset.categories()[0] in str(refused.value)
