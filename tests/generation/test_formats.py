"""What leaves the store in other tools' formats is read by their own libraries, pixel for pixel."""

from __future__ import annotations

import gc
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import yaml

from asbench.generation.export_set import Form, export_set
from asbench.generation.formats import FORMATS
from asbench.generation.formats import parquet as parquet_format
from asbench.generation.formats import webdataset as tar_format
from synth_store import Geometry, StoredSet, StoreKey, SynthStore, UserError
from synth_store.types import Image, Mask
from tests.synth_store.making import CATEGORY, generate

KEYS = ("toy/boxes/0", "toy/others@wide/1")
PACKED: list[Any] = sorted(FORMATS)


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    """Two sets on six normals, wider than tall, odd in both; one made its own backgrounds."""
    store = SynthStore.create(tmp_path / "store", Geometry(33, 47))
    generate(store, 5, key=StoreKey("toy", "boxes", 0))
    generate(store, 3, key=StoreKey("toy", "others@wide", 1), generated=True)
    return store


def expected(store: SynthStore) -> dict[str, tuple[Image, Mask]]:
    """Return image and mask by the name of each entry."""
    first = store.read(StoreKey.parse(KEYS[0]), CATEGORY)
    empty = np.zeros((33, 47), np.bool_)
    named = {f"good_{i:04d}": (image, empty) for i, image in enumerate(first.normals)}
    for key in KEYS:
        parsed = StoreKey.parse(key)
        for i, sample in enumerate(store.read(parsed, CATEGORY)):
            named[f"{parsed.method}_{parsed.seed}_{i:04d}"] = (sample.image, sample.mask)
    return named


def export(store: SynthStore, out: Path, form: Form, **more: Any) -> Path:
    (one,) = export_set(store, KEYS, out, form=form, **more)
    assert (one.category, one.count, one.normals) == (CATEGORY, 8, 6)
    assert one.place == out / CATEGORY
    assert one.size == sum(p.stat().st_size for p in one.place.rglob("*") if p.is_file())
    return one.place


def pixels(source: Any) -> Any:
    return np.asarray(PIL.Image.open(source))


def compare(read: dict[str, tuple[Any, Any]], wanted: dict[str, tuple[Image, Mask]]) -> None:
    assert list(read) == list(wanted)
    for name, (image, mask) in wanted.items():
        assert np.array_equal(read[name][0], image), name
        assert np.array_equal(np.asarray(read[name][1]) > 0, mask), name


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
@pytest.mark.parametrize("form", ["coco", "coco-polygons"])
def test_pycocotools_reads_coco(
    store: SynthStore, tmp_path: Path, form: Form, capsys: pytest.CaptureFixture[str]
) -> None:
    from pycocotools.coco import COCO

    place = export(store, tmp_path / "out", form)
    coco = COCO(place / "annotations.json")
    names = [one["name"] for one in coco.loadCats(coco.getCatIds())]
    assert names == ["boxes", "others@wide"]
    read = {}
    for image in coco.loadImgs(coco.getImgIds()):
        mask = np.zeros((image["height"], image["width"]), np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(image["id"])):
            assert isinstance(one["segmentation"], list) == (form == "coco-polygons")
            alone = coco.annToMask(one)
            assert alone.sum() == one["area"]
            assert cv2.boundingRect(alone) == tuple(one["bbox"])
            assert image["method"] == names[one["category_id"] - 1]
            mask |= alone
        stem = Path(image["file_name"]).stem
        read[stem] = pixels(place / "images" / image["file_name"]), mask
    compare(read, expected(store))


def test_a_yolo_reader_reads_yolo(store: SynthStore, tmp_path: Path) -> None:
    """As ultralytics does: shares times size, cut to whole numbers, filled."""
    place = export(store, tmp_path / "out", "yolo")
    described = yaml.safe_load((place / "data.yaml").read_text())
    assert described["names"] == {0: "boxes", 1: "others@wide"}
    read = {}
    for path in sorted((place / described["train"]).iterdir()):
        image = pixels(path)
        height, width = image.shape[:2]
        mask = np.zeros((height, width), np.uint8)
        label = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
        for line in label.read_text().splitlines():
            number, *shares = line.split()
            assert described["names"][int(number)] in path.name
            assert len(shares) >= 6
            points = np.array(shares, np.float32).reshape(-1, 2) * np.float32([width, height])
            cv2.fillPoly(mask, [points.astype(np.int32)], 1)
        read[path.stem] = image, mask
    wanted = expected(store)
    compare(read, {name: wanted[name] for name in sorted(wanted)})


def test_pyarrow_reads_parquet(
    store: SynthStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr(parquet_format, "PER_FILE", 5)
    monkeypatch.setattr(parquet_format, "PER_GROUP", 5)
    place = export(store, tmp_path / "out", "parquet")
    files = sorted((place / "data").iterdir())
    assert [f.name for f in files] == [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    read = {
        Path(row["image"]["path"]).stem: (
            pixels(io.BytesIO(row["image"]["bytes"])),
            pixels(io.BytesIO(row["mask"]["bytes"])),
        )
        for row in rows
    }
    compare(read, expected(store))
    features = json.loads(pq.read_schema(files[0]).metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": ["good", "boxes", "others@wide"], "_type": "ClassLabel"}
    assert [row["label"] for row in rows] == [0] * 6 + [1] * 5 + [2] * 3
    assert [row["source"] for row in rows[:6]] == [f"good/{i:03}" for i in range(6)]
    own = store.read(StoreKey.parse(KEYS[1]), CATEGORY)
    for row, sample in zip(rows[-3:], own, strict=True):
        assert row["source"] is None
        assert np.array_equal(pixels(io.BytesIO(row["clean"]["bytes"])), sample.clean)


def test_datasets_loads_parquet(store: SynthStore, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    place = export(store, tmp_path / "out", "parquet")
    rows = datasets.load_dataset(str(place), split="train", cache_dir=str(tmp_path / "cache"))
    wanted = list(expected(store).values())
    assert len(rows) == len(wanted)
    for row, (image, mask) in zip(rows, wanted, strict=True):
        assert np.array_equal(np.asarray(row["image"]), image)
        assert np.array_equal(np.asarray(row["mask"]) > 0, mask)
    assert rows.features["label"].names == ["good", "boxes", "others@wide"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tarfile_and_webdataset_read_the_archives(
    store: SynthStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    webdataset = pytest.importorskip("webdataset")
    monkeypatch.setattr(tar_format, "PER_FILE", 9)
    place = export(store, tmp_path / "out", "webdataset")
    archives = sorted(place.glob("*.tar"))
    assert [a.name for a in archives] == [f"{CATEGORY}-00000{i}.tar" for i in range(2)]
    plain: dict[str, tuple[Any, Any]] = {}
    for path in archives:
        with tarfile.open(path) as archive:
            held = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        stems = list(dict.fromkeys(name.partition(".")[0] for name in held))
        for stem in stems:
            image, mask = (io.BytesIO(held[f"{stem}.{end}"]) for end in ("png", "mask.png"))
            plain[stem] = pixels(image), pixels(mask)
    compare(plain, expected(store))
    rows = webdataset.WebDataset([str(a) for a in archives], shardshuffle=False).decode("rgb8")
    read = {row["__key__"]: (row["png"], row["mask.png"][..., 0]) for row in rows}
    compare(read, expected(store))
    del rows
    gc.collect()  # webdataset leaves its files open: its warning belongs to this test
    again = export(store, tmp_path / "again", "webdataset")
    assert [a.read_bytes() for a in archives] == [
        a.read_bytes() for a in sorted(again.glob("*.tar"))
    ]


@pytest.mark.parametrize("form", PACKED)
def test_what_stands_stays_and_all_else_is_refused(
    store: SynthStore, tmp_path: Path, form: Form
) -> None:
    place = export(store, tmp_path / "out", form)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    (again,) = export_set(store, KEYS, tmp_path / "out", form=form)
    assert again.notes == ("stands there already",)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    with pytest.raises(UserError, match=r"is there already, with toy/boxes/0/tile, toy/others@w"):
        list(export_set(store, KEYS[0], tmp_path / "out", form=form))
    with pytest.raises(UserError, match=r"is there already, with"):
        list(export_set(store, KEYS, tmp_path / "out", form=form, classes="one"))
    next(p for p in place.rglob("*") if p.suffix in (".png", ".parquet", ".tar")).unlink()
    with pytest.raises(UserError, match="was changed since it was written"):
        list(export_set(store, KEYS, tmp_path / "out", form=form))


@pytest.mark.parametrize("form", PACKED)
def test_a_killed_or_full_export_leaves_nothing(
    store: SynthStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    out, calls, read_into = tmp_path / "out", iter(range(99)), StoredSet.read_into
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):

        def failing(*arguments: Any, error: BaseException = error) -> None:
            if next(calls) % 3 == 2:
                raise error
            read_into(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(StoredSet, "read_into", failing)
            with pytest.raises((UserError, KeyboardInterrupt), match=r"No space left|^$"):
                list(export_set(store, KEYS, out, form=form))
        assert [*out.rglob("*")] == []
    export(store, out, form)


def test_what_a_reader_leaves_beside_it_changes_no_export(
    store: SynthStore, tmp_path: Path
) -> None:
    """As ultralytics does: a cache of labels, and with `cache="disk"` of every image."""
    (one,) = export_set(store, KEYS, tmp_path / "out", form="yolo")
    (one.place / "labels.cache").write_bytes(b"labels")
    (one.place / "images" / "good_0000.npy").write_bytes(b"pixels")
    (again,) = export_set(store, KEYS, tmp_path / "out", form="yolo")
    assert (again.notes, again.files, again.size) == (
        ("stands there already",),
        one.files,
        one.size,
    )


def test_one_class_for_all(store: SynthStore, tmp_path: Path) -> None:
    place = export(store, tmp_path / "coco", "coco", classes="one")
    (category,) = json.loads((place / "annotations.json").read_text())["categories"]
    assert category == {"id": 1, "name": "anomaly", "supercategory": "anomaly"}
    place = export(store, tmp_path / "yolo", "yolo", classes="one")
    assert yaml.safe_load((place / "data.yaml").read_text())["names"] == {0: "anomaly"}


def test_a_card_says_what_it_is_whose_and_how_it_is_made(store: SynthStore, tmp_path: Path) -> None:
    text = (export(store, tmp_path / "out", "parquet") / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["configs"][0]["data_files"][0]["path"] == "data/train-*.parquet"
    assert "6 normal images and 8 with a synthetic anomaly, 47 x 33 pixels" in text
    assert "`toy/boxes/0/tile` | 5" in text
    assert "whose licence ASBench does not know" in text
    assert "asbench generate --dataset toy --category tile --method boxes --visible 0" in text
    assert "--seed 0 -n 5 --size 47x33\n" in text
    assert "--format parquet --out OUT" in text
    assert str(tmp_path) not in text


def test_refusals(store: SynthStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="writes one set, not 2"):
        list(export_set(store, KEYS, tmp_path / "out", form="zarr"))
    generate(store, 3, key=StoreKey("toy2", "boxes", 0))
    with pytest.raises(UserError, match="are of different data sets"):
        list(export_set(store, (KEYS[0], "toy2/boxes/0"), tmp_path / "out", form="coco"))
    with pytest.raises(UserError, match="named twice"):
        list(export_set(store, (KEYS[0], KEYS[0]), tmp_path / "out", form="coco"))
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    with pytest.raises(UserError, match=r"needs pycocotools: pip install 'asbench\[formats\]'"):
        list(export_set(store, KEYS, tmp_path / "out", form="coco"))
