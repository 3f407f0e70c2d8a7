"""Folders as others ship them: masks by any name, label folders, turned images, odd names."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import pytest

from asbench.data.check import check
from asbench.datasets.folder import Folder
from asbench.files.images import FileError
from synth_store.types import UserError
from tests.datasets.test_folder import MARK, PIXELS, masks, rows, write

NOTHING = np.zeros((9, 12), np.uint8)


@pytest.mark.parametrize("name", ["0_GT", "0_gt", "0_label", "0_MASK", "0-mask", "mask_0", "0 gt"])
@pytest.mark.parametrize("place", ["test/bad", "ground_truth/bad", "gt", "test/bad/masks"])
def test_masks_by_any_name_are_no_photographs(tmp_path: Path, name: str, place: str) -> None:
    write(tmp_path / "p", "train/good/0.png", "test/good/0.png", "test/bad/0.jpg")
    write(tmp_path / "p", f"{place}/{name}.png", pixels=MARK)
    data = Folder(tmp_path / "p", "p")
    assert [i.id for i in data.items("p") if i.label] == ["test/bad/0.jpg"]
    assert masks(data, "p") == {"test/bad/0.jpg": f"{name}.png"}
    assert data.layout.categories[0].left_over == ()


def test_numbered_images_beside_numbered_masks(tmp_path: Path) -> None:
    write(tmp_path / "p", "good/image_1.png", "bad/image_1.png", "bad/image_2.png")
    write(tmp_path / "p", "bad/mask_1.png", "masks/bad/mask_2.png", pixels=MARK)
    data = Folder(tmp_path / "p", "p")
    assert masks(data, "p") == {"bad/image_1.png": "mask_1.png", "bad/image_2.png": "mask_2.png"}


@pytest.mark.parametrize("levels", [MARK, MARK // 255, 255 - MARK, NOTHING])
def test_of_two_files_of_one_stem_that_of_two_levels_is_the_mask(
    tmp_path: Path, levels: np.ndarray[Any, Any]
) -> None:
    write(tmp_path / "p", "good/1.jpg", "good/2.bmp", "bad/1.jpg", "bad/2.jpg")
    write(tmp_path / "p", "bad/1.png", "good/2.png", pixels=levels)
    data = Folder(tmp_path / "p", "p")
    assert [i.id for i in data.items("p")] == ["bad/1.jpg", "bad/2.jpg", "good/1.jpg", "good/2.bmp"]
    assert masks(data, "p") == {"bad/1.jpg": "1.png"}
    write(tmp_path / "p", "bad/2.jpg", pixels=MARK * 0 + 90)
    write(tmp_path / "p", "bad/2.png", pixels=levels)
    with pytest.raises(UserError, match=r"their ending alone: bad/2\.jpg, bad/2\.png"):
        Folder(tmp_path / "p", "p").categories()


def test_the_layout_of_mvtec_3d(tmp_path: Path) -> None:
    root = tmp_path / "part"
    for place in ("train/good", "test/good", "test/cut", "validation/good"):
        write(root, f"{place}/rgb/000.png", f"{place}/rgb/001.png")
        for kind in ("xyz/000.tiff", "gt/000.png", "gt/001.png"):
            write(root, f"{place}/{kind}", pixels=MARK)
    data = Folder(root, "part")
    assert Counter((i.split, i.defect) for i in data.items("part")) == {
        ("train", "good"): 2,
        ("test", "good"): 2,
        ("test", "cut"): 2,
    }
    assert masks(data, "part") == {
        "test/cut/rgb/000.png": "000.png",
        "test/cut/rgb/001.png": "001.png",
    }
    assert Counter(reason for _, reason in data.layout.categories[0].left_over) == {
        "is for validation, which selects nothing here: move it to train to use it.": 5,
        "lies beside a folder rgb, and is no photograph.": 3,
    }


@pytest.mark.parametrize("case", ["a category", "other letters", "jpg beside png", "no depth"])
def test_other_folders_with_rgb_and_gt(tmp_path: Path, case: str) -> None:
    root, rgb, gt = tmp_path / "p", "rgb", "gt"
    if case == "other letters":
        rgb, gt = "RGB", "GT"
    top = "part/" if case == "a category" else ""
    ending = "jpg" if case == "jpg beside png" else "png"
    for place in ("train/good", "test/good", "test/cut", "test/hole"):
        write(root, f"{top}{place}/{rgb}/0.{ending}", f"{top}{place}/{rgb}/1.{ending}")
        write(root, f"{top}{place}/{gt}/0.png", f"{top}{place}/{gt}/1.png", pixels=MARK)
        if case != "no depth":
            write(root, f"{top}{place}/xyz/0.tiff")
    data = Folder(root, "p")
    (category,) = data.categories()
    assert Counter((i.split, i.defect) for i in data.items(category)) == {
        ("train", "good"): 2,
        ("test", "good"): 2,
        ("test", "cut"): 2,
        ("test", "hole"): 2,
    }
    assert len(masks(data, category)) == 4
    assert all(np.array_equal(data.mask(i), MARK > 0) for i in data.items(category) if i.label)


@pytest.mark.parametrize("mark", ["_GT", "_label", "-mask", "_MASK"])
@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_loose_images_are_told_apart_by_masks_of_other_names(
    tmp_path: Path, mark: str, ending: str
) -> None:
    write(tmp_path / "k", "train/1.jpg", "test/1.jpg", "test/2.jpg")
    write(tmp_path / "k", f"train/1{mark}.{ending}", f"test/1{mark}.{ending}", pixels=NOTHING)
    write(tmp_path / "k", f"test/2{mark}.{ending}", pixels=MARK)
    data = Folder(tmp_path / "k", "k")
    assert [(i.id, i.label) for i in data.items("k")] == [
        ("test/1.jpg", 0),
        ("test/2.jpg", 1),
        ("train/1.jpg", 0),
    ]
    assert masks(data, "k") == {"test/2.jpg": f"2{mark}.{ending}"}


def test_the_layout_of_kolektor(tmp_path: Path) -> None:
    root = tmp_path / "k"
    for split in ("train", "test"):
        write(root, f"{split}/1.png", f"{split}/2.png", f"{split}/3.png")
        write(root, f"{split}/1_GT.png", f"{split}/3_GT.png", pixels=NOTHING)
        write(root, f"{split}/2_GT.png", pixels=MARK)
    data = Folder(root, "k")
    assert rows(data.items("k")) == [
        ("test/1.png", "test", 0, "good"),
        ("test/2.png", "test", 1, "anomaly"),
        ("test/3.png", "test", 0, "good"),
        ("train/1.png", "train", 0, "good"),
        ("train/3.png", "train", 0, "good"),
    ]
    assert masks(data, "k") == {"test/2.png": "2_GT.png"}
    (category,) = data.layout.categories
    assert category.layout.endswith("told apart by the masks beside them")
    assert category.left_over == (
        (root / "train/2.png", "is marked by its mask: only normal images train."),
    )
    (root / "test/3_GT.png").unlink()
    left = Folder(root, "k").layout.categories[0].left_over
    assert sum(reason.startswith("lies directly in test") for _, reason in left) == 3


def test_the_layout_of_loco_unites_several_masks(tmp_path: Path) -> None:
    root = tmp_path / "loco"
    left, right = MARK.copy(), MARK.copy()
    left[:, 6:] = 0
    right[:, :6] = 0
    write(root, "train/good/000.png", "test/good/000.png", "test/a/000.png", "test/a/001.png")
    write(root, "ground_truth/a/000/000.png", pixels=left)
    write(root, "ground_truth/a/000/001.png", pixels=right // 255 * 250)
    write(root, "ground_truth/a/001/000.png", pixels=left)
    data = Folder(root, "loco")
    both, one = (i for i in data.items("loco") if i.label)
    assert np.array_equal(data.mask(both), MARK > 0)
    assert np.array_equal(data.mask(one), left > 0)
    assert [p.name for p in data.mask_paths(both)] == ["000.png", "001.png"]
    assert data.layout.categories[0].left_over == ()
    write(root, "ground_truth/a/000.png", pixels=left)
    with pytest.raises(UserError, match=r"000\.png has 3 masks: ground_truth/a/000/000\.png"):
        Folder(root, "loco").categories()


@pytest.mark.parametrize(
    ("normal", "defect"),
    [("0", "1"), ("OK", "NG"), ("pass", "fail"), ("Normal", "Abnormal"), ("good", "0")],
)
@pytest.mark.parametrize("train", ["train/good", "train/{}", "train"])
def test_folders_named_by_labels(tmp_path: Path, normal: str, defect: str, train: str) -> None:
    root = tmp_path / "p"
    write(root, f"{train.format(normal)}/1.png", f"test/{normal}/1.png", f"test/{defect}/1.png")
    write(root, f"ground_truth/{defect}/1.png", f"ground_truth/{normal}/1.png", pixels=MARK)
    data = Folder(root, "p")
    assert Counter((i.split, i.defect) for i in data.items("p")) == {
        ("train", "good"): 1,
        ("test", "good"): 1,
        ("test", defect): 1,
    }
    assert data.layout.categories[0].left_over == ()


def test_numbers_are_labels_only_where_nothing_else_says_so(tmp_path: Path) -> None:
    write(tmp_path / "types", "train/good/1.png", "test/good/1.png", "test/0/1.png", "test/1/1.png")
    assert [i.defect for i in Folder(tmp_path / "types", "t").test("types")] == ["0", "1", "good"]
    write(tmp_path / "beside", "0/1.png", "0/2.png", "1/1.png")
    assert len(Folder(tmp_path / "beside", "b").train("beside")) == 1
    for category in "01":
        write(tmp_path / "parts" / category, "train/good/1.png", "test/bad/1.png")
    assert Folder(tmp_path / "parts", "p").categories() == ("0", "1")


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize("upright", [False, True])
def test_masks_are_turned_as_their_images(tmp_path: Path, orientation: int, upright: bool) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    write(tmp_path / "p", "train/good/1.png", "test/bad/1.png")
    path = tmp_path / "p" / "test/bad/1.jpg"
    stored = np.stack([MARK] * 3, 2)
    PIL.Image.fromarray(stored).save(path, quality=95, exif=exif)
    (tmp_path / "p" / "test/bad/1.png").unlink()
    mask = PIL.Image.fromarray(MARK)
    if upright and orientation in (6, 8):  # drawn in a viewer that turns
        mask = mask.transpose(
            {6: PIL.Image.Transpose.ROTATE_270, 8: PIL.Image.Transpose.ROTATE_90}[orientation]
        )
    (tmp_path / "p/ground_truth/bad").mkdir(parents=True)
    mask.save(tmp_path / "p/ground_truth/bad/1.png")
    data = Folder(tmp_path / "p", "p")
    (item,) = (i for i in data.items("p") if i.label)
    image, marked = data.image(item), data.mask(item)
    assert marked is not None
    assert marked.shape == image.shape[:2] == ((12, 9) if orientation in (6, 8) else (9, 12))
    assert np.array_equal(marked, image[..., 0] > 127)


NAMES = {
    "latin-1": b"sch\xe4den",
    "gb": b"\xc8\xb1\xcf\xdd",
    "half a character": b"a\xe7",
    "a backslash in it": b"\\\xff",
}


@pytest.mark.skipif(
    os.name != "posix" or sys.platform == "darwin", reason="names are Unicode there"
)
@pytest.mark.parametrize("case", NAMES)
def test_names_of_any_bytes(tmp_path: Path, case: str) -> None:
    name = os.fsdecode(NAMES[case])
    write(tmp_path / "p", "good/1.png", "good/2.png", f"good/{name}.png", f"{name}/{name}.png")
    write(tmp_path / "p", f"gt/{name}/{name}_mask.png", pixels=MARK)
    data = Folder(tmp_path / "p", "p")
    for item in data.items("p"):
        f"{item.id} {item.defect}".encode()
        assert np.array_equal(data.image(item), PIXELS)
        assert not item.label or np.array_equal(data.mask(item), MARK > 0)
    (tmp_path / "p" / f"good/{name}.png").write_bytes(b"")
    with pytest.raises(FileError) as refused:
        [data.image(item) for item in data.items("p")]
    str(refused.value).encode()


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("name", ["schräg", "é", "が"])
def test_unicode_forms_of_images_and_masks(
    tmp_path: Path, forms: tuple[Literal["NFC", "NFD"], ...], name: str
) -> None:
    image, mask = (unicodedata.normalize(form, name) for form in forms)
    write(tmp_path / "p", "train/good/1.png", f"test/{image}/{image}.png")
    write(tmp_path / "p", f"ground_truth/{mask}/{mask}_mask.png", pixels=MARK)
    data = Folder(tmp_path / "p", "p")
    assert len(masks(data, "p")) == 1
    assert data.layout.categories[0].left_over == ()


@pytest.mark.parametrize("stem", ["缺" * 83, "a" * 251, "[b] " * 62])
def test_names_as_long_as_file_systems_have_them(tmp_path: Path, stem: str) -> None:
    write(tmp_path / "p", "good/1.png", "good/2.png", f"bad/{stem}.png")
    write(tmp_path / "p", f"gt/bad/{stem}.png", pixels=MARK)
    assert len(masks(Folder(tmp_path / "p", "p"), "p")) == 1


def loco(root: Path, *entries: dict[str, object]) -> Folder:
    left, right = MARK.copy(), MARK.copy()
    left[:, 6:] = 0
    right[:, :6] = 0
    write(root, "train/good/000.png", "test/good/000.png", "test/a/000.png", "test/a/001.png")
    write(root, "ground_truth/a/000/000.png", pixels=left)
    write(root, "ground_truth/a/000/001.png", pixels=right // 255 * 250)
    write(root, "ground_truth/a/001/000.png", pixels=left)
    (root / "defects_config.json").write_text(json.dumps(entries))
    return Folder(root, "loco")


PIN: dict[str, object] = {
    "defect_name": "missing_pin",
    "pixel_value": 255,
    "saturation_threshold": 5,
    "relative_saturation": False,
}


def test_the_saturation_thresholds_of_loco_are_kept(tmp_path: Path) -> None:
    scratch = PIN | {
        "defect_name": "scratch",
        "pixel_value": 250,
        "saturation_threshold": 0.5,
        "relative_saturation": True,
    }
    data = loco(tmp_path / "loco", PIN, scratch)
    assert [(s.defect, s.level) for s in data.saturations("loco")] == [
        ("missing_pin", 255),
        ("scratch", 250),
    ]
    both, _ = (i for i in data.items("loco") if i.label)
    pin, cut = data.regions(both)
    assert np.array_equal(pin.mask | cut.mask, data.mask(both))
    assert pin.pixels == 5 < pin.mask.sum()
    assert cut.pixels == int(cut.mask.sum() / 2)
    # A threshold beyond the region asks for all of it; without a file all of each is asked for.
    large = loco(tmp_path / "large/loco", PIN | {"saturation_threshold": 10**6}, scratch)
    (region, _) = large.regions(next(i for i in large.items("loco") if i.label))
    assert region.pixels == region.mask.sum()
    (large.root / "defects_config.json").unlink()
    plain = Folder(large.root, "loco")
    assert plain.saturations("loco") == ()
    for one in plain.regions(next(i for i in plain.items("loco") if i.label)):
        assert one.pixels == one.mask.sum()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pixel_value": 0}, r"entry 0 \(missing_pin\) must have pixel_value 1\.\.255 \(0\)"),
        ({"pixel_value": True}, r"must have pixel_value 1\.\.255 \(True\)"),
        ({"saturation_threshold": 0}, r"saturation_threshold above 0"),
        ({"saturation_threshold": 1.5, "relative_saturation": True}, r"at most 1 .*1\.5"),
        ({"relative_saturation": "no"}, r"relative_saturation true or false \('no'\)"),
    ],
)
def test_thresholds_that_are_none_are_refused(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    with pytest.raises(UserError, match=r"defects_config\.json.*" + told):
        loco(tmp_path / "loco", PIN | change).categories()


def test_a_damaged_or_doubled_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pixel_value 255 stands for two defects"):
        loco(tmp_path / "twice", PIN, PIN).categories()
    with pytest.raises(UserError, match=r"entry 0 .* lacks one of defect_name"):
        loco(tmp_path / "lacking", {"defect_name": "x"}).categories()
    data = loco(tmp_path / "cut")
    for text in ("[{", "3"):
        (tmp_path / "cut/defects_config.json").write_text(text)
        with pytest.raises(UserError, match=r"defects_config\.json (cannot be read|is no list)"):
            Folder(data.root, "loco").categories()


def test_a_mask_of_a_level_that_no_defect_has_is_named(tmp_path: Path) -> None:
    data = loco(tmp_path / "loco", PIN)
    both = next(i for i in data.items("loco") if i.label)
    with pytest.raises(UserError, match=r"001\.png marks with level 250, and is to mark with"):
        data.regions(both)
    report = check(tmp_path / "loco")
    assert report.usable
    (said,) = [p.reason for p in report.problems if p.path.endswith("ground_truth/a/000/001.png")]
    assert "defects_config.json: 255" in said
    assert report.categories[0].saturations == 1
