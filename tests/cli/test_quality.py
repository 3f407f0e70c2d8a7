"""`asbench quality`, `correlate` and `cross`, one after the other, at toy size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import CATEGORIES, QUICK, Run

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)


def test_from_a_store_to_a_matrix(place: Path, run: Run) -> None:
    here = f"--dataset ./photos --category {CATEGORIES[0]}"
    done = run(f"quality {here} --device cpu --csv scores.csv")
    assert done.status == 0, done.err
    assert "left out for want of weights or packages: lpips" in done.out
    assert "fid@histogram" in done.out
    assert "cutpaste (n=12)" in done.out
    assert "change_levels" in done.out
    assert "mask_unchanged" in done.out
    assert re.search(r"change_levels and noise \d\.\d+ of the normals", done.out)
    assert done.out.rstrip().endswith("next: asbench correlate")
    lines = Path("scores.csv").read_text().splitlines()
    assert len(lines) > 30
    again = run(f"quality {here} --device cpu")
    assert again.out.count("is measured") == 2
    assert len(list(Path("quality").iterdir())) == 2

    for mix in ("draem", "cutpaste"):
        assert run(f"train {here} --mix {mix} {QUICK}").status == 0
    done = run("correlate --score fid@histogram,mask_area --csv correlation.csv")
    assert done.status == 0, done.err
    assert "fid@histogram:real:inside" in done.out
    assert "nothing tested" in done.out
    assert len(Path("correlation.csv").read_text().splitlines()) == 6

    done = run("cross --device cpu")
    assert done.status == 0, done.err
    assert "trained on" in done.out
    assert "mean over the other methods against true image_auroc: rho" in done.out
    assert "2 rows: quality" in done.out


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("quality --dataset ./photos --metric fid", "ASBENCH_WEIGHTS"),
        ("quality --dataset ./photos --metric fdi", "choose ssim, psnr"),
        ("quality --dataset ./photos --weights x", "NAME=PATH"),
        ("quality --dataset ./photos --seed 5", "asbench generate"),
        ("quality --dataset ./photos --method nsa", "asbench generate"),
        ("quality --store nowhere", "there is no store"),
        ("correlate", "asbench train --mix draem"),
        ("cross", "asbench train --mix draem"),
    ],
)
def test_refusals_name_the_next_command(place: Path, run: Run, line: str, complaint: str) -> None:
    done = run(line)
    assert done.status == 1
    assert complaint in done.err
    assert not Path("quality").exists()
