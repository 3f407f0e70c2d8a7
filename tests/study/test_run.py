"""A study is run to the same end by any way: at once, interrupted, on a cluster, after failures."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from asbench import results
from asbench.detectors.unet import Unet
from asbench.grid import engines
from asbench.quality import record as qualities
from asbench.study import jobs, record, spec
from asbench.study.run import run
from asbench.study.spec import Study
from asbench.types import Interrupted
from synth_store import SynthStore, UserError
from tests import clusters
from tests.cli.conftest import complete, photograph, start
from tests.study.conftest import RUNS, SETS, TOY

pytestmark = pytest.mark.slow

HERE = engines.Pool(1)
PARTS = ("bolt", "nut", "screw")


def read(folder: Path, photos: Path, text: str = TOY) -> Study:
    path = folder / "toy.yaml"
    path.write_text(text.replace("PHOTOS", str(photos)), encoding="utf-8")
    return spec.read(path)


@pytest.fixture(scope="module")
def study(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read(tmp_path_factory.mktemp("toy"), photos)


@pytest.fixture(scope="module")
def whole(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study, run at once in this process."""
    folder = tmp_path_factory.mktemp("whole")
    run(study, folder, engine=HERE)
    return folder


def scores(folder: Path) -> dict[str, dict[str, Any]]:
    return {r.id: {s: r.metrics[s] for s in results.SUBSETS} for r in results.runs(folder / "runs")}


def measured(folder: Path) -> dict[str, dict[str, float]]:
    rows = qualities.rows(folder / "quality")
    return {q.id: {s.address: s.value for s in q.scores} for q in rows}


def failures(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / record.FAILURES).read_text().splitlines()]


def assert_same(folder: Path, whole: Path) -> None:
    """Assert equal ids of runs and of measured sets, and equal metrics to 1e-6."""
    found, expected = scores(folder), scores(whole)
    assert found.keys() == expected.keys()
    for identity, metrics in expected.items():
        for subset, values in metrics.items():
            assert found[identity][subset] == pytest.approx(values, abs=1e-6, nan_ok=True)
    once, again = measured(whole), measured(folder)
    assert len(once) == SETS
    assert once.keys() == again.keys()
    for identity, values in once.items():
        assert again[identity] == pytest.approx(values, abs=1e-6, nan_ok=True)


def test_a_study_is_run_once(study: Study, whole: Path) -> None:
    found = record.read(whole)
    assert len(found.cells) == len(set(found.runs.values())) == RUNS
    assert (found.failed, found.left_out, found.missing) == ({}, (), ())
    known = {r.id: r for r in results.runs(whole / "runs")}
    assert set(known) == set(found.runs.values())
    for cell, identity in found.runs.items():
        assert record.match(cell, known[identity])
        assert (whole / "runs" / identity / "model.safetensors").exists()
    assert found.quality is not None
    assert set(found.quality.done.values()) == {q.id for q in qualities.rows(whole / "quality")}
    assert {one.method for one in found.quality.sets} == {"cutout", "cutpaste"}
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    told: list[str] = []
    assert run(study, whole, engine=HERE, notify=told.append).runs == found.runs
    assert told == [
        f"{RUNS} of {RUNS} runs stand already",
        f"{SETS} of {SETS} sets are measured already",
    ]
    changed = {p.name for p, at in before.items() if p.exists() and p.stat().st_mtime_ns != at}
    assert changed <= {record.RECORD, "lock"}
    assert not list((whole / "status").glob("*.json"))


def test_stopped_in_the_middle_of_a_training_it_continues_from_there(
    study: Study, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def asking(file: Path) -> Callable[[], bool]:
        def stop() -> bool:
            nonlocal asked
            asked += 1
            if asked == 3 * 30 + 20:  # in the fourth training, at its 20th step
                file.touch()
            return file.exists()

        return stop

    monkeypatch.setattr(jobs, "_asking", asking)
    with pytest.raises(Interrupted, match=f"stopped with 3 of {RUNS} runs done"):
        run(study, tmp_path, engine=HERE)
    assert len(record.read(tmp_path).runs) == 3
    (begun,) = results.unfinished(tmp_path / "runs")
    commit = json.loads((tmp_path / "runs" / begun / "checkpoint" / "checkpoint.json").read_text())
    assert 0 < commit["step"] < 30
    assert not (tmp_path / record.FAILURES).exists()
    assert not (tmp_path / "status" / "stop").exists()
    run(study, tmp_path, engine=HERE)
    assert_same(tmp_path, whole)


def test_ctrl_c_of_the_command_ends_well_and_the_same_command_continues(
    photos: Path, study: Study, whole: Path, tmp_path: Path
) -> None:
    read(tmp_path, photos)
    process = start("study run toy.yaml --workers 2", tmp_path)
    until = time.monotonic() + 200
    while len(list(tmp_path.glob("toy/runs/*/run.json"))) < 2:
        assert time.monotonic() < until
        assert process.poll() is None, complete(process)
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    ended = complete(process)
    assert ended.status == 130, ended
    assert "the same command continues" in ended.err
    done = len(record.read(tmp_path / "toy").runs)
    assert 2 <= done < RUNS
    found = run(study, tmp_path / "toy", engine=HERE)
    assert len(found.runs) == RUNS
    assert_same(tmp_path / "toy", whole)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with clusters.two_workers() as address:
        yield address


def test_on_a_cluster_whose_worker_is_killed_it_comes_to_the_same(
    study: Study, whole: Path, tmp_path: Path, scheduler: str
) -> None:
    def kill_one() -> None:
        while not list(tmp_path.glob("runs/*/run.json")):
            time.sleep(0.02)
        with Client(scheduler, set_as_default=False) as client:
            killed.append(next(iter(client.run(os.getpid).values())))
        os.kill(killed[0], signal.SIGKILL)

    killed: list[int] = []
    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    with engines.engine(scheduler=scheduler) as engine:
        found = run(study, tmp_path, engine=engine, retries=1)
    killer.join()
    assert killed
    assert (len(found.runs), found.failed) == (RUNS, {})
    assert_same(tmp_path, whole)


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Study, Path, Path]:
    """A study of three categories; a test image of one is cut short, a normal of another."""
    photos = tmp_path / "photos"
    photograph(photos, PARTS)
    test, normal = photos / "bolt/test/good/000.png", photos / "nut/train/good/000.png"
    whole = {path: path.read_bytes() for path in (test, normal)}
    for path, data in whole.items():
        path.write_bytes(data[: len(data) // 2])
    text = """
    size: 32
    samples: 10
    folders: {photos: PHOTOS}
    datasets: {photos: [bolt, nut, screw]}
    detectors: {unet@tiny: {steps: 1, batch: 2, set: {width: 2}}}
    mixes: cutout
    keep: false
    """
    return read(tmp_path, photos, text), test, normal


def test_what_fails_is_noted_tried_again_as_told_and_stops_nothing_else(
    damaged: tuple[Study, Path, Path], tmp_path: Path
) -> None:
    study, test, normal = damaged
    folder, told = tmp_path / "study", []
    found = run(study, folder, engine=HERE, retries=1, notify=told.append)
    assert [cell.category for cell in found.runs] == ["screw"]
    by_category = {cell.category: cell for cell in found.failed}
    bolt, nut = by_category.pop("bolt"), by_category.pop("nut")
    assert not by_category
    assert str(test) in found.failed[bolt]
    assert found.failed[nut].startswith("it needs its normals, which failed: ")
    assert str(normal) in found.failed[nut]
    lines = failures(folder)
    assert [line["attempt"] for line in lines] == [1, 2, 1, 2]
    assert [line["job"] for line in lines[::2]] == ["normals of photos/nut", str(bolt)]
    assert all(line["error"] for line in lines)
    assert len([text for text in told if text.startswith("failed: ")]) == 2
    ((_, identity),) = found.runs.items()
    assert not (folder / "runs" / identity / "model.safetensors").exists()
    assert record.read(folder) == found
    # Mended, the same call does the rest.
    photograph(tmp_path / "photos", PARTS)
    found = run(study, folder, engine=HERE)
    assert (len(found.runs), found.failed) == (3, {})


def test_what_is_not_here_is_refused_or_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASBENCH_DATA", raising=False)
    text = """
    size: 32
    samples: 10
    folders: {photos: PHOTOS}
    datasets: {photos: [bolt], mtd: [tile]}
    detectors: {unet@tiny: {steps: 1, batch: 2, set: {width: 2}}}
    mixes: cutout
    """
    study = read(tmp_path, photos, text)
    folder = tmp_path / "study"
    with pytest.raises(UserError, match=r"(?s)not here: data mtd: .*1 of 2 runs .*--available"):
        run(study, folder, engine=HERE)
    assert not folder.exists()
    found = run(study, folder, engine=HERE, available=True)
    ((out),) = found.left_out
    assert (len(found.runs), out.cell.dataset) == (1, "mtd")
    assert out.reasons[0].startswith("data mtd: the files of data set 'mtd' are not here")
    assert record.read(folder).left_out == found.left_out


def test_a_store_of_another_size_and_a_folder_in_use_are_refused(
    study: Study, whole: Path, tmp_path: Path, photos: Path
) -> None:
    other = read(tmp_path, photos, TOY.replace("size: 32", "size: 64"))
    with pytest.raises(UserError, match=r"size: .*holds 32x32"):
        run(other, tmp_path / "study", store=whole / "store", engine=HERE)
    assert not (tmp_path / "study").exists()
    with (whole / "status" / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process runs the study"):
            run(study, whole, engine=HERE)


ONE = """
size: 32
samples: 10
folders: {photos: PHOTOS}
datasets: {photos: [bolt]}
detectors: {unet@tiny: {steps: 1, batch: 2, set: {width: 2}}}
mixes: cutout@mine
variants: {cutout@mine: {fill: mean}}
"""


def test_a_run_on_other_pixels_is_trained_again(photos: Path, tmp_path: Path) -> None:
    study = read(tmp_path, photos, ONE)
    first = run(study, tmp_path / "study", engine=HERE)
    path = tmp_path / "study" / "runs" / next(iter(first.runs.values())) / "run.json"
    said = json.loads(path.read_text())
    del said["sha256"]
    said["decides"]["sets"] = {"cutout@mine": "of another store"}
    said["id"] = results.run_id(said["decides"])
    path.write_text(json.dumps(said))
    again = run(study, tmp_path / "study", engine=HERE, runs=tmp_path / "others")
    assert again.runs == first.runs
    path.parent.rename(path.parent.with_name(said["id"]))
    assert run(study, tmp_path / "study", engine=HERE).runs == first.runs
    assert len(results.runs(tmp_path / "study" / "runs")) == 2


def test_a_run_by_an_earlier_version_of_its_detector_is_trained_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read(tmp_path, photos, ONE)
    before = run(study, tmp_path / "study", engine=HERE).runs
    monkeypatch.setattr(Unet, "version", 2)
    now = run(study, tmp_path / "study", engine=HERE).runs
    assert set(now.values()).isdisjoint(before.values())
    assert run(study, tmp_path / "study", engine=HERE).runs == now
    assert len(results.runs(tmp_path / "study" / "runs")) == 2


def test_what_is_measured_otherwise_is_measured_again(
    study: Study, whole: Path, tmp_path: Path, photos: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(whole, folder)
    other = read(tmp_path, photos, TOY.replace("samples: 12", "samples: 11"))
    found = run(other, folder, engine=HERE)
    assert found.quality is not None
    assert len(found.quality.done) == SETS
    assert len(measured(folder)) == 2 * SETS
    run(study, folder, engine=HERE)
    assert len(measured(folder)) == 2 * SETS


def test_a_set_whose_quality_cannot_be_measured_is_noted_and_stops_nothing(
    study: Study, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "quality")
    measure = jobs.measure

    def broken(dataset: str, method: str, **how: Any) -> Any:
        if method == "cutout":
            raise UserError("there is no measuring this.")
        return measure(dataset, method, **how)

    monkeypatch.setattr(jobs, "measure", broken)
    found = run(study, folder, engine=HERE).quality
    assert found is not None
    assert [one.method for one in found.done] == ["cutpaste"]
    assert {one.method: why for one, why in found.failed.items()} == {
        "cutout": "there is no measuring this."
    }
    (line,) = failures(folder)
    assert line["job"] == "quality of photos/cutout/0/bolt"
    assert record.read(folder).quality == found
    monkeypatch.setattr(jobs, "measure", measure)
    assert len(measured(folder)) == 1
    run(study, folder, engine=HERE)
    assert_same(folder, whole)


def test_stopped_while_measuring_nothing_half_is_left(
    study: Study, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(whole, folder)
    shutil.rmtree(folder / "quality")

    def at_once(file: Path) -> Callable[[], bool]:
        file.touch()
        return lambda: True

    monkeypatch.setattr(jobs, "_asking", at_once)
    with pytest.raises(Interrupted, match="the same command continues"):
        run(study, folder, engine=HERE)
    assert measured(folder) == {}
    monkeypatch.undo()
    run(study, folder, engine=HERE)
    assert_same(folder, whole)


def test_a_metric_without_its_weights_is_refused_or_left_out(
    whole: Path, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    folder = tmp_path / "study"
    asks = read(tmp_path, photos, TOY.replace("[ssim, fid@histogram]", "[ssim, lpips, fid, kid]"))
    with pytest.raises(UserError, match=r"(?s)quality lpips: .*alexnet.*quality fid, kid: .*incep"):
        run(asks, folder, engine=HERE)
    assert not folder.exists()
    shutil.copytree(whole, folder)
    found = run(asks, folder, engine=HERE, available=True).quality
    assert found is not None
    assert (found.metrics, sorted(found.left_out)) == (("ssim",), ["fid", "kid", "lpips"])
    assert len(found.done) == SETS


def test_a_fit_that_fails_fails_what_needs_it_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
    size: 32
    samples: 10
    folders: {photos: PHOTOS}
    datasets: {photos: [bolt]}
    detectors: {unet@tiny: {steps: 1, batch: 2, set: {width: 2}}}
    mixes: [cutout, realnet@tiny-scratch]
    ratios: [0.5, 1]
    quality: ssim
    """
    fitted = []

    def fit(dataset: str, method: str, **how: Any) -> None:
        fitted.append((method, how["category"]))
        raise UserError("it does not converge.")

    monkeypatch.setattr(jobs, "fit", fit)
    found = run(read(tmp_path, photos, text), tmp_path / "study", engine=HERE)
    assert len(fitted) == 1
    assert (len(found.runs), len(found.failed)) == (2, 2)
    assert all("it does not converge." in why for why in found.failed.values())
    assert found.quality is not None
    assert [one.method for one in found.quality.done] == ["cutout"]
    assert [one.method for one in found.quality.failed] == ["realnet@tiny-scratch"]


PLACED = """
size: 32
samples: 20
folders: {photos: PHOTOS}
datasets: {photos: [bolt]}
detectors: {unet@tiny: {steps: 2, batch: 2, set: {width: 2}}}
mixes: [cutout, nsa]
"""


def test_objects_are_those_of_the_rule_that_the_study_says(photos: Path, tmp_path: Path) -> None:
    """Another rule than that of sets that stand is refused: their runs are not those asked for."""
    whole = read(tmp_path, photos, PLACED + "objects: {photos: whole}\n")
    assert (len(run(whole, tmp_path, engine=HERE).runs), (tmp_path / record.FAILURES).exists()) == (
        2,
        False,
    )
    normals = SynthStore.open(tmp_path / "store").normals("photos", "bolt")
    assert normals.attributes["foreground"]["object"] == "whole"
    other = run(read(tmp_path, photos, PLACED + "objects: {photos: auto}\n"), tmp_path, engine=HERE)
    assert (other.runs, len(other.failed)) == ({}, 2)
    assert all("objects found by whole" in why for why in other.failed.values())
    assert len(run(whole, tmp_path, engine=HERE).runs) == 2
