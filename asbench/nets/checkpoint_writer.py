"""Checkpoints by the clock, written by a thread while the training goes on."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from asbench.nets import checkpoint
from asbench.nets.checkpoint import State

SHARE = 0.01
"""Of a training's time that its checkpoints may take."""


class CheckpointWriter:
    """Commits states to a folder, never more than one behind the training.

    A state is copied, and the copy written by a thread: each is whole or not there, as by
    `checkpoint.commit`, which a kill at any moment leaves as it was before or after. Leaving the
    context waits for the thread. What goes wrong in it, a full disk say, is raised by the next
    call, or on leaving.

    seconds: the least between two checkpoints by the clock. They are further apart where writing
    one takes so long that they would cost more than `SHARE` of the time.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder, self._least = folder, seconds
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._running: Future[float] | None = None
        self._cost, self._last = 0.0, time.perf_counter()

    def due(self) -> bool:
        """Return whether it is time for a checkpoint, and the one before is written."""
        if self._running is not None and not self._running.done():
            return False
        since = time.perf_counter() - self._last
        return since >= max(self._least, self._cost / SHARE)

    def later(self, state: State) -> None:
        """Have a state written while the training goes on, once the one before is."""
        self._finish()
        began = self._last = time.perf_counter()
        copied = state.copied()
        self._cost = time.perf_counter() - began
        self._running = self._pool.submit(self._write, copied)

    def now(self, state: State) -> None:
        """Write a state, once the one before is written, and wait until it stands."""
        self._finish()
        self._last = time.perf_counter()
        self._cost = self._write(state)

    def _write(self, state: State) -> float:
        began = time.perf_counter()
        checkpoint.commit(self._folder, state)
        return time.perf_counter() - began

    def _finish(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            self._cost += running.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if error is None:
            self._finish()
