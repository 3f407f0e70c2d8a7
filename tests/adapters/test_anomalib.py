"""anomalib's own models, engine and losses, trained from a store; skipped where it is not."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from asbench import results
from asbench.evaluation.predict import predict
from asbench.evaluation.trained import Trained
from asbench.generation import generate as generation
from asbench.training import plan as planning
from asbench.training.sampler import StreamingSampler
from synth_store import SynthStore, UserError
from tests.toyset import Toys

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # anomalib and what it stands on warn as they are imported
    reason = "needs the extra anomalib: pip install 'asbench[anomalib]'"
    pytest.importorskip("anomalib", reason=reason)
    from anomalib.models import Draem, Patchcore
    from anomalib.models.image.draem import lightning_model
    from anomalib.models.image.draem.torch_model import (
        DiscriminativeSubNetwork,
        ReconstructiveSubNetwork,
    )

    from asbench.adapters import anomalib as adapter

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning warns about its own defaults

MIX = "cutout:0.25,cutpaste@asbench:0.75"
BARE = dict.fromkeys(("pre_processor", "post_processor", "evaluator", "visualizer"), False)


class Narrow(lightning_model.DraemModel):  # type: ignore[misc]
    """DRAEM's two networks with few channels: the published ones take a second to be made."""

    def __init__(self, sspcab: bool = False) -> None:
        nn.Module.__init__(self)
        self.reconstructive_subnetwork = ReconstructiveSubNetwork(base_width=4)
        self.discriminative_subnetwork = DiscriminativeSubNetwork(
            in_channels=6, out_channels=2, base_width=4
        )


@pytest.fixture(autouse=True)
def _narrow_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightning_model, "DraemModel", Narrow)


def narrow() -> Draem:
    """anomalib's DRAEM: its generator, its loss, its training step, its optimiser."""
    return Draem(dtd_dir=".", **BARE)  # any folder: without one it would download textures


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two sets of 20 samples at 32x32."""
    root = tmp_path_factory.mktemp("toys") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", lambda dataset, **_: Toys())
        methods = ["cutout", "cutpaste@asbench"]
        generation.generate("toys", methods, category="a", n=20, store=root, size=32, workers=1)
    return root


@pytest.fixture
def plan(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that plans a training of 7 steps of 4 items on toys."""
    monkeypatch.setattr(planning, "open_dataset", lambda dataset, **_: Toys())

    def plan(mix: str | None = MIX, **changes: Any) -> planning.Plan:
        settings = {"ratio": 0.5, "steps": 7, "batch": 4, "store": made, "runs": tmp_path / "runs"}
        name = changes.pop("detector", "anomalib_draem")
        return adapter.plan_model(name, "toys", mix, **settings | {"device": "cpu"} | changes)

    return plan


def test_the_model_sees_the_stream_of_every_detector(plan: Any) -> None:
    """Over the borders of epochs: 9 normals are 3 steps of 4."""
    planned, seen = plan(), []

    class Spied(Draem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(dtd_dir=".", **BARE)

        def training_step(self, batch: Any, *given: Any, **named: Any) -> Any:
            image, mask = self.augmenter(batch.image)
            self.augmenter.take((image, batch.image, mask))
            seen.append((image.clone(), batch.image.clone(), mask.clone(), batch))
            return super().training_step(batch, *given, **named)

    adapter.train(planned, Spied, generator="augmenter")
    with StreamingSampler(planned.drawn_from, planned.schedule, 4, torch.device("cpu")) as sampler:
        assert len(seen) == 7
        for step, (image, clean, mask, batch) in enumerate(seen):
            expected = sampler.batch_at(step)
            assert torch.equal(image, expected.image)
            assert torch.equal(clean, expected.clean)
            assert torch.equal(mask, expected.mask)
            assert batch.gt_label.tolist() == [bool(m.any()) for m in expected.mask]
            assert torch.equal(batch.gt_mask, expected.mask[:, 0] > 0)
    anomalous = sum(int(m.any()) for _, _, masks, _ in seen for m in masks)
    assert anomalous == 28 - planned.realised["normal"]


def test_the_run_stands_among_ours_and_can_be_used(plan: Any) -> None:
    planned = plan()
    told: list[str] = []
    run = adapter.train(
        planned, narrow, generator="augmenter", progress=lambda what, *_: told.append(what)
    )
    (row,) = results.runs(planned.runs)
    assert row == run.run
    assert row.decides["detector"] == "anomalib_draem"
    assert row.decides["mix"] == {"cutout": 0.25, "cutpaste@asbench": 0.75}
    assert row.realised == planned.realised
    assert [step for step, _ in row.losses] == list(range(7))
    assert row.losses[-1][1] < row.losses[0][1]
    assert row.threshold is not None
    assert {"scoring anomalib_draem on toys/a"} <= set(told)
    image = Toys().image(Toys().test("a")[0])
    rows = results.read_table(run.folder)
    assert run.predict(image).score == pytest.approx(rows[0].score, abs=1e-5)

    again = adapter.train(planned, narrow, generator="augmenter")
    assert again.run == run.run  # from its weights, not trained again
    assert again.predict(image).score == run.predict(image).score
    assert run.export(run.folder / "model.pt2").difference < 1e-5
    with pytest.raises(UserError, match=r"asbench\.adapters\.anomalib\.load\(folder, build\)"):
        Trained(run.folder, "cpu").predict(image)


def test_equal_seeds_give_equal_runs(plan: Any, tmp_path: Path) -> None:
    first = adapter.train(plan(runs=tmp_path / "1"), narrow, generator="augmenter")
    torch.rand(1)
    again = adapter.train(plan(runs=tmp_path / "2"), narrow, generator="augmenter")
    other = adapter.train(plan(seed=1), narrow, generator="augmenter")
    assert first.run.losses == again.run.losses
    assert first.run.metrics == again.run.metrics
    assert first.run.losses != other.run.losses
    assert first.id == again.id != other.id
    assert plan(settings={"beta": 0.5}).id != plan().id


def test_a_model_without_a_generator_gets_the_anomalies_as_labelled_images(plan: Any) -> None:
    planned = plan()
    data = adapter.StoreData(planned)
    triple = next(iter(data.train_dataloader()))
    batch = data.on_after_batch_transfer(triple, 0)
    assert torch.equal(batch.image, triple[0])
    assert batch.gt_label.tolist() == [bool(m.any()) for m in triple[2]]
    assert (data.name, data.category) == ("toys", "a")
    data.teardown()


def test_the_generator_gives_a_batch_once_and_to_its_own_images_only(plan: Any) -> None:
    stored = adapter.StoredAnomalies()
    image, clean, mask = (torch.rand(2, 3, 4, 4) for _ in range(3))
    with pytest.raises(RuntimeError, match="not the images that the store gave"):
        stored(clean)
    stored.take((image, clean, mask))
    assert stored(clean.clone()) == (image, mask)
    with pytest.raises(RuntimeError, match="once for every batch"):
        stored(clean)
    stored.take((image, clean, mask))
    with pytest.raises(RuntimeError, match="pre_processor=False"):
        stored(clean * 2)
    with pytest.raises(UserError, match="Draem has no generator 'perlin'"):
        adapter.train(plan(), narrow, generator="perlin")


def test_patchcore_of_anomalib_from_normals_alone(plan: Any) -> None:
    """Scores are the model's own; the pre-processor's normalisation is part of what is scored."""

    def build() -> Patchcore:
        normalised = Patchcore.configure_pre_processor((32, 32))
        bare = BARE | {"pre_processor": normalised}
        return Patchcore(backbone="resnet18", pre_trained=False, **bare)

    planned = plan(None, ratio=0, steps=3, batch=3, detector="anomalib_patchcore")
    run = adapter.train(planned, build)
    assert run.run.realised == {"normal": 9}
    assert run.run.decides["mix"] == {}
    normals = np.stack(list(SynthStore.open(planned.store.root).normals("toys", "a")))
    _, scores = predict(run.detector, normals, "cpu")
    tests = [row.score for row in results.read_table(run.folder) if row.label]
    assert np.median(scores) < np.median(tests)
    image = Toys().image(Toys().test("a")[0])
    loaded = adapter.load(run.folder, build, "cpu")
    assert loaded.predict(image).score == pytest.approx(run.predict(image).score, rel=1e-5)
