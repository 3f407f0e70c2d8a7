"""A trained detector as one file that runs without ASBench: ONNX, or a program of torch.export.

The file takes uint8 (N, H, W, 3), RGB, at the geometry of the run's store, for any N, and returns
the anomaly maps, float32 (N, H, W), and the scores, float32 (N,): scaling, normalisation, memory
banks and the image score are inside. Bringing a photograph to H x W is not: the geometry stands in
the file's metadata, with the threshold and the run's id.
"""

from __future__ import annotations

import copy
import io
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from asbench.evaluation.predict import Floats, predict
from asbench.files.documents import into_place
from asbench.files.sums import sha256_of
from asbench.nets.detector import Detector
from asbench.results import Run, Threshold
from synth_store.types import Geometry, UserError

TOLERANCES = {".onnx": 1e-4, ".pt2": 1e-5}
"""By ending: how far maps and scores of the file may be from the run's, as a share of the largest
value of the map, or of 1 where that is larger (the maps of most detectors are probabilities)."""
METADATA = "asbench.json"
"""The extra file of a .pt2 that holds the metadata; in ONNX they are the model's own."""
INPUT, OUTPUTS = "images", ("anomaly_map", "score")
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")

Pixels = npt.NDArray[np.uint8]
Program = Callable[[Pixels], tuple[Floats, Floats]]
"""From images to maps and scores, as in `predict`."""


@dataclass(frozen=True, slots=True)
class Export:
    """A file that was written, read again and found to say what the run says.

    difference: the largest absolute one on `images` images, over maps and scores.
    """

    path: Path
    metadata: Mapping[str, str]
    images: int
    difference: float


class Deployed(nn.Module):
    """A detector with what comes before and after it.

    Maps uint8 (N, H, W, 3), RGB, to maps float32 (N, H, W) and scores float32 (N,).
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the anomaly maps and the image scores."""
        return self.detector.maps_and_scores(images.permute(0, 3, 1, 2).to(torch.float32) / 255)


def export(detector: Detector, facts: dict[str, str], images: Pixels, path: Path) -> Export:
    """Write a trained detector as one file, by the path's ending `.onnx` or `.pt2`.

    facts: as `metadata` gives them; images: uint8 (N, H, W, 3), on which the file, read again, is
    compared with the detector, alone and as a batch: it gets its name only if all agree within
    `TOLERANCES`. Its digest stands beside it, `NAME.sha256`, as sha256sum checks it. Raises
    UserError for another ending, where a package is missing, where they
    disagree, and where the file cannot be written.
    """
    form = path.suffix
    if form not in TOLERANCES:
        raise UserError(
            f"{path} does not say what to write: end its name in {' or '.join(TOLERANCES)}."
        )
    if form == ".onnx":
        _refuse_without_onnx()
    detector = copy.deepcopy(detector).to("cpu").eval()
    wanted = predict(detector, images, "cpu")
    program = _trace(detector, images)
    differences: list[float] = []

    def write(part: Path) -> None:
        if form == ".onnx":
            _write_onnx(program, part, facts)
            reloaded = read_onnx(part)
        else:
            _write_pt2(program, part, facts)
            reloaded = read_pt2(part)
        differences.append(_difference(reloaded, images, wanted))
        allowed = TOLERANCES[form] * max(1.0, float(np.abs(wanted[0]).max()))
        if not differences[-1] <= allowed:
            raise UserError(
                f"{path} is not written: read again it differs from run {facts['run']} by "
                f"{differences[-1]:.2g}, and {allowed:.2g} is allowed. "
                f"Export to {_other(form)} instead, and report this with your torch version."
            )

    into_place(path, write)
    into_place(path.with_name(f"{path.name}.sha256"), f"{sha256_of(path)}  {path.name}\n")
    return Export(path, facts, len(images), differences[-1])


def metadata(run: Run, threshold: Threshold | None) -> dict[str, str]:
    """Return what the file says of itself, all text.

    `geometry` is the store's, `HxW (rule)`, with `height`, `width` and `resize` beside it;
    of tiles also `scale` and `overlap`, and in words `cut` and `merge`, how a photograph becomes
    tiles and their maps and scores become its own. `threshold` is the score from which an image
    counts as anomalous, empty where there is none.
    """
    geometry = Geometry.parse(run.decides["geometry"])
    return {
        "asbench": version("asbench"),
        "run": run.id,
        "detector": run.decides["detector"],
        "dataset": run.decides["dataset"],
        "category": run.decides["category"],
        "geometry": str(geometry),
        "height": str(geometry.height),
        "width": str(geometry.width),
        "resize": geometry.resize,
        **(_tiled(geometry) if geometry.tiled else {}),
        "threshold": "" if threshold is None else repr(threshold.value),
        "threshold_rule": "" if threshold is None else threshold.rule,
    }


def _tiled(geometry: Geometry) -> dict[str, str]:
    return {
        "scale": repr(geometry.scale),
        "overlap": str(geometry.overlap),
        "cut": "every side - overlap pixels of the scaled photograph, the last moved inward",
        "merge": "mean of maps, weights rising over the overlap's middle half; the highest score",
    }


def read_pt2(path: Path) -> Program:
    """Return the program of a .pt2 file, on the CPU."""
    with path.open("rb") as file:
        module = torch.export.load(io.BytesIO(file.read())).module()

    def run(images: Pixels) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            maps, scores = module(torch.from_numpy(images))
        return maps.numpy(), scores.numpy()

    return run


def read_onnx(path: Path) -> Program:
    """Return the program of an ONNX file, on the CPU; needs onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of every constant that it does not fold
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: Pixels) -> tuple[Floats, Floats]:
        maps, scores = session.run(list(OUTPUTS), {INPUT: images})
        return maps, scores

    return run


def _trace(detector: Detector, images: Pixels) -> torch.export.ExportedProgram:
    example = torch.from_numpy(images)
    with torch.no_grad():
        return torch.export.export(
            Deployed(detector).eval(),
            (example,),
            dynamic_shapes={INPUT: {0: torch.export.Dim.DYNAMIC}},
        )


def _write_pt2(program: torch.export.ExportedProgram, part: Path, facts: dict[str, str]) -> None:
    # Through memory: given a path, torch wants it to end in .pt2, and this name is a temporary one.
    held = io.BytesIO()
    torch.export.save(program, held, extra_files={METADATA: json.dumps(facts, indent=1)})
    part.write_bytes(held.getbuffer())


def _write_onnx(program: torch.export.ExportedProgram, part: Path, facts: dict[str, str]) -> None:
    with warnings.catch_warnings():
        # The exporter's packages warn about their own ways; what they wrote is compared anyway.
        warnings.simplefilter("ignore")
        model: Any = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            # Its optimiser takes x + 1e-12 for x, and what is then divided by x for finite: NaN
            # where a feature is zero. onnxruntime optimises what it loads anyway.
            optimize=False,
            verbose=False,
        )
        model.model.metadata_props.update(facts)
        model.save(str(part), external_data=False)


def _difference(program: Program, images: Pixels, wanted: tuple[Floats, Floats]) -> float:
    """Return the largest difference of a batch of all images and of the first alone."""
    gaps = [
        float(np.abs(got - expected[:count]).max())
        for count in (len(images), 1)
        for got, expected in zip(program(images[:count]), wanted, strict=True)
    ]
    return float(np.max(gaps))  # NaN if any is: Python's own max may lose it


def _refuse_without_onnx() -> None:
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"writing ONNX needs {', '.join(missing)}: pip install 'asbench[onnx]', or write a "
            ".pt2 file, which needs torch alone."
        )


def _other(form: str) -> str:
    return next(other for other in TOLERANCES if other != form)
