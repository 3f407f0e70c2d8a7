"""What the terminal shows while work is done, and after it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from asbench.ingest import Progress as Callback

QUIET_SECONDS = 10.0
"""How often progress is written where no terminal can redraw a bar."""

out = Console(highlight=False, soft_wrap=False)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table in the house style; the columns in `right` are aligned right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    return made


def say(text: str) -> None:
    """Print a line as it is: no markup, no wrapping."""
    out.print(text, markup=False, soft_wrap=True)


def next_step(*commands: str) -> None:
    """Name the commands that come next, as every command ends."""
    out.print()
    for i, command in enumerate(commands):
        say(f"{'next:' if i == 0 else '     '} {command}")


@contextmanager
def progress() -> Iterator[Callback]:
    """Give a callback that draws one bar per task; on anything but a terminal, a line at times."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}

    def report(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total, completed=done)
        bars.update(tasks[what], completed=done, total=total)

    with bars:
        yield report


class _Lines:
    """Writes a line per task when it ends, and while it runs every ten seconds."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        begun = self.last.setdefault(what, now)
        if done >= total or now - begun >= QUIET_SECONDS:
            self.last[what] = now
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)
