"""A set measured: what stands in its record, what decides it, and that it is not done twice."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asbench.imaging.geometry import resize
from asbench.quality import distributions, record
from asbench.quality import measure as stage
from asbench.quality.feature_extractors import Histogram
from asbench.quality.measure import Meter, measure, measure_all
from asbench.quality.record import Quality
from asbench.settings import MeasureSettings
from asbench.types import Item
from synth_store import StoreError, StoreKey, SynthStore, UserError
from tests.toyset import Toys

pytestmark = pytest.mark.slow

Measure = Callable[..., Quality]


@pytest.fixture
def measured(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """`measure` on the toys."""
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: Toys())
    here: dict[str, Any] = {"store": made, "out": tmp_path / "quality", "device": "cpu"}
    return lambda method="cutout", **more: measure("toys", method, **{**here, "n": 20, **more})


@pytest.fixture
def quality(measured: Measure) -> Quality:
    return measured()


def test_a_record_is_read_as_it_was_written(quality: Quality, tmp_path: Path) -> None:
    (found,) = record.rows(tmp_path / "quality")
    assert found.id == quality.id
    # NaN equals nothing: as text both are the same.
    assert repr(found.scores) == repr(quality.scores)
    assert found.decides == json.loads(json.dumps(quality.decides))
    assert {s.region for s in found.scores} == {"whole", "inside", "border"}
    assert all(math.isfinite(s.value) or s.reason for s in found.scores)
    whole, inside = found.dual("ssim", "clean")
    assert inside < whole < 1
    with pytest.raises(UserError, match="'fid:real:whole' was not measured of cutout"):
        found.score("fid:real:whole")


def test_scores_are_those_of_the_stored_pixels(quality: Quality, store: SynthStore) -> None:
    samples = [store.read(StoreKey("toys", "cutout", 0), "a")[i] for i in range(20)]
    assert quality.score("mask_area:self:whole").value == pytest.approx(
        np.mean([s.mask.mean() for s in samples])
    )
    error = [np.mean((s.image / 255.0 - s.clean / 255.0) ** 2) for s in samples]
    found = quality.score("psnr:clean:whole")
    assert found.value == pytest.approx(np.mean(-10 * np.log10(error)), rel=1e-6)
    assert (found.n, found.against) == (20, 20)


def test_real_defects_are_the_held_out_ones_unless_told(
    measured: Measure, store: SynthStore
) -> None:
    data, space = Toys(), Histogram()
    items = [i for i in data.test("a") if i.label]
    samples = [store.read(StoreKey("toys", "cutout", 0), "a")[i] for i in range(20)]

    def features(images: list[np.ndarray]) -> np.ndarray:
        stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return space.features(stack, {"whole": None})["whole"]

    own = features([s.image for s in samples])
    for real, chosen in (("held_out", [i for i in items if not i.few_shot]), ("full", items)):
        others = features([resize(data.image(i), store.geometry) for i in chosen])
        found = measured(real=real, metrics=["fid@histogram"]).score("fid@histogram:real:whole")
        assert found.against == len(chosen)
        assert found.value == pytest.approx(distributions.frechet_distance(own, others), rel=1e-5)


def test_local_distances_need_masks_of_both(quality: Quality) -> None:
    inside = quality.score("fid@histogram:real:inside")
    assert (inside.n, inside.against) == (20, 4)
    assert inside.value > quality.score("fid@histogram:real:whole").value
    assert quality.score("kid@histogram:real:inside").note == "subsets of 4"


def test_a_set_that_was_made_of_real_defects_is_near_to_them(measured: Measure) -> None:
    copied = measured("real")
    assert copied.saw_defects == 2
    assert copied.score("nearest@histogram:few-shot:inside").value == pytest.approx(0, abs=1e-6)
    assert copied.score("nearest@histogram:held-out:inside").value > 1e-3
    assert measured("cutout").saw_defects == 0


def test_what_stands_is_not_measured_again(
    measured: Measure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, told = measured(), list[str]()
    monkeypatch.setattr(Meter, "_scores", None)
    assert measured(notify=told.append).created == first.created
    assert any(first.id in line for line in told)
    assert len(list((tmp_path / "quality").iterdir())) == 1


def test_the_same_pixels_give_the_same_scores(measured: Measure, tmp_path: Path) -> None:
    again = measured(out=tmp_path / "again")
    assert again.id == measured().id
    assert repr(again.scores) == repr(measured().scores)


@pytest.mark.parametrize(
    "change", [{"n": 10}, {"real": "full"}, {"metrics": ["ssim"]}, {"method": "cutpaste"}]
)
def test_every_setting_decides(measured: Measure, change: dict[str, Any]) -> None:
    assert measured(**{"metrics": ["psnr"], **change}).id != measured(metrics=["psnr"]).id


def test_a_network_adds_its_scores(measured: Measure, resnet: Path) -> None:
    found = measured(weights={"resnet18": resnet}, n=6)
    addresses = {s.address for s in found.scores}
    assert {
        "lpips@resnet18:clean:border",
        "fid@resnet18-layer3:real:inside",
        "kid@resnet18-layer3:normals:whole",
        "is@resnet18-layer3:self:whole",
        "effective_number@resnet18-layer3:self:inside",
    } <= addresses
    assert (
        found.score("fid@resnet18-layer3:real:whole").weights
        == (found.decides["weights"]["resnet18"][:12])
    )
    assert all(not s.weights for s in found.scores if "resnet18" not in s.metric)


def test_without_real_defects_the_rest_is_measured(
    measured: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toys, "items", lambda _, category: _calm(category))
    found = measured()
    for address in ("ssim:real:whole", "fid@histogram:real:inside"):
        assert math.isnan(found.score(address).value)
        assert found.score(address).reason == "there are no such real defects"
    assert math.isfinite(found.score("fid@histogram:normals:whole").value)


ITEMS = {c: Toys().items(c) for c in ("a", "b")}


def _calm(category: str) -> tuple[Item, ...]:
    return tuple(item for item in ITEMS[category] if not item.label)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"n": 1}, "1 samples cannot be compared"),
        ({"real": "some"}, "choose held_out or full"),
        ({"category": "c"}, "choose from a, b"),
        ({"metrics": ["fid"]}, "ASBENCH_WEIGHTS"),
        ({"method": "nsa"}, "asbench generate"),
        ({"category": "b"}, "holds no normals of toys/b"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    measured: Measure, tmp_path: Path, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint):
        measured(**arguments)
    assert not (tmp_path / "quality").exists()


def test_damage_is_named(quality: Quality, tmp_path: Path) -> None:
    path = tmp_path / "quality" / quality.id / "quality.json"
    whole = path.read_text()
    for text in ("{", whole.replace('"n": 20', '"n": 21', 1), whole.replace('"seconds"', '"s"')):
        path.write_text(text)
        with pytest.raises(UserError, match=r"quality\.json cannot be read.*asbench quality"):
            record.rows(tmp_path / "quality")
    path.write_text(whole.replace('"schema": 1', '"schema": 2'))
    with pytest.raises(UserError, match="has schema 2"):
        record.rows(tmp_path / "quality")


def test_a_damaged_store_leaves_no_record(measured: Measure, made: Path, tmp_path: Path) -> None:
    broken = tmp_path / "store"
    shutil.copytree(made, broken)
    shard = broken / "toys" / "cutout" / "0" / "a" / "image" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(StoreError):
        measured(store=broken)
    assert not (tmp_path / "quality").exists()


def test_csv_has_a_line_a_score(quality: Quality) -> None:
    lines = record.csv_text([quality]).splitlines()
    assert len(lines) == 1 + len(quality.scores)
    assert lines[0].startswith("id,dataset,category,method,seed,real,metric,pairing,region,value")
    assert "nan" not in record.csv_text([quality])


def test_all_stored_sets_are_measured_category_by_category(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: Toys())
    asked = MeasureSettings(
        "toys", store=made, out=tmp_path, device="cpu", n=4, metrics=("fid@histogram",)
    )
    (of_a,) = measure_all(asked, None, None)  # of the toys only `a` is stored
    assert {q.decides["category"] for q in of_a} == {"a"}
    assert [q.decides["method"] for q in of_a] == ["cutout", "cutpaste", "real"]
    chosen = measure_all(asked, ["cutpaste"], ["a"])
    assert [[q.id for q in of_category] for of_category in chosen] == [[of_a[1].id]]
    with pytest.raises(UserError, match=r"no set of toys with seed 0: make one with `asbench gen"):
        next(measure_all(asked, None, ["b"]))
    (real,) = measure_all(replace(asked, seed=3), None, None)
    assert [q.decides["method"] for q in real] == ["real"]
