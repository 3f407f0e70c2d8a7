"""TensorBoard: an event file a run, read by `tensorboard --logdir`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asbench.trackers import RunLogger, Status, missing
from synth_store.types import Image


class TensorBoard(RunLogger):
    """Writes `<folder>/<run>/events.out.tfevents...` through torch's own writer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise missing("tensorboard", "tensorboard", error) from error
        self._writer = SummaryWriter
        self._run: Any = None

    def start(self, run: str, settings: Mapping[str, str | int | float | bool]) -> None:
        self._run = self._writer(str(self.folder / run))
        lines = (f"| {name} | {value} |" for name, value in settings.items())
        self._run.add_text("settings", "\n".join(["| setting | value |", "| --- | --- |", *lines]))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._run.add_scalar(name, value, step)

    def images(self, step: int, images: Mapping[str, Image]) -> None:
        for name, image in images.items():
            self._run.add_image(name, image, step, dataformats="HWC")

    def end(self, status: Status) -> None:
        self._run.add_text("status", status)
        self._run.close()
