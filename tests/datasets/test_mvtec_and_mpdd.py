"""MVTec AD and MPDD: one layout, what may be missing from it, grey images, folders of defects."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from asbench.data.published import categories
from asbench.datasets.mpdd import Mpdd
from asbench.datasets.mvtec import CATEGORIES, Mvtec
from asbench.files.images import FileError, read_header
from asbench.types import Item
from synth_store.types import UserError
from tests.trees import block, mvtec, picture, save


@pytest.fixture
def root(tmp_path: Path) -> Path:
    mvtec(tmp_path / "bottle", ("broken_large", "contamination"))
    mvtec(tmp_path / "grid", ("bent",), mode="L")
    return tmp_path


def test_labels_types_and_marks_come_from_folders(root: Path) -> None:
    data = Mvtec(root)
    assert (data.name, data.categories()) == ("mvtec", ("bottle", "grid"))
    items = data.items("bottle")
    assert Counter((i.split, i.label, i.defect) for i in items) == {
        ("train", 0, "good"): 4,
        ("test", 0, "good"): 2,
        ("test", 1, "broken_large"): 4,
        ("test", 1, "contamination"): 4,
    }
    assert [i.id for i in items if i.few_shot] == [
        "test/broken_large/000.png",
        "test/contamination/000.png",
    ]


def test_grey_images_become_rgb_and_masks_lie_under_them(root: Path) -> None:
    data = Mvtec(root)
    for item in data.items("grid"):
        assert read_header(data.image_path(item)).mode == "L"
        image, mask = data.image(item), data.mask(item)
        assert image.shape == (12, 10, 3)
        assert (image[..., 0] == image[..., 1]).all()
        assert mask is not None
        assert np.array_equal(mask, (block() > 0) & bool(item.label))
    colour = data.image(data.items("bottle")[0])
    assert np.array_equal(colour, np.asarray(picture(200)))


def test_a_wrapping_folder_and_hidden_files_are_seen_through(tmp_path: Path) -> None:
    mvtec(tmp_path / "mvtec_anomaly_detection" / "screw", ("thread_top",), mode="L")
    good = tmp_path / "mvtec_anomaly_detection" / "screw" / "train" / "good"
    (good / "._000.png").write_bytes(b"left by another system")
    (good / "Thumbs.db").write_bytes(b"left by another system")
    data = Mvtec(tmp_path)
    assert data.categories() == ("screw",)
    assert [i.id for i in data.train("screw")] == [f"train/good/{i:03}.png" for i in range(4)]


def test_masks_are_cut_above_127_and_an_empty_one_is_none(root: Path) -> None:
    data = Mvtec(root)
    soft = np.tile(np.linspace(0, 255, 10).astype(np.uint8), (12, 1))
    truth = root / "bottle" / "ground_truth" / "contamination"
    save(truth / "000_mask.png", soft)
    save(truth / "001_mask.png", soft * 0)
    save(truth / "002_mask.png", block(level=1))
    save(truth / "003_mask.png", block((10, 12)))
    zero, one, two, three = (i for i in data.items("bottle") if i.defect == "contamination")
    found = data.mask(zero)
    assert found is not None
    assert np.array_equal(found, soft > 127)
    assert data.mask(one) is None
    with pytest.raises(FileError, match="marks nothing above level 127"):
        data.mask(two)
    with pytest.raises(FileError, match=r"is 12 x 10 pixels, but its image 003\.png is 10 x 12"):
        data.mask(three)


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    truth = root / "bottle" / "ground_truth" / "contamination"
    (truth / "002_mask.png").unlink()
    with pytest.raises(UserError, match=r"mvtec: 1 masks missing in .*contamination: 002\. Copy"):
        Mvtec(root).items("bottle")
    save(truth / "002.bmp", block())
    found = next(i for i in Mvtec(root).items("bottle") if i.id == "test/contamination/002.png")
    assert Mvtec(root).mask_path(found) == truth / "002.bmp", "without suffix, another ending"
    save(truth / "002_mask.png", block())
    with pytest.raises(UserError, match=r"002\.png has two masks"):
        Mvtec(root).items("bottle")
    save(root / "grid" / "test" / "good" / "000.bmp", picture(0))
    with pytest.raises(UserError, match=r"000\.bmp and 000\.png differ in their ending alone"):
        Mvtec(root).items("grid")
    for path in (root / "grid" / "test" / "good").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"no image in .*grid/test/good\. Copy or unpack mvtec"):
        Mvtec(root).items("grid")
    with pytest.raises(UserError, match=r"'cable' is not in mvtec .* choose from bottle, grid"):
        Mvtec(root).items("cable")
    with pytest.raises(UserError, match=r"no MVTec AD in .*none of its categories bottle, .*fetch"):
        Mvtec(tmp_path / "elsewhere").categories()


def test_all_categories_are_read_where_all_are_there(tmp_path: Path) -> None:
    for category in reversed(CATEGORIES):
        (tmp_path / category).mkdir()
    assert Mvtec(tmp_path).categories() == CATEGORIES == tuple(categories("mvtec"))


def test_mpdd_takes_its_defects_from_the_disk(tmp_path: Path) -> None:
    mvtec(tmp_path / "MPDD" / "tubes", ("flattening",), count=3)
    mvtec(tmp_path / "MPDD" / "bracket_black", ("hole", "scratches"), count=3)
    data = Mpdd(tmp_path)
    assert (data.name, data.categories()) == ("mpdd", ("bracket_black", "tubes"))
    assert [(i.id, i.defect) for i in data.items("tubes") if i.few_shot] == [
        ("test/flattening/000.png", "flattening")
    ]
    assert [i.defect for i in data.items("bracket_black") if i.few_shot] == ["hole", "scratches"]
    item = Item("test/hole/001.png", "bracket_black", "test", 1, "hole")
    mask = data.mask(item)
    assert mask is not None
    assert mask.sum() == 12
