"""From a study file to its report: quality, gaps with their reasons, what was selected on test."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run, photograph

pytestmark = pytest.mark.slow

MINE = """
size: 32
samples: 10
folders: {photos: ./photos}
datasets: {photos: [bolt]}
detectors: {unet@tiny: {steps: 1, batch: 2, set: {width: 2}}}
mixes: [cutout, cutpaste, draem]
quality: {metrics: [ssim, lpips, fid@histogram], samples: 8}
keep: false
parts:
  base:
  elsewhere:
    datasets: {mtd: [tile]}
  fit:
    mixes: realnet
"""
"""Three runs; four that have no data or weights here; a metric that has no weights."""


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    photograph(tmp_path / "photos")
    (tmp_path / "mine.yaml").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def column(path: Path, name: str) -> dict[str, str]:
    """Return one column of a table's CSV by its first."""
    with path.open(encoding="utf-8", newline="") as file:
        return {next(iter(row.values())): row[name] for row in csv.DictReader(file)}


def test_a_study_is_reported_with_its_quality_and_its_gaps(run: Run, here: Path) -> None:
    planned = run("study plan mine.yaml")
    assert "quality of 7 sets, 8 samples each, against the held-out real defects" in planned.out
    assert "not here, and needed to measure quality:\n  quality lpips: the weights" in planned.out
    assert "quality lpips: " in run("study run mine.yaml --workers 1").err
    ran = run("study run mine.yaml --workers 1 --available")
    assert ran.status == 0, ran.err
    assert "quality: 3 of 3 sets are measured" in ran.out
    assert "not measured, for want of:\n  quality lpips: the weights of alexnet" in ran.out
    assert ran.next == ["asbench report --study mine"]

    lost = json.loads((here / "mine/study.json").read_text())["cells"][0]["run"]
    shutil.rmtree(here / "mine/runs" / lost)
    reported = run("report --study mine --tables tables --figures figures --no-images")
    assert reported.status == 0, reported.err
    told = "Study mine: 2 of its 7 runs stand; 4 left out and 1 not run yet."
    assert told in reported.out
    page = (here / "mine/report.html").read_text(encoding="utf-8")
    assert page.index(told) < page.index('id="questions"') < page.index('id="missing"')
    for text in (
        "3 left out: data mtd",
        "1 left out: weights realnet",
        "1 not run yet",
        "Quality of 3 of 3 sets is measured: ssim and fid@histogram",
        "lpips is not measured: quality lpips: the weights of alexnet",
        "ssim, inside on photos: ",
    ):
        assert text in page, text
    # What was left out is expected of no table; what is only missing is a gap.
    best = column(here / "tables/table4-best.csv", "photos Image AUROC")
    assert best.keys() == {"cutout", "cutpaste", "draem"}
    assert (best["cutout"], best["cutpaste"] != "") == ("", True)
    missing = (here / "tables/missing.md").read_text()
    assert "| not run yet (3) | 1 | photos | bolt | unet@tiny | cutout | 0.5 | 0 |" in missing
    assert "- (1) left out: data mtd: the files of data set 'mtd' are not here" in missing
    points = column(here / "tables/table9.csv", "photos n")
    names = ("ssim", "ssim, inside", "fid@histogram", "fid@histogram, inside")
    assert points == dict.fromkeys(names, "2.0")
    assert (here / "figures/fig11-photos-ssim.svg").exists()
    correlated = run("correlate --runs mine/runs --quality mine/quality --score ssim")
    assert correlated.status == 0, correlated.err
    assert "ssim:real:whole" in correlated.out

    # Made again, nothing else is; other runs of the folder are not shown.
    again = run("study run mine.yaml --workers 1 --available")
    assert "2 of 3 runs stand already" in again.out
    assert "3 of 3 sets are measured already" in again.out
    photos = "--dataset ./photos --category bolt --detector unet@tiny --steps 2 --batch 2"
    assert run(f"train {photos} --mix draem --store mine/store --runs mine/runs").status == 0
    reported = run("report --study mine --no-images --out page.html")
    assert "3 of its 7 runs stand; 4 left out; 1 other run of its folder is" in reported.out
    assert (here / "page.html").exists()


def test_what_was_selected_on_the_test_set_is_marked_everywhere(run: Run, here: Path) -> None:
    (here / "chosen.yaml").write_text(
        "extends: mine.yaml\nprotocol: {select: best-on-test, ratio_mode: bernoulli}\n"
        "detectors: {unet@tiny: {steps: 101, batch: 2, set: {width: 2}}}\n"
        "quality: [ssim, fid@histogram]\nparts: {base: }\n",
        encoding="utf-8",
    )
    short = (here / "chosen.yaml").read_text().replace("steps: 101", "steps: 100")
    (here / "short.yaml").write_text(short, encoding="utf-8")
    refused = run("study run short.yaml --workers 1").err
    assert "looks at checkpoints every 100 steps, and 100 steps leave none" in refused
    ran = run("study run chosen.yaml --workers 1")
    assert ran.status == 0, ran.out
    reported = run("report --study chosen --tables tables --figures figures --no-images")
    assert reported.status == 0, reported.err
    assert "Study chosen: 3 of its 3 runs stand." in reported.out
    # The last checkpoint of every training has a run too.
    assert "6 runs: " in reported.out
    mark = "(selected on the test set)"
    sheets = {p.name: p.read_text() for p in (here / "tables").glob("*.md")}
    said = "Checkpoints were selected on the test set: upper bounds, not results."
    assert sheets.pop("questions.md").startswith("Study chosen: 3 of its 3 runs stand.\n\n")
    sheets.pop("table3.md")
    assert {"table4-best.md", "table4-mean.md", "table9.md"} <= sheets.keys()
    for name, text in sheets.items():
        assert mark in text.splitlines()[0], name
        assert said in text, name
    drawn = (here / "figures/figures.md").read_text()
    assert len(re.findall(r"^## ", drawn, re.M)) == drawn.count(f"{mark}\n\n![")
    page = (here / "chosen/report.html").read_text(encoding="utf-8")
    assert "upper bounds, not results" in page[page.index('id="questions"') :]
    assert page.count(mark) > len(sheets)
    # The last checkpoints of the same folder are no such thing.
    assert run("report --runs chosen/runs --out last.html --no-images").status == 0
    assert mark not in (here / "last.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("report --study nothing", "nothing holds no study: study.json is not there"),
        ("report --study mine.yaml", "mine.yaml"),
    ],
)
def test_what_is_no_studys_folder_is_refused(run: Run, here: Path, line: str, what: str) -> None:
    refused = run(line)
    assert refused.status == 1
    assert what in refused.err
