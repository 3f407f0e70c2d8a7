"""A finished run put to use: images of any size, files, verdicts, and damaged folders."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asbench import results
from asbench.detectors import build
from asbench.evaluation.predict import predict
from asbench.evaluation.trained import Trained, find_device
from asbench.files.images import write_png
from asbench.imaging.geometry import resize, unfit
from asbench.nets.weights import save_weights
from asbench.results import METRICS, SUBSETS, Decides, Run, Threshold
from synth_store import Geometry, UserError
from tests.toyset import Toys

pytestmark = pytest.mark.slow

SETTINGS = {"width": 2, "seg_width": 2, "lr": 1e-3}
PADDED = Geometry(64, 32, "pad")


def record(threshold: Threshold | None = None) -> Run:
    decides: Decides = dict(
        dataset="toys",
        category="a",
        geometry=str(PADDED),
        normals="0",
        test="1",
        mix={},
        sets={},
        ratio=0.0,
        ratio_mode="exact",
        pool=None,
        detector="draem@tiny",
        parameters=SETTINGS,
        steps=1,
        batch=1,
        precision="fp32",
        weights=None,
        seed=3,
        synth_seed=0,
        select="last",
    )
    scores = {s: dict.fromkeys(METRICS, 0.5) for s in SUBSETS}
    return Run(
        decides=decides,
        metrics=scores,
        counts={s: {} for s in SUBSETS},
        reasons={s: {} for s in SUBSETS},
        untrained=None,
        saw_defects=0,
        realised={},
        losses=(),
        threshold=threshold,
        environment={},
        seconds={},
        created="2025-01-01T00:00:00+00:00",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder whose weights are those of another seed than its record's."""
    save_weights(build("draem@tiny", 4, SETTINGS), tmp_path / "model.safetensors")
    results.save(record(), tmp_path)
    return tmp_path


IMAGE = Toys().image(Toys().test("a")[0])  # 48x40


def test_an_image_of_another_size_gets_a_map_of_its_own(folder: Path) -> None:
    found = Trained(folder, "cpu").predict(IMAGE)
    assert found.map.shape == (48, 40)
    assert found.map.dtype == np.float32
    maps, scores = predict(build("draem@tiny", 4, SETTINGS), resize(IMAGE, PADDED)[None], "cpu")
    assert found.score == scores[0]  # of the stored weights, not of those the seed gives
    assert np.array_equal(found.map, unfit(maps[0], PADDED, 48, 40))


def test_a_file_gives_what_its_pixels_give(folder: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "photo.png", IMAGE)
    trained = Trained(folder, "cpu")
    pixels, path, text = (
        trained.predict(what) for what in (IMAGE, tmp_path / "photo.png", f"{tmp_path}/photo.png")
    )
    assert pixels.score == path.score == text.score
    assert np.array_equal(pixels.map, path.map)


def test_predicting_leaves_the_image_and_the_detector_as_they_were(folder: Path) -> None:
    trained, before = Trained(folder, "cpu"), IMAGE.copy()
    first = trained.predict(IMAGE)
    assert np.array_equal(before, IMAGE)
    assert trained.predict(IMAGE).score == first.score
    assert not trained.detector.training


def test_the_verdict_is_the_threshold_s(folder: Path) -> None:
    score = Trained(folder, "cpu").predict(IMAGE).score
    assert Trained(folder, "cpu").predict(IMAGE).anomalous is None
    above = float(np.nextafter(score, np.inf))
    for value, verdict in ((score, True), (above, False), (score - 0.1, True)):
        results.save(replace(record(), threshold=Threshold(value=value, rule="")), folder)
        assert Trained(folder, "cpu").predict(IMAGE).anomalous is verdict


@pytest.mark.parametrize(
    "wrong",
    [
        IMAGE[..., 0],
        IMAGE / 255,
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        IMAGE[None],
    ],
)
def test_arrays_that_are_no_image_are_refused(folder: Path, wrong: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"an image is uint8 \(h, w, 3\)"):
        Trained(folder, "cpu").predict(wrong)


def test_a_file_that_is_no_image_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="not a readable image"):
        Trained(folder, "cpu").predict(folder / "run.json")
    with pytest.raises(UserError, match="does not exist"):
        Trained(folder, "cpu").predict(folder / "none.png")


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no finished run"):
        Trained(tmp_path / "nothing")


def test_missing_weights_are_refused_when_first_needed(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    trained = Trained(folder, "cpu")
    assert trained.run == record()
    with pytest.raises(UserError, match=r"model\.safetensors is missing"):
        trained.predict(IMAGE)


def test_damaged_weights_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        Trained(folder, "cpu").predict(IMAGE)


def test_weights_of_other_widths_are_refused(folder: Path) -> None:
    save_weights(build("draem@tiny", 0, {"width": 3}), folder / "model.safetensors")
    with pytest.raises(UserError, match="does not fit this Draem"):
        Trained(folder, "cpu").predict(IMAGE)


def test_a_run_may_be_moved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    score = Trained(folder, "cpu").predict(IMAGE).score
    moved = shutil.move(folder, tmp_path_factory.mktemp("else") / "where")
    assert Trained(moved, "cpu").predict(IMAGE).score == score


def test_a_device_that_is_not_here_is_refused() -> None:
    assert find_device("cpu").type == "cpu"
    for name in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=f"device '{name}' is not in this machine: choose cp"):
            find_device(name)
