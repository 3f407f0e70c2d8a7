"""Own folders: each accepted layout, each refusal, and nothing that depends on the file system."""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asbench.datasets.folder import Folder
from asbench.files.images import FileError
from asbench.files.layout import slug
from asbench.types import Item
from synth_store.types import UserError, check_name

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
MARK = np.zeros((9, 12), np.uint8)
MARK[2:5, 3:9] = 255


def write(root: Path, *paths: str, pixels: np.ndarray[Any, Any] = PIXELS) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels).save(root / path)


def rows(items: tuple[Item, ...]) -> list[tuple[str, str, int, str]]:
    return [(i.id, i.split, i.label, i.defect) for i in items]


def masks(data: Folder, category: str) -> dict[str, str]:
    paths = {i.id: data.mask_path(i) for i in data.items(category)}
    return {id: path.name for id, path in paths.items() if path}


def test_the_mvtec_layout_with_categories_below(tmp_path: Path) -> None:
    for category in ("screw", "bottle"):
        write(tmp_path / category, "train/good/001.png", "train/good/000.png", "test/good/000.png")
        write(tmp_path / category, "test/broken_large/000.png", "test/scratch/000.png")
        write(tmp_path / category, "ground_truth/broken_large/000_mask.png", pixels=MARK)
        (tmp_path / category / "license.txt").write_text("as it came")
    data = Folder(tmp_path, "mine")
    assert data.categories() == ("bottle", "screw")
    assert rows(data.items("bottle")) == [
        ("test/broken_large/000.png", "test", 1, "broken_large"),
        ("test/good/000.png", "test", 0, "good"),
        ("test/scratch/000.png", "test", 1, "scratch"),
        ("train/good/000.png", "train", 0, "good"),
        ("train/good/001.png", "train", 0, "good"),
    ]
    assert masks(data, "screw") == {"test/broken_large/000.png": "000_mask.png"}
    broken, good, scratch, *_ = data.items("bottle")
    assert np.array_equal(data.image(broken), PIXELS)
    assert np.array_equal(data.mask(broken), MARK > 0)
    assert data.mask(scratch) is None
    normal = data.mask(good)
    assert normal is not None
    assert (normal.shape, normal.any()) == ((9, 12), False)
    assert data.layout.left_over == ()
    assert all(c.left_over == () for c in data.layout.categories)
    assert pickle.loads(pickle.dumps(data)).items("bottle") == data.items("bottle")


def test_a_category_is_read_alike_from_within_and_from_above(tmp_path: Path) -> None:
    part = tmp_path / "part"
    write(part, *(f"good/{i}.png" for i in range(11)), "bad/x.png")
    above, within = Folder(tmp_path, "above"), Folder(part, "within")
    assert above.categories() == within.categories() == ("part",)
    assert above.items("part") == within.items("part")


def test_ok_and_ko_with_masks_of_other_endings(tmp_path: Path) -> None:
    root = tmp_path / "03"
    write(root, "train/OK/0000.bmp", "test/ok/0001.BMP", "test/ko/0000.bmp", "test/ko/0001.bmp")
    write(root, "ground_truth/ko/0000.png", "ground_truth/ko/0001_mask.bmp", pixels=MARK)
    data = Folder(root, "btad")
    assert data.categories() == ("03",)
    assert Counter((i.split, i.defect) for i in data.items("03")) == {
        ("train", "good"): 1,
        ("test", "good"): 1,
        ("test", "ko"): 2,
    }
    assert masks(data, "03") == {
        "test/ko/0000.bmp": "0000.png",
        "test/ko/0001.bmp": "0001_mask.bmp",
    }


@pytest.mark.parametrize(
    ("good", "bad"), [("good", "bad"), ("Normal", "Anomaly"), ("OK", "NG"), ("ok", "ko")]
)
@pytest.mark.parametrize("normals", [2, 7, 11])
def test_side_by_side_a_fifth_of_the_normals_is_tested(
    tmp_path: Path, good: str, bad: str, normals: int
) -> None:
    root = tmp_path / "My Part-01"
    write(root, *(f"{good}/{i:02}.JPG" for i in range(normals)), f"{bad}/00.jpeg", f"{bad}/01.tif")
    write(root, "masks/00.png", f"masks/{bad}/01_mask.webp", pixels=MARK)
    data = Folder(root, "p")
    (category,) = data.categories()
    assert category == "my_part_01"
    test = [i for i in data.test(category) if not i.label]
    assert len(test) == max(1, normals // 5)
    assert len(data.train(category)) == normals - len(test)
    assert [i.defect for i in data.test(category) if i.label] == [bad, bad]
    assert set(masks(data, category)) == {f"{bad}/00.jpeg", f"{bad}/01.tif"}
    assert "a fifth" in data.layout.categories[0].layout


def test_the_split_follows_the_paths_alone(tmp_path: Path) -> None:
    names = [f"good/{i:02}.png" for i in range(10)]
    write(tmp_path / "a", *names, "bad/0.png")
    write(tmp_path / "b", "bad/0.png", *reversed(names))
    a, b = Folder(tmp_path / "a", "x"), Folder(tmp_path / "b", "y")
    tested = [i.id for i in a.test("a")]
    assert tested == [i.id for i in b.test("b")]
    ranked = sorted(names, key=lambda name: hashlib.blake2b(name.encode()).hexdigest())
    assert tested == ["bad/0.png", *sorted(ranked[:2])]


def test_normals_alone_all_train(tmp_path: Path) -> None:
    write(tmp_path / "flat", "IMG 1.jpg", "IMG 2.PNG")
    write(tmp_path / "inside", "good/a.png", "good/b.png")
    write(tmp_path / "half", "train/a.png", "train/b.png")
    for folder in ("flat", "inside", "half"):
        data = Folder(tmp_path / folder, folder)
        assert len(data.train(folder)) == 2
        assert data.test(folder) == ()


def test_loose_training_images_and_an_own_test_folder(tmp_path: Path) -> None:
    write(tmp_path / "p", "train/a.png", "test/good/b.png", "test/dent/c.png")
    write(tmp_path / "q", "good/a.png", "test/ok/b.png", "test/dent/c.png", "test/masks/c.png")
    for folder in ("p", "q"):
        data = Folder(tmp_path / folder, folder)
        assert [i.defect for i in data.train(folder)] == ["good"]
        assert [i.defect for i in data.test(folder)] == ["dent", "good"]
    assert masks(data, "q") == {"test/dent/c.png": "c.png"}


def test_sub_folders_of_a_class_and_masks_that_follow_them(tmp_path: Path) -> None:
    write(tmp_path / "p", "train/good/monday/1.png", "train/good/tuesday/1.png")
    write(tmp_path / "p", "test/dent/line1/1.png", "test/dent/line2/1.png")
    write(tmp_path / "p", "ground_truth/Dent/line2/1_mask.png", pixels=MARK)
    data = Folder(tmp_path / "p", "p")
    assert [i.id for i in data.train("p")] == [
        "train/good/monday/1.png",
        "train/good/tuesday/1.png",
    ]
    assert masks(data, "p") == {"test/dent/line2/1.png": "1_mask.png"}


def test_masks_beside_their_images_are_no_images(tmp_path: Path) -> None:
    write(tmp_path / "p", "good/1.png", "good/2.png", "bad/1.png", "bad/lone_mask.png")
    write(tmp_path / "p", "good/1_mask.png", "bad/1_mask.png", pixels=MARK)
    data = Folder(tmp_path / "p", "p")
    assert [i.id for i in data.items("p") if i.label] == ["bad/1.png", "bad/lone_mask.png"]
    assert len([i for i in data.items("p") if not i.label]) == 2
    assert masks(data, "p") == {"bad/1.png": "1_mask.png"}


def test_what_other_systems_leave_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "p", "good/1.png", "good/._1.png", ".cache/good/2.png", "__MACOSX/good/1.png")
    (tmp_path / "p" / "good" / "Thumbs.db").write_bytes(b"x")
    data = Folder(tmp_path / "p", "p")
    assert [i.id for i in data.items("p")] == ["good/1.png"]
    assert data.layout.categories[0].left_over == ()


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "disk", "a.png")
    root = tmp_path / "p"
    (root / "train").mkdir(parents=True)
    (root / "train" / "good").symlink_to(tmp_path / "disk", target_is_directory=True)
    (root / "train" / "again").symlink_to(root, target_is_directory=True)
    assert [i.id for i in Folder(root, "p").items("p")] == ["train/good/a.png"]


def test_what_has_no_place_is_left_over_with_its_reason(tmp_path: Path) -> None:
    write(tmp_path / "p", "train/good/1.png", "train/bad/1.png", "test/1.png", "test/dent/1.png")
    write(tmp_path / "p", "extra/1.png", "loose.png", "ground_truth/dent/9.png", "gt/good/1.png")
    (tmp_path / "p" / "photo.HEIC").write_bytes(b"x")
    layout = Folder(tmp_path / "p", "p").layout
    reasons = {
        path.relative_to(tmp_path / "p").as_posix(): reason
        for path, reason in (*layout.left_over, *layout.categories[0].left_over)
    }
    assert reasons == {
        "train/bad/1.png": "lies in train, of which only a folder good, ok or normal is read.",
        "test/1.png": "lies directly in test, where only a folder tells normal from anomalous.",
        "extra/1.png": "has no place in the recognised layout.",
        "loose.png": "has no place in the recognised layout.",
        "ground_truth/dent/9.png": "is a mask without an image.",
        "photo.HEIC": ".heic files are not read: convert it to PNG or JPEG.",
    }


def test_images_outside_every_category_are_left_over(tmp_path: Path) -> None:
    write(tmp_path, "nut/train/good/1.png", "figures/overview.png", "cover.jpg")
    data = Folder(tmp_path, "p")
    assert data.categories() == ("nut",)
    assert data.layout.left_over == (
        (tmp_path / "cover.jpg", "lies outside every category."),
        (tmp_path / "figures/overview.png", "lies outside every category."),
    )


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "holds no image that can be read; accepted layouts.*CATEGORY/train/good"),
        (["readme.txt"], "holds no image that can be read; accepted"),
        (["a.heic"], r"no image that can be read \(a\.heic: \.heic files are not read: convert"),
        (["bad/1.png"], "layout of .* is not recognised: its sub-folders are bad; accepted"),
        (["a.png", "MT_Free/Imgs/1.png"], "not recognised: its sub-folders are MT_Free; accepted"),
        (["test/good/1.png", "test/bad/1.png"], "not recognised: its sub-folders are test; acc"),
        (["train/bad/1.png"], "p holds no normal image to train on; accepted layouts"),
        (["a/good/1.png", "b/train/x/1.png"], "b holds no normal image to train on; accepted"),
        (["good/1.jpg", "good/1.png"], r"ending alone: good/1\.jpg, good/1\.png\. If one is the m"),
        (
            ["good/1.png", "bad/1.png", "gt/bad/1.png", "gt/bad/1_mask.png"],
            r"bad/1\.png has 2 masks: gt/bad/1\.png, gt/bad/1_mask\.png\. Keep one",
        ),
        (["a b/good/1.png", "a_b/good/1.png"], "both give category 'a_b': rename one"),
        (["螺丝/good/1.png", "nut/good/1.png"], r"螺丝.* cannot be a folder .* Rename the folder"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, paths: list[str], message: str) -> None:
    root = tmp_path / "p"
    root.mkdir()
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"names alone are read")
    with pytest.raises(UserError, match="(?s)" + message):
        Folder(root, "p").categories()


def test_a_missing_folder_an_unknown_category_and_a_bad_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder\."):
        Folder(tmp_path / "nowhere", "p").categories()
    write(tmp_path / "p", "a.png")
    with pytest.raises(UserError, match=r"category 'q' is not in mine \(.*\): choose from p\."):
        Folder(tmp_path / "p", "mine").items("q")
    with pytest.raises(UserError, match="data set 'My parts' is not a name"):
        Folder(tmp_path / "p", "My parts")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may list every folder")
def test_a_locked_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "p", "good/a.png")
    (tmp_path / "p" / "good").chmod(0)
    try:
        with pytest.raises(UserError, match=r"good cannot be listed: Permission denied"):
            Folder(tmp_path / "p", "p").categories()
    finally:
        (tmp_path / "p" / "good").chmod(0o755)


def test_masks_that_mark_nothing_and_masks_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path / "p", "good/1.png", "bad/dark.png", "bad/empty.png", "bad/small.png")
    write(tmp_path / "p", "gt/bad/dark.png", pixels=(MARK > 0) * np.uint8(3))
    write(tmp_path / "p", "gt/bad/empty.png", pixels=MARK * 0)
    write(tmp_path / "p", "gt/bad/small.png", pixels=MARK[:4])
    data = Folder(tmp_path / "p", "p")
    dark, empty, small = (i for i in data.items("p") if i.label)
    assert data.mask(empty) is None
    assert np.array_equal(data.mask(dark), MARK > 0), "a class's number marks as white does"
    with pytest.raises(FileError, match=r"small\.png is 12 x 4 pixels, .* small\.png is 12 x 9"):
        data.mask(small)


def test_the_lowest_third_of_each_type_is_few_shot(tmp_path: Path) -> None:
    write(tmp_path / "p", "train/ok/1.png", *(f"test/dent/{i}.png" for i in range(7)))
    write(tmp_path / "p", *(f"test/cut/{i}.png" for i in range(2)))
    items = Folder(tmp_path / "p", "p").items("p")
    assert [i.id for i in items if i.few_shot] == ["test/dent/0.png", "test/dent/1.png"]


@given(st.text(max_size=30))
def test_a_slug_is_a_name_or_nothing(text: str) -> None:
    made = slug(text)
    assert made == "" or check_name(made, "data set") == made
    assert slug(made) == made


def test_slugs_read_like_their_text() -> None:
    assert slug("Café 2 (neu)") == "cafe_2_neu"
    assert slug("螺丝") == ""


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
