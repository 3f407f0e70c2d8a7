"""`asbench demo`: which runs it makes, and that its table is theirs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import asbench.demo
from asbench import results
from asbench.datasets import demo as drawn
from asbench.datasets import procedural
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few small images and steps; everything else as it is."""
    monkeypatch.setattr(asbench.demo, "SAMPLES", 6)
    monkeypatch.setattr(asbench.demo, "SIZE", 64)
    monkeypatch.setattr(asbench.demo, "demo", partial(asbench.demo.demo, steps=2))
    monkeypatch.setattr(procedural, "COUNT", 6)
    monkeypatch.setattr(drawn, "TRAIN_NORMALS", 6)


def test_shows_what_its_runs_scored(run: Run, tmp_path: Path, small: None) -> None:
    drawn._items.cache_clear()
    try:
        shown, again = (run(f"demo --folder {tmp_path / 'here'}") for _ in range(2))
    finally:
        drawn._items.cache_clear()
    assert shown.status == again.status == 0

    table = shown.out.split("\n\n")[0]
    assert again.out.startswith(table), "what stood was done again, or shown otherwise"
    made = {
        (r.decides["detector"], *r.decides["mix"]): r for r in results.runs(tmp_path / "here/runs")
    }
    heads = ("image_auroc", "pixel_auroc", "pixel_ap", "pro")
    wanted = [
        ("patchcore@lite0", "normals alone", ()),
        ("memory", "draem", ("draem",)),
        ("memory", "fractal", ("fractal",)),
        ("memory", "draem + fractal", ("draem", "fractal")),
    ]
    assert len(made) == len(wanted)
    for line, (detector, name, mix) in zip(table.splitlines()[1:], wanted, strict=True):
        one = made[(detector, *mix)]
        assert one.decides["ratio"] == (0.5 if mix else 0.0)
        scores = [f"{one.metrics['full'][head]:.3f}" for head in heads]
        assert line.split() == [detector, *name.split(), *scores]
    assert "demo/weave at 64x64, 2 steps, one seed" in shown.out
    assert f"open {tmp_path / 'here/report.html'} in a browser" in shown.next
    assert (tmp_path / "here/report.html").is_file()
