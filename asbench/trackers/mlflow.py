"""MLflow: on the server that MLFLOW_TRACKING_URI names, else in a database in a folder."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asbench.trackers import RunLogger, Status, missing
from synth_store.types import Image

EXPERIMENT = "asbench"
"""Unless MLFLOW_EXPERIMENT_NAME names another."""
TAG = "asbench.run"
"""The tag that carries a run's id, by which a stopped one is found again."""
_LONGEST = 500
"""Characters of a setting's value that every version takes."""
_ENDS = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MLflow(RunLogger):
    """Writes through a client: the process's active run, if there is one, is left alone."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise missing("mlflow", "mlflow", error) from error
        self._server = os.environ.get("MLFLOW_TRACKING_URI")
        folder.mkdir(parents=True, exist_ok=True)
        self._client: Any = MlflowClient(tracking_uri=self._server or place(folder))
        self._run = ""

    def start(self, run: str, settings: Mapping[str, str | int | float | bool]) -> None:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        known = self._client.get_experiment_by_name(name)
        if known is None:
            # A server says itself where artifacts lie.
            beside = None if self._server else (self.folder.absolute() / "artifacts").as_uri()
            where = self._client.create_experiment(name, artifact_location=beside)
        else:
            where = known.experiment_id
        there = self._client.search_runs([where], f"tags.`{TAG}` = '{run}'", max_results=1)
        if there:
            self._run = there[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        self._run = self._client.create_run(where, tags={TAG: run}, run_name=run).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, _key(key), str(value)[:_LONGEST])

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            if not math.isnan(value):  # which its databases do not all hold
                self._client.log_metric(self._run, _key(key), value, step=step)

    def images(self, step: int, images: Mapping[str, Image]) -> None:
        for name, image in images.items():
            self._client.log_image(self._run, image, f"images/{_key(name)}-{step}.png")

    def end(self, status: Status) -> None:
        self._client.set_terminated(self._run, _ENDS[status])


def place(folder: Path) -> str:
    """Return the address of the database in a folder; `mlflow ui --backend-store-uri` takes it."""
    return f"sqlite:///{folder.absolute() / 'mlflow.db'}"


def _key(name: str) -> str:
    """Return a name with what MLflow refuses in one replaced: `nsa@variant` is `nsa-variant`."""
    return "".join(c if c.isalnum() or c in "_-. /" else "-" for c in name)
