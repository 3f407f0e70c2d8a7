"""Own folders: each accepted layout, each refusal, and nothing that depends on the file system."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

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
