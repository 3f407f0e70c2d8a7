"""`asbench data`: what is listed, fetched and compared, as the terminal shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import trees
from tests.cli.conftest import Run
from tests.trees import zipped


@pytest.fixture
def data(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ASBENCH_DATA with some of MVTec AD, and an archive of MPDD beside it."""
    trees.mvtec(tmp_path / "data" / "mvtec" / "bottle", ("broken_large",))
    trees.mvtec(tmp_path / "made" / "tubes", ("hole",))
    files = {
        p.relative_to(tmp_path).as_posix(): p.read_bytes()
        for p in (tmp_path / "made").rglob("*.png")
    }
    zipped(tmp_path / "MPDD.zip", files)
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_the_list_says_where_files_are_or_are_missing(data: Path, run: Run) -> None:
    (data / "btad" / "something").mkdir(parents=True)
    lines = {line.split()[0]: line for line in run("data list").out.splitlines() if line.strip()}
    assert f"{data / 'btad'} is not btad" in lines["btad"]
    assert str(data / "mvtec") in lines["mvtec"]
    assert "CC BY-NC-SA 4.0" in lines["mvtec"]
    assert "missing" in lines["visa"]
    assert "CC BY 4.0" in lines["visa"]
    assert "any path" in lines["table"]
    assert "none needed" in lines["demo"]
    assert "mtd@grouped" in lines["mtd,"]


def test_the_check_names_differences_from_the_papers_table(data: Path, run: Run) -> None:
    checked = run("data check mvtec")
    assert checked.status == 0
    said = [line for line in checked.out.splitlines() if line.startswith("differs")]
    assert "differs from the paper's Table 3: mvtec category cable is missing" in said
    assert "differs from the paper's Table 3: 1 categories here, 15 printed" in said
    assert said[-1] == (
        "differs from the paper's Table 3: sides of 10-12 pixels here, 700-1024 printed"
    )
    assert "Table 3" not in run(f"data check {data / 'mvtec'} --name mine").out


def test_a_licence_comes_first_and_must_be_accepted(
    data: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = data.parent / "MPDD.zip"
    refused = run(f"data fetch mpdd --archive {archive}")
    assert refused.status == 1
    assert "licence: CC BY-NC-SA 4.0" in refused.out
    assert refused.err == "error: the licence must be accepted: add --accept-licence.\n"
    monkeypatch.setattr("cli.data.sys.stdin.isatty", lambda: True, raising=False)
    answers = iter(["n", "y"])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: next(answers))
    refused = run(f"data fetch mpdd --archive {archive}")
    assert refused.status == 1
    assert refused.err == "error: the licence was not accepted: nothing was fetched.\n"
    assert not (data / "mpdd").exists()
    fetched = run(f"data fetch mpdd --archive {archive}")
    assert fetched.status == 0
    assert f"mpdd is at {data / 'mpdd'}" in fetched.out
    assert fetched.next == ["asbench data check mpdd"]
    assert run("data check mpdd").status == 0
    again = run(f"data fetch mpdd --archive {archive} --yes")
    assert again.status == 1
    assert "is there already" in again.err


def test_what_is_got_by_hand_says_how(data: Path, run: Run) -> None:
    shown = run("data fetch mtd")
    assert shown.status == 1
    assert "licence: none" in shown.out
    assert "asbench data fetch mtd --archive FILE" in shown.err


def test_a_table_is_used_from_end_to_end(data: Path, run: Run, tmp_path: Path) -> None:
    bottle = data / "mvtec" / "bottle"
    rows = ["image_path,label,split,mask_path"]
    rows += [f"{p.relative_to(bottle)},0,train," for p in sorted(bottle.glob("train/good/*"))]
    for path in sorted(bottle.glob("test/*/*.png")):
        faulty = path.parent.name != "good"
        mask = f"ground_truth/broken_large/{path.stem}_mask.png" if faulty else ""
        rows.append(f"{path.relative_to(bottle)},{int(faulty)},test,{mask}")
    (bottle / "all.csv").write_text("\n".join(rows))
    checked = run(f"data check {bottle / 'all.csv'}")
    assert checked.status == 0
    generate = f"asbench generate --dataset {bottle / 'all.csv'}"
    assert any(line.startswith(generate) for line in checked.next)
    made = run(
        f"generate --dataset {bottle / 'all.csv'} --method cutpaste -n 3 --workers 1 "
        f"--size 32 --store {tmp_path / 'store'}"
    )
    assert made.status == 0
    assert "all/cutpaste" in run(f"store ls --store {tmp_path / 'store'}").out


def test_check_says_where_the_object_is_by_the_rule_that_is_tried(run: Run, tmp_path: Path) -> None:
    trees.mvtec(tmp_path / "bottle", ("hole",))
    check = f"data check '{tmp_path / 'bottle'}' --object"
    assert "whole image counts as the object" in run(f"{check} whole").out
    refused = run(f"{check} oval")
    assert refused.status != 0
    assert "choose auto, whole, dark, bright" in refused.err
