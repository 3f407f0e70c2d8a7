"""Who hears of work while it is done: callbacks, and the ones that tell nobody."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""
Notify = Callable[[str], None]
"""Called with a sentence worth reading, before or while something is done."""
Watch = Callable[[int, float], None]
"""Called with the steps of a training that are done, and the loss of the last."""


def quiet(what: str, done: int, total: int) -> None:
    """Report no progress."""


def unwatched(step: int, loss: float) -> None:
    """Look at no loss."""


def silent(sentence: str) -> None:
    """Tell nobody."""
