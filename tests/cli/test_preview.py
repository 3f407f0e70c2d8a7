"""`asbench preview`: methods under either spelling, and the objects on the normals."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import pytest

from tests.cli.conftest import Run, tree

pytestmark = pytest.mark.slow


def test_methods_may_be_spelt_either_way(run: Run, place: Path) -> None:
    for option in ("--method", "--methods"):
        shown = run(f"preview {option} draem,cutout --dataset photos --n 2 --out {option[2:]}.png")
        assert shown.status == 0
    assert Path("method.png").read_bytes() == Path("methods.png").read_bytes()


def test_foregrounds_of_every_category_say_where_there_is_none(run: Run, place: Path) -> None:
    before = tree(place)
    shown = run("preview --foreground --dataset photos --n 3 --out objects.png")
    assert shown.status == 0
    for category in ("bolt", "nut"):
        line = f"photos/{category}: object found on 0 of 3 normals (stored)"
        assert f"{line}; elsewhere the whole image counts as the object" in shown.out
    assert shown.next == ["asbench preview --dataset photos --method memseg,nsa"]
    assert cv2.imread("objects.png") is not None
    Path("objects.png").unlink()
    assert tree(place) == before, "looking changed the store"
    one = run("preview --foreground --dataset photos --category nut --store elsewhere")
    assert one.status == 0
    assert "bolt" not in one.out
    assert "(not stored)" in one.out
    assert not Path("elsewhere").exists()


def test_a_method_or_the_foreground(run: Run, place: Path) -> None:
    for line in ("preview", "preview --foreground --method draem"):
        refused = run(line)
        assert refused.status == 2
        assert "--foreground without one" in refused.err
    wrong = run("preview --foreground --dataset photos --category bold")
    assert wrong.status == 1
    assert "bold" in wrong.err


def test_what_anomalies_show_is_said_and_parameters_are_tried(run: Run, place: Path) -> None:
    before = tree(place)
    line = "preview --dataset photos --category nut --n 4 --method"
    shown = run(f"{line} cutpaste,draem --out stored.png")
    assert shown.status == 0, shown.err
    for method in ("cutpaste", "draem"):
        said = (
            rf"{method} on photos/nut: change \d+ levels, noise \d\.\d; \d+% of the mask unchanged"
        )
        assert re.search(said, shown.out), shown.out
    mine = run(f"{line} cutpaste --set jitter=0.5 --variant loud --visible 6.5 --out mine.png")
    assert mine.status == 0, mine.err
    assert "cutpaste@loud on photos/nut" in mine.out
    assert mine.next == [
        "asbench generate --set=jitter=0.5 --dataset photos --category nut --visible 6.5 "
        "--method cutpaste --variant loud"
    ]
    for wrong, told in (
        ("--set jitter=0.5", "--variant"),
        ("--visible -1", "visible=-1.0 is impossible"),
        ("--set jiter=1 --variant x", "jitter"),
    ):
        refused = run(f"{line} cutpaste {wrong} --out none.png")
        assert refused.status != 0
        assert told in refused.err
    for made in ("stored.png", "mine.png"):
        Path(made).unlink()
    assert tree(place) == before


def test_all_leaves_out_what_shows_real_defects_where_there_are_none(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["croppaste", "cutout"]
    monkeypatch.setattr("asbench.generation.preview.hand_crafted", lambda: names)
    shown = run("preview --method all --dataset photos --n 2 --compact --out all.png")
    assert shown.status == 0, shown.err
    assert "left out" not in shown.out
    assert "all.png: 2 methods" in shown.out
    shown = run("preview --method all --dataset procedural --n 2 --compact --out none.png")
    assert shown.status == 0, shown.err
    assert "croppaste left out: procedural/all has no few-shot defects" in shown.out
    assert "none.png: 1 methods" in shown.out
