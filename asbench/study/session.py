"""One session of a study: jobs are run, those that fail again, and a stop is passed on to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from asbench.grid import engines
from asbench.progress import Notify, Progress
from asbench.study import record
from asbench.study.jobs import Place, statuses
from asbench.types import Interrupted

J = TypeVar("J")
R = TypeVar("R")
SECONDS_BETWEEN_LOOKS = 0.5


@dataclass(frozen=True)
class Session:
    """How jobs are run, who hears of them, and what asks for a stop."""

    place: Place
    engine: engines.Engine
    retries: int
    progress: Progress
    notify: Notify
    stop: Callable[[], bool]

    def tried(
        self,
        phase: str,
        function: Callable[[J], R],
        jobs: Sequence[J],
        *,
        gpu: bool = False,
    ) -> list[tuple[J, Exception]]:
        """Run the jobs of a phase, those that fail again as told; return the ones left over."""
        left: list[tuple[J, Exception]] = []
        ended = 0
        self.progress(phase, ended, len(jobs))
        todo = list(jobs)
        for attempt in range(1, self.retries + 2):
            left = []
            with closing(self.engine.outcomes(function, todo, gpu=gpu)) as outcomes:
                for job, outcome in outcomes:
                    self.check_stop()
                    if isinstance(outcome, engines.Failure):
                        record.note_failure(self.place.folder, str(job), outcome.error, attempt)
                        left.append((job, outcome.error))
                    else:
                        ended += 1
                        self.progress(phase, ended, len(jobs))
            todo = [job for job, _ in left]
            if not todo:
                break
        for job, error in left:
            self.notify(f"failed: {job}: {error}")
        return left

    def check_stop(self) -> None:
        if self.stop() or self.place.stop.exists():
            self.place.stop.touch()
            raise Interrupted("stopped.")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Meanwhile pass on what running jobs say, and ask them to stop when that is asked."""
        ended = threading.Event()

        def look() -> None:
            shown: dict[str, int] = {}
            while not ended.wait(SECONDS_BETWEEN_LOOKS):
                if self.stop():
                    self.place.stop.touch()
                now = statuses(self.place)
                for what, total in shown.items():
                    if what not in {name for name, _, _ in now}:
                        self.progress(what, total, total)
                shown = {what: total for what, _, total in now}
                for what, done, total in now:
                    self.progress(what, done, total)

        thread = threading.Thread(target=look, name="study", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
