"""`--resize tile`, from photographs to a file that is deployed."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from asbench import results
from asbench.data.tiling import photographs
from asbench.evaluation.export_model import ONNX_PACKAGES, read_onnx, read_pt2
from asbench.evaluation.kept_normals import kept_photographs
from asbench.evaluation.trained import Trained
from asbench.files.images import read_image
from synth_store import Geometry, SynthStore
from tests.cli.conftest import QUICK, Run, photograph

GENERATE = "generate --dataset photos --workers 1 -n 6 --size 32 --resize tile --overlap 8"


def test_photographs_from_tiles_to_a_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(Path("photos"), ("bolt",))
    made = run(f"{GENERATE} --method draem,cutpaste")
    assert made.status == 0, made.err
    assert "photos/bolt: 36 tiles of 9 photographs" in made.out
    store = SynthStore.open("asbench-store")
    assert str(store.geometry) == "32x32 (tile, scale 1, overlap 8)"
    normals = store.normals("photos", "bolt")
    assert [len(one.normals) for one in photographs(normals)] == [4] * 9

    done = run(f"train --dataset photos --mix draem:0.5,cutpaste:0.5 {QUICK}")
    assert done.status == 0, done.err
    assert "; 3 photographs (12 of 36 tiles) kept out for the threshold" in done.out
    (folder,) = Path("runs").iterdir()
    trained = Trained(folder)
    assert trained.run.decides["geometry"] == str(store.geometry)
    assert trained.run.threshold is not None
    assert "3 normals kept out of training" in trained.run.threshold.rule
    kept = {p.id for p in kept_photographs(photographs(normals), 0.1)}
    with open(folder / "kept_out.csv") as file:
        scores = {row["id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert {id_ for id_ in scores if id_.startswith("train/")} == kept  # photographs, not tiles
    for id_ in kept:
        assert trained.predict(f"photos/bolt/{id_}").score == scores[id_]
    rows = {row.id: row for row in results.read_table(folder)}
    assert len(rows) == 10  # photographs, not tiles
    gallery = results.read_gallery(folder)
    assert gallery.images.shape[1:] == (32, 32, 3)
    assert all(gallery.masks[i].any() for i, id_ in enumerate(gallery.ids) if "disc" in id_)

    evaluated = run(f"evaluate {folder} --csv scores.csv")
    assert evaluated.status == 0, evaluated.err
    with open("scores.csv") as file:
        again = {row["id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert again == pytest.approx({id_: row.score for id_, row in rows.items()}, abs=1e-6)

    assert run(f"predict {folder} photos/bolt/test").status == 0
    predicted = json.loads(Path("predictions/predictions.json").read_text())
    assert {round(row["score"], 6) for row in predicted} == {
        round(row.score, 6) for row in rows.values()
    }
    assert read_image(Path(predicted[0]["heat_map"])).shape[:2] == (48, 40)

    assert run(f"export {folder} --format pt2 --output model.pt2").status == 0
    assert run("report --runs runs --out page.html").status == 0
    says = trained.predict("photos/bolt/test/disc/000.png")
    image = read_image(Path("photos/bolt/test/disc/000.png"))
    tiles = np.stack([image[y : y + 32, x : x + 32] for y in (0, 16) for x in (0, 8)])
    assert read_pt2(Path("model.pt2"))(tiles)[1].max() == pytest.approx(says.score, abs=1e-5)
    if all(find_spec(package) for package in ONNX_PACKAGES):
        assert run(f"export {folder} --format onnx --output model.onnx").status == 0
        found = read_onnx(Path("model.onnx"))(tiles)[1].max()
        assert found == pytest.approx(says.score, abs=1e-4)

    refused = run(f"train --dataset photos --mix draem {QUICK} --parity --seed 1")
    assert refused.status == 1
    assert "published code stretches images" in refused.err


def test_tiles_are_looked_at_before_they_are_rendered(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(Path("photos"), ("bolt",))
    made = run(f"{GENERATE} --method cutpaste --visible 2")
    assert made.status == 0, made.err
    line = "preview --dataset photos --n 3 --method cutpaste"
    shown = run(f"{line} --out stored.png")
    assert "cutpaste on photos/bolt: change " in shown.out
    assert shown.next[0].startswith("asbench train --dataset photos")
    mine = run(f"{line} --set jitter=0.5 --variant loud --visible 4 --out mine.png")
    assert mine.status == 0, mine.err
    assert mine.next == [
        "asbench generate --set=jitter=0.5 --dataset photos --visible 4.0 --method cutpaste "
        "--variant loud"
    ]
    assert run(mine.next[0].removeprefix("asbench ")).status == 0  # into the same tiles
    objects = run("preview --dataset photos --foreground --n 3 --out objects.png")
    assert "photos/bolt: object found on" in objects.out


def test_what_does_not_go_together_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(Path("photos"), ("bolt",))
    line = "generate --dataset photos --workers 1 -n 2 --method cutout --size 32"
    for options, says in (
        ("--scale 0.5", "the rule is stretch: add --resize tile"),
        ("--resize tile --scale 2", "scale 2 is impossible"),
        ("--resize tile --overlap 17", "an overlap of 17 pixels is impossible"),
        ("--resize tile --empty-tiles 2", "2 of the tiles without the object are impossible"),
        ("--empty-tiles 0.5 --store flat", "the store is 32x32 (stretch)"),
    ):
        refused = run(f"{line} {options}")
        assert refused.status == 1
        assert says in refused.err
    assert SynthStore.create("tiles", Geometry(32, 32, "tile", 0.5, 8)).geometry.tiled
    other = run(f"{line} --resize tile --store tiles --scale 1")
    assert other.status == 1
    assert "holds 32x32 (tile, scale 0.5, overlap 8) images, not" in other.err


def test_real_defects_and_quality_of_tiles(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(Path("photos"), ("bolt",))
    made = run(f"{GENERATE} --method real,compose@real-another-poisson")
    assert made.status == 0, made.err
    measured = run("quality --dataset photos --method real --metric ssim,psnr,fid@histogram -n 2")
    assert measured.status == 0, measured.err
