"""A shift's worth of photographs, interrupted, damaged, oddly named: the same tables."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from asbench import results
from asbench.detectors import build
from asbench.evaluation import predict_files
from asbench.evaluation.predict_files import Predictions, predict
from asbench.evaluation.trained import Trained
from asbench.files.images import write_png
from asbench.nets.weights import save_weights
from asbench.results import Threshold
from synth_store import UserError
from tests.cli.conftest import tree
from tests.evaluation.test_trained import SETTINGS, record

pytestmark = pytest.mark.slow

COUNT = 6


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    """A run with a threshold, outside of the current folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    save_weights(build("draem@tiny", 4, SETTINGS), folder / "model.safetensors")
    results.save(record(Threshold(value=0.5, rule="by hand")), folder)
    return Trained(folder, "cpu")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photographs in two folders, below the current one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for i in range(COUNT):
        photograph(Path("photos") / f"line{i % 2}" / f"{i // 2:03d}.png", i)
    return Path("photos")


def photograph(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 20, 3), np.uint8)
    write_png(path, pixels)
    return path


def images(said: Predictions) -> list[str]:
    return [row.image for row in said.rows]


def read_csv(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines()))


class Stop:
    """Interrupts after some photographs."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, what: str, done: int, total: int) -> None:
        if done == self.after:
            raise KeyboardInterrupt


# --- interrupted and gone on ---


def cut_the_last_line() -> None:
    path = Path("out/predictions.jsonl")
    path.write_bytes(path.read_bytes()[:-20])


def cut_the_table() -> None:
    path = Path("out/predictions.csv")
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("stops", [(0,), (1,), (2, 5), (3, 3), (COUNT - 1, COUNT)])
@pytest.mark.parametrize(
    "damage", [lambda: None, cut_the_last_line, cut_the_table, Path("out/predictions.csv").unlink]
)
def test_an_interrupted_table_is_the_uninterrupted_one(
    stops: tuple[int, ...], damage: Callable[[], None], trained: Trained, photos: Path
) -> None:
    whole = predict(trained, photos, "out")
    wanted = tree(Path("out"))
    shutil.rmtree("out")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            predict(trained, photos, "out", progress=Stop(stop))
    if stops[-1] > 0:
        lines = Path("out/predictions.jsonl").read_text().splitlines()
        assert len(lines) == len(read_csv("out/predictions.csv")) == stops[-1]
        damage()
    again = predict(trained, photos, "out")
    assert again.kept >= stops[-1] - 1
    assert again.rows == whole.rows
    assert tree(Path("out")) == wanted


def test_a_row_never_promises_a_heat_map_that_is_not_there(
    trained: Trained, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between heat map and row, the photograph is scored again."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(predict_files, "add", stop)
        with pytest.raises(KeyboardInterrupt):
            predict(trained, photos, "out")
    assert len(list(Path("out").rglob("*.png"))) == 1
    assert predict(trained, photos, "out").kept == 0


def test_what_stands_is_not_scored_again(
    trained: Trained, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = predict(trained, photos, "out")

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Trained, "predict", refuse)
    again = predict(trained, photos, "out")
    assert again == replace(before, kept=COUNT)


def test_only_what_changed_is_scored_again(trained: Trained, photos: Path) -> None:
    files = sorted(photos.rglob("*.png"))
    first = predict(trained, photos, "out")
    photograph(files[0], 99)  # other content
    os.utime(files[1], (0, 0))  # another date
    files[2].unlink()
    Path(str(first.rows[3].heat_map)).unlink()
    photograph(photos / "line0" / "new.png", 7)
    said = predict(trained, photos, "out")
    assert said.kept == COUNT - 4
    assert images(said) == sorted(map(str, photos.rglob("*.png")))
    shutil.rmtree("out")
    assert predict(trained, photos, "out").rows == said.rows


def test_another_run_or_threshold_keeps_nothing(trained: Trained, photos: Path) -> None:
    predict(trained, photos, "out")
    own = record(Threshold(value=0.0, rule="by hand"))
    results.save(own, trained.folder)
    said = predict(trained.folder, photos, "out", device="cpu")
    assert said.kept == 0
    assert all(row.anomalous for row in said.rows)
    results.save(replace(own, decides={**own.decides, "seed": 8}), trained.folder)
    assert predict(trained.folder, photos, "out", device="cpu").kept == 0


def test_a_batch_of_photographs_gets_the_scores_of_each_alone(
    trained: Trained, photos: Path
) -> None:
    for row in predict(trained, photos).rows:
        assert row.score == trained.predict(row.image).score


# --- files that cannot be used ---


def truncated(path: Path) -> None:
    photograph(path)
    path.write_bytes(path.read_bytes()[:300])


def deep(path: Path) -> None:
    assert cv2.imwrite(str(path), np.zeros((8, 8), np.uint16))


def huge(path: Path) -> None:
    """A header that claims 30000 x 30000 pixels."""
    photograph(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (30000).to_bytes(4, "big") * 2
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil",
    [
        truncated,
        deep,
        huge,
        Path.touch,
        lambda path: path.write_text("<html>"),
        lambda path: path.symlink_to("nowhere.png"),
        lambda path: path.symlink_to(path.name),
    ],
)
def test_one_file_stops_no_other(
    spoil: Callable[[Path], object], trained: Trained, photos: Path
) -> None:
    good = predict(trained, photos, "out")
    bad = photos / "line0" / "0000.png"
    spoil(bad)
    shutil.rmtree("out")
    said = predict(trained, photos, "out")
    assert said.rows == good.rows
    assert [error.path for error in said.unusable] == [bad]
    (noted,) = read_csv("out/errors.csv")
    assert noted == {"image": str(bad), "error": said.unusable[0].reason}
    # Mended, it is scored by the same call, and nothing is said of it any more.
    bad.unlink()
    photograph(bad, 50)
    mended = predict(trained, photos, "out")
    assert (mended.kept, len(mended.rows), mended.unusable) == (COUNT, COUNT + 1, ())
    assert not Path("out/errors.csv").exists()


@pytest.mark.parametrize("error", [MemoryError(), cv2.error("Failed to allocate"), OSError(5, "I")])
def test_a_photograph_that_does_not_fit_memory_stops_no_other(
    error: Exception, trained: Trained, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Trained.predict
    calls: list[int] = []

    def fail_once(self: Trained, image: np.ndarray) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise error
        return score(self, image)

    monkeypatch.setattr(Trained, "predict", fail_once)
    said = predict(trained, photos, "out")
    assert len(said.rows) == COUNT - 1
    assert len(said.unusable) == len(read_csv("out/errors.csv")) == 1


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOSPC])
def test_a_name_that_the_file_system_refuses_keeps_its_row(
    number: int, trained: Trained, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = predict_files.into_place

    def refuse(path: Path, content: bytes) -> None:
        if path.name.startswith("001"):
            raise UserError(f"cannot write {path}") from OSError(number, "no")
        place(path, content)

    monkeypatch.setattr(predict_files, "into_place", refuse)
    if number == errno.ENOSPC:  # a full disk is no matter of a name: it ends the call
        with pytest.raises(UserError, match="cannot write"):
            predict(trained, photos, "out")
        return
    said = predict(trained, photos, "out")
    assert [row.heat_map is None for row in said.rows] == [False, True, False] * 2
    assert len(said.unusable) == len(read_csv("out/errors.csv")) == 2


# --- names ---


@pytest.mark.parametrize(
    "names",
    [
        ["缺" * 79 + ".png", "b.png"],
        ["x" * 251 + ".png", "x" * 250 + "y.png", "x" * 250 + ".png"],
        ["é" * 125 + ".png", "a" + "é" * 125 + ".png"],
        ["part [a].png", "part [b].png", "[\\b].png", "[bold].png"],
        ["a,b.png", 'a"b.png', "a\tb.png", " .png", "-x.png"],
        [unicodedata.normalize(form, "schräg.png") for form in ("NFC", "NFD")],
        [os.fsdecode(b"sch\xe4den.png"), os.fsdecode(b"\xc8\xb1\xcf\xdd.png"), "schäden.png"],
        [os.fsdecode(b"\xff" * 250 + b".png"), os.fsdecode(b"\xff" * 249 + b"\xfe.png")],
        ["a.png", "a.jpg.png", "a.PNG", "A.png"],
    ],
)
def test_names(names: list[str], trained: Trained, photos: Path) -> None:
    Path("odd").mkdir()
    for i, name in enumerate(names):
        photograph(Path("plain.png"), i).rename(Path("odd", name))
    said = predict(trained, "odd", "out")
    assert sorted(images(said)) == sorted(f"odd/{name}" for name in names)
    assert len({row.heat_map for row in said.rows}) == len(names)
    assert all(os.path.exists(str(row.heat_map)) for row in said.rows)
    assert [row["image"] for row in read_csv("out/predictions.csv")] == [
        name.encode("utf-8", "backslashreplace").decode() for name in images(said)
    ]
    lines = Path("out/predictions.jsonl").read_text(encoding="ascii").splitlines()
    assert [json.loads(line)["image"] for line in lines] == images(said)
    assert predict(trained, "odd", "out").kept == len(names)


# --- folders ---


def test_a_photograph_is_read_once(trained: Trained, photos: Path) -> None:
    Path("linked").symlink_to("photos/line1")
    named = [
        [photos, photos],
        [photos, photos / "line0"],
        [photos / "line0", photos],
        [photos, photos.absolute(), photos / ".." / "photos"],
        [photos, "linked"],
        [photos, photos / "line0" / "000.png"],
    ]
    for paths in named:
        assert len(predict(trained, paths).rows) == COUNT


def test_hidden_and_tool_folders_are_passed_over(trained: Trained, photos: Path) -> None:
    for folder in (".ipynb_checkpoints", "__MACOSX", "line0/.old", "line0/__MACOSX"):
        photograph(photos / folder / "a.png")
    assert len(predict(trained, photos).rows) == COUNT


@pytest.mark.parametrize("link", ["to a folder", "to a link", "to a file", "to what holds it"])
def test_links_are_followed_as_check_follows_them(
    link: str, trained: Trained, photos: Path
) -> None:
    photograph(Path("far/l.png"), 9)
    Path("near").symlink_to("far")
    there = {"to a folder": "../far", "to a link": "../near", "to a file": "../far/l.png"}
    (photos / "link.png").symlink_to(there.get(link, "../photos"))
    assert len(predict(trained, photos).rows) == COUNT + (link in there)


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        (["photos"], ["line0/000.png", "line1/000.png"]),
        (["photos/line0"], ["000.png"]),
        (["photos/line0", "photos/line1"], ["line0/000.png", "line1/000.png"]),
        (["photos/line0/000.png", "photos/line1"], ["line0/000.png", "line1/000.png"]),
        (["photos/line0/000.png", "photos/line1/000.png"], ["line0/000.png", "line1/000.png"]),
        (["photos/line0/000.png"], ["000.png"]),
    ],
)
def test_heat_maps_mirror_the_folders(
    named: list[str], wanted: list[str], trained: Trained, photos: Path
) -> None:
    said = predict(trained, named, "out")
    maps = [str(row.heat_map) for row in said.rows]
    assert len(set(maps)) == len(maps)
    for name in wanted:
        assert f"out/{name}.{trained.id}.png" in maps


@pytest.mark.parametrize(
    ("named", "out"), [(".", "out"), (".", "photos/out"), ("photos", "photos/line0/out")]
)
def test_heat_maps_are_never_read_as_photographs(
    named: str, out: str, trained: Trained, photos: Path
) -> None:
    first = predict(trained, named, out)
    again = predict(trained, named, out)
    assert again == replace(first, kept=COUNT)


@pytest.mark.parametrize(
    ("named", "out"),
    [
        (["photos"], "photos"),
        (["photos/line0", "photos/line1"], "photos"),
        (["photos"], "photos/../photos"),
        (["photos/line0", "photos"], "photos"),
    ],
)
def test_heat_maps_among_the_photographs_are_refused(
    named: list[str], out: str, trained: Trained, photos: Path
) -> None:
    before = tree(photos)
    with pytest.raises(UserError, match="another folder with --out"):
        predict(trained, named, out)
    assert tree(photos) == before


def test_nothing_to_read(trained: Trained, photos: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(UserError, match="no images in empty: files must end in"):
        predict(trained, "empty", "out")
    with pytest.raises(UserError, match=r"nowhere\.png is not there"):
        predict(trained, [photos, "nowhere.png"], "out")
    assert not Path("out").exists()


def test_masks_of_a_data_set_are_no_photographs(tmp_path: Path) -> None:
    names = ["test/good/a.png", "test/cut/b.png", "ground_truth/cut/b_mask.png", "GT/b.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = predict_files._photographs([tmp_path], None, "0")
    found = [str(one.file.relative_to(tmp_path)) for one in listed]
    assert sorted(found) == ["test/cut/b.png", "test/good/a.png"]
    (named,) = predict_files._photographs([tmp_path / "GT"], None, "0")
    assert named.file == tmp_path / "GT" / "b.png"
