"""Ctrl-C and SIGTERM: a request to save and stop, and what is true after a command has ended so."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from types import FrameType

import click

GOES_ON = "the same command continues"
ANEW = "the same command begins anew"
LEFT = {
    "demo": f"what was rendered and trained until now stays; {GOES_ON}",
    "checkpoint export": f"the files finished until now stay; {ANEW}",
    "checkpoint import": f"no run was made; {ANEW}",
    "advise": f"what was rendered, and its features, stay; {GOES_ON}",
    "data check": "nothing was changed",
    "data fetch": f"what was downloaded until now stays, and nothing was unpacked; {GOES_ON}",
    "data list": "nothing was changed",
    "methods list": "nothing was changed",
    "methods show": "nothing was changed",
    "fit": f"what was saved until now stays; {GOES_ON}",
    "generate": f"what was stored until now stays; {GOES_ON}",
    "preview": f"no sheet was written; {ANEW}",
    "browse": f"the sets drawn until now stay; {GOES_ON}",
    "store copy": f"what was copied until now stays; {GOES_ON}",
    "store export": f"the categories written until now stay; {GOES_ON}",
    "store info": "nothing was changed",
    "store ls": "nothing was changed",
    "store rm": "what was removed is gone; `asbench store ls` shows what is still there",
    "store verify": "nothing was changed",
    "train": f"what was saved until now stays; {GOES_ON}",
    "evaluate": f"nothing was written; {ANEW}",
    "predict": f"the rows until now are kept in the folder of --out; {GOES_ON}",
    "export": f"nothing was written; {ANEW}",
    "report": f"the files finished until now stay; {ANEW}",
    "study ls": "nothing was changed",
    "study plan": "nothing was written",
    "study run": f"what was stored, trained and measured until now stays; {GOES_ON}",
    "quality": f"the sets measured until now are kept; {GOES_ON}",
    "correlate": f"nothing was written; {ANEW}",
    "cross": f"the runs scored until now are kept; {GOES_ON}",
}
"""What is true after a command was interrupted, for each of them."""


def left_by(arguments: Sequence[str]) -> str:
    """Return what is true after a command line was interrupted."""
    words = [word for word in arguments if not word.startswith("-")]
    named = (" ".join(words[:count]) for count in (2, 1))
    return next((LEFT[name] for name in named if name in LEFT), "nothing was done")


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
