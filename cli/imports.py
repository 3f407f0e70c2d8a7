"""The search for garbage, kept away from what a command imports."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unsearched() -> Iterator[None]:
    """Keep Python from searching what is imported here for garbage: meanwhile, later, as it ends.

    Torch brings half a million objects that all stay. To walk them again and again as they come,
    and twice more as the process ends, takes a fifth of what importing it takes. Does nothing where
    torch is there already: whatever else stands in the process is frozen with the imports.
    """
    if "torch" in sys.modules:
        yield
        return
    running = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if running:
            gc.enable()
