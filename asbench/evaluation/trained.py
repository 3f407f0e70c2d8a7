"""A finished run, put to use: the detector with its weights, on anyone's images."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asbench import results
from asbench.detectors import build, resolve
from asbench.evaluation.photographs import predict_photograph
from asbench.evaluation.thresholds import Rule
from asbench.files.images import read_image
from asbench.files.sums import check
from asbench.nets.detector import Detector
from asbench.nets.device import find_device
from asbench.nets.weights import load_weights
from asbench.results import Subset, by_category, read_gallery, read_kept_out, read_table, table_of
from asbench.results.verdicts import Flagged, flagged
from synth_store import address_rng
from synth_store.types import Geometry, Image, UserError

if TYPE_CHECKING:
    from asbench.evaluation.export_model import Export


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a detector says of one image.

    score: higher = more anomalous; map: float32 (h, w) at the image's own size; anomalous: whether
    the score reaches the threshold, None where there is none.
    """

    score: float
    map: npt.NDArray[np.float32]
    anomalous: bool | None


class Trained:
    """A finished run's folder: its record, and its detector for use.

    folder: where `run.json` and `model.safetensors` stand; detector: the run's with its weights,
    where another library built it; threshold: the run's, until `ruled` gives another. Raises
    UserError if either file is missing or damaged, the weights only when they are first needed.
    """

    def __init__(
        self, folder: Path | str, device: str | None = None, detector: Detector | None = None
    ) -> None:
        self.folder = Path(folder)
        self.run = results.read(self.folder)
        self.device = find_device(device)
        self.threshold = self.run.threshold
        if detector is not None:
            self.detector = detector.to(self.device).eval()

    @property
    def id(self) -> str:
        """The run's id: 12 hex digits."""
        return self.run.id

    @property
    def geometry(self) -> Geometry:
        """Size and resize rule the detector was trained at."""
        return Geometry.parse(self.run.decides["geometry"])

    @cached_property
    def detector(self) -> Detector:
        """The trained detector, in eval mode, on its device."""
        decides = self.run.decides
        if adapter := self.run.environment.get("adapter"):
            raise UserError(
                f"run {self.id} holds {decides['detector']}, which another library built: load it "
                f"in Python with {adapter}.load(folder, build)."
            )
        again = "Its results stand; for a detector to use run its `asbench train` again."
        try:
            kind = resolve(decides["detector"])[0]
            if (trained := decides.get("version", 1)) != kind.version:
                raise UserError(
                    f"it was trained by version {trained} of {decides['detector']}, which scores "
                    f"otherwise than this release's version {kind.version}."
                )
            model = build(decides["detector"], decides["seed"], decides["parameters"])
        except UserError as error:
            raise UserError(f"run {self.id} cannot be used: {error} {again}") from error
        weights = self.folder / "model.safetensors"
        if not weights.is_file():
            raise UserError(
                f"{weights} is missing, and with it what run {self.id} learnt: delete the folder "
                f"{self.folder} and run its `asbench train` again."
            )
        check(weights, f"delete the folder {self.folder} and train again", of=f"run {self.id}")
        load_weights(model, weights)
        return model.to(self.device).eval()

    def ruled(
        self, threshold: str | float | None = None, *, false_alarms: float | None = None
    ) -> Trained:
        """Return this run with the threshold of another rule; the one on disk stays as it is.

        threshold, false_alarms: as for `train`; the run's own where neither is given. Raises
        UserError for what is no rule, and where the rule needs what the run lacks.
        """
        other, rule = copy.copy(self), Rule.of(threshold, false_alarms)
        if rule is not None:
            kept = read_kept_out(self.folder, bounded=self._bounded())
            other.threshold = rule.threshold(kept)
        return other

    def _bounded(self) -> bool:
        """Return whether the detector's scores lie in [0, 1]; another library's may be any."""
        if self.run.environment.get("adapter"):
            return False
        return resolve(self.run.decides["detector"])[0].bounded

    def flagged(self, subset: Subset = "full") -> Flagged | None:
        """Return how many good and defective test images the threshold flags; None without one."""
        rows = read_table(self.folder)
        return None if self.threshold is None else flagged(rows, self.threshold.value, subset)

    def flagged_by_category(self, subset: Subset = "full") -> dict[str, Flagged]:
        """Return the same of each category of a joint run; empty for others and without one."""
        if self.threshold is None or self.run.by_category is None:
            return {}
        return {
            part.decides["category"]: flagged(
                table_of(part, self.folder.parent), self.threshold.value, subset
            )
            for part in by_category([self.run])
        }

    def predict(self, image: Image | Path | str) -> Prediction:
        """Score one image: uint8 (h, w, 3) RGB of any size, or the path of an image file.

        A run on tiles scores all of the photograph's, and blends their maps.

        Raises UserError for another array or a file that is not a readable image.
        """
        pixels = image if isinstance(image, np.ndarray) else read_image(Path(image))
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise UserError(f"an image is uint8 (h, w, 3), not {pixels.dtype} {pixels.shape}.")
        heat, score = predict_photograph(self.detector, pixels, self.geometry, self.device)
        threshold = self.threshold
        return Prediction(
            score=score,
            map=heat,
            anomalous=None if threshold is None else score >= threshold.value,
        )

    def export(self, path: Path | str | None = None, *, form: str | None = None) -> Export:
        """Write the detector as one file that runs without ASBench: `.onnx` or `.pt2`.

        path: None for `model.onnx` in the run's folder; form: `onnx` or `pt2`, where the path does
        not say it, or is to be held to it.

        It takes uint8 (N, H, W, 3), RGB, at `geometry`, and returns the anomaly maps, float32
        (N, H, W), and the scores, float32 (N,). It is read again and compared with this run before
        it gets its name. `.onnx` needs `pip install 'asbench[onnx]'`. Raises UserError for another
        ending, where a package is missing, and where the file differs or cannot be written.
        """
        from asbench.evaluation.export_model import export, metadata

        target = Path(path) if path is not None else self.folder / f"model.{form or 'onnx'}"
        if form is not None and target.suffix != f".{form}":
            raise UserError(f"{target} does not end in .{form}, which --format asks for.")
        return export(self.detector, metadata(self.run, self.threshold), self._examples(), target)

    def _examples(self) -> npt.NDArray[np.uint8]:
        """Return the first and the last image of the gallery, a defect and a normal: (2, H, W, 3).

        Drawn noise where the run has no gallery, or saw no test image to put there.
        """
        if (self.folder / "gallery.npz").is_file():
            images = read_gallery(self.folder).images
            if len(images):
                return np.ascontiguousarray(images[[0, -1]])
        rng, geometry = address_rng("export", str(self.geometry)), self.geometry
        return rng.integers(256, size=(2, geometry.height, geometry.width, 3), dtype=np.uint8)
