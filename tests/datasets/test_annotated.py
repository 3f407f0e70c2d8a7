"""Annotated photographs, in the layouts of the tools that annotate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from asbench.data.check import check
from asbench.datasets import open_dataset, place_of
from asbench.datasets.annotated import Annotated
from asbench.datasets.folder import Folder
from asbench.evaluation.testset import TestSet
from asbench.generation.export_set import Form, export_set
from asbench.testing import DatasetContract
from asbench.types import Dataset
from synth_store import Geometry, StoreKey, SynthStore, UserError
from tests import trees
from tests.synth_store.making import CATEGORY, generate

SIZE = (12, 10)
SQUARE = [3, 2, 7, 2, 7, 5, 3, 5]
"""`trees.block` as COCO outlines it, x before y: columns 3 to 6 of rows 2 to 4."""


def coco(images: list[str], *, names: tuple[str, ...] = ("scratch",), **changed: Any) -> str:
    """Return a COCO file: the even images are normal, the odd ones have `SQUARE` on them."""
    return json.dumps(
        {
            "images": [
                {"id": 7 * i, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
                for i, name in enumerate(images)
            ],
            "annotations": [
                {
                    "id": i,
                    "image_id": 7 * i,
                    "category_id": (i // 2) % len(names),
                    "segmentation": [SQUARE],
                    "bbox": [3, 2, 4, 3],
                    **changed,
                }
                for i in range(1, len(images), 2)
            ],
            "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        }
    )


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def shots(folder: Path, count: int = 12) -> list[str]:
    for i in range(count):
        trees.save(folder / f"{i:02}.png", trees.picture(i, SIZE))
    return [f"{i:02}.png" for i in range(count)]


LINE = "0 " + " ".join(f"{(v + 0.5) / SIZE[1 - i % 2]:.6f}" for i, v in enumerate(
    (3, 2, 6, 2, 6, 4, 3, 4)
))  # fmt: skip


def cvat_coco(root: Path) -> None:
    names = shots(root / "images" / "default")
    write(root / "annotations" / "instances_default.json", coco(names))


def label_studio_coco(root: Path) -> None:
    """Its paths are those of its own server."""
    names = shots(root / "images")
    write(root / "result.json", coco([f"images\\{name}" for name in names]))


def roboflow_coco(root: Path) -> None:
    for split in ("train", "valid", "test"):
        write(root / split / "_annotations.coco.json", coco(shots(root / split, 6)))


def cvat_yolo(root: Path) -> None:
    for i, name in enumerate(shots(root / "images" / "train")):
        write(root / "labels" / "train" / f"{name[:-4]}.txt", LINE if i % 2 else "")
    write(root / "data.yaml", "path: ./\ntrain: train.txt\nnames:\n  0: scratch\n")
    write(root / "train.txt", "images/train/00.png\n")


def label_studio_yolo(root: Path) -> None:
    for i, name in enumerate(shots(root / "images")):
        write(root / "labels" / f"{name[:-4]}.txt", LINE if i % 2 else "")
    write(root / "classes.txt", "scratch\n")
    write(root / "notes.json", '{"categories": [{"id": 0, "name": "scratch"}], "info": {}}')


def roboflow_yolo(root: Path) -> None:
    """Normal images have no text file there."""
    for split in ("train", "valid", "test"):
        for name in shots(root / split / "images", 6)[1::2]:
            write(root / split / "labels" / f"{name[:-4]}.txt", LINE)
    write(root / "data.yaml", "train: ../train/images\nnc: 1\nnames: ['scratch']\n")


LAYOUTS = [
    cvat_coco,
    label_studio_coco,
    roboflow_coco,
    cvat_yolo,
    label_studio_yolo,
    roboflow_yolo,
]


@pytest.mark.parametrize("layout", [cvat_coco, roboflow_yolo])
class TestContract(DatasetContract):
    @pytest.fixture
    def dataset(self, tmp_path: Path, layout: Callable[[Path], None]) -> Dataset:
        layout(tmp_path / "My parts")
        return open_dataset(tmp_path / "My parts")


@pytest.mark.parametrize("layout", LAYOUTS)
class TestLayouts:
    @pytest.fixture
    def dataset(self, tmp_path: Path, layout: Callable[[Path], None]) -> Dataset:
        layout(tmp_path / "My parts")
        return open_dataset(tmp_path / "My parts")

    def test_marks_what_is_outlined(self, dataset: Dataset, layout: object) -> None:
        assert isinstance(dataset, Annotated)
        assert dataset.name == "my_parts"
        assert dataset.categories() == ("my_parts",)
        items = dataset.items("my_parts")
        defective = [i for i in items if i.label]
        assert {i.defect for i in defective} == {"scratch"}
        assert len(defective) * 2 == len(items)
        for item in defective:
            mask = dataset.mask(item)
            assert mask is not None
            assert np.array_equal(mask, trees.block(SIZE) > 0)

    def test_normals_of_a_split_keep_it(self, dataset: Dataset, layout: Any) -> None:
        normals = [i for i in dataset.items("my_parts") if not i.label]
        tested = [i.id for i in normals if i.split == "test"]
        if layout.__name__.startswith("roboflow"):
            assert {id_.partition("/")[0] for id_ in tested} == {"valid", "test"}
            assert len(tested) == 6
        else:
            assert len(tested) == 1

    def test_check_explains_it(self, dataset: Dataset, layout: Any, tmp_path: Path) -> None:
        report = check(tmp_path / "My parts")
        assert report.usable
        assert report.recognised.startswith("my_parts: annotated as ")
        (category,) = report.categories
        assert category.masks == category.anomalous > 0


@pytest.mark.parametrize("form", ["coco", "coco-polygons", "yolo"])
def test_what_is_exported_comes_in_again(tmp_path: Path, form: Form) -> None:
    store = SynthStore.create(tmp_path / "store", Geometry(33, 47))
    stored = generate(store, 5, key=StoreKey("toy", "boxes@wide", 0))
    list(export_set(store, stored.key, tmp_path / "out", form=form))
    data = open_dataset(tmp_path / "out")
    assert data.categories() == (CATEGORY,)
    for i, item in enumerate(i for i in data.test(CATEGORY) if i.label):
        assert item.defect == "boxes@wide"
        assert np.array_equal(data.image(item), stored[i].image)
        mask = data.mask(item)
        assert mask is not None
        assert np.array_equal(mask, stored[i].mask)
    assert len([i for i in data.items(CATEGORY) if not i.label]) == 6
    assert check(tmp_path / "out").usable


def test_one_file_counts_alone(tmp_path: Path) -> None:
    cvat_coco(tmp_path / "set")
    other = tmp_path / "set" / "annotations" / "instances_other.json"
    write(other, coco(["00.png", "01.png", "02.png", "04.png"], names=("hole",)))
    data = open_dataset(other)
    assert data.name == "set"
    assert place_of(data) == other
    assert [i.defect for i in data.items("set") if i.label] == ["hole", "hole"]
    both = open_dataset(tmp_path / "set")
    defects = [i.defect for i in both.items("set") if i.label]
    assert sorted(set(defects)) == ["hole", "hole+scratch", "scratch"]


def test_a_box_is_no_mask(tmp_path: Path) -> None:
    names = shots(tmp_path / "set" / "images")
    write(tmp_path / "set" / "result.json", coco(names, segmentation=[]))
    data = open_dataset(tmp_path / "set")
    assert {data.mask(i) is None for i in data.items("set") if i.label} == {True}
    report = check(tmp_path / "set")
    assert "6 images with boxes alone, which are no masks" in report.recognised
    assert report.categories[0].defects["scratch"].missing == 6


def test_what_is_marked_good_is_normal(tmp_path: Path) -> None:
    names = shots(tmp_path / "set" / "images")
    write(tmp_path / "set" / "result.json", coco(names, names=("scratch", "OK")))
    defects = [i.defect for i in open_dataset(tmp_path / "set").items("set") if i.label]
    assert defects == ["scratch"] * 3


def test_masks_are_turned_as_their_images(tmp_path: Path) -> None:
    """A tool that does not obey EXIF says the size as stored."""
    names = shots(tmp_path / "set")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    for name in names:
        PIL.Image.open(tmp_path / "set" / name).save(tmp_path / "set" / name, exif=exif)
    write(tmp_path / "set" / "result.json", coco(names))
    data = open_dataset(tmp_path / "set")
    item = next(i for i in data.items("set") if i.label)
    mask = data.mask(item)
    assert mask is not None
    assert mask.shape == data.image(item).shape[:2] == SIZE[::-1]
    assert np.array_equal(mask, np.rot90(trees.block(SIZE) > 0, -1))


def test_another_annotation_is_another_test_set(tmp_path: Path) -> None:
    digests = set()
    for name, square in (("a", SQUARE), ("b", [3, 2, 8, 2, 8, 5, 3, 5])):
        folder = tmp_path / name / "set"
        write(folder / "result.json", coco(shots(folder), segmentation=[square]))
        data = open_dataset(folder)
        digests.add(TestSet(data, data.test("set"), Geometry(32, 32)).digest())
    assert len(digests) == 2


def test_images_without_any_annotation_are_named(tmp_path: Path) -> None:
    names = shots(tmp_path / "set")
    write(tmp_path / "set" / "result.json", coco(names[:-1]))
    (problem,) = check(tmp_path / "set").problems
    assert problem.path.endswith("11.png")
    assert "is named by no annotation" in problem.reason


def test_other_json_and_text_makes_no_annotated_folder(tmp_path: Path) -> None:
    trees.mvtec(tmp_path / "bottle", ("bent",))
    write(
        tmp_path / "bottle" / "defects.json", '{"images": 3, "annotations": [], "categories": []}'
    )
    write(tmp_path / "bottle" / "broken.json", '{"images", "annotations", "categories"')
    write(tmp_path / "bottle" / "classes.txt", "bent")
    assert isinstance(open_dataset(tmp_path / "bottle"), Folder)


def refused(root: Path, text: str) -> None:
    data = open_dataset(root)
    with pytest.raises(UserError, match=text):
        _ = [data.mask(item) for item in data.items(data.categories()[0])]


def test_refusals(tmp_path: Path) -> None:
    names = shots(tmp_path / "gone" / "images")
    write(tmp_path / "gone" / "r.json", coco([*names, "12.png"]))
    refused(tmp_path / "gone", r"names 1 images that are not below .* \(12\.png\): copy them")

    write(tmp_path / "all" / "r.json", coco(shots(tmp_path / "all"))[:-1] + "}")
    document = json.loads((tmp_path / "all" / "r.json").read_text())
    document["images"] = document["images"][1::2]
    write(tmp_path / "all" / "r.json", json.dumps(document))
    refused(tmp_path / "all", "no normal image: all 6 are annotated")

    for name, shape, said in (
        ("line", [[1, 1, 2, 2]], "a polygon of 4 numbers"),
        ("size", {"size": [3, 3], "counts": [9]}, "an RLE of size"),
        ("kind", 5, "is no outline"),
        ("sum", {"size": list(SIZE), "counts": [1, 500]}, "is no outline"),
    ):
        write(tmp_path / name / "r.json", coco(shots(tmp_path / name), segmentation=shape))
        refused(tmp_path / name, said)

    names = shots(tmp_path / "key")
    write(tmp_path / "key" / "r.json", coco(names, category_id=9))
    refused(tmp_path / "key", r"cannot be read \(no 9\): export it again")

    for name, line in (
        ("class", "4 .1 .1 .2 .2 .3 .3"),
        ("odd", "0 .1 .1 .2 .2 .3"),
        ("share", "0 10 10 20 20 30 30"),
        ("text", "scratch .1 .1 .2 .2"),
    ):
        label_studio_yolo(tmp_path / name)
        write(tmp_path / name / "labels" / "01.txt", f"{LINE}\n{line}\n")
        refused(tmp_path / name, r"01\.txt line 2 .* is no line of YOLO: a class from 0 to 0")
    cvat_yolo(tmp_path / "yaml")
    write(tmp_path / "yaml" / "data.yaml", "train: x\n")
    refused(tmp_path / "yaml", r"data\.yaml cannot be read \(no 'names'\): let it name")

    for folder in ("a", "b"):
        shots(tmp_path / "two" / folder, 2)
    write(tmp_path / "two" / "r.json", coco(["00.png", "01.png"]))
    refused(tmp_path / "two", r"may be a/00\.png or b/00\.png: rename one")
