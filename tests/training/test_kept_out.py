"""Normals kept out of training: which, how many, and that nothing trained ever sees them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from asbench import results
from asbench.data.tiling import Photograph
from asbench.data.validation_part import KEPT_LEAST, kept_count, validation_part
from asbench.detectors import build, protocol_of
from asbench.detectors.patchcore import Patchcore
from asbench.detectors.unet import Unet
from asbench.evaluation.kept_normals import kept_normals, kept_photographs
from asbench.evaluation.thresholds import by_false_alarms
from asbench.evaluation.trained import Trained
from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.nets.features import Features
from asbench.settings import TrainSettings
from asbench.training import plan as planning
from asbench.training import train as stage
from asbench.training.plan import Plan, plan_run
from asbench.training.sampler import ResidentSampler, StreamingSampler
from asbench.training.sources import find_sources, kept_samples, trained
from asbench.training.train import train
from asbench.types import Interrupted
from synth_store import Mix, StoreKey, SynthStore, UserError
from tests.synth_store.making import CATEGORY, SMALL, add_normals
from tests.synth_store.making import generate as make_set
from tests.toyset import Toys

NORMALS = 30
MIX = "cutout:0.25,cutpaste@asbench:0.75"


@pytest.mark.parametrize(
    ("normals", "share", "kept"),
    [
        (902, 0.1, 90),  # the share itself
        (200, 0.1, 20),
        (60, 0.1, 20),  # the least number, where a third is as many
        (59, 0.1, 19),  # else a third
        (9, 0.1, 3),
        (3, 0.1, 1),
        (2, 0.1, 0),  # of two, neither can be spared
        (0, 0.1, 0),
        (100, 0.5, 50),  # a larger share is what was asked for
        (500, 0, 0),
    ],
)
def test_how_many_are_kept_out(normals: int, share: float, kept: int) -> None:
    assert kept_count(normals, share) == kept


@given(st.integers(0, 3000), st.floats(0, 0.5))
def test_most_normals_always_train(normals: int, share: float) -> None:
    kept = kept_count(normals, share)
    assert 0 <= kept <= normals / 2
    if share and normals >= 3 * KEPT_LEAST:
        assert kept >= KEPT_LEAST


@pytest.mark.parametrize("share", [-0.1, 0.6, 1.0, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(UserError, match=r"kept out .* is impossible"):
        kept_count(100, share)


def test_which_are_kept_out_is_a_function_of_their_ids() -> None:
    whole = [Photograph(f"train/{i}", range(i, i + 1)) for i in range(100)]
    kept = kept_photographs(whole, 0.2)
    assert len(kept) == 20
    assert kept_photographs(whole[::-1], 0.2) == kept[::-1]
    # More are kept out of more, and those before are among them.
    assert set(kept) < set(kept_photographs(whole, 0.3))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> SynthStore:
    """Sets on 12 normals: of 40 samples on their sources, of 40 on backgrounds of their own."""
    store = SynthStore.create(tmp_path_factory.mktemp("sets"), SMALL)
    add_normals(store, 12)
    make_set(store, 40, key=StoreKey("toy", "drawn", 0))
    make_set(store, 40, key=StoreKey("toy", "own", 0), generated=True)
    return store


def test_what_was_drawn_on_a_kept_out_normal_stands_for_anomalies_and_never_trains(
    sets: SynthStore,
) -> None:
    stored = sets.read(StoreKey("toy", "drawn", 0), CATEGORY)
    kept = set(kept_normals(stored.normals, 0.2))
    training, judged = trained(stored, 0.2), kept_samples(stored, 0.2)
    assert len(kept) == 4
    assert not {stored.source_of(i) for i in training} & kept
    assert {stored.source_of(i) for i in judged} <= kept
    assert not set(training) & set(judged)
    assert not set(training) & set(validation_part(40))
    lost = sum(stored.source_of(i) in kept for i in range(36))
    assert len(training) == 36 - lost


def test_backgrounds_of_a_method_s_own_are_no_normals(sets: SynthStore) -> None:
    stored = sets.read(StoreKey("toy", "own", 0), CATEGORY)
    assert list(trained(stored, 0.2)) == list(range(36))
    assert list(kept_samples(stored, 0.2)) == list(validation_part(40))


def test_share_0_keeps_the_parts_of_before(sets: SynthStore) -> None:
    stored = sets.read(StoreKey("toy", "drawn", 0), CATEGORY)
    assert list(trained(stored, 0)) == list(range(36))
    assert list(kept_samples(stored, 0)) == list(range(36, 40))


def test_a_pool_counts_what_trains(sets: SynthStore) -> None:
    find = partial(find_sources, sets, "toy", CATEGORY, Mix.parse("drawn"), 0, kept_out=0.2)
    whole = find(None)
    assert find(5).indices == [whole.indices[0][:5]]
    with pytest.raises(UserError, match=r"pool 30 is more .* are kept back for thresholds"):
        find(30)


def test_both_samplers_give_the_samples_of_the_indices(sets: SynthStore) -> None:
    normals = sets.normals("toy", CATEGORY)
    sources = find_sources(
        sets, "toy", CATEGORY, Mix.parse("drawn:0.5,own:0.5"), 0, None, kept_out=0.2
    )
    kept = set(kept_normals(normals, 0.2))
    indices = [[i for i in range(12) if i not in kept], *sources.indices]
    schedule = sources.schedule(planning.Fraction(3, 4), len(indices[0]), seed=3)
    given = ([normals, *sources.sets], schedule, 5, torch.device("cpu"), indices)
    resident = ResidentSampler(*given)
    with StreamingSampler(*given) as streaming:
        for step in range(20):
            batch, other = resident.batch_at(step), streaming.batch_at(step)
            items = schedule.batch_at(step, 5)
            for row, (source, place) in enumerate(zip(items.source, items.index, strict=True)):
                at = indices[source][place]
                stored = sources.sets[source - 1][at] if source else None
                image = normals[at] if stored is None else stored.image
                clean = normals[at] if stored is None else stored.clean
                for wanted, got in ((image, batch.image[row]), (clean, batch.clean[row])):
                    pixels = (got.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
                    assert np.array_equal(pixels, wanted)
            assert torch.equal(batch.image, other.image)
            assert torch.equal(batch.clean, other.clean)
            assert torch.equal(batch.mask, other.mask)


# Whole trainings.


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (generation, planning):
        monkeypatch.setattr(module, "open_dataset", lambda dataset, **_: Toys(normals=NORMALS))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two sets of 60 samples at 32x32, on 30 normals."""
    root = tmp_path_factory.mktemp("toys") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", lambda dataset, **_: Toys(normals=NORMALS))
        methods = ["cutout", "cutpaste@asbench"]
        generate("toys", methods, category="a", n=60, store=root, size=32, workers=1)
    return root


@pytest.fixture
def settings(made: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "dataset": "toys",
        "mix": MIX,
        "detector": "unet@tiny",
        "settings": {"width": 2},
        "category": "a",
        "steps": 12,
        "batch": 8,
        "store": made,
        "runs": tmp_path / "runs",
        "device": "cpu",
    }


def plan_of(settings: dict[str, Any], **changes: Any) -> Plan:
    return plan_run(TrainSettings(**settings | changes))


def pixels_of(images: torch.Tensor) -> set[bytes]:
    """The images of a batch in [0, 1], or of uint8, as bytes: (B, 3, H, W)."""
    if images.dtype != torch.uint8:
        images = (images * 255).round().to(torch.uint8)
    return {image.permute(1, 2, 0).contiguous().numpy().tobytes() for image in images}


def kept_pixels(plan: Plan) -> set[bytes]:
    return {plan.normals[i].tobytes() for i in plan.kept}


def test_share_0_is_the_run_of_before(settings: dict[str, Any]) -> None:
    plan = plan_of(settings, kept_out=0)
    assert "kept_out" not in plan.decides
    assert (plan.kept, plan.indices, plan.sources.sizes) == ([], None, (54, 54))
    assert plan.schedule.normals == NORMALS
    assert plan_of(settings).id != plan.id != plan_of(settings, kept_out=0.4).id
    assert plan_of(settings).decides["kept_out"] == 0.1


def test_epochs_count_the_normals_that_train(settings: dict[str, Any]) -> None:
    published = settings | {"detector": "draem", "settings": None, "steps": None}
    for kept_out, normals in ((0, NORMALS), (0.1, NORMALS - 10)):
        steps = plan_of(published, kept_out=kept_out).training.steps
        assert steps == protocol_of("draem").steps_for(normals)


def test_no_training_sees_a_kept_out_normal(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared, seen = [], set()
    fit, prepare = stage.fit_detector, Unet.prepare

    def spying_fit(model: Any, batch_at: Any, **how: Any) -> Any:
        def watched(step: int) -> Any:
            batch = batch_at(step)
            seen.update(pixels_of(batch.image) | pixels_of(batch.clean))
            return batch

        return fit(model, watched, **how)

    def spying_prepare(self: Unet, normals: torch.Tensor, generator: torch.Generator) -> None:
        prepared.append(normals)
        prepare(self, normals, generator)

    monkeypatch.setattr(stage, "fit_detector", spying_fit)
    monkeypatch.setattr(Unet, "prepare", spying_prepare)
    plan = plan_of(settings, steps=40)
    run = train(**settings | {"steps": 40})
    kept, every = kept_pixels(plan), {image.tobytes() for image in plan.normals}
    assert len(kept) == 10
    assert pixels_of(prepared[0]) == every - kept
    assert not seen & kept
    assert every - kept <= seen  # all others were seen
    assert run.run.realised == plan.realised
    assert sum(plan.realised.values()) == 40 * 8


def test_a_memory_holds_no_kept_out_normal(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered, remember = [], Patchcore.remember

    def spy(self: Patchcore, normals: Features, generator: torch.Generator, whole: Any) -> None:
        remembered.append(normals)
        remember(self, normals, generator, whole)

    monkeypatch.setattr(Patchcore, "remember", spy)
    memory = {"detector": "patchcore@random", "mix": None, "steps": None, "batch": None}
    alone = settings | memory | {"settings": None}
    plan, run = plan_of(alone), train(**alone)
    looked = build("patchcore@random", plan.training.seed).look  # at random weights of that seed
    others = [i for i in range(len(plan.normals)) if i not in plan.kept]
    images = torch.from_numpy(np.stack([plan.normals[i] for i in others])).permute(0, 3, 1, 2)
    assert torch.equal(remembered[0].fine, looked(images.float() / 255).fine)
    assert run.run.realised == {"normal": 20}
    kept = results.read_kept_out(run.folder)
    assert kept is not None
    assert (len(kept.normals), len(kept.anomalies), kept.trained) == (10, 0, False)
    assert run.run.threshold is not None
    assert run.run.threshold.rule.startswith(
        "1 % false alarms, extrapolated from 10 normals kept out of training (99 would show it)"
    )


def test_the_scores_are_those_of_the_kept_out_images(settings: dict[str, Any]) -> None:
    run, plan = train(**settings), plan_of(settings)
    lines = (run.folder / "kept_out.csv").read_text().splitlines()
    ids = [line.split(",")[0] for line in lines[1:]]
    assert ids[:10] == [plan.normals.ids[i] for i in plan.kept]
    by_id = {line.split(",")[0]: float(line.split(",")[3]) for line in lines[1:]}
    for stored, part in plan.sources.validation_parts():
        method, index = stored.key.method, part[0]
        score = run.predict(stored[index].image).score
        assert by_id[f"{method}/{index}"] == pytest.approx(score, rel=1e-4)
    kept = results.read_kept_out(run.folder)
    assert kept is not None
    assert len(kept.anomalies) == len(ids) - 10


def test_too_few_normals_to_keep_any_out(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "open_dataset", lambda dataset, **_: Toys(normals=2))
    SynthStore.create(tmp_path / "few", SMALL)
    run = train(**settings | {"mix": None, "ratio": 0, "store": tmp_path / "few"}).run
    assert run.realised == {"normal": 96}
    assert run.threshold is not None
    assert "2 training normals" in run.threshold.rule


def test_interrupted_and_continued_is_uninterrupted(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    whole = train(**settings | {"runs": tmp_path / "whole"})
    asked = iter(range(10**6))
    with pytest.raises(Interrupted):
        train(**settings, stop=lambda: next(asked) >= 5)
    run = train(**settings)
    for name in ("model.safetensors", "test.csv", "kept_out.csv"):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert run.run.threshold == whole.run.threshold


def test_another_rule_for_a_run_that_stands(settings: dict[str, Any]) -> None:
    first = train(**settings)
    told: list[str] = []
    changed = train(**settings, threshold="best-f1", notify=told.append)
    assert changed.id == first.id
    assert changed.run.threshold is not None
    assert changed.run.threshold.rule.startswith("best F1 between 10 normals and")
    assert any("its threshold is now" in line for line in told)
    assert train(**settings).run == changed.run  # no rule named: it stays
    assert replace(changed.run, threshold=None) == replace(first.run, threshold=None)
    assert train(**settings, threshold=0.25).run.threshold == results.Threshold(
        value=0.25, rule="given"
    )


def test_scores_with_a_bound_are_known_when_a_rule_is_applied(settings: dict[str, Any]) -> None:
    """Of a run on disk too: the tail ends where the highest anomaly does."""
    run = train(**settings)
    rows = [results.KeptRow(str(i), 0, 0, 0.5 + i / 20) for i in range(10)]
    results.write_kept_out(run.folder, [*rows, results.KeptRow("far", 1, 0, 0.99)])
    (run.folder / "SHA256SUMS").unlink()  # it lists the scores as they were
    again = Trained(run.folder, "cpu").ruled(false_alarms=0.01).threshold
    assert again is not None
    assert 0.95 < again.value < 0.99
    assert train(**settings, false_alarms=0.01).run.threshold == again
    kept = results.read_kept_out(run.folder)
    assert kept is not None
    assert by_false_alarms(kept, 0.01).value == 0.99


def test_the_rule_plays_no_part_in_the_id(settings: dict[str, Any]) -> None:
    assert plan_of(settings).id == plan_of(settings, false_alarms=0.2).id
    assert plan_of(settings).id == plan_of(settings, threshold="best-f1").id
    with pytest.raises(UserError, match="two rules for one threshold"):
        plan_of(settings, threshold="best-f1", false_alarms=0.2)


def test_a_run_without_the_table_keeps_its_threshold(settings: dict[str, Any]) -> None:
    run = train(**settings)
    (run.folder / "kept_out.csv").unlink()  # as older versions left it
    old = Trained(run.folder, "cpu")
    assert old.threshold == run.run.threshold
    with pytest.raises(UserError, match="recorded no scores of kept-out images"):
        old.ruled("best-f1")
    assert old.ruled(0.3).threshold == results.Threshold(value=0.3, rule="given")


def test_a_loss_is_heard_while_training(settings: dict[str, Any]) -> None:
    heard: list[tuple[int, float]] = []
    run = train(**settings, watch=lambda step, loss: heard.append((step, loss)))
    assert [step for step, _ in heard] == list(range(1, 13))
    assert [loss for _, loss in heard] == [loss for _, loss in run.run.losses]
