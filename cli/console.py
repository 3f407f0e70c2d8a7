"""What the terminal shows while work is done, and after it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from asbench.progress import Progress as Callback
from asbench.progress import Watch
from cli.printable import printable

QUIET_SECONDS = 10.0
"""How often progress is written where no terminal can redraw a bar."""
PIPED_WIDTH = 1000
"""Columns where there is no terminal and COLUMNS is not set: programs read lines, not folds."""
MANY = 300
"""Rows up to which a table is laid out for the width of the terminal."""
HEADS = {
    "image_auroc": "I-AUROC",
    "image_ap": "I-AP",
    "pixel_auroc": "P-AUROC",
    "pixel_ap": "P-AP",
    "pro": "PRO",
}
"""Heads of the metrics, short enough for a run's row to fit 80 columns. I: image, P: pixel."""

FURTHER_HEADS = {"pixel_f1": "best pixel F1", "aupimo": "AUPIMO", "spro": "sPRO"}

_terminal = sys.stdout.isatty() or "COLUMNS" in os.environ
out = Console(highlight=False, soft_wrap=False, width=None if _terminal else PIPED_WIDTH)


class _Plain(Table):
    """A table whose cells are shown as they are: a name with [brackets] is no markup."""

    def add_row(self, *cells: RenderableType | None, **settings: Any) -> None:
        plain = (Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*plain, **settings)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table in the house style; the columns in `right` are aligned right.

    Numbers are never cut; texts fold where the terminal is narrow.
    """
    made = _Plain(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        if column in right:
            made.add_column(column, justify="right", no_wrap=True)
        else:
            made.add_column(column, overflow="fold")
    return made


def show(table: Table) -> None:
    """Print a table; one of very many rows as plain lines, which takes a fifth of the time."""
    if table.row_count <= MANY:
        out.print(table)
        return
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    widths = [max(map(len, cells)) for cells in columns]
    right = [column.justify == "right" for column in table.columns]
    for row in zip(*columns, strict=True):
        cells = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ]
        print(" ".join(cells).rstrip())


def metrics(scores: Mapping[str, float]) -> list[str]:
    """Return the cells of a row of metrics, in the order of HEADS."""
    return [f"{scores[name]:.3f}" for name in HEADS]


def say(text: str) -> None:
    """Print a line as it is: no markup, no wrapping."""
    out.print(printable(text), markup=False, soft_wrap=True)


def next_step(*commands: str) -> None:
    """Name the commands that come next, as every command ends."""
    out.print()
    for i, command in enumerate(commands):
        say(f"{'next:' if i == 0 else '     '} {command}")


def command(*words: object, **options: object) -> str:
    """Return a command as a shell takes it: words, then options that are not None."""
    given = [str(word) for word in words]
    for name, value in options.items():
        if value is not None:
            given += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(given)


@contextmanager
def progress(*, fleeting: bool = False) -> Iterator[Callback]:
    """Give a callback that draws one bar per task; on anything but a terminal, a line at times.

    fleeting: a task's bar goes when it is done, where there are too many to keep.
    """
    if not sys.stderr.isatty():
        yield _Lines()
        return
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
        # What is printed meanwhile goes above the bars; where it goes to a file, it stays there.
        redirect_stdout=sys.stdout.isatty(),
    )
    with bars:
        yield _Bars(bars, fleeting)


class _Bars:
    """Draws one bar per task."""

    def __init__(self, bars: Progress, fleeting: bool) -> None:
        self.bars, self.fleeting = bars, fleeting
        self.tasks: dict[str, TaskID] = {}
        self.done: dict[str, int] = {}
        self.note = ""
        """What stands behind the bar that moves next."""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self.tasks:
            self.tasks[what] = self.bars.add_task(
                printable(what), total=total, completed=done, note=""
            )
            self.done[what] = done
        if done < self.done[what]:  # the next of the same name: its pace is its own
            self.bars.reset(self.tasks[what], total=total, completed=done)
        self.done[what] = done
        self.bars.update(self.tasks[what], completed=done, total=total, note=self.note)
        self.note = ""
        if self.fleeting and done >= total:
            self.bars.remove_task(self.tasks.pop(what))


def losses(progress: Callback) -> Watch:
    """Return what puts the loss of a training behind what `progress` says of it next."""

    def watch(step: int, loss: float) -> None:
        if isinstance(progress, _Bars | _Lines):
            progress.note = f"loss {loss:.3g}"

    return watch


class _Rate(ProgressColumn):
    """How much is done in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s")


class _Lines:
    """Writes a line every ten seconds at most, however many tasks there are."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.begun: dict[str, tuple[float, int, int]] = {}
        self.note = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now, note = time.monotonic(), self.note and f", {self.note}"
        self.note = ""
        # What was done before the first call cost nothing here: an earlier command did it.
        start, before, last = self.begun.get(what, (now, done, done))
        if done < last:  # the next of the same name
            start, before = now, done
        self.begun[what] = (start, before, done)
        if now - self.last >= QUIET_SECONDS:
            self.last = now
            pace = ""
            if done > before and now > start:
                rate = (done - before) / (now - start)
                left = timedelta(seconds=round((total - done) / rate))
                pace = f", {rate:.3g}/s, {left} left"
            line = printable(f"{what}: {done} of {total}{pace}{note}")
            print(line, file=sys.stderr, flush=True)
