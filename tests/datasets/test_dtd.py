"""The DTD folder on small trees made here, and on the real one where ASBENCH_DATA names it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from asbench import plugins
from asbench.datasets.dtd import Dtd
from asbench.types import Dataset
from synth_store.types import UserError
from tests import trees


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    trees.dtd(tmp_path)
    return tmp_path


def test_is_the_plugin_of_its_name() -> None:
    assert plugins.load("asbench.datasets", "dtd", Dataset) is Dtd


def test_all_images_are_train_normals_sorted_and_without_dot_files(tree: Path) -> None:
    data = Dtd(tree)
    assert data.categories() == ("all",)
    assert [i.id for i in data.train("all")] == ["banded/banded_0001.jpg", "woven/woven_0002.jpg"]
    assert data.test("all") == ()
    with pytest.raises(UserError, match="choose all"):
        data.items("banded")


def test_images_are_rgb_at_native_size(tree: Path) -> None:
    data = Dtd(tree)
    red, blue = (data.image(i) for i in data.items("all"))
    assert red.shape == (40, 20, 3)
    assert red.dtype == np.uint8
    assert red[0, 0].argmax() == 0
    assert blue[0, 0].argmax() == 2
    mask = data.mask(data.items("all")[0])
    assert mask is not None
    assert mask.shape == (40, 20)
    assert not mask.any()


def test_another_layout_is_refused_naming_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "banded").mkdir()
    with pytest.raises(UserError, match=r"images.*procedural"):
        Dtd(tmp_path)
    with pytest.raises(UserError, match="no DTD in"):
        Dtd(tmp_path / "missing")


def test_a_damaged_file_is_named(tree: Path) -> None:
    (tree / "images/banded/banded_0001.jpg").write_bytes(b"not a picture")
    with pytest.raises(UserError, match=r"banded_0001\.jpg"):
        Dtd(tree).image(Dtd(tree).items("all")[0])


@pytest.mark.data
def test_the_real_folder() -> None:
    root = os.environ.get("ASBENCH_DATA")
    if root is None or not Path(root, "dtd").is_dir():
        pytest.skip("ASBENCH_DATA names no folder that holds dtd")
    data = Dtd(Path(root, "dtd"))
    items = data.items("all")
    assert len(items) > 100
    for item in items[:: len(items) // 5]:
        image = data.image(item)
        assert image.ndim == 3
        assert min(image.shape[:2]) >= 200
