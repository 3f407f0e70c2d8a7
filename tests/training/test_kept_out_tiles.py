"""Kept out of a store of tiles: whole photographs, scored as `predict` scores them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asbench import results
from asbench.data.tiling import Photograph, foreseen, photographs
from asbench.data.validation_part import kept_count
from asbench.detectors import protocol_of
from asbench.evaluation.kept_normals import kept_normals, kept_photographs
from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.settings import TrainSettings
from asbench.training import plan as planning
from asbench.training.plan import Plan, plan_run
from asbench.training.sources import kept_samples, trained
from asbench.training.train import train
from asbench.types import Item
from synth_store import Geometry, StoreKey, SynthStore
from synth_store.rng import address_rng
from synth_store.types import Image, Mask
from tests.toyset import Toys

PHOTOGRAPHS, KEPT = 30, 10


class Lying(Toys):
    """Photographs of 96x80 pixels: a dark part on a bright table, so that some tiles are bare."""

    def image(self, item: Item) -> Image:
        rng = address_rng("lying", item.id)
        image = rng.integers(225, 235, (96, 80, 3)).astype(np.uint8)
        image[8:56, 16:56] = Toys().image(item) // 2
        return image

    def mask(self, item: Item) -> Mask | None:
        mask = np.zeros((96, 80), np.bool_)
        disc = Toys().mask(item)
        assert disc is not None
        mask[8:56, 16:56] = disc
        return mask


@given(st.lists(st.integers(1, 5), max_size=80), st.sampled_from([0, 0.05, 0.1, 0.4]))
def test_shares_and_the_least_number_count_photographs(tiles: list[int], share: float) -> None:
    ends = np.cumsum([0, *tiles]).tolist()
    whole = [Photograph(f"{i}.png", range(ends[i], ends[i + 1])) for i in range(len(tiles))]
    single = [Photograph(one.id, range(i, i + 1)) for i, one in enumerate(whole)]
    kept = kept_photographs(whole, share)
    assert len(kept) == kept_count(len(whole), share)
    # However they are cut, the same ones are kept out.
    assert [one.id for one in kept] == [one.id for one in kept_photographs(single, share)]


@pytest.fixture(autouse=True)
def lying(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (generation, planning):
        monkeypatch.setattr(module, "open_dataset", lambda dataset, **_: data())


def data() -> Lying:
    return Lying(normals=PHOTOGRAPHS)


@pytest.fixture(scope="module", params=[1.0, 0.0], ids=["all", "without empty tiles"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of tiles of 32x32 with two sets, with and without the tiles that show no object."""
    root = tmp_path_factory.mktemp("tiles") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", lambda dataset, **_: data())
        generate(
            "toys",
            ["cutout", "cutpaste@asbench"],
            category="a",
            n=60,
            store=root,
            size=32,
            resize="tile",
            overlap=8,
            empty_tiles=request.param,
            workers=1,
        )
    return root


@pytest.fixture
def settings(made: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "dataset": "toys",
        "mix": "cutout:0.25,cutpaste@asbench:0.75",
        "detector": "unet@tiny",
        "settings": {"width": 2},
        "category": "a",
        "steps": 2,
        "batch": 8,
        "store": made,
        "runs": tmp_path / "runs",
        "device": "cpu",
    }


def plan_of(settings: dict[str, Any], **changes: Any) -> Plan:
    return plan_run(TrainSettings(**settings | changes))


def test_no_photograph_is_on_both_sides(settings: dict[str, Any]) -> None:
    plan = plan_of(settings)
    normals = plan.normals
    of = {i: one.id for one in photographs(normals) for i in one.normals}
    left_out = normals.attributes["tiles"]["left_out"]
    assert len(normals) + left_out == PHOTOGRAPHS * 12
    assert left_out == 0 if normals.attributes["tiles"]["empty"] else left_out > PHOTOGRAPHS

    kept, seen = {of[i] for i in plan.kept}, {of[i] for i in plan.trained}
    assert len(kept) == KEPT == len(plan.kept_photographs)
    assert len(seen) == PHOTOGRAPHS - KEPT
    assert not kept & seen
    assert plan.kept == kept_normals(normals, 0.1)
    for method in ("cutout", "cutpaste@asbench"):
        stored = SynthStore.open(settings["store"]).read(StoreKey("toys", method, 0), "a")
        assert not {of[stored.source_of(i)] for i in trained(stored, 0.1)} & kept
        assert {of[stored.source_of(i)] for i in kept_samples(stored, 0.1)} <= kept
    said = f"; 10 photographs ({len(plan.kept)} of {len(normals)} tiles) kept out for the threshold"
    assert str(plan).endswith(said)


def test_an_epoch_is_one_pass_over_the_tiles_that_train(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    published = settings | {"detector": "draem", "settings": None, "steps": None}
    plan = plan_of(published)
    assert plan.schedule.normals == len(plan.trained)
    assert plan.training.steps == protocol_of("draem").steps_for(len(plan.trained))
    # Known before they are cut.
    store = SynthStore.create(tmp_path / "new", Geometry(32, 32, "tile", 1, 8))
    tiles = [one for one in foreseen(store, data(), "a") if one.id in seen_by(plan)]
    plan = plan_of(published | {"store": store.root, "mix": None, "ratio": 0})
    assert plan.training.steps == protocol_of("draem").steps_for(sum(len(t.normals) for t in tiles))
    assert plan.training.steps == protocol_of("draem").steps_for(len(plan.trained))


def seen_by(plan: Plan) -> set[str]:
    return {one.id for one in plan.photographs} - {one.id for one in plan.kept_photographs}


@pytest.mark.parametrize("kept_out", [0.1, 0])
def test_a_row_is_a_photograph_scored_as_predict_scores_it(
    settings: dict[str, Any], kept_out: float
) -> None:
    run = train(**settings, kept_out=kept_out)
    plan = plan_of(settings, kept_out=kept_out)
    with (run.folder / "kept_out.csv").open() as file:
        rows = list(csv.DictReader(file))
    normals = [row for row in rows if row["label"] == "0"]
    wanted = plan.kept_photographs if kept_out else plan.photographs
    assert [row["id"] for row in normals] == [one.id for one in wanted]
    images = {item.id: data().image(item) for item in data().train("a")}
    for row in normals:
        # Tiles that the store leaves out are scored too: each is a chance of a false alarm.
        assert float(row["score"]) == run.predict(images[row["id"]]).score
    kept = results.read_kept_out(run.folder)
    assert kept is not None
    assert kept.trained == (not kept_out)
    assert run.run.threshold is not None
    counted = f"{KEPT} normals kept out" if kept_out else f"{PHOTOGRAPHS} training normals"
    assert counted in run.run.threshold.rule

    # Anomalies are tiles.
    drawn = {
        f"{s.key.method}/{i}": s[i].image
        for s, part in plan.sources.validation_parts()
        for i in part
    }
    anomalies = {row["id"]: float(row["score"]) for row in rows if row["label"] == "1"}
    assert anomalies.keys() == drawn.keys()
    id_, image = next(iter(drawn.items()))
    assert anomalies[id_] == pytest.approx(run.predict(image).score, rel=1e-4)
