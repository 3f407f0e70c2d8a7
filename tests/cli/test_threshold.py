"""Thresholds on the command line: what is flagged is said, and rules hold from train to export."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from asbench import results
from cli import console
from tests.cli.conftest import QUICK, Run

pytestmark = pytest.mark.slow

MEMORY = "--detector patchcore@random --device cpu"


def only() -> Path:
    (folder,) = Path("runs").iterdir()
    return folder


def test_train_says_what_it_flags_and_what_stands_beside(run: Run, place: Path) -> None:
    first = run(f"train --dataset photos --mix draem {QUICK}")
    assert first.status == 0
    assert "; 3 normals kept out for the threshold" in first.out
    threshold = results.read(only()).threshold
    assert threshold is not None
    rows = results.read_table(only())
    good, bad = (sum(r.score >= threshold.value for r in rows if r.label == k) for k in (0, 1))
    said = f"run {only().name} flags good {good} of 4, defective {bad} of 6, at its threshold"
    assert said in first.out
    assert "1 % false alarms, extrapolated from 3 normals kept out of training" in first.out
    assert "no better than chance: its image AUROC is" in first.out  # two steps teach nothing
    assert first.next[0] == (
        "asbench train --dataset photos --category bolt --detector patchcore@lite0"
    )

    memory = run(f"train --dataset photos {MEMORY}")
    assert memory.status == 0
    assert "patchcore" not in memory.out.partition("next:")[2]  # it is the baseline itself
    again = run(f"train --dataset photos --mix draem --seed 1 {QUICK}")
    assert "beside them, without synthesis: patchcore@random, run" in again.out
    assert [line.split()[1] for line in again.next] == ["report", "predict"]


def test_another_rule_at_every_command(run: Run, place: Path) -> None:
    assert run(f"train --dataset photos --mix draem --false-alarms 0.25 {QUICK}").status == 0
    folder = only()
    own = results.read(folder).threshold
    assert own is not None
    assert own.rule.startswith("25 % false alarms, on 3 normals kept out of training")

    scored = run(f"evaluate {folder} --threshold best-f1 --device cpu")
    assert "threshold" in scored.out
    assert "best F1 between 3 normals and" in scored.out
    assert "on the held out test set" in scored.out
    assert results.read(folder).threshold == own  # what was asked of evaluate is not recorded

    predicted = run(f"predict {folder} photos/bolt/test --threshold 0 --device cpu")
    assert "10 of 10 are anomalous by it" in predicted.out
    none = run(f"predict {folder} photos/bolt/test --threshold 9 --device cpu")
    assert "0 of 10 are anomalous by it" in none.out
    with Path("predictions/predictions.csv").open() as file:
        assert {row["anomalous"] for row in csv.DictReader(file)} == {"False"}

    done = run(f"export {folder} --format pt2 --false-alarms 0.01")
    assert done.status == 0
    held = {"asbench.json": ""}
    torch.export.load(str(folder / "model.pt2"), extra_files=held)
    facts = json.loads(held["asbench.json"])
    assert facts["threshold_rule"].startswith("1 % false alarms, extrapolated from 3 normals")
    assert float(facts["threshold"]) >= own.value

    changed = run(f"train --dataset photos --mix draem --threshold 0.5 {QUICK}")
    assert "stands already" in changed.out
    assert "its threshold is now 0.5: given" in changed.out
    assert results.read(folder).threshold == results.Threshold(value=0.5, rule="given")


def test_training_on_all_normals_says_so(run: Run, place: Path) -> None:
    trained = run(f"train --dataset photos --mix draem --kept-out 0 --false-alarms 0.2 {QUICK}")
    assert trained.status == 0
    assert "kept out for the threshold" not in trained.out
    assert "on 9 training normals; training saw them, so expect more" in trained.out


def test_the_report_says_it_too(run: Run, place: Path) -> None:
    assert run(f"train --dataset photos --mix draem {QUICK}").status == 0
    assert run(f"train --dataset photos {MEMORY}").status == 0
    assert run("report").status == 0
    page = Path("report.html").read_text()
    assert page.count("<dt>Flags of the full test set</dt><dd>good ") == 2
    assert page.count("<dt>Without synthesis, on the same images</dt>") == 1
    assert "no better than chance" in page


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--false-alarms 0.1 --threshold 0.5", "two rules for one threshold"),
        ("--false-alarms 2", "a share of false alarms of 2 is impossible"),
        ("--threshold good", "neither best-f1 nor a score"),
        ("--kept-out 0.9", "kept out 0.9 is impossible"),
    ],
)
def test_impossible_rules_are_refused_before_anything_is_trained(
    options: str, told: str, run: Run, place: Path
) -> None:
    refused = run(f"train --dataset photos --mix draem {options} {QUICK}")
    assert refused.status == 1
    assert told in refused.err
    assert not Path("runs").exists()


def test_progress_shows_the_loss(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("cli.console.time.monotonic", lambda: now[0])
    with console.progress() as bars:
        watch = console.losses(bars)
        for done in range(501):
            watch(done, 1 / (done + 1))
            bars("training", done, 1000)
            now[0] += 0.025
        now[0] += 10
        bars("scoring", 1, 2)
    assert capsys.readouterr().err.splitlines() == [
        "training: 400 of 1000, 40/s, 0:00:15 left, loss 0.00249",
        "scoring: 1 of 2",
    ]


def test_the_next_training_of_the_same_name_has_a_pace_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trainings on several mixtures or seeds are called the same."""
    now = [100.0]
    monkeypatch.setattr("cli.console.time.monotonic", lambda: now[0])
    with console.progress() as bars:
        for pace in (0.01, 0.25):
            for done in range(1, 101):
                now[0] += pace
                bars("training", done, 100)
    assert capsys.readouterr().err.splitlines() == [
        "training: 36 of 100, 4/s, 0:00:16 left",
        "training: 76 of 100, 4/s, 0:00:06 left",
    ]
