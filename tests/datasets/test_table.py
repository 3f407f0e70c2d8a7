"""Tables of images: three formats, names of other libraries, and a line named for every fault."""

from __future__ import annotations

import csv
import io
import json
import pickle
import unicodedata
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asbench.datasets.table import _LABELS, Table
from asbench.files.layout import set_aside
from asbench.types import Item
from synth_store.types import UserError
from tests.trees import block, picture, save

ROWS: list[dict[str, Any]] = [
    {"image_path": "b/ok 0.png", "label": "0", "split": "train", "mask_path": ""},
    {"image_path": "b/ok 1.png", "label": "0", "split": "test", "mask_path": ""},
    {"image_path": "a/bad 0.png", "label": "1", "split": "test", "mask_path": "m/bad 0.png"},
    {"image_path": "a/bad 1.png", "label": "1", "split": "test", "mask_path": ""},
    {"image_path": "a/bad 2.png", "label": "1", "split": "test", "mask_path": ""},
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The images that ROWS name; one mask."""
    for seed, row in enumerate(ROWS):
        save(tmp_path / row["image_path"], picture(seed))
    save(tmp_path / "m" / "bad 0.png", block())
    return tmp_path


def written(root: Path, rows: list[dict[str, Any]], ending: str = "csv") -> Table:
    """Write rows as a table and open it."""
    if ending == "csv":
        text = io.StringIO()
        out = csv.DictWriter(text, list(rows[0]) if rows else ["image_path"])
        out.writeheader()
        out.writerows(rows)
        content = text.getvalue()
    else:
        content = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    (root / f"t.{ending}").write_text(content, newline="")
    return Table(root, f"t.{ending}", "parts")


def changed(row: int, **values: Any) -> list[dict[str, Any]]:
    return [r | values if i == row else r for i, r in enumerate(ROWS)]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_rows_become_items(root: Path, ending: str) -> None:
    data = written(root, ROWS, ending)
    assert data.categories() == ("parts",)
    items = data.items("parts")
    assert items == (
        Item("a/bad 0.png", "parts", "test", 1, "anomaly", few_shot=True),
        Item("a/bad 1.png", "parts", "test", 1, "anomaly"),
        Item("a/bad 2.png", "parts", "test", 1, "anomaly"),
        Item("b/ok 0.png", "parts", "train", 0),
        Item("b/ok 1.png", "parts", "test", 0),
    )
    assert np.array_equal(data.image(items[0]), np.asarray(picture(2)))
    masks = [data.mask(i) for i in items]
    assert np.array_equal(masks[0], block() > 0)
    assert masks[1] is None
    assert masks[3] is not None
    assert not masks[3].any()
    assert pickle.loads(pickle.dumps(data)).items("parts") == items


def test_other_names_of_columns_categories_and_types(root: Path) -> None:
    rows = [
        {
            "Unknown": "x",
            "img_path": str(root / r["image_path"]) if i == 0 else r["image_path"],
            "label_index": int(r["label"]),
            "label": "whatever it is called",
            "split": r["split"].upper(),
            "mask": r["mask_path"] or None,
            "object": "nut",
            "defect_type": "scratch" if i == 4 else "dent",
        }
        for i, r in enumerate(ROWS)
    ]
    for ending in ("csv", "jsonl"):
        data = written(root, rows, ending)
        assert data.categories() == ("nut",)
        assert [i.id for i in data.train("nut")] == [str(root / "b/ok 0.png")]
        assert [i.defect for i in data.items("nut") if i.label] == ["dent", "dent", "scratch"]
        assert data.mask(data.items("nut")[1]) is not None or ending


def test_a_meta_json_gives_split_and_category_by_its_keys(root: Path) -> None:
    def row(i: int, kind: str) -> dict[str, Any]:
        given = ROWS[i]
        return {
            "img_path": given["image_path"],
            "mask_path": given["mask_path"],
            "cls_name": "nut",
            "specie_name": kind,
            "anomaly": int(given["label"]),
        }

    meta = {
        "train": {"nut": [row(0, "good")], "bolt": [{"img_path": "b/ok 0.png", "anomaly": 0}]},
        "test": {"nut": [row(1, "good"), row(2, "dent"), row(3, "dent")], "bolt": []},
    }
    (root / "meta.json").write_text(json.dumps(meta))
    data = Table(root, "meta.json", "parts")
    assert data.categories() == ("bolt", "nut")
    assert [i.split for i in data.items("bolt")] == ["train"]
    assert [(i.id, i.split, i.defect) for i in data.items("nut")] == [
        ("a/bad 0.png", "test", "dent"),
        ("a/bad 1.png", "test", "dent"),
        ("b/ok 0.png", "train", "good"),
        ("b/ok 1.png", "test", "good"),
    ]
    assert data.mask_path(data.items("nut")[0]) == root / "m" / "bad 0.png"


def test_spreadsheets_and_windows(root: Path) -> None:
    lines = "image_path,label,split,mask_path\r\n" + "".join(
        f'"{r["image_path"]}",{r["label"]},{r["split"]},{r["mask_path"]}\r\n'.replace("/", "\\")
        for r in ROWS
    )
    (root / "t.csv").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    data = Table(root, "t.csv", "parts")
    assert [i.id for i in data.items("parts")] == sorted(r["image_path"] for r in ROWS)


@given(label=st.sampled_from(sorted(_LABELS)), upper=st.booleans())
def test_labels_in_words(label: str, upper: bool) -> None:
    data = Table(Path("/x"), "t.csv", "parts")
    row = {"image_path": "a", "split": "test", "label": label.upper() if upper else label}
    assert data._read("here", row).item.label == _LABELS[label]


FAULTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "label": (changed(2, label="2"), r"t\.csv line 4: label '2' is none of 0, normal, good"),
    "split": (changed(1, split="val"), r"line 3: split 'val' is neither train nor test\. ASBench"),
    "anomalous train": (changed(2, split="train"), r"line 4 is anomalous and for training"),
    "no image": (changed(1, image_path=" "), r"line 3 has no image_path or img_path or image"),
    "no label": (
        [{k: v for k, v in r.items() if k != "label"} for r in ROWS],
        r"has no label_inde",
    ),
    "twice": (changed(1, image_path="b/ok 0.png"), r"line 3: image b/ok 0\.png stands in .*line 2"),
    "not there": (
        changed(3, mask_path="m/none.png"),
        r"names 1 files that are not there \(.*line 5: .*none\.png\); paths are relative to",
    ),
    "too long a name": (
        changed(3, mask_path="m" * 5000),
        r"names 1 files that are not there \(.*line 5: .*mmm\); paths are relative to",
    ),
    "no train": (changed(0, split="test"), r"category 'parts' has no row with split train"),
    "category": (changed(0, category="a/b"), r"line 2: category"),
    "good defect": (changed(2, defect="good"), r"line 4 is anomalous, but its defect type is 'go"),
    "no rows": ([], r"t\.csv has no rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named_with_its_line(root: Path, fault: str) -> None:
    rows, words = FAULTS[fault]
    every = {key: "" for row in rows for key in row}
    with pytest.raises(UserError, match=words):
        written(root, [every | row for row in rows]).categories()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("t.csv", b"image_path,label\na,1,2\n", r"line 2 has not as many fields as the first"),
        ("t.csv", b"image_path,label\na\n", r"line 2 has not as many fields as the first"),
        ("t.csv", b'image_path,label\n"a,1\n', r"t\.csv line \d: unexpected end of data"),
        ("t.csv", b"image_path\n\xff\xfe", r"t\.csv is not UTF-8"),
        ("t.jsonl", b'{"image_path": "a"}\n{\n', r"t\.jsonl line 1 has no label"),
        ("t.jsonl", b"{\n", r"t\.jsonl line 1 is not JSON"),
        ("t.jsonl", b"[1]\n", r"t\.jsonl line 1 is not a JSON object, but list"),
        ("meta.json", b"[]", r"meta\.json is not a JSON object, but list"),
        ("meta.json", b'{"train": []}', r"meta\.json train is not a JSON object"),
        ("meta.json", b'{"train": {"a": {}}}', r"meta\.json train/a is no list of images"),
        ("meta.json", b'{"train": {"a": [3]}}', r"train/a\[0\] is not a JSON object, but int"),
        ("meta.json", b"", r"meta\.json is not JSON"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, file: str, content: bytes, words: str) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=words):
        Table(tmp_path, file, "parts").categories()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("column", ["path", "filename", "image_path"])
@pytest.mark.parametrize("labels", [("0.0", "1.0"), ("0", "1"), ("pass", "fail")])
def test_tables_as_pandas_and_spreadsheets_write_them(
    root: Path, separator: str, column: str, labels: tuple[str, str]
) -> None:
    lines = [separator.join((column, "label", "split"))]
    lines += [separator.join((r["image_path"], labels[int(r["label"])], r["split"])) for r in ROWS]
    (root / "t.csv").write_text("\n".join(lines))
    items = Table(root, "t.csv", "parts").items("parts")
    assert sorted(i.label for i in items) == sorted(int(r["label"]) for r in ROWS)


def test_a_table_that_says_no_split_is_split_as_a_folder_is(root: Path) -> None:
    for i in range(10):
        save(root / f"{i}.png", picture(i))
    normals = [f"{i}.png" for i in range(10)]
    lines = ["path;anomaly;type", *(f"{name};0,0;mono" for name in normals)]
    (root / "t.csv").write_text("\n".join([*lines, "a/bad 0.png;1,0;mono"]))
    data = Table(root, "t.csv", "parts")
    assert {i.id for i in data.test("parts") if not i.label} == set_aside(normals)
    assert len(data.train("parts")) == 8
    assert len(data.test("parts")) == 3
    assert (
        data.described == "a table of 11 images, no split said: a fifth of the normals is set aside"
    )

    (root / "t.csv").write_text("\n".join(lines))
    assert len(Table(root, "t.csv", "parts").train("parts")) == 10  # nothing to find: all train
    (root / "t.csv").write_text("path,label,split\n0.png,0,train\n1.png,0,\n")
    with pytest.raises(UserError, match=r"line 3 has no split: .* are path, label, split"):
        Table(root, "t.csv", "parts").categories()
    (root / "t.csv").write_text("path,label\na/bad 0.png,1\n")
    with pytest.raises(UserError, match=r"category 'parts' has no row with label 0\."):
        Table(root, "t.csv", "parts").categories()


def test_a_table_without_a_first_line_is_told_so(root: Path) -> None:
    (root / "t.csv").write_text("b/ok 0.png,0,train\nb/ok 1.png,0,test\n")
    with pytest.raises(UserError, match=r"line 1 names no column .*ok 0.* image_path,label,split"):
        Table(root, "t.csv", "parts").categories()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_tables_unicode_form_need_not_be_the_disks(
    root: Path, form: Literal["NFC", "NFD"]
) -> None:
    other: Literal["NFC", "NFD"] = "NFD" if form == "NFC" else "NFC"
    named, there = (unicodedata.normalize(f, "schräg.png") for f in (form, other))
    (root / "b/ok 0.png").rename(root / "b" / there)
    (root / "t.csv").write_text(f"image_path,label,split\nb/{named},0,train\n", encoding="utf-8")
    data = Table(root, "t.csv", "parts")
    (item,) = data.items("parts")
    assert item.id == f"b/{named}"
    assert data.image(item).ndim == 3
