"""What each tracker wrote, read back by its own reader; skipped by name where it is missing."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench.trackers import opened

SETTINGS = {"mix.nsa@wide": 0.5, "steps": 7, "detector": "unet@tiny", "kept": True}
IMAGE = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)


def tell(tracker: str, folder: Path, pause: float = 0) -> None:
    """Tell of a training that is stopped, goes on after so many seconds, and ends."""
    run = "0123456789ab"
    with suppress(KeyboardInterrupt), opened(tracker, folder) as log:
        log.start(run, SETTINGS)
        log.metrics(1, {"loss": 0.5})
        log.metrics(2, {"loss": 0.25})
        raise KeyboardInterrupt
    time.sleep(pause)
    with opened(tracker, folder) as log:
        log.start(run, SETTINGS)
        log.metrics(3, {"loss": 0.125})
        log.metrics(7, {"full/image_auroc": 0.75, "full/pro": math.nan})
        log.images(7, {"test/hole/000.png": IMAGE})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard(tmp_path: Path) -> None:
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tell("tensorboard", tmp_path)
    read: Any = reading.EventAccumulator(str(tmp_path / "tensorboard" / "0123456789ab"))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert [(e.step, e.value) for e in read.Scalars("full/image_auroc")] == [(7, 0.75)]
    assert math.isnan(read.Scalars("full/pro")[0].value)
    (image,) = read.Images("test/hole/000.png")
    assert (image.step, image.width, image.height) == (7, 8, 12)
    said = read.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| detector | unet@tiny |" in said
    ends = [e.tensor_proto.string_val[0] for e in read.Tensors("status/text_summary")]
    assert ends == [b"stopped", b"done"]


@pytest.mark.filterwarnings("ignore")
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow: Any = pytest.importorskip("mlflow", minversion="3.1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tell("mlflow", tmp_path)
    from asbench.trackers.mlflow import place

    client = mlflow.MlflowClient(tracking_uri=place(tmp_path / "mlflow"))
    (experiment,) = [e for e in client.search_experiments() if e.name == "asbench"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("0123456789ab", "FINISHED")
    assert run.data.params["mix.nsa-wide"] == "0.5"
    assert run.data.params["detector"] == "unet@tiny"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert run.data.metrics["full/image_auroc"] == 0.75
    assert "full/pro" not in run.data.metrics
    (file,) = list((tmp_path / "mlflow").rglob("*.png"))
    from PIL import Image

    np.testing.assert_array_equal(np.asarray(Image.open(file)), IMAGE)


def records(log: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log with wandb's seven bytes before it.

    Only its sync, which needs a server, reads one; the records are of its own definition.
    """
    whole, at = b"", 7
    while at + 7 <= len(log):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        length, kind = struct.unpack("<HB", log[at + 4 : at + 7])
        whole += log[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole one, or the last part
            yield whole
            whole = b""


@pytest.mark.filterwarnings("ignore")
def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb: Any = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    tell("wandb", tmp_path, pause=1.1)  # its folders carry the second
    from wandb.proto import wandb_internal_pb2

    assert wandb
    deadline = time.monotonic() + 60
    ends: list[int] = []
    while len(ends) < 2:  # its own process writes the last of it
        assert time.monotonic() < deadline
        losses, values, settings, ends = [], {}, {}, []
        for path in sorted((tmp_path / "wandb" / "wandb").glob("offline-run-*/*.wandb")):
            for data in records(path.read_bytes()):
                record = wandb_internal_pb2.Record()
                record.ParseFromString(data)
                items = record.history.item
                of = {(i.key or "/".join(i.nested_key)): i.value_json for i in items}
                if "loss" in of:
                    losses.append((int(record.history.step.num), float(of["loss"])))
                values |= of
                settings |= {i.key: i.value_json for i in record.run.config.update}
                if record.HasField("exit"):
                    ends.append(record.exit.exit_code)
        time.sleep(0.1)
    assert losses == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert float(values["full/image_auroc"]) == 0.75
    assert settings["detector"] == '"unet@tiny"'
    assert ends == [1, 0]
    (file,) = list((tmp_path / "wandb").rglob("*.png"))
    from PIL import Image

    np.testing.assert_array_equal(np.asarray(Image.open(file)), IMAGE)
