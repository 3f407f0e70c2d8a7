"""The tables and figures of the paper, and the answers, as files of a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asbench.data import published
from asbench.files.documents import into_place
from asbench.report.coverage import Coverage
from asbench.report.drawing import Drawing
from asbench.report.paper import hybrids, questions, sheet, tables
from asbench.report.paper.comparison import marked
from asbench.report.paper.grid import ScoreGrid
from asbench.report.paper.plots import everything
from asbench.report.paper.questions import Answer
from asbench.report.paper.relations import QualityByMethod
from asbench.report.paper.scores import SELECTED
from asbench.report.paper.sheet import Sheet
from synth_store.types import UserError

FORMS = {"md": sheet.markdown, "tex": sheet.latex, "csv": sheet.csv_text}
"""How a sheet is written, by the ending of its file."""


def sheets(
    grid: ScoreGrid,
    *,
    quality: QualityByMethod | None = None,
    measured: Mapping[str, Mapping[str, published.Measured]] | None = None,
    compare: bool = False,
    coverage: Coverage | None = None,
) -> list[Sheet]:
    """Return tables 3 to 9 and those of the mixtures, without the empty ones.

    coverage: the study that the scores are of, whose missing runs are listed with their reasons.
    """
    shown = tables.tables(grid, quality=quality, measured=measured, compare=compare)
    if coverage is not None:
        shown = [*(table for table in shown if table.name != "missing"), coverage.sheet()]
    shown += [marked(hybrids.hybrid_table(grid, metric), grid) for metric in tables.SHOWN]
    return [table for table in shown if table.rows]


def write(
    grid: ScoreGrid,
    folder: Path,
    *,
    quality: QualityByMethod | None = None,
    measured: Mapping[str, Mapping[str, published.Measured]] | None = None,
    compare: bool = False,
    coverage: Coverage | None = None,
) -> list[Path]:
    """Write every table in every form, and `questions.md`; return the files.

    Equal scores give equal bytes. Raises UserError where a file cannot be written.
    """
    answered = questions.answers(grid, quality)
    tables = sheets(grid, quality=quality, measured=measured, compare=compare, coverage=coverage)
    tables += [marked(replace(a.sheet, notes=a.notes), grid) for a in answered if a.sheet]
    before = [coverage.told, *coverage.quality] if coverage is not None else []
    before += [SELECTED] if grid.selected else []
    told = "".join(f"{sentence}\n\n" for sentence in before)
    texts = {"questions.md": told + answers_text(answered)}
    texts |= {f"{t.name}.{end}": form(t) for t in tables for end, form in FORMS.items()}
    for name, text in texts.items():
        into_place(folder / name, text)
    return [folder / name for name in texts]


def write_figures(
    grid: ScoreGrid, folder: Path, quality: QualityByMethod | None = None
) -> list[Path]:
    """Write every figure as SVG and PNG, and `figures.md` with what each shows and lacks.

    Returns the files. Raises UserError where there is nothing to draw or a file cannot be written.
    """
    drawn = everything.figures(grid, quality)
    if not drawn:
        raise UserError(
            "these runs span too little for a figure of the paper: it takes two data sets, two "
            "detectors, two ratios, three methods or a mixture beside its parts. The page's own "
            "plots stand in report.html."
        )
    paths = []
    for drawing in drawn:
        for end, data in (("svg", drawing.svg_file().encode()), ("png", drawing.png())):
            paths.append(folder / f"{drawing.name}.{end}")
            into_place(paths[-1], data)
    text = "# Figures\n\n" + "\n".join(map(_figure_text, drawn))
    paths.append(folder / "figures.md")
    into_place(paths[-1], text)
    return paths


def _figure_text(drawing: Drawing) -> str:
    number = f"Figure {drawing.paper}: " if drawing.paper else ""
    gaps = "".join(f"- not drawn for want of runs: {gap}\n" for gap in drawing.missing)
    told = drawing.told.replace("[", r"\[").replace("]", r"\]")
    text = f"## {number}{drawing.caption}\n\n![{told}]({drawing.name}.svg)\n"
    return f"{text}\n{gaps}" if gaps else text


def answers_text(answered: Sequence[Answer]) -> str:
    """Return the answers in Markdown, each with its numbers."""
    parts = []
    for answer in answered:
        asked, between = answer.question, ""
        if answer.interval is not None:
            low, high = (f"{bound:.4f}".replace("-", "−") for bound in answer.interval)
            between = f"- interval: {low} to {high} ({answer.interval_of})\n"
        statistic = f"- statistic: {answer.statistic}\n" if answer.statistic else ""
        notes = "".join(f"- {note}\n" for note in answer.notes)
        parts.append(
            f"## {asked.number}{asked.part}. {asked.text}\n\n"
            f"“{asked.claim}” **{answer.verdict}**. {answer.why}\n\n"
            f"{statistic}- n: {answer.n} {answer.unit}\n{between}{notes}"
        )
        if answer.sheet:
            parts.append(sheet.markdown(answer.sheet))
    return "\n".join(parts)
