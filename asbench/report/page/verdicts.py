"""What the page says of a run in use: what it flags, and the baseline beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asbench.results import Run, Subset, table_of
from asbench.results.verdicts import baselines, flagged


def flags(run: Run, root: Path, subset: Subset) -> str:
    """Say what a run flags of the test images; nothing where it has no threshold or no table.

    Raises UserError for a damaged table.
    """
    if run.threshold is None or not (root / run.id / "test.csv").exists():
        return ""
    return str(flagged(table_of(run, root), run.threshold.value, subset))


def beside(run: Run, runs: Sequence[Run]) -> list[Run]:
    """Return the runs without training on the test images of a run that has trained."""
    return baselines(run, runs) if run.decides["steps"] else []
