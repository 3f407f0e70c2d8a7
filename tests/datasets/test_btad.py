"""BTAD: ok and ko, endings that differ between images and masks, masks of three channels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from asbench.datasets.btad import Btad
from synth_store.types import UserError
from tests.trees import block, btad


@pytest.fixture
def root(tmp_path: Path) -> Path:
    btad(tmp_path / "BTech_Dataset_transformed")
    return tmp_path


@pytest.mark.parametrize("inside", ["", "BTech_Dataset_transformed"])
def test_ok_trains_and_ko_is_the_one_type(root: Path, inside: str) -> None:
    data = Btad(root / inside)
    assert (data.name, data.categories()) == ("btad", ("01", "02", "03"))
    for product, (image, mask) in {
        "01": (".bmp", ".png"),
        "02": (".png", ".png"),
        "03": (".bmp", ".bmp"),
    }.items():
        items = data.items(product)
        assert Counter((i.split, i.label, i.defect) for i in items) == {
            ("train", 0, "good"): 5,
            ("test", 0, "good"): 2,
            ("test", 1, "ko"): 4,
        }
        assert {Path(i.id).suffix for i in items} == {image}
        assert [i.id for i in items if i.few_shot] == [f"test/ko/0000{image}"]
        for item in items:
            found = data.mask(item)
            assert found is not None
            shape = (12, 16) if product == "03" else (12, 12)
            assert data.image(item).shape == (*shape, 3)
            assert np.array_equal(found, (block(shape) > 0) & bool(item.label))
            if item.label:
                assert data.mask_path(item) == (
                    data._base / product / "ground_truth" / "ko" / Path(item.id).name
                ).with_suffix(mask)


def test_a_copy_converted_to_png_is_read_alike(root: Path) -> None:
    before = {
        (p, Path(i.id).stem, i.defect, i.split, i.few_shot)
        for p in ("01", "03")
        for i in Btad(root).items(p)
    }
    for path in root.rglob("*.bmp"):
        PIL.Image.open(path).save(path.with_suffix(".png"))
        if path.name == "0003.bmp" and path.parts[-2] == "ko" and "03" in path.parts:
            with pytest.raises(UserError, match=r"differ in their ending alone: keep one"):
                Btad(root).items("03")
        path.unlink()
    data = Btad(root)
    assert before == {
        (p, Path(i.id).stem, i.defect, i.split, i.few_shot)
        for p in ("01", "03")
        for i in data.items(p)
    }
    mask = data.mask(data.items("03")[0])
    assert mask is not None
    assert mask.sum() == 12


def test_a_missing_mask_is_named(root: Path) -> None:
    (root / "BTech_Dataset_transformed/03/ground_truth/ko/0002.bmp").unlink()
    with pytest.raises(UserError, match=r"btad: 1 masks missing in .*03/ground_truth/ko: 0002\."):
        Btad(root).items("03")
