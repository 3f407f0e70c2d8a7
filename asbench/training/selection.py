"""The checkpoint that scores best on the test set, as published code keeps it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from asbench.files.documents import damaged
from asbench.files.sums import sha256_of
from asbench.nets import checkpoint
from asbench.nets.detector import Detector
from asbench.nets.weights import load_weights, save_weights


class BestOnTest:
    """Keeps the weights with the highest score, looking now and then and after the last step.

    Args:
        score: of the detector as it stands; higher is better.
        every: steps between two looks; steps: the length of the training.
        folder: of the training's checkpoints, where the best weights stand beside the current ones.
            What the checkpoint there kept is taken up again, so a resumed training keeps what an
            uninterrupted one would.
    """

    def __init__(self, score: Callable[[], float], every: int, steps: int, folder: Path) -> None:
        self._score, self._every, self._steps, self._folder = score, every, steps, folder
        self.facts: dict[str, Any] = (checkpoint.peek(folder) or {}).get("best") or {}
        """`step` and `value` of the best look so far, for the checkpoint; empty before any."""

    def look(self, detector: Detector, step: int) -> None:
        """Score the detector after `step` steps if a look is due; the first of equals is kept."""
        if step % self._every and step != self._steps:
            return
        value = self._score()
        if not self.facts or value > self.facts["value"]:
            self.facts = {"step": step, "value": value}
            self._folder.mkdir(parents=True, exist_ok=True)
            save_weights(detector, self._file)
            self.facts["sha256"] = sha256_of(self._file)

    def committed(self) -> None:
        """Drop weights that are no longer the best, now that no checkpoint names them."""
        for old in self._folder.glob("best-*"):
            if not self.facts or old != self._file:
                old.unlink()

    def restore(self, detector: Detector) -> None:
        """Put the best weights into the detector."""
        stated = self.facts.get("sha256")  # of earlier releases none
        if stated is not None and self._file.is_file() and sha256_of(self._file) != stated:
            again = f"delete the folder {self._folder} and start again"
            raise damaged(self._file, f"it is not what {checkpoint.COMMIT} says", again)
        load_weights(detector, self._file)

    @property
    def _file(self) -> Path:
        return self._folder / f"best-{self.facts['step']:08d}.safetensors"
