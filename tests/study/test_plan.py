"""What a study comes down to: how many runs, what is absent, what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asbench import results
from asbench.detectors import protocol_of
from asbench.settings import VISIBLE, WHERE
from asbench.study import estimate, record, spec
from asbench.study.plan import SetNeeded, StudyPlan, cells, plan
from asbench.study.preflight import refuse
from asbench.study.record import Cell, LeftOut, Record
from synth_store import UserError
from tests.study.conftest import Write

pytestmark = pytest.mark.slow

PAPER = {"base": 1776, "ratios": 2592, "without_anomalies": 148, "hybrids": 1628}


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ASBENCH_DATA", "ASBENCH_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", "/nowhere")


@pytest.fixture(scope="module")
def paper() -> StudyPlan:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ASBENCH_DATA", raising=False)
        patch.delenv("ASBENCH_WEIGHTS", raising=False)
        return plan(spec.read("paper"))


def test_the_papers_grid_has_as_many_runs_as_the_paper(paper: StudyPlan) -> None:
    assert paper.faults == ()
    assert Counter(cell.part for cell in paper.cells) == PAPER
    assert len(paper.cells) == len(set(paper.cells)) == 6144
    # Whatever is usual on the machine.
    assert {cell.training.precision for cell in paper.cells} == {"fp32"}
    base = [cell for cell in paper.cells if cell.part == "base"]
    assert {cell.detector: cell.ratio for cell in base} == {
        "destseg": 1.0,
        "draem": 0.5,
        "memseg": 0.5,
        "unet": 0.5,
    }
    # The ratio that a detector is published with is a base run, not a second one.
    ratios = Counter((c.detector, c.ratio) for c in paper.cells if c.part == "ratios")
    assert set(ratios.values()) == {12 * 18}
    assert ("draem", 0.5) not in ratios
    assert ("destseg", 1.0) not in ratios
    hybrids = {str(cell.training.mixture) for cell in paper.cells if cell.part == "hybrids"}
    assert Counter(len(mix.split(",")) for mix in hybrids) == {2: 6, 3: 4, 4: 1}
    assert len(paper.sets(paper.cells)) == 12 * 37
    assert paper.study.quality is not None
    assert paper.study.quality["metrics"] == ("ssim", "psnr", "lpips", "is", "fid", "kid")
    assert paper.metrics == ("ssim", "psnr")


def test_the_published_protocol_has_the_same_grid_under_its_own_names(paper: StudyPlan) -> None:
    found = cells(spec.read("paper-parity"))
    assert len(found) == 6144
    assert {
        (t.ratio_mode, t.select, t.steps_mode, t.parity) for t in (c.training for c in found)
    } == {("bernoulli", "best-on-test", "per-component", True)}

    def place(cell: Cell) -> tuple[Any, ...]:
        t = cell.training
        # On grey photographs, too; and fractal with its wide masks.
        plain = str(t.mix).replace("@coloured", "").replace("@published", "")
        return t.dataset, t.category, t.detector, plain, t.ratio, t.seed

    assert set(map(place, found)) == set(map(place, paper.cells))
    methods = {name for cell in found for name in cell.methods}
    colouring = {"destseg", "draem", "fractal", "memseg", "realnet"}
    colouring |= {"anomalydiffusion", "dfmgan"}
    assert {m.partition("@")[0] for m in methods if "@" in m} == colouring
    assert (spec.read("paper-parity").visible, spec.read("paper").visible) == (0, VISIBLE)
    assert (spec.read("paper-parity").where, spec.read("paper").where) == ("as-published", WHERE)
    assert not methods & colouring
    steps = {(c.detector, c.category, len(c.methods)): c.steps for c in found}
    assert steps["draem", "carpet", 1] == 700 * 280 // 8
    assert steps["draem", "03", 1] == 500 * 1000 // 8
    # Datasets of k methods in a row made epochs k times as long; budgets in steps stayed.
    assert steps["draem", "carpet", 3] == 3 * 700 * 280 // 8
    assert steps["memseg", "carpet", 3] == 5000


def test_published_budgets_are_those_of_the_published_code(paper: StudyPlan) -> None:
    steps = {(c.detector, c.category): c.steps for c in paper.cells}
    # 700 epochs of DRAEM, eight to a batch; the others count steps.
    assert steps["draem", "carpet"] == 700 * 280 // 8
    assert steps["destseg", "carpet"] == 5000
    assert steps["memseg", "carpet"] == 5000
    assert steps["unet", "carpet"] == 12600


def test_what_is_absent_is_marked_with_its_reason(paper: StudyPlan) -> None:
    assert paper.present == ()
    reasons = {str(a) for found in paper.absent.values() for a in found}
    kinds = {a.kind for found in paper.absent.values() for a in found}
    assert {"data", "weights"} <= kinds
    assert any(r.startswith("data mtd: the files of data set 'mtd' are not here") for r in reasons)
    assert any(r.startswith("weights destseg: the weights of resnet18") for r in reasons)
    assert any(r.startswith("data dtd (textures): ") for r in reasons)


def test_methods_of_the_paper_that_no_plugin_has_are_absent_and_others_wrong(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("cutout", "draem")
    monkeypatch.setattr(
        "asbench.study.availability.plugins.names", lambda _: [*names, "demo", "unet"]
    )
    study = write("""
        size: 32
        datasets: {demo: [weave]}
        detectors: {unet@tiny: {steps: 1}}
        mixes: [realnet, cutout, "cutout,realnet", cutoot]
    """)
    planned = plan(study)
    assert [str(c.training.mixture) for c in planned.absent] == [
        "realnet:1",
        "cutout:0.5,realnet:0.5",
    ]
    assert {a.name for found in planned.absent.values() for a in found} == {"realnet"}
    (fault,) = planned.faults
    assert "cutoot" in fault
    assert "did you mean cutout?" in fault


def test_impossible_combinations_are_all_named(write: Write, tmp_path: Path) -> None:
    study = write("""
        size: 40
        samples: 100
        textures: nothing_of_the_kind
        datasets: {demo: [weave, wave], dmo: [a], btad: {"01": 400}, mpdd: all}
        detectors: {unet@tiny: , unet@tny: , draem: }
        mixes: [nsa@none]
        quality: [ssim, psrn]
        parts:
          a: {datasets: [demo], pools: 91, detectors: {destseg@tiny-scratch: {steps: 1}}}
          b: {datasets: [demo], mixes: [], ratios: 0.5}
          c: {}
    """)
    with pytest.raises(UserError) as refused:
        refuse(plan(study), tmp_path / "store", tmp_path / "runs", available=True)
    said = str(refused.value)
    for what in (
        "category 'wave' is unknown: did you mean weave?",
        "data set 'dmo' is unknown: did you mean demo?",
        "folders: {dmo: PATH}",
        "detector 'unet' has no variant 'tny'",
        "image sides must be multiples of 32, and the study's are 40x40",
        "metric 'psrn' is unknown: did you mean psnr",
    ):
        assert what in said, said
    assert len(said.splitlines()) >= 6
    assert not (tmp_path / "store").exists()


def test_a_pool_and_a_ratio_that_cannot_be_are_named(write: Write) -> None:
    study = write("""
        size: 32
        samples: 100
        datasets: {demo: [weave]}
        detectors: {unet@tiny: {steps: 1}}
        parts:
          a: {pools: 91, mixes: cutout}
          b: {ratios: 0.5}
          c: {pools: 90, mixes: cutout}
    """)
    planned = plan(study)
    assert planned.faults == (
        "parts.a.pools: 91 is more than sets of 100 samples can give: 90 of them may train; raise "
        "samples.",
        "parts.b: ratio 0.5 needs mixes: name methods.",
    )
    assert [cell.part for cell in planned.cells] == ["c"]


def test_data_that_is_not_here_needs_its_normals_only_for_epochs(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "datasets: {mtd: [tile]}\nmixes: cutout\ndetectors: "
    assert len(cells(write(text + "{draem: {steps: 5}}"))) == 1
    assert plan(write(text + "{draem: }")).faults
    (cell,) = cells(write(text.replace("[tile]", "{tile: 17}") + "{draem: {epochs: 3}}"))
    assert cell.steps == 3 * 2  # 5 of the 17 are kept out of training
    text = text.replace("datasets", "protocol: {kept_out: 0}\ndatasets")
    (cell,) = cells(write(text.replace("[tile]", "{tile: 17}") + "{draem: {epochs: 3}}"))
    assert cell.steps == 3 * 3


def test_tiles_have_no_epochs_before_they_are_cut(write: Write) -> None:
    text = "resize: tile\nsize: 64\ndatasets: {demo: [weave]}\nmixes: cutout\ndetectors: "
    (cell,) = cells(write(text + "[unet@tiny]"))
    assert cell.steps == 300
    (cell,) = cells(write(text + "{draem: {steps: 5}}"))
    assert cell.steps == 5
    for detector in ("{draem: }", "{unet@tiny: {epochs: 2}}"):
        (fault,) = plan(write(text + detector)).faults
        assert "epochs of tiles have no length before photographs are cut: give steps" in fault


def test_equal_runs_of_several_parts_are_one_and_ratio_0_knows_no_mixture(write: Write) -> None:
    study = write("""
        size: 32
        datasets: {demo: [weave]}
        detectors: {unet@tiny: {steps: 1}}
        mixes: [cutout, "cutout:2"]
        parts:
          a: {ratios: [0, published]}
          b: {ratios: [0.5, 0.25, 0], pools: [all, 10], synth_seeds: [0, 1]}
    """)
    planned = plan(study)
    assert Counter(c.part for c in planned.cells) == {"a": 2, "b": 7}
    (alone,) = [c for c in planned.cells if not c.ratio]
    t = alone.training
    assert (t.mix, t.pool, t.synth_seed) == (None, None, 0)
    assert planned.sets(planned.cells) == tuple(
        SetNeeded("demo", "weave", "cutout", seed) for seed in (0, 1)
    )


def decides_of(cell: Cell) -> dict[str, Any]:
    """What a run of this cell would record."""
    return {
        "dataset": cell.dataset,
        "category": cell.category,
        "geometry": cell.geometry,
        "normals": "n",
        "test": "t",
        "mix": {"cutout": 0.5, "cutpaste": 0.5} if cell.ratio else {},
        "sets": {"cutout": "c", "cutpaste": "p"} if cell.ratio else {},
        "ratio": cell.ratio,
        "ratio_mode": cell.training.ratio_mode,
        "pool": cell.training.pool,
        "detector": cell.detector,
        "parameters": dict(cell.parameters),
        "steps": cell.steps,
        "batch": cell.batch,
        "precision": cell.training.precision,
        "weights": None,
        "seed": cell.training.seed,
        "synth_seed": cell.training.synth_seed,
        "select": cell.training.select,
        "kept_out": cell.training.kept_out,
    }


def run_of(decides: Mapping[str, Any], **changes: Any) -> results.Run:
    scores = {s: dict.fromkeys(results.METRICS, 0.5) for s in results.SUBSETS}
    return results.Run(
        decides={**decides, **changes},  # type: ignore[typeddict-item]
        metrics=scores,  # type: ignore[arg-type]
        counts={s: {} for s in results.SUBSETS},
        reasons={s: {} for s in results.SUBSETS},
        untrained=None,
        saw_defects=0,
        realised={},
        losses=(),
        threshold=None,
        environment={"device": "cpu (a machine)"},
        seconds={"train": 30.0, "score": 6.0},
        created="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture
def cell(write: Write) -> Cell:
    (cell,) = cells(
        write("""
        size: 32
        datasets: {demo: [weave]}
        detectors: {unet@tiny: {steps: 12, set: {width: 2}}}
        mixes: "cutpaste,cutout"
        """)
    )
    return cell


def test_a_run_matches_its_cell_by_every_named_setting_and_by_no_digest(cell: Cell) -> None:
    decides = decides_of(cell)
    assert record.match(cell, run_of(decides))
    for name in ("normals", "test"):
        assert record.match(cell, run_of(decides, **{name: "other"}))
    assert record.match(cell, run_of(decides, sets={"cutout": "x", "cutpaste": "y"}))
    for name, other in {
        "dataset": "mtd",
        "category": "board",
        "geometry": "64x64 (stretch)",
        "mix": {"cutout": 1.0},
        "ratio": 0.25,
        "ratio_mode": "bernoulli",
        "pool": 5,
        "detector": "unet",
        "parameters": {"width": 8, "lr": 0.001},
        "steps": 13,
        "batch": 4,
        "precision": "bf16",
        "seed": 1,
        "synth_seed": 1,
        "select": "best-on-test",
        "kept_out": 0.2,
    }.items():
        assert not record.match(cell, run_of(decides, **{name: other})), name
    on_all = {key: value for key, value in decides.items() if key != "kept_out"}
    assert not record.match(cell, run_of(on_all))
    all_train = replace(cell, training=replace(cell.training, kept_out=0.0))
    assert record.match(all_train, run_of(on_all))
    assert not record.match(all_train, run_of(decides))


def test_a_record_comes_back_as_it_was_written(cell: Cell, tmp_path: Path) -> None:
    others = [replace(cell, training=replace(cell.training, seed=seed)) for seed in (1, 2, 3)]
    written = Record(
        name="mine",
        text="the file",
        cells=(cell, *others),
        runs={cell: "0123456789ab"},
        failed={others[0]: "it broke"},
        left_out=(LeftOut(others[1], ("data mtd: not here.",)),),
    )
    record.write(written, tmp_path)
    found = record.read(tmp_path)
    assert found == written
    assert found.cells[0].part == cell.part
    assert found.missing == tuple(others)
    path = tmp_path / record.RECORD
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 9'))
    with pytest.raises(UserError, match="schema 9"):
        record.read(tmp_path)
    path.write_text(json.dumps({"schema": 1}))
    with pytest.raises(UserError, match="cannot be read"):
        record.read(tmp_path)
    with pytest.raises(UserError, match="holds no study"):
        record.read(tmp_path / "nowhere")


def test_a_fit_is_counted_once_whatever_is_mixed_with_it() -> None:
    planned = plan(spec.read("learned"))
    fits = planned.fits(planned.cells)
    on = Counter(one.dataset for one in fits)
    assert on == {"mtd": 6, "demo": 7}
    assert len({(one.dataset, one.method) for one in fits}) == 13
    drawn = plan(spec.read("demo"))
    assert drawn.fits(drawn.cells) == ()


def test_a_joint_model_is_fitted_once_for_all_categories() -> None:
    study = spec.read("learned")
    part = replace(study.parts[2], datasets={"demo": {"board": None, "weave": None}})
    planned = plan(replace(study, parts=(part,)))
    needed = planned.sets(planned.cells)
    joint = {m for m, s in planned.methods.items() if getattr(s, "joint", False)}
    assert joint
    fits = planned.fits(planned.cells)
    assert {one.method for one in needed} - {one.method for one in fits} == {"croppaste", "draem"}
    assert Counter(one.method for one in fits) == {
        method: 1 if method in joint else 2 for method in {one.method for one in fits}
    }


def test_hours_are_measured_where_runs_stand_and_else_guessed(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(cell, training=replace(cell.training, seed=1, steps=100))
    remembers = replace(cell, training=replace(cell.training, detector="patchcore", steps=0))
    (whole,) = estimate.times([remembers], [], gpu=False)
    assert (whole.steps, whole.source) == (0, "guessed")
    assert whole.seconds == pytest.approx(8 * 1.2 / 64)
    unknown = replace(cell, training=replace(cell.training, detector="their.detector"))
    makes_none = replace(protocol_of("patchcore"), seconds=None)
    monkeypatch.setattr(
        estimate, "protocol_of", lambda name: makes_none if "their" in name else protocol_of(name)
    )
    guessed, nothing = estimate.times([cell, other, unknown], [], gpu=False)
    assert (guessed.runs, guessed.steps, guessed.source) == (2, 112, "guessed")
    assert guessed.seconds == pytest.approx(112 * 8 * 0.09 / 64)
    assert (nothing.seconds, nothing.source) == (None, "nothing is known")
    run = run_of(decides_of(cell))
    (measured,) = estimate.times([cell, other], [run], gpu=False)
    assert measured.seconds == pytest.approx(112 * 36 / 12)
    assert measured.source == "measured on 1 runs"
    assert estimate.times([cell], [run], gpu=True)[0].source == "guessed"


def test_costs_are_of_all_runs_whether_or_not_a_folder_is_there(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "size: 32\ndatasets: {demo: [weave]}\ndetectors: [unet@tiny]\nmixes: cutout\n"
    planned, asked = plan(write(text)), []
    monkeypatch.setattr(estimate, "free", lambda folder: asked.append(folder) or 7)
    store, runs = tmp_path / "store", tmp_path / "runs"
    local = estimate.costs(planned, store, runs, gpu=False)
    assert local.times == tuple(estimate.times(planned.cells, [], gpu=False))
    assert local.seconds == sum(time.seconds or 0 for time in local.times) > 0
    assert (local.disk, local.free) == (estimate.disk(planned, planned.cells), 7)
    assert estimate.costs(planned, "s3://bucket/sets", runs, gpu=False) == local
    assert asked == [store, runs]


def test_too_little_disk_is_refused_before_anything_is_written(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "size: 32\ndatasets: {demo: [weave]}\ndetectors: [unet@tiny]\nmixes: cutout\n"
    planned = plan(write(text))
    needed = estimate.disk(planned, planned.cells)
    assert needed.weights > 1_000_000
    assert estimate.disk(plan(write(text + "keep: false")), planned.cells[:0]).weights == 0
    monkeypatch.setattr(estimate, "free", lambda folder: needed.total - 1)
    refuse(planned, tmp_path / "a", tmp_path / "b", available=False)
    monkeypatch.setattr(estimate, "free", lambda folder: 10)
    with pytest.raises(UserError, match=r"disk: .*needs about"):
        refuse(planned, tmp_path / "a", tmp_path / "b", available=False)


def test_objects_are_placed_by_a_rule_or_a_folder_that_is_here(
    write: Write, tmp_path: Path
) -> None:
    text = "size: 32\ndatasets: {demo: [weave]}\ndetectors: [unet@tiny]\nmixes: cutout\n"
    for rule in ("whole", "dark", "auto", tmp_path):
        placed = plan(write(f"{text}objects: {{demo: {rule}}}\n"))
        assert (placed.faults, placed.absent) == ((), {})
    for rule in ("purple", tmp_path / "nowhere"):
        planned = plan(write(f"{text}objects: {{demo: {rule}}}\n"))
        ((absence,),) = planned.absent.values()
        assert str(absence).startswith(f"data demo (objects): {rule} is no folder of masks here")
    assert plan(write(text + "objects: {mtd: dark}\n")).faults == ()  # of a study that it extends
    (fault,) = plan(write(text + "objects: {demmo: dark}\n")).faults
    assert fault.startswith("objects.demmo: data set 'demmo' is unknown: did you mean demo")
