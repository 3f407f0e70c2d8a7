"""Printed numbers beside ours, and what to say where they must not stand there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from asbench.data import published
from asbench.report.paper import as_printed
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.scores import SELECTED, plain, title
from asbench.report.paper.sheet import Sheet
from asbench.report.tables import SUBSET_TITLES

NOT_COMPARABLE = "not comparable"


class Comparison:
    """Puts printed numbers beside ours and collects why others do not stand there."""

    def __init__(self, on: bool) -> None:
        self.on = on
        self.used = False
        self.reasons: set[str] = set()

    def beside(self, printed: str | None, reasons: Iterable[str]) -> str:
        """Return what to put beside a number; nothing where the paper prints none."""
        if not self.on or printed is None:
            return ""
        self.used = True
        if why := set(reasons):
            self.reasons |= why
            return NOT_COMPARABLE
        return f"printed {printed}"

    def notes(self) -> tuple[str, ...]:
        """Return the sentence that explains the brackets."""
        if not self.used:
            return ()
        why = f"; “{NOT_COMPARABLE}”: {', '.join(sorted(self.reasons))}" if self.reasons else ""
        return (f"In brackets what the paper prints{why}.",)


def reasons(
    grid: ScoreGrid,
    dataset: str,
    detectors: Iterable[str],
    methods: Collection[str],
    ratios: Sequence[float] | None = None,
) -> set[str]:
    """Say why cells made of these settings do not compare with the paper's.

    ratios: None for each detector's default, which must then be the published one.
    """
    theirs, why = published.default_ratios(), set()
    for detector in detectors:
        own = grid.ratios.get(detector)
        if ratios is None and own is not None and own != theirs.get(plain(detector), own):
            why.add("another ratio")
        for ratio in [own] if ratios is None else ratios:
            for method in methods:
                why |= grid.caveats.get((dataset, detector, method, ratio), frozenset())
    return why


def not_the_four(detectors: Iterable[str]) -> set[str]:
    """Say so where a mean or best over these detectors is not over the paper's four."""
    same = sorted(map(plain, detectors)) == sorted(as_printed.DETECTORS)
    return set() if same else {"other detectors"}


def grid_notes(grid: ScoreGrid) -> tuple[str, ...]:
    """Return what holds of every table at the default ratios."""
    told = ", ".join(f"{d} {r:g}" for d, r in grid.ratios.items())
    return (f"Ratios: {told}.", *scored_on(grid), *grid.notes)


def marked(sheet: Sheet, grid: ScoreGrid) -> Sheet:
    """Return a table of the grid; where checkpoints were selected on the test set, it says so."""
    if not grid.selected:
        return sheet
    notes = sheet.notes if SELECTED in sheet.notes else (SELECTED, *sheet.notes)
    return replace(sheet, title=f"{sheet.title} (selected on the test set)", notes=notes)


def scored_on(grid: ScoreGrid) -> tuple[str, ...]:
    """Return which test images the scores are of, which seeds, and which methods saw defects."""
    scores = grid.scores
    if scores.empty:
        return ()
    told = f"Scored on the {SUBSET_TITLES[scores['subset'].tolist()[0]]}"
    seen = sorted(map(title, scores.loc[scores["saw_defects"] > 0, "methods"].unique()))
    subset = f"{told}; {listed(seen)} saw real defects." if seen else f"{told}."
    if grid.printed:
        return (subset,)
    count = len(scores[["seed", "synth_seed"]].drop_duplicates())
    seeds = f"Mean over {count} seeds." if count > 1 else "One seed: no spread is known."
    return subset, seeds


def listed(names: Sequence[str]) -> str:
    """Return names in words: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
