"""VisA: both layouts, the split of a table, masks of class numbers that look black."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from asbench.data.published import Counts, categories
from asbench.datasets import visa
from asbench.datasets.visa import CATEGORIES, Visa
from synth_store.types import UserError
from tests import trees

SPLIT = Path(visa.__file__).with_name("visa_1cls.csv")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    trees.visa(tmp_path, ("candle", "pcb1"))
    return tmp_path


def test_the_split_of_the_table_is_taken(root: Path) -> None:
    data = Visa(root)
    assert (data.name, data.categories()) == ("visa", ("candle", "pcb1"))
    assert [i.id for i in data.train("pcb1")] == [
        f"Data/Images/Normal/{i:04}.JPG" for i in (1, 2, 4, 5)
    ]
    test = data.test("pcb1")
    assert [i.id for i in test if not i.label] == [
        "Data/Images/Normal/0000.JPG",
        "Data/Images/Normal/0003.JPG",
    ]
    assert {i.defect for i in test if i.label} == {"anomaly"}
    assert [i.id for i in test if i.few_shot] == ["Data/Images/Anomaly/000.JPG"]


def test_masks_of_class_numbers_mark_whatever_is_not_zero(root: Path) -> None:
    data = Visa(root)
    for item in data.items("candle"):
        mask = data.mask(item)
        assert mask is not None
        assert np.array_equal(mask, (trees.block() > 0) & bool(item.label))
        assert data.image(item).shape == (12, 10, 3)
    anomalous = [i for i in data.items("candle") if i.label]
    first, second, third, fourth = (
        root / "candle" / "Data" / "Masks" / "Anomaly" / f"{i:03}.png" for i in range(4)
    )
    assert [data.mask_path(i) for i in anomalous] == [first, second, third, fourth]
    # a palette of black alone: only the stored numbers tell
    indexed = PIL.Image.frombytes("P", (10, 12), trees.block(level=7).tobytes())
    indexed.putpalette([0] * 768)
    indexed.save(first)
    trees.save(second, trees.block() * 0)
    trees.save(third, PIL.Image.fromarray(trees.block(level=2)).convert("RGB"))
    trees.save(fourth, trees.block((10, 12)))
    found = [data.mask(i) for i in anomalous[:3]]
    assert found[0] is not None
    assert found[0].sum() == 12
    assert found[1] is None
    assert found[2] is not None
    assert found[2].sum() == 12
    with pytest.raises(UserError, match="a mask must have the size of its image"):
        data.mask(anomalous[3])


def test_the_converted_layout_gives_the_same_images(root: Path, tmp_path: Path) -> None:
    raw, to = Visa(root), tmp_path / "1cls"
    for item in raw.items("candle"):
        kind = "bad" if item.label else "good"
        name = Path(item.id).name
        target = to / "candle" / item.split / kind / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(raw.image_path(item), target)
        if item.label:
            white = trees.block()
            trees.save(to / "candle" / "ground_truth" / "bad" / f"{Path(name).stem}.png", white)
    converted = Visa(to)
    assert converted.categories() == ("candle",)
    pairs = [
        sorted((i.split, i.defect, Path(i.id).name, i.few_shot) for i in data.items("candle"))
        for data in (raw, converted)
    ]
    assert pairs[0] == pairs[1]
    faulty = next(i for i in converted.items("candle") if i.label)
    mask = converted.mask(faulty)
    assert mask is not None
    assert mask.sum() == 12


def test_what_is_missing_or_of_another_split_is_named(root: Path) -> None:
    table = root / "split_csv" / "1cls.csv"
    (root / "candle/Data/Images/Normal/0004.JPG").unlink()
    (root / "candle/Data/Masks/Anomaly/001.png").unlink()
    with pytest.raises(UserError, match=r"visa: 2 files .*Normal/0004\.JPG, .*Anomaly/001\.png\."):
        Visa(root).items("candle")
    Visa(root).items("pcb1")
    text = table.read_text()
    table.write_text(text.replace("pcb1,test,anomaly", "pcb1,train,anomaly", 1))
    with pytest.raises(UserError, match=r"line 18: split 'train' with label 'anomaly' is none of"):
        Visa(root).items("pcb1")
    table.write_text(text.replace("pcb1", "pcb4"))
    with pytest.raises(UserError, match=r"lists no pcb1"):
        Visa(root).items("pcb1")
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"has columns \['a', 'b'\], not \['object'"):
        Visa(root).items("pcb1")


def test_without_a_table_the_official_one_counts(tmp_path: Path) -> None:
    trees.visa(tmp_path, ("candle",), rows=False)
    with pytest.raises(UserError, match=r"visa: 1186 files of the split missing in .* and 1181 mo"):
        Visa(tmp_path).items("candle")
    for path in Visa(tmp_path)._split["candle"]:
        for file in filter(None, (path["image"], path["mask"])):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
    items = Visa(tmp_path).items("candle")
    counts = Counter((i.split, i.label) for i in items)
    assert Counts(counts["train", 0], counts["test", 0], counts["test", 1]) == (900, 100, 100)
    assert sum(i.few_shot for i in items) == 33


def test_the_official_table_is_the_authors_and_gives_the_published_counts() -> None:
    digest = hashlib.md5(SPLIT.read_bytes(), usedforsecurity=False).hexdigest()
    assert digest == "886cd208fc115b0e5a0cee7cb20edabb"
    rows = Visa(Path("/nowhere"))._split
    assert tuple(sorted(rows)) == CATEGORIES
    for category, published in categories("visa").items():
        counts = Counter((row["split"], row["label"]) for row in rows[category])
        kinds = (("train", "normal"), ("test", "normal"), ("test", "anomaly"))
        assert tuple(counts[kind] for kind in kinds) == published


@pytest.mark.data
def test_the_official_table_is_the_one_at_hand() -> None:
    where = os.environ.get("ASBENCH_DATA")
    if not where or not (Path(where) / "visa_split").is_dir():
        pytest.skip("ASBENCH_DATA names no folder with visa_split in it")
    assert (Path(where) / "visa_split" / "1cls.csv").read_bytes() == SPLIT.read_bytes()
