"""Files of a folder that are not read: each is named, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asbench.data.check import check
from asbench.data.unread import unread_annotations
from tests import trees
from tests.datasets.test_annotated import cvat_coco, label_studio_yolo, roboflow_coco, write

REGION = {"original_width": 10, "original_height": 12, "image_rotation": 0}


def photographs(root: Path) -> None:
    for k in range(6):
        trees.save(root / f"{k}.png", trees.picture(k))


def sorted_photographs(root: Path) -> None:
    for k in range(6):
        trees.save(root / "good" / f"{k}.png", trees.picture(k))
        trees.save(root / "bad" / f"{k}.png", trees.picture(10 + k))


def mvtec(root: Path) -> None:
    trees.mvtec(root / "nut", ("dent",))


def tasks(kind: str, **value: Any) -> str:
    """An export of Label Studio as JSON with one region of a kind."""
    result = [{"id": "a", "type": kind, **REGION, "value": value}]
    data = {"image": "/data/upload/1/0a1b2c3d-0.png"}
    return json.dumps([{"id": 1, "annotations": [{"result": result}], "data": data}])


STROKES = tasks("brushlabels", format="rle", rle=[0, 1], brushlabels=["scratch"])
POLYGONS = tasks("polygonlabels", points=[[0, 0], [1, 1], [1, 0]], polygonlabels=["scratch"])
SHORT = json.dumps([{"image": "0.png", "label": [], "annotation_id": 3, "annotator": 1}])
LABELME = json.dumps({"version": "5.4", "shapes": [], "imagePath": "0.png"})
VIA = json.dumps({"0.png123": {"filename": "0.png", "size": 123, "regions": []}})
COCO = json.dumps({"images": [], "annotations": [], "categories": []})
EXPORTS = {
    "strokes": ("project-1-at-2026.json", STROKES, "brush strokes of Label Studio", "brushes.py"),
    "polygons": ("project-1.json", POLYGONS, "export of Label Studio, which", "COCO or YOLO"),
    "short": ("min.json", SHORT, "Label Studio without its shapes", "COCO or YOLO"),
    "labelme": ("0.json", LABELME, "annotation of LabelMe", "COCO or YOLO"),
    "via": ("via_region_data.json", VIA, "annotation of VIA", "COCO or YOLO"),
    "voc": ("0.xml", "<annotation><object/></annotation>", "Pascal VOC", "COCO or YOLO"),
    "cvat": ("a.xml", "<?xml?>\n<annotations><image/></annotations>", "of CVAT", "COCO or YOLO"),
    "yolo": ("labels/0.txt", "0 0.5 0.5 0.25 0.125\n", "label of YOLO", "data.yaml"),
    "coco": ("notes/deep/a.json", COCO, "COCO file where none is looked for", "annotations"),
}


def reasons(root: Path) -> dict[str, str]:
    """What `check` says, by the path below the root."""
    return {Path(p.path).relative_to(root).as_posix(): p.reason for p in check(root).problems}


@pytest.mark.parametrize("layout", [photographs, sorted_photographs, mvtec])
@pytest.mark.parametrize("export", EXPORTS)
def test_annotations_that_are_not_read_are_named(
    tmp_path: Path, layout: Callable[[Path], None], export: str
) -> None:
    root, (name, text, kind, todo) = tmp_path / "line", EXPORTS[export]
    layout(root)
    assert unread_annotations(root) == []
    write(root / name, text)
    (reason,) = [said for at, said in reasons(root).items() if at == name]
    assert kind in reason
    assert todo in reason
    assert unread_annotations(root) == [f"{root / name} {reason}"]


def test_many_of_a_kind_are_one_sentence(tmp_path: Path) -> None:
    photographs(tmp_path / "line")
    for k in range(5):
        write(tmp_path / "line" / f"{k}.json", LABELME)
    write(tmp_path / "line" / "all.json", STROKES)
    first, second = unread_annotations(tmp_path / "line")
    assert first.startswith(f"{tmp_path / 'line' / '0.json'} is an annotation of LabelMe")
    assert first.endswith(" 4 more are like it.")
    assert "brushes.py" in second


OTHERS = {
    "list.csv": "is a table",
    "list.xlsx": "is a spreadsheet",
    "more.zip": "is an archive",
    "more.tar.gz": "is an archive",
    "belt.mp4": "is a video",
    "0.heic": ".heic files are not read",
}
UNKNOWN = {name: "is neither an image nor an annotation" for name in ("camera.json", "0.xml")}
"""Said where nothing is annotated: tools add notes of their own to what they export."""
SILENT = ("README.md", "license.txt", "Thumbs.db", ".hidden.json", "0.txt", "sub/zarr.json")


@pytest.mark.parametrize(
    "layout", [photographs, mvtec, cvat_coco, label_studio_yolo], ids=lambda one: one.__name__
)
def test_what_else_is_not_read_is_named_and_labels_nothing(
    tmp_path: Path, layout: Callable[[Path], None]
) -> None:
    root = tmp_path / "line"
    layout(root)
    before = reasons(root)
    assert before == {}
    for name in (*OTHERS, *UNKNOWN, *SILENT):
        write(root / name, "{} 1")
    found = {at: said for at, said in reasons(root).items() if at not in before}
    wanted = OTHERS | (UNKNOWN if layout in (photographs, mvtec) else {})
    assert set(found) == set(wanted)
    for name, beginning in wanted.items():
        assert found[name].startswith(beginning)
    assert unread_annotations(root) == []


@pytest.mark.parametrize("layout", [cvat_coco, label_studio_yolo, roboflow_coco])
@pytest.mark.parametrize("loose", ["0.png", "new/0.jpg", "new/deep/0.heic"])
def test_photographs_beside_annotated_folders_are_named(
    tmp_path: Path, layout: Callable[[Path], None], loose: str
) -> None:
    root = tmp_path / "line"
    layout(root / "left")
    before = reasons(root)
    trees.save((root / loose).with_suffix(".png"), trees.picture(7))
    (root / loose).with_suffix(".png").rename(root / loose)
    added = {at: said for at, said in reasons(root).items() if at not in before}
    assert added == {loose: "lies outside every annotated folder, and is unread."}
