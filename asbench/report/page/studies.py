"""The page's answers, tables and figures of a study: what a grid of scores says to the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from asbench.report.coverage import Coverage
from asbench.report.page import sections
from asbench.report.page.sections import Plot, SheetShown
from asbench.report.paper import questions
from asbench.report.paper.comparison import marked
from asbench.report.paper.grid import ScoreGrid, score_grid
from asbench.report.paper.hybrids import hybrid_table
from asbench.report.paper.plots import everything
from asbench.report.paper.questions import Answer
from asbench.report.paper.relations import QualityByMethod
from asbench.report.paper.scores import Expected
from asbench.report.paper.tables import tables

_SHOW = {1: ("overview", "ranks and figures"), 2: ("ratios", "figures 8 and 10"),
         3: ("quality", "figure 11"), 4: ("mixtures", "figure 13")}  # fmt: skip
"""Where a question's figures stand."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its answer as the page says it. refs: (id of the page, its name)."""

    label: str
    answer: Answer
    interval: str
    sheet: SheetShown | None
    refs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """What the paper asks of a grid, as far as there is a grid: all empty for a handful of runs."""

    answers: Sequence[Answered] = ()
    sheets: Sequence[SheetShown] = ()
    overview: Sequence[Plot] = ()
    ratios: Sequence[Plot] = ()
    quality: Sequence[Plot] = ()
    mixtures: Sequence[Plot] = ()
    missing: Sequence[Expected] = ()
    notes: Sequence[str] = ()

    @property
    def undecided(self) -> bool:
        """Whether no question has an answer."""
        return all(a.answer.verdict == "too few runs" for a in self.answers)


def grid_of(scores: pd.DataFrame, coverage: Coverage | None = None) -> ScoreGrid:
    """Return the grid of some scores, with the gaps of the study that they are of, if any."""
    if coverage is None:
        return score_grid(scores)
    return score_grid(scores, coverage.expected, selected=coverage.selected)


def study(
    grid: ScoreGrid, quality: QualityByMethod | None = None, *, compare: bool = False
) -> Findings:
    """Return what the page shows of a grid; arguments as for the tables and figures."""
    answers = questions.answers(grid, quality)
    if not sections.spans(grid):
        return Findings(answers=[_answered(a, grid, frozenset()) for a in answers])
    mixed = [table] if (table := hybrid_table(grid)).rows else []
    sheets = [s for s in tables(grid, quality=quality, compare=compare) if s.name != "missing"]
    if not compare:
        sheets = [s for s in sheets if s.name != "table3"]
    figures = {
        "overview": sections.plots(everything.overview(grid)),
        "ratios": sections.plots(everything.of_ratios(grid)),
        "quality": sections.plots(everything.of_quality(grid, quality)),
        "mixtures": sections.plots(everything.of_mixtures(grid)),
    }
    there = frozenset(name for name, plots in figures.items() if plots)
    return Findings(
        answers=[_answered(a, grid, there) for a in answers],
        sheets=sections.shown([*sheets, *(marked(sheet, grid) for sheet in mixed)], grid),
        missing=grid.missing,
        notes=grid.notes,
        **figures,
    )


def _answered(answer: Answer, grid: ScoreGrid, there: frozenset[str]) -> Answered:
    at, name = _SHOW[answer.question.number]
    interval = answer.interval
    told = f"{interval.low:.4f} to {interval.high:.4f}".replace("-", "−") if interval else ""
    shown = sections.shown([answer.sheet], grid) if answer.sheet else []
    return Answered(
        f"{answer.question.number}{answer.question.part}",
        answer,
        told,
        shown[0] if shown else None,
        ((at, name),) if at in there else (),
    )
