"""`asbench data check` proposes a size for the defects that it measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asbench.data.check import check
from asbench.data.defect_sizes import Sizes, advise, finer
from synth_store import Geometry
from tests.cli.conftest import Run, write


def test_the_check_says_so(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    for place, count in (("train/good", 3), ("test/good", 1), ("test/dot", 2)):
        for i in range(count):
            write(tmp_path / "parts" / place / f"{i}.png", rng.integers(90, 99, (600, 800, 3)))
    for i in range(2):
        dot = np.zeros((600, 800), np.uint8)
        dot[100:108, 200:208] = 255
        write(tmp_path / "parts/ground_truth/dot" / f"{i}.png", dot)
    checked = run(f"data check {tmp_path / 'parts'}")
    assert checked.status == 0
    said = "parts: the narrowest tenth of 2 defects is up to 8.0 px across, and keeps 2.6 px at"
    assert said in checked.out
    assert checked.next[-1].endswith("--size 416x320")
    again = run(f"data check {tmp_path / 'parts'} --size 416x320")
    assert "keeps 4.2 px at 320x416 (stretch)\n" in again.out
    assert again.next[-1].endswith("--size 416x320")
    (report,) = check(tmp_path / "parts", geometry=Geometry(320, 416)).categories
    assert report.smallest is not None
    assert report.smallest.proposed is None

    bare = tmp_path / "bare"
    (tmp_path / "parts/train/good").rename(bare)
    checked = run(f"data check {bare}")
    assert "say how small those are that must be found, in pixels, as in --smallest-defect" in (
        checked.out
    )
    checked = run(f"data check {bare} --smallest-defect 4")
    assert "a defect of 4 px keeps 1.3 px" in checked.out
    assert checked.next[-1].endswith("--size 256 --resize tile --scale 1")


def test_photographs_that_show_more_are_worth_a_finer_store(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)

    def folder(name: str, *shapes: tuple[int, int]) -> Path:
        for i, shape in enumerate(shapes):
            write(tmp_path / name / f"{i}.png", rng.integers(90, 99, (*shape, 3)))
        return tmp_path / name

    said = "the photographs show more than 256x256 (stretch) keeps: of five data sets"
    shown = run(f"data check {folder('shown', (300, 400), (288, 288))}")
    assert said in shown.out
    assert shown.next[-1].endswith("--size 384")
    assert said not in run(f"data check {tmp_path / 'shown'} --size 256").out  # that was asked for
    one_is_small = run(f"data check {folder('small', (300, 400), (287, 600))}")
    assert said not in one_is_small.out
    assert one_is_small.next[-1].endswith("--method draem,fractal")
    tiled = run(f"data check {tmp_path / 'shown'} --resize tile --scale 1")
    assert said not in tiled.out


def test_a_finer_store_is_not_offered_where_a_defect_asks_for_more() -> None:
    photographs, usual = [(800, 800)], Geometry()
    told = {breadth: advise(Sizes((), ()), photographs, usual, breadth) for breadth in (40, 9, 3)}
    proposed = {breadth: one.proposed for breadth, one in told.items() if one is not None}
    assert proposed[40] is None
    assert proposed[9] == Geometry(416, 416)
    assert proposed[3] is not None
    assert proposed[3].tiled
    assert [finer(photographs, usual, one) for one in told.values()] == [True, False, False]
    small = advise(Sizes((), ()), [(300, 400)], usual, 6)
    assert small is not None
    assert small.proposed == Geometry(256, 320)
    assert finer([(300, 400)], usual, small)
    assert not finer([], usual, None)
    assert not finer([(300, 270)], usual, None)
