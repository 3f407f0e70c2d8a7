"""Weights & Biases: offline unless WANDB_MODE says else; `wandb sync` sends what was written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asbench.trackers import RunLogger, Status, missing
from synth_store.types import Image

PROJECT = "asbench"
"""Unless WANDB_PROJECT names another."""


class WandB(RunLogger):
    """Writes `<folder>/wandb/offline-run-...`, or online to the server that wandb is set up for."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            import wandb
        except ImportError as error:
            raise missing("wandb", "wandb", error) from error
        self._wandb: Any = wandb
        self._run: Any = None

    def start(self, run: str, settings: Mapping[str, str | int | float | bool]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run,
            name=run,
            config=dict(settings),
            dir=str(self.folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            resume="allow",
            reinit="create_new",
            settings=self._wandb.Settings(silent=True, console="off", x_disable_meta=True),
        )

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def images(self, step: int, images: Mapping[str, Image]) -> None:
        self._run.log({n: self._wandb.Image(image) for n, image in images.items()}, step=step)

    def end(self, status: Status) -> None:
        self._run.summary["status"] = status
        self._run.finish(exit_code=0 if status == "done" else 1)
