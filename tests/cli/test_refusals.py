"""What bad input gets: value, place, choices, the next command; nothing is left half-written."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from asbench import results
from synth_store.metadata import encode, group, read_attributes
from tests.cli.conftest import QUICK, Run, photograph, tree, write

pytestmark = pytest.mark.slow

TRAIN = f"train --dataset photos {QUICK}"
GENERATE = "generate --dataset photos --workers 1"

REFUSED = [
    # what is typed, the status, what the message names
    ("generat", 2, ["No command 'generat'", "Did you mean 'generate'?"]),
    ("qqq", 2, ["No command 'qqq'", "asbench --help"]),
    (f"{GENERATE} --method dream", 1, ["method 'dream' is unknown", "did you mean draem"]),
    (f"{GENERATE} --method qqq", 1, ["method 'qqq' is unknown", "choose from", "cutpaste"]),
    (
        f"{GENERATE} --method draem@qqq",
        1,
        ["method 'draem' has no variant 'qqq'", "draem@asbench-destseg"],
    ),
    (f"{GENERATE} --method ,", 2, ["--method", "empty name"]),
    (
        "generate --dataset dmo --method draem",
        1,
        ["'dmo' is neither a name nor", "did you mean demo"],
    ),
    ("generate --dataset mtd --method draem", 1, ["'mtd' are not here", "ASBENCH_DATA"]),
    (f"{GENERATE} --method draem --category bol", 1, ["'bol' is not in photos", "bolt, nut"]),
    (f"{GENERATE} --method draem --n 0", 2, ["--n", "0 is too small: give 1 or more"]),
    (f"{GENERATE} --method draem --n many", 2, ["--n", "'many' is not a valid integer"]),
    (f"{GENERATE} --method draem --seed -1", 2, ["--seed", "-1 is too small: give 0 or more"]),
    (f"{GENERATE} --method draem --workers 0", 2, ["--workers", "0 is too small: give 1 or more"]),
    (
        f"{GENERATE} --method draem --size 64",
        1,
        ["holds 32x32 (stretch) images, not 64x64", "--store"],
    ),
    (f"{GENERATE} --method draem --resize pad", 1, ["32x32 (stretch) images, not 32x32 (pad)"]),
    (f"{GENERATE} --method draem --resize crop", 2, ["'crop'", "stretch", "pad"]),
    (f"{GENERATE} --method draem --set threshold=1", 1, ["needs a name", "--variant three"]),
    (
        f"{GENERATE} --method draem --set treshold=1 --variant x",
        1,
        ["'treshold'", "mean threshold?"],
    ),
    (f"{GENERATE} --method draem --set threshold=a --variant x", 1, ["'a' is not a number", "0.5"]),
    (
        f"{GENERATE} --method draem --set threshold --variant x",
        2,
        ["'threshold' is not NAME=VALUE"],
    ),
    (f"{TRAIN} --mix draem --detector drem", 1, ["detector 'drem' is unknown", "mean draem?"]),
    (f"{TRAIN} --mix draem --detector draem@qqq", 1, ["no variant 'qqq'", "draem@tiny"]),
    (
        f"{TRAIN} --mix draem --detector draem@tiny --set depth=3",
        1,
        ["no parameter 'depth'", "width, seg_width, lr"],
    ),
    (f"{TRAIN} --mix draem --set width=wide", 1, ["width='wide'", "is not a whole number"]),
    (f"{TRAIN} --mix draem:half", 1, ["the weight 'half' of draem is not a number", "draem:0.5"]),
    (
        f"{TRAIN} --mix draem:0",
        1,
        ["the weight of draem is 0", "greater than 0", "Leave draem out"],
    ),
    (f"{TRAIN} --mix draem:-1", 1, ["the weight of draem is -1", "greater than 0"]),
    (f"{TRAIN} --mix draem,draem", 1, ["names draem twice"]),
    (f"{TRAIN} --mix dream", 1, ["method 'dream' is unknown", "did you mean draem"]),
    (f"{TRAIN} --mix draem --ratio 1.5", 1, ["ratio 1.5 is impossible", "from 0 to 1"]),
    (f"{TRAIN} --mix draem --ratio -0.1", 1, ["ratio -0.1 is impossible"]),
    (f"{TRAIN} --mix draem --ratio nan", 1, ["ratio nan is impossible"]),
    (f"{TRAIN}", 1, ["ratio 0.5 needs a mix", "--mix draem:0.5,fractal:0.5", "--ratio 0"]),
    (f"{TRAIN} --mix draem --category bol", 1, ["'bol' is not in photos", "bolt, nut"]),
    (f"{TRAIN} --mix draem --seed -1", 2, ["--seed", "'-1' is not a seed"]),
    (f"{TRAIN} --mix draem --synth-seed 5", 1, ["set seed 5", "--method draem --seed 5"]),
    (f"{TRAIN} --mix draem --pool 0", 2, ["--pool", "0 is too small: give 1 or more"]),
    (f"{TRAIN} --mix draem --batch 0", 2, ["--batch", "0 is too small: give 1 or more"]),
    (f"{TRAIN} --mix draem --steps 0", 2, ["--steps", "0 is too small: give 1 or more"]),
    (f"{TRAIN} --mix draem --device abacus", 1, ["'abacus' is not in this machine", "choose cpu"]),
    (f"{TRAIN} --mix fractal --store new", 1, ["the store at new does not hold", "--store new"]),
    ("preview --dataset photos --method draem --n 0", 2, ["--n", "0 is too small: give 1 or more"]),
    ("preview --dataset photos --method dream", 1, ["did you mean draem"]),
    ("preview --dataset photos --method draem --category bol", 1, ["bolt, nut"]),
    ("store ls --store new", 1, ["there is no store at new", "asbench generate --store new"]),
    (
        "store info photos/dream",
        1,
        ["photos/dream is not in", "holds photos/cutpaste/0, photos/dra"],
    ),
    (
        "store export photos/draem --out x",
        1,
        ["'photos/draem' is not a store key", "demo/fractal/0"],
    ),
    ("store export photos/draem/0 --out x --category bol", 1, ["no category 'bol'", "bolt, nut"]),
    ("store verify --recompute -1", 2, ["give 0 or more"]),
    ("store rm nothing", 1, ["nothing is not in the store"]),
    ("evaluate runs/nothing", 1, ["runs/nothing holds no finished run", "asbench train"]),
    ("report --runs new", 1, ["new holds no finished run", "asbench train"]),
    ("data check empty", 1, ["empty", "train/good"]),
    ("generate --dataset empty --method draem --store new", 1, ["empty", "train/good"]),
]


@pytest.mark.parametrize(("line", "status", "named"), REFUSED, ids=[line for line, _, _ in REFUSED])
def test_a_refusal_names_what_is_wrong_and_leaves_nothing(
    line: str, status: int, named: list[str], run: Run, place: Path
) -> None:
    (place / "empty").mkdir()
    before = tree(place)
    refused = run(line)
    assert refused.status == status
    for text in named:
        assert text in refused.err
    assert "Traceback" not in refused.err
    assert tree(place) == before


def test_debug_shows_where(run: Run, place: Path) -> None:
    from cli.main import main
    from synth_store.types import UserError

    with pytest.raises(UserError, match="did you mean draem"):
        main(["generate", "--dataset", "photos", "--method", "dream", "--debug"])


def test_the_generate_line_of_a_missing_set_works_as_printed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the folder's path is not its key, and where there is no store yet."""
    monkeypatch.chdir(tmp_path)
    photograph(tmp_path / "in here/My Photos", ("bolt",))
    train = f"train --dataset 'in here/My Photos' --name own --mix cutpaste,cutout {QUICK}"
    refused = run(train)
    assert refused.status == 1
    assert not Path("asbench-store").exists()
    lines = re.findall(r"^  asbench (generate .*)$", refused.err, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        assert run(f"{line} --n 12 --size 32 --workers 1").status == 0
    assert run(train).status == 0


def test_two_stored_variants_of_a_bare_name(run: Run, place: Path) -> None:
    for variant in ("one", "two"):
        line = f"{GENERATE} --method cutout --set fill=mean --variant {variant} --n 2"
        assert run(line).status == 0
    refused = run(f"{TRAIN} --mix cutout")
    assert refused.status == 1
    assert "cutout could mean cutout@one or cutout@two" in refused.err
    assert "name the one you mean" in refused.err


def spoil_truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def spoil_text(file: Path) -> None:
    file.write_text("no image")


def spoil_deep(file: Path) -> None:
    write(file, np.zeros((48, 40, 3), np.uint16))


def spoil_alpha(file: Path) -> None:
    write(file, np.zeros((48, 40, 4), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_truncated, "is truncated or damaged"),
        (spoil_text, "is not a readable image"),
        (spoil_deep, "has more than 8 bits a channel"),
        (spoil_alpha, "has an alpha channel"),
    ],
)
def test_files_that_cannot_be_used(spoil, says: str, run: Run, place: Path) -> None:
    test_file = place / "photos/bolt/test/disc/002.png"
    spoil(test_file)
    before = tree(place)
    refused = run(f"{TRAIN} --mix draem")
    assert refused.status == 1
    assert f"{test_file} {says}" in refused.err
    assert tree(place) == before  # refused before anything was trained

    train_file = place / "photos/bolt/train/good/003.png"
    spoil(train_file)
    rendered = run(f"{GENERATE} --method draem --store new --name other")
    assert rendered.status == 1
    assert f"{train_file} {says}" in rendered.err
    assert list(tree(place / "new")) == ["zarr.json"]  # an empty store, and no part of a category

    checked = run("data check photos")
    assert checked.status == 1
    assert "2 files cannot be used" in checked.out
    assert all(f"unusable: {file}: {says}" in checked.out for file in (test_file, train_file))


def test_a_mask_of_another_size(run: Run, place: Path) -> None:
    write(place / "photos/bolt/ground_truth/disc/002_mask.png", np.full((20, 20), 255, np.uint8))
    before = tree(place)
    refused = run(f"{TRAIN} --mix draem")
    assert refused.status == 1
    assert "002_mask.png is 20 x 20 pixels, but its image 002.png is 40 x 48" in refused.err
    assert tree(place) == before


def test_predicting_names_each_file_it_cannot_use(run: Run, place: Path) -> None:
    assert run(f"{TRAIN} --mix draem").status == 0
    (folder,) = Path("runs").iterdir()
    spoil_truncated(place / "photos/bolt/test/disc/002.png")
    mixed = run(f"predict {folder} photos/bolt/test/disc")
    assert mixed.status == 1
    assert "photos/bolt/test/disc/002.png is truncated" in mixed.err
    assert len(json.loads(Path("predictions/predictions.json").read_text())) == 5
    alone = run(f"predict {folder} photos/bolt/test/disc/002.png --out alone")
    assert alone.status == 1
    assert "1 of 1 files could not be used: alone/errors.csv names them" in alone.err
    assert "002.png,is truncated" in Path("alone/errors.csv").read_text()
    assert json.loads(Path("alone/predictions.json").read_text()) == []
    for images in ("nowhere.png", "asbench-store"):
        assert run(f"predict {folder} {images}").status == 1


def test_a_store_of_another_version(run: Run, place: Path) -> None:
    path = place / "asbench-store/zarr.json"
    attributes = read_attributes(path.parent) | {"version": 99}
    path.write_bytes(encode(group(attributes)))
    before = tree(place)
    for line in (f"{TRAIN} --mix draem", f"{GENERATE} --method draem", "store ls"):
        refused = run(line)
        assert refused.status == 1
        assert "has format version 99; this release reads version 1" in refused.err
        assert "--store" in refused.err
    assert tree(place) == before


def test_another_set_under_the_same_key(run: Run, place: Path) -> None:
    line = f"{GENERATE} --method cutout --category bolt --n 2 --variant mine"
    assert run(f"{line} --set fill=mean").status == 0
    before = tree(place)
    refused = run(f"{line} --set fill=random")
    assert refused.status == 1
    for text in ("photos/cutout@mine/0/bolt is stored with another identity", "'fill': 'random'"):
        assert text in refused.err
    for choice in ("--variant", "--seed", "--replace"):
        assert choice in refused.err
    assert tree(place) == before
    assert run(f"{line} --set fill=random --replace").status == 0


def test_other_normals_under_the_same_name(run: Run, place: Path) -> None:
    photograph(place / "elsewhere/photos", seed=1)
    before = tree(place)
    for line in ("generate --workers 1 --method draem", f"train --mix draem {QUICK}"):
        refused = run(f"{line} --dataset elsewhere/photos")
        assert refused.status == 1
        assert "photos/bolt in the store at asbench-store has other normals" in refused.err
        assert "--name" in refused.err
        assert "`asbench store rm --store asbench-store photos`" in refused.err
        assert tree(place) == before


def test_no_anomalies_to_test_on(run: Run, place: Path) -> None:
    for category in ("bolt", "nut"):
        shutil.rmtree(place / "photos" / category / "test/disc")
        shutil.rmtree(place / "photos" / category / "ground_truth")
    before = tree(place)
    refused = run(f"{TRAIN} --mix draem --select best-on-test --select-every 1")
    assert refused.status == 1
    assert "photos has no anomalous test images" in refused.err
    assert "asbench data check" in refused.err
    assert tree(place) == before
    assert run(f"{TRAIN} --mix draem").status == 0
    (one,) = results.runs(place / "runs")
    refused = run(f"evaluate runs/{one.id}")
    assert refused.status == 1
    assert "photos has no anomalous test images" in refused.err


def test_sides_that_do_not_fit_the_detector(run: Run, place: Path) -> None:
    assert run(f"{GENERATE} --method draem --store odd --size 40 --n 2").status == 0
    before = tree(place)
    refused = run(f"{TRAIN} --mix draem --store odd")
    assert refused.status == 1
    assert "multiples of 32" in refused.err
    assert "40x40" in refused.err
    assert tree(place) == before


def test_a_run_that_is_not_whole(run: Run, place: Path) -> None:
    assert run(f"{TRAIN} --mix draem").status == 0
    (folder,) = Path("runs").iterdir()
    (folder / "model.safetensors").unlink()
    image = "photos/bolt/test/disc/000.png"
    refused = run(f"predict {folder} {image}")
    assert refused.status == 1
    assert f"{folder}/model.safetensors is missing" in refused.err
    assert "run its `asbench train` again" in refused.err
    assert f"runs holds the runs {folder.name}" in run(f"predict runs {image}").err
    (folder / "run.json").unlink()
    refused = run(f"predict {folder} {image}")
    assert refused.status == 1
    assert f"{folder} holds no finished run: run.json is not there" in refused.err
    (folder / "checkpoint").mkdir()
    assert "the same `asbench train` command continues it" in run(f"evaluate {folder}").err


@pytest.mark.parametrize("array", ["image", "mask", "source"])
def test_a_damaged_shard_stops_a_training_and_can_be_mended(
    array: str, run: Run, place: Path
) -> None:
    before = tree(place / "asbench-store")
    (shard,) = (
        p
        for p in (place / "asbench-store/photos/draem/0/bolt" / array / "c").rglob("*")
        if p.is_file()
    )
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    refused = run(f"{TRAIN} --mix draem")
    assert refused.status == 1
    assert f"draem/0/bolt/{array}" in refused.err
    assert "is damaged" in refused.err
    verify = re.search(r"`asbench (store verify --store asbench-store)`", refused.err)
    assert verify is not None
    assert list(place.glob("runs/*/run.json")) == []
    found = run(verify[1])
    assert found.status == 1
    assert "fault: " in found.out
    discard = run(found.next[0].removeprefix("asbench "))
    assert discard.status == 1
    mended = run(f"{discard.next[0].removeprefix('asbench ')} --workers 1")
    assert mended.status == 0
    assert tree(place / "asbench-store") == before
    assert run(f"{TRAIN} --mix draem").status == 0
