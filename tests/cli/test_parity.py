"""The parity options through the command line, on a folder of photographs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from asbench import results
from tests.cli.conftest import QUICK, Run

pytestmark = pytest.mark.slow

DATA = "--dataset photos --mix draem,cutpaste"
STEPS = QUICK.replace("--steps 2", "--steps 3")


def test_all_options_together_and_the_report_tells_them_apart(run: Run, place: Path) -> None:
    line = (
        f"train {DATA} --ratio-mode bernoulli --steps-mode per-component "
        f"--select best-on-test --select-every 2 --parity {STEPS}"
    )
    trained = run(line)
    assert trained.status == 0, trained.err
    assert "(6 steps of 2 items)" in trained.out
    last, best = sorted(results.runs(Path("runs")), key=lambda r: r.selected is not None)
    for one in (last, best):
        assert one.decides["ratio_mode"] == "bernoulli"
        assert (one.decides["steps"], one.steps_mode) == (6, "per-component")
        assert one.parity is not None
        assert one.parity.flavour == "draem"
        assert f"{one.parity.metrics['full']['pro']:.3f}" in trained.out
    assert f"{best.id} (best on test)" in trained.out
    assert trained.out.count("as draem") == 2
    assert best.selected is not None
    assert best.selected.step in (2, 4, 6)
    assert "stands already" in run(line).out

    assert run("report --markdown r.md --csv r.csv").status == 0
    rows = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert [(row["select"], row["runs"]) for row in rows] == [
        ("last", last.id),
        ("best-on-test", best.id),
    ]
    assert Path("r.md").read_text().count(", selected on test") == 1
    page = Path("report.html").read_text()
    assert "As draem's published code scores" in page
    assert f"after step {best.selected.step}: the highest sum of" in page


def test_a_run_that_stands_is_given_published_scores(run: Run, place: Path) -> None:
    assert run(f"train {DATA} {QUICK}").status == 0
    (plain,) = results.runs(Path("runs"))
    assert plain.parity is None
    again = run(f"train {DATA} {QUICK} --parity")
    assert f"give it some with `asbench evaluate runs/{plain.id} --parity`" in again.out

    for name in ("parity", "metrics", "steps_mode", "selected"):  # an older version's record
        path = Path("runs", plain.id, "run.json")
        record = json.loads(path.read_text())
        record.pop("sha256", None)
        if name != "metrics":
            del record[name]
        path.write_text(json.dumps(record))
    scored = run(f"evaluate runs/{plain.id} --dataset photos --parity --device cpu")
    assert scored.status == 0, scored.err
    assert "full test set" not in scored.err
    (given,) = results.runs(Path("runs"))
    assert given.parity is not None
    for subset in ("full", "held_out"):
        assert f"{given.parity.metrics[subset]['pro']:.3f}" in scored.out
    assert (given.metrics, given.id, given.losses) == (plain.metrics, plain.id, plain.losses)
    assert set(given.parity.metrics["full"]) == set(results.METRICS)

    # on another category's images the scores are shown, and the record stays
    before = (Path("runs") / plain.id / "run.json").read_bytes()
    other = run(f"evaluate runs/{plain.id} --dataset photos --category nut --parity --device cpu")
    assert other.status == 0
    assert "as draem" in other.out
    assert "stand in" not in other.out
    assert (Path("runs") / plain.id / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--select-every 2", "which only `--select best-on-test` does"),
        ("--select best-on-test", "looking at the test set every 100 of 2 steps"),
        ("--select best-on-test --select-every 2", "give --select-every 1 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Run, place: Path, options: str, told: str) -> None:
    refused = run(f"train {DATA} {QUICK} {options}")
    assert refused.status == 1
    assert told in refused.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("option", ["--ratio-mode", "--select", "--steps-mode"])
def test_an_unknown_choice_names_the_choices(run: Run, place: Path, option: str) -> None:
    refused = run(f"train {DATA} {QUICK} {option} other")
    assert refused.status == 2
    assert "'other' is not one of" in refused.err
