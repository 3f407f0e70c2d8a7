"""The library reaches as far as the command line: every public function, from Python alone."""

from __future__ import annotations

import csv
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import asbench
from asbench import report, results, study
from asbench.evaluation.trained import Trained
from asbench.results import SUBSETS
from asbench.study.record import FAILURES
from synth_store import UserError
from tests.cli.conftest import photograph

pytestmark = pytest.mark.slow

METHODS = ("cutout", "cutpaste")
STUDY = """
size: 32
samples: 20
folders: {photos: PHOTOS}
datasets: {photos: [bolt]}
detectors:
  unet@tiny: {steps: 2, batch: 2, set: {width: 2}}
mixes: cutout
parts:
  base: {ratios: [0, 0.5]}
"""
QUICK: dict[str, Any] = {
    "detector": "draem@tiny",
    "settings": {"width": 4, "seg_width": 4},
    "steps": 2,
    "batch": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, a store of two methods and a run on each."""
    place = tmp_path_factory.mktemp("public")
    photograph(place / "photos")
    where = {"category": "bolt", "store": place / "store"}
    asbench.generate(str(place / "photos"), METHODS, n=20, size=32, workers=1, **where)
    for method in METHODS:
        asbench.train(str(place / "photos"), method, runs=place / "runs", **where, **QUICK)
    return place


@pytest.fixture(scope="module")
def run(place: Path) -> Trained:
    """The first of the two runs."""
    first = results.runs(place / "runs")[0]
    return Trained(place / "runs" / first.id, "cpu")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- names ---


def test_every_public_name_is_there_and_documented() -> None:
    for package in ("asbench", "asbench.report", "asbench.study"):
        module = importlib.import_module(package)
        assert module.__all__ == sorted(module.__all__, key=lambda name: (name.islower(), name))
        for name in module.__all__:
            assert getattr(module, name).__doc__, f"{package}.{name}"
        with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
            module.nothing  # noqa: B018


def test_importing_costs_nothing() -> None:
    program = (
        "import sys, asbench\n"
        "heavy = {'torch', 'numpy', 'zarr', 'cv2', 'scipy', 'synth_store'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "asbench.report, asbench.study\n"
        "assert 'torch' not in sys.modules\n"
        "asbench.report.write, asbench.compare\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# --- evaluate ---


def test_evaluating_again_gives_the_run_s_own_scores(place: Path, run: Trained) -> None:
    seen: list[tuple[str, int, int]] = []
    scored = asbench.evaluate(
        run,
        place / "photos",
        csv=place / "rows.csv",
        progress=lambda *step: seen.append(step),
    )
    assert (scored.run, scored.dataset, scored.category) == (run.id, "photos", "bolt")
    for subset in SUBSETS:
        assert scored.metrics[subset] == pytest.approx(run.run.metrics[subset], nan_ok=True)
        assert scored.counts[subset]["normal"] == run.run.counts[subset]["normal"]
    assert (place / "rows.csv").read_text() == (run.folder / "test.csv").read_text()
    assert [row.id for row in scored.rows] == [row.id for row in results.read_table(run.folder)]
    assert seen[-1] == ("scoring", len(scored.rows), len(scored.rows))
    assert scored.parity is None
    assert not scored.recorded


def test_published_scores_are_recorded_on_the_run_s_own_images_alone(
    place: Path, run: Trained
) -> None:
    data, before = place / "photos", (run.folder / "run.json").read_bytes()
    other = asbench.evaluate(run.folder, data, "nut", device="cpu", parity=True)
    assert other.parity is not None
    assert not other.recorded
    assert (run.folder / "run.json").read_bytes() == before
    own = asbench.evaluate(run.folder, data, device="cpu", parity=True)
    assert own.recorded
    assert results.read(run.folder).parity == own.parity
    (run.folder / "run.json").write_bytes(before)


def test_evaluating_what_cannot_be(place: Path, run: Trained, tmp_path: Path) -> None:
    photograph(tmp_path / "others", ("left", "right"))
    with pytest.raises(UserError, match=r"no category 'bolt'.*name one of left, right"):
        asbench.evaluate(run, tmp_path / "others")
    with pytest.raises(UserError, match="holds no finished run"):
        asbench.evaluate(tmp_path)


# --- predict ---


def test_predicting_without_writing(place: Path, run: Trained) -> None:
    before = files(place)
    said = asbench.predict(run, place / "photos" / "bolt" / "test")
    assert len(said.rows) == 10
    assert all(row.heat_map is None for row in said.rows)
    assert said.table is None
    assert said.unusable == ()
    assert files(place) == before
    one = asbench.predict(run.folder, said.rows[0].image, device="cpu")
    assert [row.score for row in one.rows] == pytest.approx([said.rows[0].score])
    assert said.threshold == run.run.threshold


def test_predicting_into_a_folder_names_what_cannot_be_used(
    place: Path, run: Trained, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    images = [broken, place / "photos" / "bolt" / "test"]
    said = asbench.predict(run, images, tmp_path / "out")
    assert [error.path for error in said.unusable] == [broken]
    assert said.table == tmp_path / "out" / "predictions.csv"
    rows = list(csv.DictReader(said.table.read_text().splitlines()))
    assert [row["heat_map"] for row in rows] == [row.heat_map for row in said.rows]
    assert all(Path(row["heat_map"]).is_file() for row in rows)
    told = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [row["score"] for row in told] == [row.score for row in said.rows]


# --- preview ---


def test_a_preview_is_the_stored_and_the_rendered(place: Path, tmp_path: Path) -> None:
    drawn = asbench.preview(
        place / "photos",
        ["cutout", "fractal"],
        category="bolt",
        n=3,
        store=place / "store",
        side=32,
        out=tmp_path / "sheet.png",
    )
    assert drawn.stored == {"cutout": True, "fractal": False}
    assert drawn.image.dtype == np.uint8
    written = cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1]
    np.testing.assert_array_equal(written, drawn.image)
    assert drawn._repr_png_() == (tmp_path / "sheet.png").read_bytes()


def test_a_preview_without_a_method_shows_the_objects(place: Path) -> None:
    told: list[str] = []
    drawn = asbench.preview(
        place / "photos", None, n=2, store=place / "store", side=32, notify=told.append
    )
    assert drawn.stored == {"bolt": True, "nut": False}
    assert [text.partition(":")[0] for text in told] == ["photos/bolt", "photos/nut"]


# --- report ---


def test_a_report_of_runs(place: Path, tmp_path: Path) -> None:
    written = report.write(
        place / "runs",
        tmp_path / "page.html",
        store=place / "store",
        quality=place / "quality",
        markdown=tmp_path / "table.md",
        csv=tmp_path / "table.csv",
        tables=tmp_path / "tables",
    )
    assert (written.page, written.runs, written.study) == (tmp_path / "page.html", 2, "")
    assert written.files[:2] == (tmp_path / "table.md", tmp_path / "table.csv")
    assert {str(p.relative_to(tmp_path)) for p in (written.page, *written.files)} == files(tmp_path)
    page = written.page.read_text()
    assert "photos/cutout/0/bolt" in page  # a sheet of its set
    bare = report.write(place / "runs", tmp_path / "bare.html", store=place, images=False)
    assert len(bare.page.read_text()) < len(page)
    with pytest.raises(UserError, match="holds no finished run"):
        report.write(tmp_path, tmp_path / "none.html")


# --- compare and correlate ---


def test_comparing_two_mixtures_from_their_runs(place: Path) -> None:
    found = asbench.compare("cutout", "cutpaste", runs=place / "runs")
    one, other = (
        next(r for r in results.runs(place / "runs") if method in r.decides["mix"])
        for method in METHODS
    )
    wanted = [r.metrics["full"]["image_auroc"] for r in (one, other)]
    assert found.difference == pytest.approx(wanted[0] - wanted[1])
    assert found.pairs == 1


def test_correlating_and_crossing_from_folders(place: Path, tmp_path: Path) -> None:
    where = {"store": place / "store", "out": tmp_path / "quality"}
    for method in METHODS:
        asbench.measure(
            str(place / "photos"), method, category="bolt", n=12, metrics=["ssim"], **where
        )
    rows = asbench.correlate(
        runs=place / "runs", quality=tmp_path / "quality", csv=tmp_path / "rows.csv"
    )
    assert all(row.methods == METHODS for row in rows)
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == len(rows) + 1
    crossed = asbench.cross(runs=place / "runs", device="cpu", **where)
    assert sorted(row.method for row in crossed) == sorted(METHODS)
    with pytest.raises(UserError, match="no set is measured yet"):
        asbench.correlate(runs=place / "runs", quality=tmp_path / "none")


# --- study ---


def test_a_study_from_python(place: Path, tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(STUDY.replace("PHOTOS", str(place / "photos")))
    toy = study.open(tmp_path / "toy.yaml", tmp_path / "here")
    assert (toy.store, toy.runs) == (str(tmp_path / "here/store"), tmp_path / "here/runs")
    assert len(toy.plan().cells) == 2
    assert not toy.folder.exists()
    with pytest.raises(UserError, match="study"):
        toy.record()
    told: list[str] = []
    record = toy.run(workers=1, notify=told.append)
    assert len(record.runs) == 2
    assert not (toy.folder / FAILURES).exists()
    assert told[0].startswith("toy in ")
    assert toy.record().runs == record.runs
    written = report.write(study=toy.folder, images=False)
    assert written.page == toy.folder / "report.html"
    assert written.study == "Study toy: 2 of its 2 runs stand."
    assert "demo" in study.shipped()
    assert study.open("demo").folder == Path("demo")
