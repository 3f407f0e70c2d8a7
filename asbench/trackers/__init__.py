"""Experiment trackers: what they are told of a training, and how they are found by name.

A file here is a tracker, its name the one that `--log` takes; a package of your own adds one by the
entry point group `asbench.trackers`. Nothing of ours imports a tracker that was not asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from asbench import plugins
from asbench.results import Scores
from synth_store.types import Image, UserError

PACKAGE = "asbench.trackers"
Status = Literal["done", "stopped", "failed"]
"""How a training ended: stopped ones are continued by the same command."""


class RunLogger(ABC):
    """Is told of one training. Built with the folder in which it may write, before anything else.

    `start` comes once, then `metrics` and `images` with ascending steps, then `end`; a training
    that was stopped starts again under its id. Raises UserError for what the caller can mend.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def start(self, run: str, settings: Mapping[str, str | int | float | bool]) -> None:
        """Begin a run, or go on with it; settings: all that decides its outcome, flat."""

    @abstractmethod
    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Take values after so many steps; NaN where one is undefined."""

    @abstractmethod
    def images(self, step: int, images: Mapping[str, Image]) -> None:
        """Take images after so many steps: uint8 (H, W, 3), RGB."""

    @abstractmethod
    def end(self, status: Status) -> None:
        """End the run, and write what is not yet written."""


class Loggers(RunLogger):
    """Several as one; it may be none. A run that was never started is not ended."""

    def __init__(self, of: Sequence[RunLogger]) -> None:
        self._of = of
        self._started: list[RunLogger] = []

    def start(self, run: str, settings: Mapping[str, str | int | float | bool]) -> None:
        for one in self._of:
            one.start(run, settings)
            self._started.append(one)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        for one in self._started:
            one.metrics(step, values)

    def images(self, step: int, images: Mapping[str, Image]) -> None:
        for one in self._started:
            one.images(step, images)

    def end(self, status: Status) -> None:
        while self._started:
            self._started.pop().end(status)

    @property
    def any(self) -> bool:
        """Whether one of them listens."""
        return bool(self._started)


@contextmanager
def opened(log: Sequence[Any] | str | None, folder: Path | str) -> Iterator[Loggers]:
    """Give the trackers of these names, or such objects themselves, and end their runs.

    folder: theirs are below it, by name. Raises UserError for an unknown name, and for a package
    that is not installed.
    """
    named = [log] if isinstance(log, str) else list(log or ())
    loggers = Loggers([_logger(one, Path(folder)) for one in named])
    status: Status = "failed"
    try:
        yield loggers
        status = "done"
    except KeyboardInterrupt:
        status = "stopped"
        raise
    except UserError as error:
        status = "stopped" if type(error).__name__ == "Interrupted" else "failed"
        raise
    finally:
        loggers.end(status)


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, str | int | float | bool]:
    """Return settings without nesting, as every tracker takes them: `parameters.width`."""
    told: dict[str, str | int | float | bool] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            told |= flat(value, f"{above}{name}.")
        else:
            plain = isinstance(value, str | int | float | bool)
            told[f"{above}{name}"] = value if plain else str(value)
    return told


def numbers(scores: Scores) -> dict[str, float]:
    """Return scores by subset and metric under names such as `full/image_auroc`."""
    return {
        f"{subset}/{name}": value for subset, of in scores.items() for name, value in of.items()
    }


def missing(tracker: str, package: str, error: ImportError) -> UserError:
    """Return what to say where a tracker's package is not installed."""
    return UserError(
        f"--log {tracker} needs {package}: pip install 'asbench[{tracker}]' ({error})."
    )


def _logger(one: Any, folder: Path) -> RunLogger:
    if isinstance(one, RunLogger):
        return one
    return plugins.load(PACKAGE, str(one), RunLogger)(folder / str(one))  # type: ignore[type-abstract]
