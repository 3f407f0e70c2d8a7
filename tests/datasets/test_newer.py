"""The data sets of 2021 to 2026: what their layouts have that MVTec AD's has not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from asbench.data.check import check
from asbench.datasets.elpv import Elpv
from asbench.datasets.folder import Folder
from asbench.datasets.kolektorsdd2 import Kolektorsdd2
from asbench.datasets.mvtec_3d import Mvtec3d
from asbench.datasets.mvtec_ad2 import MvtecAd2
from asbench.datasets.mvtec_loco import MvtecLoco
from asbench.datasets.real_iad import RealIad
from asbench.evaluation.testset import TestSet
from asbench.types import Dataset
from synth_store.types import Geometry, UserError
from tests import newer_trees as newer
from tests import trees

BLOCK = trees.block() > 0


def counts(data: Dataset, category: str) -> tuple[int, int, int]:
    test = data.test(category)
    faulty = sum(item.label for item in test)
    return len(data.train(category)), len(test) - faulty, faulty


def test_loco_unites_the_masks_of_an_image_and_keeps_their_regions(tmp_path: Path) -> None:
    newer.loco(tmp_path)
    data = MvtecLoco(tmp_path)
    assert counts(data, "juice_bottle") == (5, 2, 8)
    items = {item.id: item for item in data.items("juice_bottle")}
    two = items["test/logical_anomalies/002.png"]
    mask = data.mask(two)
    assert mask is not None
    assert np.array_equal(mask, BLOCK | np.roll(BLOCK, 5, axis=0))
    first, second = data.regions(two)
    assert (first.pixels, second.pixels) == (
        6,
        12,
    )  # six at most of a missing part; all of a scratch
    assert not (first.mask & second.mask).any()
    report = check(tmp_path / "juice_bottle", name="mine")  # the folder's reader sees the same
    assert report.categories[0].saturations == 2

    (tmp_path / "juice_bottle" / "defects_config.json").unlink()
    with pytest.raises(UserError, match=r"1 files missing in .*: defects_config\.json"):
        data.saturations("juice_bottle")
    trees.save(tmp_path / "juice_bottle" / "test" / "logical_anomalies" / "9.png", trees.picture(1))
    with pytest.raises(UserError, match=r"1 masks missing in .*logical_anomalies: 9"):
        MvtecLoco(tmp_path).items("juice_bottle")


def test_ad2_scores_the_public_test_set_alone(tmp_path: Path) -> None:
    newer.ad2(tmp_path)
    data = MvtecAd2(tmp_path)
    assert data.categories() == ("vial",)
    assert counts(data, "vial") == (5, 2, 4)
    assert not [i for i in data.items("vial") if "private" in i.id or "validation" in i.id]
    (item,) = (i for i in data.items("vial") if i.id == "test_public/bad/001_overexposed.png")
    assert np.array_equal(data.mask(item), BLOCK)


def test_3d_reads_photographs_and_no_scans(tmp_path: Path) -> None:
    newer.three_d(tmp_path)
    data = Mvtec3d(tmp_path)
    assert counts(data, "tire") == (5, 2, 7)
    assert {i.defect for i in data.items("tire")} == {"good", "cut", "combined"}
    assert all("/rgb/" in i.id for i in data.items("tire"))
    (tmp_path / "tire" / "test" / "cut" / "gt" / "001.png").unlink()
    with pytest.raises(UserError, match=r"1 masks missing in .*cut/gt: 001"):
        Mvtec3d(tmp_path).items("tire")


def test_kolektor_is_told_by_masks_and_passes_over_stray_copies(tmp_path: Path) -> None:
    newer.kolektor(tmp_path / "KolektorSDD2")
    data = Kolektorsdd2(tmp_path)
    assert counts(data, "surface") == (6, 6, 3)
    assert not [i for i in data.items("surface") if "copy" in i.id]
    (tmp_path / "KolektorSDD2" / "test" / "20001_GT.png").unlink()
    with pytest.raises(UserError, match=r"1 masks missing in .*test: 20001"):
        Kolektorsdd2(tmp_path).items("surface")


def test_real_iad_splits_by_the_authors_lists(tmp_path: Path) -> None:
    newer.real_iad(tmp_path)
    data = RealIad(tmp_path)
    assert counts(data, "toy_brick") == (10, 7, 8)
    hidden = [i for i in data.test("toy_brick") if i.id.startswith("NG") and not i.label]
    assert [i.id[-11] + i.id[-10] for i in hidden] == ["C5", "C5"]
    assert {i.defect for i in data.items("toy_brick")} == {"good", "HS", "ZW"}
    single = RealIad(tmp_path, single_view=True)
    assert single.name == "real_iad@sv"
    assert counts(single, "toy_brick") == (2, 1, 2)
    with pytest.raises(UserError, match=r"no Real-IAD in .*realiad_256"):
        RealIad(tmp_path, resolution="256").categories()

    path = tmp_path / "realiad_jsons" / "realiad_jsons" / "toy_brick.json"
    listed = json.loads(path.read_text())
    path.write_text(json.dumps({**listed, "train": listed["test"]}))
    with pytest.raises(UserError, match="trains on the defect NG/HS"):
        RealIad(tmp_path).items("toy_brick")
    path.write_text("{}")
    with pytest.raises(UserError, match=r"cannot be read \(no 'meta'\): unpack realiad_jsons"):
        RealIad(tmp_path).items("toy_brick")
    path.unlink()
    with pytest.raises(UserError, match="the list of toy_brick is neither"):
        RealIad(tmp_path).items("toy_brick")


@pytest.mark.parametrize("plugin", [MvtecLoco, MvtecAd2, Mvtec3d])
def test_an_empty_folder_is_refused(tmp_path: Path, plugin: type[MvtecLoco]) -> None:
    with pytest.raises(UserError, match=r"asbench data fetch mvtec_\w+` says how to get it"):
        plugin(tmp_path).categories()
    data = plugin(tmp_path)
    (tmp_path / data_category(data)).mkdir()
    with pytest.raises(UserError, match="no image in"):
        plugin(tmp_path).items(data_category(data))


def data_category(data: Dataset) -> str:
    return {"mvtec_loco": "pushpins", "mvtec_ad2": "can", "mvtec_3d": "bagel"}[data.name]


def test_regions_of_loco_keep_their_share_at_any_size(tmp_path: Path) -> None:
    newer.loco(tmp_path)
    data = MvtecLoco(tmp_path)
    items = data.test("juice_bottle")
    test = TestSet(data, items, Geometry(24, 20))  # twice the size: four times the pixels
    assert test.regions is not None
    by_id = dict(zip((item.id for item in items), test.regions, strict=True))
    assert by_id["test/good/000.png"] == []
    (first, second) = by_id["test/logical_anomalies/002.png"]
    assert (first.pixels, second.pixels) == (24, 48)
    assert int(first.mask.sum()) == 48
    plain = Folder(tmp_path / "juice_bottle", "mine")
    assert TestSet(plain, plain.test("juice_bottle"), Geometry(24, 20)).regions is not None
    (tmp_path / "juice_bottle" / "defects_config.json").unlink()
    plain = Folder(tmp_path / "juice_bottle", "mine")
    assert TestSet(plain, plain.test("juice_bottle"), Geometry(24, 20)).regions is None


def test_solar_cells_are_told_by_probability_and_have_no_masks(tmp_path: Path) -> None:
    newer.elpv(tmp_path)
    data = Elpv(tmp_path)
    assert counts(data, "mono") == counts(data, "poly") == (8, 2, 2)
    assert "images/cell0013.png" not in {item.id for item in data.items("mono")}  # unsure
    assert all(data.mask(item) is None for item in data.test("mono") if item.label)

    labels = tmp_path / "elpv_dataset" / "data" / "labels.csv"
    (tmp_path / "elpv_dataset" / "data" / "images" / "cell0003.png").unlink()
    with pytest.raises(UserError, match=r"1 images missing in .*data: cell0003"):
        Elpv(tmp_path).items("mono")
    for line in (
        "images/cell0001.png 2.0 mono",
        "images/cell0001.png nan mono",
        "cell0001.png 0.0",
    ):
        labels.write_text(f"\n{line}\n")
        with pytest.raises(UserError, match=r"elpv: line 2 of .*labels\.csv is not an image"):
            Elpv(tmp_path).items("mono")
    labels.unlink()
    with pytest.raises(UserError, match=r"no labels\.csv in .*`asbench data fetch elpv`"):
        Elpv(tmp_path).items("mono")
