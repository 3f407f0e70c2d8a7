"""One detector over several categories: its stream, its record, and what it scored where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asbench import results
from asbench.evaluation import evaluate as scoring
from asbench.evaluation.evaluate import evaluate
from asbench.evaluation.score import TestScores
from asbench.evaluation.score import evaluate as metrics_of
from asbench.evaluation.trained import Trained
from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.report import tables
from asbench.report.page import html
from asbench.settings import TrainSettings
from asbench.training import joint
from asbench.training import plan as planning
from asbench.training.joint import JointPlan, plan_all, plan_joint
from asbench.training.plan import plan_run
from asbench.training.sampler import ResidentSampler, StreamingSampler
from asbench.training.train import train
from asbench.types import Interrupted, Item
from synth_store import UserError
from tests.toyset import Toys

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("uneven")]
METHODS = ["cutout", "cutpaste@asbench"]
MIX = "cutout:0.25,cutpaste@asbench:0.75"
SMALL: dict[str, Any] = {
    "detector": "draem@tiny",
    "settings": {"width": 2, "seg_width": 2},
    "batch": 4,
    "device": "cpu",
    "kept_out": 0,
}
MEMORY: dict[str, Any] = {
    "detector": "memory@random",
    "settings": {"remembered": 20, "width": 4},
    "steps": 3,
    "batch": 4,
    "device": "cpu",
}


@dataclass(frozen=True)
class Uneven(Toys):
    """Two categories, of 9 and of 6 normals."""

    def items(self, category: str) -> tuple[Item, ...]:
        left = {"a": 9, "b": 6}[category]
        return super().items(category) if left == 9 else Toys(normals=left).items(category)


def opened(*_: object, **__: object) -> Uneven:
    return Uneven()


@pytest.fixture
def uneven(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (generation, planning, joint, scoring):
        monkeypatch.setattr(module, "open_dataset", opened)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("joint") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "open_dataset", opened)
        generate("toys", METHODS, n=20, store=root, size=32, workers=1)
    return root


@pytest.fixture(scope="module")
def one(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """A joint run that has finished, for the tests that only look."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (planning, joint):
            patch.setattr(module, "open_dataset", opened)
        where = {"store": made, "runs": tmp_path_factory.mktemp("runs")}
        yield train("toys", MIX, joint=True, steps=15, untrained=True, **where, **SMALL)


def planned(made: Path, runs: Path, **changes: Any) -> JointPlan:
    given = {"mix": MIX, "joint": True, "store": made, "runs": runs} | SMALL | changes
    return plan_joint(TrainSettings("toys", **given), None)


def test_ratio_and_mixture_are_exact_in_each_category(one: Trained) -> None:
    """15 steps of 4 items are 4 blocks of 9 + 6."""
    assert one.run.by_category is not None
    for category, items in (("a", 36), ("b", 24)):
        realised = one.run.by_category[category].realised
        shares = {"normal": 1 / 2, "cutout": 1 / 8, "cutpaste@asbench": 3 / 8}
        assert sum(realised.values()) == items
        assert all(abs(realised[name] - share * items) < 1 for name, share in shares.items())
    assert sum(one.run.realised.values()) == 60


def test_steps_are_those_of_the_categories_alone_together(made: Path, tmp_path: Path) -> None:
    both = planned(made, tmp_path)
    alone = [
        plan_run(TrainSettings("toys", MIX, category=c, store=made, runs=tmp_path, **SMALL))
        for c in "ab"
    ]
    assert both.training.steps == sum(plan.training.steps or 0 for plan in alone)
    assert planned(made, tmp_path, steps=7).training.steps == 7


def test_a_run_of_one_category_knows_nothing_of_it(made: Path, tmp_path: Path) -> None:
    """Ids and bytes of all other runs are those of before."""
    plan = plan_run(TrainSettings("toys", MIX, store=made, runs=tmp_path, steps=2, **SMALL))
    assert not {"joint", "by_category"} & plan.decides.keys()
    run = train("toys", MIX, store=made, runs=tmp_path, steps=2, **SMALL)
    assert "by_category" not in json.loads((run.folder / "run.json").read_text())


def test_the_id_is_of_the_categories_in_any_order(made: Path, tmp_path: Path) -> None:
    training = TrainSettings("toys", MIX, joint=True, store=made, runs=tmp_path, steps=2, **SMALL)
    ids = {plan_joint(training, names).id for names in (None, ["a", "b"], ["b", "a"], ["all"])}
    ids |= {plan.id for plan in plan_all(training, ["b", "a"], [0])}
    assert len(ids) == 1
    (other,) = plan_all(training, None, [1])
    assert {other.id} != ids
    assert other.schedule.parts[0] == other.parts[0].with_seed(1).schedule


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category": "a"}, "and a is one: name more of a, b with --category a,b"),
        ({"category": "a,c"}, "category 'c' is not in toys"),
        ({"parity": True}, "published code scores one category at a time"),
    ],
)
def test_what_cannot_be_joint_is_refused(
    made: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        train("toys", MIX, joint=True, store=made, runs=tmp_path, steps=2, **SMALL, **changes)
    assert not list(tmp_path.iterdir())


def test_one_name_for_two_variants_is_refused(tmp_path: Path) -> None:
    for category, method in (("a", "cutpaste"), ("b", "cutpaste@asbench")):
        given = {"n": 8, "store": tmp_path / "s", "size": 32, "workers": 1}
        generate("toys", [method], category=category, **given)
    with pytest.raises(UserError, match="cutpaste:1 for a, cutpaste@asbench:1 for b"):
        train("toys", "cutpaste", joint=True, store=tmp_path / "s", runs=tmp_path / "r", **SMALL)


def test_both_samplers_give_each_category_its_own(made: Path, tmp_path: Path) -> None:
    plan = planned(made, tmp_path, kept_out=0.2, steps=2)
    sources, stream = plan.drawn_from, plan.schedule
    assert plan.indices is not None
    given = (sources, stream, 5, torch.device("cpu"), plan.indices)
    resident = ResidentSampler(*given)
    with StreamingSampler(*given) as streaming:
        for step in range(12):
            batch, other = resident.batch_at(step), streaming.batch_at(step)
            items = stream.batch_at(step, 5)
            for row, (source, place) in enumerate(zip(items.source, items.index, strict=True)):
                of, at = sources[source], plan.indices[source][place]
                normal = source in (0, 3)
                image, clean = (of[at], of[at]) if normal else (of[at].image, of[at].clean)
                for pixels, tensors in ((image, "image"), (clean, "clean")):
                    wanted = torch.tensor(pixels).permute(2, 0, 1).float() / 255
                    assert torch.equal(getattr(batch, tensors)[row], wanted)
                    assert torch.equal(getattr(other, tensors)[row], wanted)
                assert bool(batch.mask[row].any()) is not normal


def test_photographs_of_two_categories_are_never_one(made: Path, tmp_path: Path) -> None:
    """Else the memory would leave out neighbours of another category's photograph."""
    of = planned(made, tmp_path, steps=2).photograph_of
    assert [sorted(numbers.values()) for numbers in (of[0], of[3])] == [
        list(range(9)),
        list(range(9, 15)),
    ]
    assert of[1] == of[0]


def rows_of(run: Trained, category: str | None = None) -> TestScores:
    """What the detector says of the images themselves, one by one."""
    data, of = Uneven(), "ab" if category is None else category
    items = [item for name in of for item in data.test(name)]
    said = [run.predict(data.image(item)) for item in items]
    return TestScores(
        ids=[f"{i.category}/{i.id}" for i in items],
        labels=[i.label for i in items],
        defects=[i.defect for i in items],
        few_shot=[i.few_shot for i in items],
        scores=np.array([one.score for one in said], np.float32),
        maps=np.stack([one.map for one in said]),
        masks=[data.mask(i) for i in items],
    )


def test_it_is_scored_together_and_category_by_category(one: Trained) -> None:
    run, rows = one.run, results.read_table(one.folder)
    assert run.by_category is not None
    assert (run.decides["category"], list(run.by_category)) == ("a,b", ["a", "b"])
    assert [row.id for row in rows] == [*rows_of(one).ids]
    plain = results.table_of(results.by_category([run])[1], one.folder.parent)
    assert [row.id for row in plain] == [item.id for item in Uneven().test("b")]
    for category, of in ((None, run), *run.by_category.items()):
        scores = rows_of(one, category)
        for subset, image in metrics_of(scores).items():
            # Pixels are at the images' own size here, and at the store's in the record.
            for metric in ("image_auroc", "image_ap"):
                assert of.metrics[subset][metric] == pytest.approx(image[metric], abs=1e-9)
            assert of.counts[subset]["anomalous"] == image["counts"]["anomalous"]
        assert of.untrained is not None
    again = evaluate(one)
    assert again.metrics == run.metrics
    assert {c: of.metrics for c, of in again.by_category.items()} == {
        c: of.metrics for c, of in run.by_category.items()
    }
    assert [row.id for row in again.rows] == [row.id for row in rows]
    assert evaluate(one, category="b").metrics == run.by_category["b"].metrics
    with pytest.raises(UserError, match="name one of a, b with --category"):
        evaluate(one, parity=True)


def test_one_threshold_and_its_alarms_by_category(one: Trained) -> None:
    whole, parts = one.flagged(), one.flagged_by_category()
    assert whole is not None
    assert [parts[c].of_good for c in "ab"] == [4, 4]
    assert whole.good == parts["a"].good + parts["b"].good
    assert whole.defective == parts["a"].defective + parts["b"].defective
    kept = (one.folder / "kept_out.csv").read_text().splitlines()[1:]
    assert {line.split("/")[0] for line in kept} == {"a", "b"}


def test_tables_take_it_by_category_beside_separate_runs(one: Trained, made: Path) -> None:
    runs = one.folder.parent
    for category in "ab":
        train("toys", MIX, category=category, store=made, runs=runs, steps=15, **SMALL)
    known = results.runs(runs)
    assert len(known) == 3
    frame = results.frame(known)
    assert sorted(zip(frame["category"], frame["joint"], strict=True)) == [
        ("a", ""),
        ("a", "a,b"),
        ("b", ""),
        ("b", "a,b"),
    ]
    whole = results.frame(known, together=True)
    assert (
        whole.set_index("joint").loc["a,b", "image_auroc"] == one.run.metrics["full"]["image_auroc"]
    )
    table = tables.results_table(known)
    assert len(table.rows) == 6  # two categories and their mean, joint and not
    assert {row.settings["joint"] for row in table.rows} == {"no", "a,b"}
    assert [row.categories for row in table.rows].count(2) == 2
    page = html.page(results.by_category(known), runs, {})
    assert "one detector for a, b" in page
    assert page.count(f'id="run-{one.id}-a"') == page.count(f'id="run-{one.id}"') == 1


def test_it_resumes_to_the_same_bits(made: Path, tmp_path: Path) -> None:
    calls = iter(range(100))
    given = {"joint": True, "store": made, "steps": 8, **SMALL}
    with pytest.raises(Interrupted):
        train("toys", MIX, runs=tmp_path / "r", stop=lambda: next(calls) >= 3, **given)
    resumed = train("toys", MIX, runs=tmp_path / "r", **given)
    straight = train("toys", MIX, runs=tmp_path / "s", **given)
    weights = [(run.folder / "model.safetensors").read_bytes() for run in (resumed, straight)]
    assert weights[0] == weights[1]
    assert resumed.run.metrics == straight.run.metrics


def test_one_memory_over_all_categories(made: Path, tmp_path: Path) -> None:
    told: list[str] = []
    training = TrainSettings("toys", MIX, joint=True, store=made, detector="memory@random")
    plan = plan_joint(replace(training, notify=told.append), None)
    assert "memory@random remembers 8000 patches of 2 categories together" in told[0]
    assert plan.decides["parameters"]["remembered"] == 8000  # as many of each as alone
    run = train("toys", MIX, joint=True, store=made, runs=tmp_path, **MEMORY)
    again = train("toys", MIX, joint=True, store=made, runs=tmp_path / "other", **MEMORY)
    assert run.run.metrics == again.run.metrics
    origin = run.detector.origin
    assert {bool(number < 9) for number in origin.tolist()} == {True, False}  # of both
    assert run.run.by_category is not None
    kept = {row.split("/")[0] for row in (run.folder / "kept_out.csv").read_text().split()[1:]}
    assert kept == {"a", "b"}
    written = run.export(form="pt2")
    assert written.metadata["category"] == "a,b"


def test_the_best_on_test_is_of_all_images_together(made: Path, tmp_path: Path) -> None:
    given = {"joint": True, "store": made, "runs": tmp_path, "steps": 4, "select_every": 2}
    best = train("toys", MIX, select="best-on-test", **given, **SMALL)
    assert best.run.selected is not None
    judged = sum(best.run.metrics["full"][name] for name in best.run.selected.metrics)
    assert best.run.selected.value == pytest.approx(judged)
    last = results.finished(tmp_path, results.last_of(best.run.decides))
    assert last is not None
    assert last.by_category is not None
    assert replace(last, selected=best.run.selected).id != best.id
