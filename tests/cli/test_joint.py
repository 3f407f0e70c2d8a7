"""One detector for several categories, through the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench import results
from asbench.results import by_category
from asbench.results.verdicts import run_against_chance
from tests.cli.conftest import QUICK, Run, photograph

pytestmark = pytest.mark.slow


def test_from_photographs_of_two_categories_to_one_detector(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(tmp_path / "parts")
    assert run("generate --dataset parts --method draem -n 8 --size 32 --workers 1").status == 0

    line = f"train --dataset parts --mix draem --joint {QUICK} --seed 0"
    trained = run(line)
    assert trained.status == 0, trained.err
    assert "parts/bolt,nut together, seed 0: bolt: " in trained.out
    (one,) = results.runs(Path("runs"))
    assert one.by_category is not None
    for category in ("bolt", "nut", "together"):
        assert f"{one.id}  {category}" in trained.out
    assert f"run {one.id} flags good " in trained.out
    assert "\n  of bolt: good " in trained.out
    # As little as it learnt, on nine images: each category that is left to chance is named.
    told = {
        part.decides["category"]: run_against_chance(part, "full") for part in by_category([one])
    }
    assert any(told.values())
    for category, words in told.items():
        assert (f"no better than chance on {category}: " in trained.out) == bool(words), words
    baseline = (
        "asbench train --joint --dataset parts --category bolt,nut --detector patchcore@lite0"
    )
    assert trained.next[0] == baseline
    assert "stands already" in run(line).out

    alone = run(f"train --dataset parts --mix draem --category nut {QUICK}")
    assert alone.status == 0
    assert "together" not in alone.out

    scored = run(f"evaluate runs/{one.id}")
    assert scored.status == 0, scored.err
    rows = [text.split("  ")[0].strip() for text in scored.out.splitlines()]
    assert [row for row in rows if row.endswith(("full", "held out"))] == [
        "bolt, full",
        "bolt, held out",
        "nut, full",
        "nut, held out",
        "full",
        "held out",
    ]
    assert "bolt, full" not in run(f"evaluate runs/{one.id} --category nut").out

    photo = next(Path("parts/nut/test/good").glob("*.png"))
    assert run(f"predict runs/{one.id} {photo}").status == 0

    reported = run("report --csv results.csv --defects types.csv")
    assert reported.status == 0
    assert "2 runs: report.html" in reported.out
    page = Path("report.html").read_text()
    assert page.count("one detector for bolt, nut") == 2
    text = Path("results.csv").read_text()
    assert "joint=bolt,nut" in text
    assert "joint=no" in text

    single = run(f"train --dataset parts --mix draem --joint --category nut {QUICK}")
    assert single.status == 1
    assert "name more of bolt, nut with --category a,b" in single.err
