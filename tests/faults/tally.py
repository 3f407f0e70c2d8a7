"""What became of injected faults: counted by kind and by what read them."""

from __future__ import annotations

import signal
import sys
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from synth_store import UserError

OUTCOMES = ("refused", "equal", "silent", "traceback", "hang", "lost")
"""refused: an error that names it; equal: what was read is what had been written; resumed cases of
kills count as equal. The rest is what must not be: silent: other values than were written;
traceback: an error of another kind; hang: no end within the time; lost: work that did not go on."""
BAD = OUTCOMES[2:]
SECONDS = 60.0


class Hang(BaseException):
    """Nothing came of it within the time."""


@dataclass
class Tally:
    """Counts of outcomes, and the first cases that must not be."""

    counts: dict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    bad: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)

    def note(self, kind: str, reader: str, outcome: str, what: str = "") -> None:
        """Count a case; what: how to tell it from others, should it be a bad one."""
        self.counts[kind, reader][outcome] += 1
        if outcome in BAD:
            self.bad.append(f"{outcome}: {kind} / {reader}: {what}")
            print(self.bad[-1], file=sys.stderr, flush=True)

    def attempt(
        self, kind: str, reader: str, act: Callable[[], Any], wanted: Any, what: str
    ) -> None:
        """Do something that is refused, or gives what is wanted (anything, where that is None)."""
        try:
            with alarm(SECONDS):
                got = act()
        except UserError:
            self.note(kind, reader, "refused")
        except Hang:
            self.note(kind, reader, "hang", what)
        except Exception:
            last = traceback.format_exc().strip().splitlines()
            self.note(kind, reader, "traceback", f"{what}: {' | '.join(last[-4:])}")
        else:
            self.note(kind, reader, "equal" if wanted is None or got == wanted else "silent", what)

    @property
    def cases(self) -> int:
        """All that were counted."""
        return sum(counts.total() for counts in self.counts.values())

    def table(self) -> str:
        """Return the counts as lines, the sum last."""
        widths = (26, 22, *(10 for _ in OUTCOMES), 8)
        lines = [("fault", "read by", *OUTCOMES, "cases")]
        for (kind, reader), counts in sorted(self.counts.items()):
            numbers = [str(counts[o] or "") for o in OUTCOMES]
            lines.append((kind, reader, *numbers, str(counts.total())))
        total = sum(self.counts.values(), Counter())
        lines.append(("all", "", *(str(total[o]) for o in OUTCOMES), str(self.cases)))
        rows = [
            "".join(
                c.ljust(w) if i < 2 else c.rjust(w)
                for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join([*rows, *(f"not reached: {one}" for one in self.unreached)])


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise Hang in what takes longer."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
