"""The whole path through the command line, on a folder of photographs."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import xarray

from asbench.mend import regenerate_command
from asbench.synthesizers.cutout import VARIANTS
from synth_store import StoreKey, SynthStore
from tests.cli.conftest import QUICK, Run, complete, photograph, start, tree

pytestmark = pytest.mark.slow


def test_from_photographs_to_a_report(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `next:` line is typed as it was printed."""
    monkeypatch.chdir(tmp_path)
    photograph(tmp_path / "my photos")

    checked = run("data check 'my photos' --name parts")
    assert checked.status == 0
    assert "parts: categories in sub-folders" in checked.out
    assert "0 files cannot be used, 0 warnings" in checked.out
    assert checked.next == [
        "asbench preview --foreground --dataset 'my photos' --name parts",
        "asbench generate --dataset 'my photos' --name parts --method draem,fractal",
    ]

    line = checked.next[1].removeprefix("asbench ")
    rendered = run(f"{line} --n 12 --size 32 --workers 1")
    assert rendered.status == 0
    assert "48 samples rendered" in rendered.out
    assert "parts/fractal/0/nut" in rendered.out

    preview, train = (command.removeprefix("asbench ") for command in rendered.next)
    sheet = run(f"{preview} --n 3")
    assert sheet.status == 0
    assert sheet.next == ["asbench " + train]  # two methods, halved
    drawn = cv2.imread("preview.png")
    assert drawn is not None
    assert drawn.std() > 10

    trained = run(f"{train} {QUICK}")
    assert trained.status == 0
    assert "category bolt of bolt, nut (--category all trains every one)" in trained.out
    assert "parts/bolt, seed 0: 2 normal, 1 draem, 1 fractal (2 steps of 2 items)" in trained.out

    baseline, report, predict = (command.removeprefix("asbench ") for command in trained.next)
    assert baseline == (
        "train --dataset 'my photos' --name parts --category bolt --detector patchcore@lite0"
    )
    assert run(f"{report} --markdown r.md --latex r.tex --csv r.csv").status == 0
    assert Path("report.html").read_text().count("data:image/png") > 2
    assert "| parts | bolt | draem@tiny |" in Path("r.md").read_text()
    assert r"\begin{tabular}" in Path("r.tex").read_text()
    (row,) = csv.DictReader(Path("r.csv").read_text().splitlines())
    assert (row["dataset"], row["mix"], row["ratio"]) == ("parts", "draem:0.5,fractal:0.5", "0.5")

    assert predict.endswith(" PHOTO.png")
    shutil.copy("my photos/bolt/test/disc/000.png", "PHOTO.png")
    predicted = run(predict)
    assert predicted.status == 0
    assert "PHOTO.png" in predicted.out
    assert "threshold" in predicted.out


def test_another_ratio_reuses_the_store(run: Run, place: Path) -> None:
    before = tree(place / "asbench-store")
    first = run(
        f"train --dataset photos --mix draem:0.5,cutpaste:0.5 --category all --seed 0,1 "
        f"--untrained {QUICK}"
    )
    assert first.status == 0
    assert first.out.count("\nuntrained") == 4
    assert len(list(Path("runs").glob("*/run.json"))) == 4
    second = run(f"train --dataset photos --mix draem:1,cutpaste:1 --ratio 0.25 {QUICK}")
    assert second.status == 0
    assert "photos/bolt, seed 0: 3 normal, 1 cutpaste, 0 draem (2 steps of 2 items)" in second.out
    assert tree(place / "asbench-store") == before
    again = run(f"train --dataset photos --mix draem:1,cutpaste:1 --ratio 0.25 {QUICK}")
    assert again.status == 0
    assert "stands already: it is not trained again" in again.out
    assert len(list(Path("runs").glob("*/run.json"))) == 5


def test_what_is_stored_is_not_rendered_again(run: Run, place: Path) -> None:
    before = tree(place / "asbench-store")
    again = run("generate --dataset photos --method draem,cutpaste --n 12 --workers 1")
    assert again.status == 0
    assert "0 samples rendered" in again.out
    assert tree(place / "asbench-store") == before
    grown = run("generate --dataset photos --method draem --category nut -n 14 --workers 1")
    assert "2 samples rendered" in grown.out
    assert ["photos/draem/0/nut", "14", "12"] in [
        line.split()[:3] for line in grown.out.splitlines()
    ]


def test_the_store_commands(run: Run, place: Path) -> None:
    listed = run("store ls photos/draem")
    assert listed.status == 0
    assert "photos/draem/0/bolt" in listed.out
    assert "cutpaste" not in listed.out

    shown = run("store info photos/draem/0/nut")
    assert shown.status == 0
    assert "  encoding: residual" in shown.out
    assert "  count: 12" in shown.out

    verified = run("store verify --recompute 3")
    assert verified.status == 0
    assert verified.out.count("3 of 3 equal when rendered anew") == 4
    assert "4 sets verified, 0 faults" in verified.out


def test_export_for_other_tools(run: Run, place: Path) -> None:
    stored = SynthStore.open("asbench-store").read(StoreKey("photos", "draem", 0), "nut")
    assert run("store export photos/draem/0 --out png --category nut").status == 0
    assert not Path("png/bolt").exists()
    picture = cv2.imread("png/nut/test/draem/0007.png")
    assert np.array_equal(picture[..., ::-1], stored[7].image)
    assert run("data check png").status == 0  # our own reader knows the layout

    assert run("store export photos/draem/0 --format zarr --out zarr").status == 0
    opened = xarray.open_zarr("zarr/nut.zarr", consolidated=False)
    assert np.array_equal(opened["image"][7], stored[7].image)
    assert np.array_equal(opened["mask"][7], stored[7].mask)
    assert opened["image"].dims == ("sample", "y", "x", "c")

    said = run("store export photos/draem/0 --category nut --format yolo --out yolo")
    assert said.status == 0
    assert re.search(r"beside \d+ normals in yolo/nut \(\d+ files, [\d.]+ [kM]B\)", said.out)
    assert "next: read yolo/nut/README.md" in said.out

    before = tree(place / "png")
    again = run("store export photos/draem/0 --out png --category nut")  # what stands stays
    assert again.status == 0
    assert tree(place / "png") == before
    Path("png/nut/test/draem/0007.png").write_bytes(
        Path("png/nut/test/draem/0006.png").read_bytes()
    )
    refused = run("store export photos/draem/0 --out png --category nut")
    assert refused.status == 1
    assert "is there already" in refused.err


def test_removing_sets_and_data_sets(run: Run, place: Path) -> None:
    before = tree(place / "asbench-store")
    dry = run("store rm photos/draem/0/nut photos/cutpaste --dry-run")
    assert dry.status == 0
    assert dry.out.count("would remove") == 3
    assert tree(place / "asbench-store") == before

    removed = run(dry.next[0].removeprefix("asbench "))
    assert removed.status == 0
    store = SynthStore.open("asbench-store")
    assert [f"{k}/{c}" for k, c in store.sets()] == ["photos/draem/0/bolt"]
    assert run("store verify").status == 0

    refused = run("store rm photos/normal/bolt")
    assert refused.status == 1
    assert "normals are removed with their data set" in refused.err
    whole = run("store rm photos")
    assert "removed photos with its normals" in whole.out
    assert not (place / "asbench-store/photos").exists()
    assert run("store verify").status == 0


def test_evaluate_and_predict(run: Run, place: Path) -> None:
    assert run(f"train --dataset photos --mix draem {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    recorded = json.loads((folder / "run.json").read_text())["metrics"]["full"]

    scored = run(f"evaluate {folder} --csv scores.csv")
    assert scored.status == 0
    lines = [line.split() for line in scored.out.splitlines() if line.startswith("full")]
    row, further = lines  # the five metrics, then what is read off low rates
    assert further[0] == "full:"
    assert "AUPIMO" in further
    assert row == ["full", "4", "6", *[f"{recorded[m]:.3f}" for m in recorded]]
    assert len(Path("scores.csv").read_text().splitlines()) == 11

    # Two images of one name in two folders: both are kept.
    predicted = run(f"predict {folder} photos/bolt/test --out maps")
    assert predicted.status == 0
    rows = json.loads(Path("maps/predictions.json").read_text())
    assert len({row["heat_map"] for row in rows}) == len(rows) == 10
    assert all(cv2.imread(row["heat_map"]).shape == (48, 40, 3) for row in rows)
    table = csv.DictReader(Path("maps/predictions.csv").read_text().splitlines())
    assert [row["image"] for row in table] == [row["image"] for row in rows]


def test_export_of_a_run(run: Run, place: Path) -> None:
    assert run(f"train --dataset photos --ratio 0 {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    refused = run(f"export {folder} --format onnx --output x.pt2")
    assert refused.status == 1
    assert "does not end in .onnx" in refused.err
    done = run(f"export {folder} --format pt2")
    assert done.status == 0
    assert (folder / "model.pt2").is_file()
    assert "compared with the run on 2 images" in done.out
    assert f"run: {folder.name}" in done.out
    assert "geometry: 32x32 (stretch)" in done.out


def test_evaluating_on_other_photographs(run: Run, place: Path) -> None:
    assert run(f"train --dataset photos --mix draem {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    photograph(place / "others", ("gear", "wheel"), seed=1)
    refused = run(f"evaluate {folder} --dataset others")
    assert refused.status == 1
    assert "no category 'bolt'" in refused.err
    assert "name one of gear, wheel with --category" in refused.err
    assert run(f"evaluate {folder} --dataset others --category wheel").status == 0


def test_lists(run: Run, place: Path) -> None:
    methods = run("methods list")
    assert methods.status == 0
    assert "hand-crafted, patch augmentation" in methods.out
    shown = run("methods show cutpaste")
    assert shown.status == 0
    assert "area_low" in shown.out
    assert "CVPR 2021" in shown.out
    line = shown.next[1].removeprefix("asbench ")
    assert run(f"{line} --dataset photos --category bolt --n 2 --workers 1").status == 0
    listed = run("data list")
    assert listed.status == 0
    assert "any path" in listed.out


def test_a_preview_leaves_no_store(run: Run, place: Path) -> None:
    shown = run("preview --dataset photos --method cutout --store other --n 2")
    assert shown.status == 0
    assert not Path("other").exists()
    assert shown.next == ["asbench generate --store other --dataset photos --method cutout"]


def test_an_own_parameter_set(run: Run, place: Path) -> None:
    """It is stored under its own name, shown from the store, and a bare name finds it."""
    line = "generate --dataset photos --method cutout --category bolt --n 12 --workers 1"
    own = run(f"{line} --set fill=mean --variant third")
    assert own.status == 0
    assert "photos/cutout@third/0/bolt" in own.out
    shown = run("preview --dataset photos --category bolt --method cutout@third --n 2")
    assert shown.next == ["asbench train --dataset photos --category bolt --mix cutout@third:1"]
    trained = run(f"train --dataset photos --mix cutout {QUICK}")
    assert trained.status == 0
    assert "cutout means cutout@third: the only variant of it stored" in trained.out
    (folder,) = Path("runs").iterdir()
    assert json.loads((folder / "run.json").read_text())["decides"]["mix"] == {"cutout@third": 1}


def test_an_own_parameter_set_that_starts_from_one_that_ships(run: Run, place: Path) -> None:
    """What finishes it is typed as it was printed: the line names the set as it is stored."""
    line = "generate --dataset photos --method cutout@cifar --category bolt --n 6 --workers 1"
    assert "--method cutout@cifar --variant two" in run(f"{line} --set fill=black").err
    made = run(f"{line} --set fill=black --variant black")
    assert made.status == 0
    store, key = SynthStore.open("asbench-store"), StoreKey("photos", "cutout@cifar-black", 0)
    stored = store.read(key, "bolt")
    assert stored.attributes["parameters"] == VARIANTS["cifar"] | {"fill": "black"}
    again = run(regenerate_command(store, key, "bolt").removeprefix("asbench "))
    assert again.status == 0
    assert "0 samples rendered" in again.out


@pytest.mark.parametrize("workers", [1, 2])
def test_as_a_process(place: Path, workers: int) -> None:
    line = f"generate --dataset photos --method cutpaste --seed 1 --n 3 --workers {workers}"
    done = complete(start(line, place))
    assert done.status == 0
    assert done.err == ""  # short work writes no progress into a pipe
    assert "6 samples rendered" in done.out


def test_real_defects_in_a_mix_and_real_masks(run: Run, place: Path) -> None:
    """What is missing is named with the line that makes it, typed here as it was printed."""
    refused = run(f"train --dataset photos --mix cutpaste:0.5,real:0.5 {QUICK}")
    assert refused.status == 1
    line = refused.err.strip().splitlines()[-1].strip().removeprefix("asbench ")
    assert "--method real" in line
    made = run(line)
    assert made.status == 0
    assert "2 samples rendered" in made.out
    assert "0 samples rendered" in run(line).out
    own = "--set mask=real --set source=another --set blend=poisson --variant rap"
    masked = run(
        f"generate --dataset photos --category bolt --method compose {own} --n 12 --workers 1"
    )
    assert masked.status == 0

    plain = run(f"train --dataset photos --mix draem {QUICK}")
    assert "few-shot" not in plain.out
    for mix in ("cutpaste:0.5,real:0.5", "compose:1"):
        trained = run(f"train --dataset photos --mix {mix} {QUICK}")
        assert trained.status == 0
        assert "without the few-shot third of the defects: training saw 2 real" in trained.out
    assert run("report --csv r.csv").status == 0
    rows = list(csv.DictReader(Path("r.csv").read_text().splitlines()))
    assert {row["subset"] for row in rows} == {"held_out"}
    assert sorted(row["saw_defects"] for row in rows) == ["0", "2", "2"]
    scored = run(f"evaluate runs/{rows[0]['runs']}")
    assert ("compare on held out" in scored.out) == (rows[0]["saw_defects"] != "0")
    assert run("store verify --recompute 2").status == 0
    shown = run("preview --dataset photos --category bolt --method real --n 2")
    assert shown.status == 0
