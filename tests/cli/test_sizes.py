"""`--size WIDTHxHEIGHT`, from the command to a heat map."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asbench.data.geometry import geometry_of, read_size
from asbench.evaluation.trained import Trained
from asbench.study import spec
from synth_store import Geometry, SynthStore, UserError
from tests.cli.conftest import QUICK, Run, photograph


def test_the_width_comes_first_as_photographers_say_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph(Path("photos"), ("bolt",))
    made = run(
        "generate --dataset photos --method draem,nsa,cutpaste --size 64x32 -n 4 --workers 1"
    )
    assert made.status == 0, made.err
    store = SynthStore.open("asbench-store")
    assert store.geometry == Geometry(height=32, width=64)
    assert store.normals("photos", "bolt")[0].shape == (32, 64, 3)
    again = run("generate --dataset photos --method draem --size 32x64 -n 4 --workers 1")
    assert again.status == 1
    assert "holds 32x64 (stretch) images, not 64x32 (stretch)" in again.err

    assert run(f"train --dataset photos --mix draem:0.5,nsa:0.5 {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    assert json.loads((folder / "run.json").read_text())["decides"]["geometry"] == "32x64 (stretch)"
    assert run(f"predict {folder} photos/bolt/test").status == 0
    assert run(f"export {folder} --format pt2").status == 0
    assert Trained(folder).predict("photos/bolt/test/disc/000.png").map.shape == (48, 40)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ("4", "4 is too small: give 8 or more"),
        ("64x4", "4 is too small: give 8 or more"),
        ("64by32", "give a side in pixels, as in 256, or WIDTHxHEIGHT, as in 512x384"),
        ("64x32x3", "give a side in pixels"),
        ("-8", "'-8' is not one"),
    ],
)
def test_what_is_no_size_is_refused(run: Run, tmp_path: Path, size: str, says: str) -> None:
    refused = run(f"generate --method draem --store {tmp_path / 'store'} --size {size}")
    assert refused.status == 2
    assert says in refused.err
    assert not (tmp_path / "store").exists()


def test_python_and_studies_take_the_same_words(tmp_path: Path) -> None:
    assert read_size("512x384") == read_size((384, 512)) == (384, 512)
    assert read_size(64) == read_size("64") == (64, 64)
    assert geometry_of(tmp_path, "64x32", "pad") == Geometry(32, 64, "pad")
    assert geometry_of(tmp_path) is None
    file = tmp_path / "mine.yaml"
    file.write_text("size: 96x64\ndatasets: [demo]\nmixes: [draem]\ndetectors: [unet@tiny]\n")
    assert spec.read(file).geometry == Geometry(64, 96)
    file.write_text(
        "size: 96x64\nresize: tile\nscale: 0.5\noverlap: 16\nempty_tiles: 0.1\n"
        "datasets: [demo]\nmixes: [draem]\ndetectors: [unet@tiny]\n"
    )
    assert spec.read(file).geometry == Geometry(64, 96, "tile", 0.5, 16)
    assert spec.read(file).empty_tiles == 0.1
    file.write_text("size: 96x9000\ndatasets: [demo]\nmixes: [draem]\ndetectors: [unet@tiny]\n")
    assert spec.read(file).faults == ("size: size 9000 is too large: give 8 to 8192.",)
    file.write_text(
        "size: [1]\nempty_tiles: 2\ndatasets: [demo]\nmixes: [draem]\ndetectors: [unet@tiny]\n"
    )
    assert [fault.split(":")[0] for fault in spec.read(file).faults] == ["size", "empty_tiles"]


def test_scale_and_overlap_are_of_tiles(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the rule is stretch: add --resize tile"):
        geometry_of(tmp_path, scale=0.5)
    assert geometry_of(tmp_path, 64, "tile") == Geometry(64, 64, "tile", 1, 8)
    tiles = Geometry(64, 96, "tile", 0.5, 16)
    assert geometry_of(tmp_path, "96x64", "tile", 0.5, 16) == tiles
    SynthStore.create(tmp_path, tiles)
    assert geometry_of(tmp_path, "96x64") == tiles
    assert geometry_of(tmp_path, scale=0.25) == Geometry(64, 96, "tile", 0.25, 16)
