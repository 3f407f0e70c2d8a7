"""Ctrl-C and SIGTERM, taken as a request to save and stop."""

from __future__ import annotations

import signal
from types import FrameType

import click


class Stopping:
    """While entered, Ctrl-C and SIGTERM ask what runs to save and stop; twice kills."""

    def __init__(self, said: str = "stopping after this step") -> None:
        self._said = said
        self._asked = False
        self._before: dict[signal.Signals, object] = {}

    def asked(self) -> bool:
        """Say whether to stop."""
        return self._asked

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt  # the last checkpoint stays, and the same command continues
        self._asked = True
        click.echo(f"\n{self._said}; once more to stop at once", err=True)
