"""Folders and annotated folders beside each other, by links: each is a category, none is lost."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import asbench
from asbench.data.check import check
from asbench.datasets import open_dataset, place_of
from asbench.evaluation.testset import TestSet
from asbench.testing import DatasetContract
from asbench.types import Dataset
from synth_store import Geometry, UserError
from tests import newer_trees, trees
from tests.datasets.test_annotated import cvat_coco, roboflow_yolo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Links to four data sets of four layouts, and a folder that is none."""
    trees.mvtec(tmp_path / "fibre", ("tear",))
    newer_trees.loco(tmp_path)
    cvat_coco(tmp_path / "Cable set")
    roboflow_yolo(tmp_path / "weld")
    root = tmp_path / "parts"
    root.mkdir()
    for name in ("fibre", "juice_bottle", "Cable set", "weld"):
        (root / name).symlink_to(tmp_path / name)
    trees.save(root / "notes" / "sketch.png", trees.picture(1))
    return root


@pytest.fixture
def dataset(root: Path) -> Dataset:
    return open_dataset(root)


class TestContract(DatasetContract):
    """The public contract, over all four."""

    @pytest.fixture
    def dataset(self, root: Path) -> Dataset:
        return open_dataset(root)


def test_each_is_read_as_it_is_alone(dataset: Dataset, tmp_path: Path) -> None:
    assert dataset.name == "parts"
    assert dataset.categories() == ("cable_set", "fibre", "juice_bottle", "weld")
    for folder, category in zip(
        ("Cable set", "fibre", "juice_bottle", "weld"), dataset.categories(), strict=True
    ):
        alone = open_dataset(tmp_path / folder)
        (own,) = alone.categories()
        assert [replace(i, category=own) for i in dataset.items(category)] == list(alone.items(own))
        sets = [
            TestSet(data, data.test(name), Geometry(16, 16))
            for data, name in ((dataset, category), (alone, own))
        ]
        assert [one.regions is None for one in sets] == [category != "juice_bottle"] * 2
        for one, other in zip(sets[0].masks, sets[1].masks, strict=True):
            assert (one is None) == (other is None)
            assert one is None or other is None or np.array_equal(one, other)
    assert pickle.loads(pickle.dumps(dataset)).categories() == dataset.categories()


def test_check_says_how_each_is_read_and_what_is_left(dataset: Dataset, root: Path) -> None:
    assert place_of(dataset) == root
    report = check(root)
    assert report.usable
    assert "cable_set: annotated as COCO; weld: annotated as YOLO" in report.recognised
    assert "categories in sub-folders; fibre, juice_bottle: train and test" in report.recognised
    assert [c.category for c in report.categories] == list(dataset.categories())
    said = {p.path: p.reason for p in report.problems}
    assert said[str(root / "notes" / "sketch.png")] == "lies outside every category."


def test_one_run_is_over_all_of_them(root: Path, tmp_path: Path) -> None:
    store, runs = tmp_path / "store", tmp_path / "runs"
    some = ["cable_set", "fibre"]
    for category in some:
        asbench.generate(root, ["cutout"], n=8, size=32, store=store, category=category, workers=1)
    run = asbench.train(
        root,
        "cutout",
        category=",".join(some),
        joint=True,
        detector="unet@tiny",
        settings={"width": 2},
        steps=2,
        batch=2,
        store=store,
        runs=runs,
        device="cpu",
    )
    assert set(run.run.by_category) == set(some)


def test_two_of_one_name_are_refused(root: Path, tmp_path: Path) -> None:
    trees.mvtec(root / "cable_set", ("tear",))
    with pytest.raises(UserError, match=r"give category 'cable_set': rename one"):
        open_dataset(root).categories()
    (root / "cable_set").rename(tmp_path / "away")
    dataset = open_dataset(root)
    with pytest.raises(UserError, match="category 'none' is not in parts"):
        dataset.items("none")
