"""A trained detector as one file: it says what the run says, or it is not there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from asbench import results
from asbench.detectors import build, resolve
from asbench.evaluation import export_model
from asbench.evaluation.trained import Trained
from asbench.imaging.geometry import resize, unfit
from asbench.nets.weights import save_weights
from asbench.results import METRICS, SUBSETS, Decides, Run, Threshold
from synth_store import Geometry, UserError
from tests.squares import normals
from tests.toyset import Toys

pytestmark = pytest.mark.slow

SMALL = {
    "draem": ("draem@tiny", {"width": 4, "seg_width": 4}),
    "unet": ("unet@tiny", {"width": 4}),
    "destseg": ("destseg@tiny-scratch", {"width": 4}),
    "memseg": ("memseg@tiny-scratch", {"width": 4}),
    "patchcore": ("patchcore@random", {}),
}
SIZE = Geometry(64, 32, "pad")
THRESHOLD = Threshold(value=0.1 + 0.2, rule="made up")
with_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in export_model.ONNX_PACKAGES),
    reason="needs the extra onnx: pip install 'asbench[onnx]'",
)
FORMS = ["pt2", pytest.param("onnx", marks=with_onnx)]


def finished(folder: Path, name: str) -> Trained:
    """A run's folder with a prepared detector whose norms and weights have left their start."""
    full, settings = SMALL[name]
    detector = build(full, 3, settings)
    some = normals(size=64)[..., :32]
    detector.prepare(some, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, tensor in detector.state_dict().items():
            if key.endswith(("running_mean", "running_var", "bias")):
                tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.1)
    folder.mkdir()
    save_weights(detector, folder / "model.safetensors")
    decides: Decides = dict(
        dataset="toys",
        category="a",
        geometry=str(SIZE),
        normals="0",
        test="1",
        mix={},
        sets={},
        ratio=0.0,
        ratio_mode="exact",
        pool=None,
        detector=full,
        parameters=resolve(full, settings)[1],
        steps=1,
        batch=1,
        precision="fp32",
        weights=None,
        seed=3,
        synth_seed=0,
        select="last",
    )
    run = Run(
        decides=decides,
        metrics={s: dict.fromkeys(METRICS, 0.5) for s in SUBSETS},
        counts={s: {} for s in SUBSETS},
        reasons={s: {} for s in SUBSETS},
        untrained=None,
        saw_defects=0,
        realised={},
        losses=(),
        threshold=THRESHOLD,
        environment={},
        seconds={},
        created="2025-01-01T00:00:00+00:00",
    )
    results.save(run, folder)
    return Trained(folder, "cpu")


@dataclass(frozen=True)
class Case:
    """A run, and its file as `export` left it."""

    run: Trained
    file: export_model.Export
    beside: list[str]

    @property
    def program(self) -> export_model.Program:
        onnx = self.file.path.suffix == ".onnx"
        return (
            export_model.read_onnx(self.file.path)
            if onnx
            else export_model.read_pt2(self.file.path)
        )


@cache
def case(root: Path, name: str, form: str) -> Case:
    """Write each file once: tracing takes most of the time here."""
    folder = root / f"{name}-{form}"
    run = finished(folder, name)
    path = folder / "out" / f"model.{form}"
    written = run.export(path)
    return Case(run, written, [p.name for p in path.parent.iterdir()])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def unet(root: Path) -> Trained:
    return case(root, "unet", "pt2").run


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SMALL)
def test_the_file_says_what_the_run_says(root: Path, name: str, form: str) -> None:
    """Whatever the number of images, of any size once they are fitted."""
    one, data = case(root, name, form), Toys()
    assert sorted(one.beside) == [f"model.{form}", f"model.{form}.sha256"]
    photos = [data.image(item) for item in data.test("a")[:3]]
    maps, scores = one.program(np.stack([resize(photo, SIZE) for photo in photos]))
    assert (maps.shape, maps.dtype) == ((3, 64, 32), np.float32)
    assert (scores.shape, scores.dtype) == ((3,), np.float32)
    assert maps.std() > 0
    # A share of the largest value, as TOLERANCES says: PatchCore's maps are distances above 1.
    tolerance = export_model.TOLERANCES[f".{form}"] * max(1.0, float(maps.max()))
    assert one.file.difference <= tolerance
    for photo, found, score in zip(photos, maps, scores, strict=True):
        said = one.run.predict(photo)
        assert score == pytest.approx(said.score, abs=tolerance)
        np.testing.assert_allclose(unfit(found, SIZE, 48, 40), said.map, atol=tolerance)


def facts_of(path: Path) -> dict[str, str]:
    """The metadata, read as a stranger would."""
    if path.suffix == ".pt2":
        extra = {"asbench.json": ""}
        torch.export.load(path, extra_files=extra)
        found: dict[str, str] = json.loads(extra["asbench.json"])
        return found
    import onnx

    return {p.key: p.value for p in onnx.load(path).metadata_props}


@pytest.mark.parametrize("form", FORMS)
def test_the_file_says_what_it_is(root: Path, form: str) -> None:
    unet, file = case(root, "unet", form).run, case(root, "unet", form).file
    facts = facts_of(file.path)
    assert facts == file.metadata
    assert facts["run"] == unet.id
    assert facts["detector"] == "unet@tiny"
    assert (facts["dataset"], facts["category"]) == ("toys", "a")
    assert Geometry.parse(facts["geometry"]) == SIZE
    assert (facts["height"], facts["width"], facts["resize"]) == ("64", "32", "pad")
    assert float(facts["threshold"]) == THRESHOLD.value  # to the last digit
    assert facts["threshold_rule"] == "made up"


def test_a_run_without_a_threshold_says_so(unet: Trained) -> None:
    assert export_model.metadata(unet.run, None)["threshold"] == ""


@pytest.fixture
def traced(unet: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the U-Net be traced but once."""
    monkeypatch.setattr(export_model, "_trace", lambda *_: program(unet))


@cache
def program(run: Trained) -> torch.export.ExportedProgram:
    return trace(run.detector, np.zeros((2, 64, 32, 3), np.uint8))


trace = export_model._trace


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("form", FORMS)
def test_a_file_that_says_something_else_is_not_kept(
    unet: Trained, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = f"read_{form}"
    right = getattr(export_model, reader)

    def wrong(path: Path) -> export_model.Program:
        def run(images: export_model.Pixels) -> tuple[export_model.Floats, export_model.Floats]:
            maps, scores = right(path)(images)
            maps[0, 0, 0] += 1e-3
            return maps, scores

        return run

    path = tmp_path / f"model.{form}"
    path.write_text("of before")
    monkeypatch.setattr(export_model, reader, wrong)
    with pytest.raises(UserError, match="is not written: read again it differs"):
        unet.export(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "of before"


def test_one_nan_is_a_difference() -> None:
    maps, scores = np.zeros((2, 3, 4), np.float32), np.zeros(2, np.float32)
    broken = maps.copy()
    broken[1, 2, 3] = np.nan
    images = np.zeros((2, 3, 4, 3), np.uint8)
    found = export_model._difference(
        lambda some: (broken[: len(some)], scores[: len(some)]), images, (maps, scores)
    )
    assert np.isnan(found)


@pytest.mark.usefixtures("traced")
def test_the_gallery_s_images_are_compared(
    unet: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    original = export_model.predict

    def noted(detector, images, device):  # type: ignore[no-untyped-def]
        seen.append(images)
        return original(detector, images, device)

    monkeypatch.setattr(export_model, "predict", noted)
    kept = np.random.default_rng(0).integers(256, size=(3, 64, 32, 3), dtype=np.uint8)
    bare = np.zeros((3, 64, 32))
    gallery = results.Gallery(("a", "b", "c"), kept, bare > 0, bare.astype(np.float16))
    results.write_gallery(unet.folder, gallery)
    try:
        assert unet.export(tmp_path / "model.pt2").images == 2
    finally:
        (unet.folder / "gallery.npz").unlink()
    np.testing.assert_array_equal(seen[0], kept[[0, 2]])


def test_images_of_another_size_are_refused(root: Path) -> None:
    run = case(root, "unet", "pt2").program
    with pytest.raises((AssertionError, RuntimeError), match="64"):
        run(np.zeros((1, 32, 32, 3), np.uint8))


def test_another_ending_is_refused(unet: Trained, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end its name in \.onnx or \.pt2"):
        unet.export(tmp_path / "model.pb")


def test_without_its_packages_onnx_is_refused_before_anything_is_done(
    unet: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        export_model, "find_spec", lambda name: None if name == "onnxscript" else name
    )
    monkeypatch.setattr(export_model, "predict", None)
    with pytest.raises(UserError, match=r"needs onnxscript: pip install 'asbench\[onnx\]'"):
        unet.export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
