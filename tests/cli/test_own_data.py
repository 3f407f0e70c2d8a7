"""`evaluate RUN` finds the run's own photographs again, and refuses others in their place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asbench import results
from tests.cli.conftest import QUICK, Run, write

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(run: Run, place: Path) -> Path:
    """A run on the photographs of the current folder, named by a relative path."""
    assert run(f"train --dataset ./photos --ratio 0 {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    return folder.absolute()


def scores(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if line.startswith(("full", "held"))]


def test_from_any_folder(
    folder: Path, run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = run(f"evaluate {folder} --device cpu")
    assert here.status == 0
    data = json.loads((folder / "run.json").read_text())["environment"]["data"]
    assert data == {"path": str(place / "photos"), "name": "photos"}
    (tmp_path / "else" / "photos").mkdir(parents=True)  # of that name, but another
    monkeypatch.chdir(tmp_path / "else")
    assert scores(run(f"evaluate {folder} --device cpu").out) == scores(here.out)
    moved = shutil.move(folder, tmp_path / "moved")
    assert scores(run(f"evaluate {moved} --device cpu").out) == scores(here.out)


@pytest.mark.parametrize("kind", ["called otherwise", "a table", "a folder of odd letters"])
def test_whatever_it_was_called(
    kind: str, run: Run, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, name = "photos", ""
    if kind == "called otherwise":
        name = "--name line@2"
    elif kind == "a table":
        given = "photos/bolt.csv"
        rows = ["image,split,label,mask"]
        for path in sorted(Path("photos/bolt").rglob("*/*/*.png")):
            split, label, file = path.parts[-3:]
            if split != "ground_truth":
                mask = f"bolt/ground_truth/disc/{file[:-4]}_mask.png" if label == "disc" else ""
                rows.append(f"bolt/{split}/{label}/{file},{split},{int(label == 'disc')},{mask}")
        Path(given).write_text("\n".join(rows))
    else:
        given = "Línea 3 [b]"
        Path("photos").rename(given)
    assert run(f"train --dataset '{given}' {name} --ratio 0 --store new {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    folder = folder.absolute()
    recorded = results.read(folder)
    assert recorded.environment["data"]["path"] == str(place / given)
    monkeypatch.chdir(tmp_path)
    scored = run(f"evaluate {folder} --device cpu")
    assert scored.status == 0
    own = [f"{v:.3f}" for v in recorded.metrics["full"].values()]
    assert scores(scored.out)[0] == ["full", "4", "6", *own]


def test_photographs_that_are_gone_are_named(folder: Path, run: Run, place: Path) -> None:
    Path("photos").rename("kept aside")
    refused = run(f"evaluate {folder} --device cpu")
    assert refused.status == 1
    assert f"was trained on {place / 'photos'}, and nothing is there now" in refused.err
    assert "--dataset PATH" in refused.err
    assert run(f"evaluate {folder} --dataset 'kept aside' --device cpu").status == 0


def test_photographs_that_are_gone_are_looked_for_by_name(
    folder: Path, run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("data").mkdir()
    Path("photos").rename("data/photos")
    assert run(f"evaluate {folder} --device cpu").status == 1
    monkeypatch.setenv("ASBENCH_DATA", "data")  # `run` has taken it away before
    assert run(f"evaluate {folder} --device cpu").status == 0


def repainted(place: Path) -> None:
    shutil.copy(place / "photos/bolt/test/good/001.png", place / "photos/bolt/test/good/000.png")


def removed(place: Path) -> None:
    (place / "photos/bolt/test/good/000.png").unlink()


def added(place: Path) -> None:
    shutil.copy(place / "photos/bolt/test/good/001.png", place / "photos/bolt/test/good/9.png")


def masked(place: Path) -> None:
    import numpy as np

    mask = np.full((48, 40), 255, np.uint8)
    write(place / "photos/bolt/ground_truth/disc/000_mask.png", mask)


@pytest.mark.parametrize("change", [repainted, removed, added, masked])
def test_other_test_images_in_their_place_are_refused(
    change, folder: Path, run: Run, place: Path
) -> None:
    change(place)
    refused = run(f"evaluate {folder} --device cpu")
    assert refused.status == 1
    assert f"the test images in {place / 'photos'} are no longer those" in refused.err
    line = refused.err.split("`asbench ")[1].split("`")[0]
    assert run(f"{line} --device cpu").status == 0
    assert run(f"evaluate {folder} --category nut --device cpu").status == 0


def test_a_run_of_an_earlier_release_still_loads(folder: Path, run: Run, place: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    del record["environment"]["data"], record["sha256"]
    (folder / "run.json").write_text(json.dumps(record))
    assert run(f"evaluate {folder} --device cpu").status == 0
    Path("photos").rename("kept aside")
    refused = run(f"evaluate {folder} --device cpu")
    assert refused.status == 1
    assert "'photos' is neither a name nor a folder nor a table" in refused.err
