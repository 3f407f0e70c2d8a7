"""A table as data, and as Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

GAP = "–"


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell: `text` as read, `value` to the last digit for CSV (None: the text).

    mark: a short word after it, such as the detector of a best; beside: the printed number it is
    compared with, or why there is none; best: the highest of its kind.
    """

    text: str
    value: float | None = None
    mark: str = ""
    beside: str = ""
    best: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """name: of its files, as in `table4-best`; title: what it shows; head: one per column; rows:
    of as many entries; notes: sentences a reader needs."""

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{self.name}: {len(row)} cells under {len(self.head)} columns")


def number(value: float, digits: int = 4, **more: object) -> Entry:
    """Return an entry of so many decimals, a gap for NaN."""
    text = GAP if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")
    return Entry(text, value, **more)  # type: ignore[arg-type]


def scientific(value: float, **more: object) -> Entry:
    """Return an entry like 2.27E-05, a gap for NaN."""
    return Entry(GAP if math.isnan(value) else f"{value:.2E}", value, **more)  # type: ignore[arg-type]


def markdown(sheet: Sheet) -> str:
    """Return the sheet in Markdown: its title, the table, its notes."""
    ranks = ["--:" if _numeric(sheet, c) else "---" for c in range(len(sheet.head))]
    lines = [list(sheet.head), ranks, *([_plain(e) for e in row] for row in sheet.rows)]
    escaped = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    table = "\n".join(f"| {' | '.join(line)} |" for line in escaped)
    notes = "".join(f"- {note}\n" for note in sheet.notes)
    return f"### {sheet.title}\n\n{table}\n" + (f"\n{notes}" if notes else "")


def latex(sheet: Sheet) -> str:
    """Return the sheet as a LaTeX `tabular` for booktabs; title and notes as comments above."""
    form = "".join("r" if _numeric(sheet, c) else "l" for c in range(len(sheet.head)))
    lines = [f"% {line}" for line in (sheet.title, *sheet.notes)]
    lines += [rf"\begin{{tabular}}{{{form}}}", r"\toprule"]
    lines += [" & ".join(map(_tex, sheet.head)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_tex_entry, row)) + r" \\" for row in sheet.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def csv_text(sheet: Sheet) -> str:
    """Return the sheet as CSV: full precision, nothing for a gap.

    Marks and printed numbers stand in columns of their own, `… of` and `… printed`.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    marked = [any(row[c].mark for row in sheet.rows) for c in range(len(sheet.head))]
    beside = [any(row[c].beside for row in sheet.rows) for c in range(len(sheet.head))]

    def spread(cells: Sequence[tuple[str, str, str]]) -> list[str]:
        triples = zip(cells, marked, beside, strict=True)
        return [
            t
            for (own, m, b), has_m, has_b in triples
            for t in (own, *([m] if has_m else []), *([b] if has_b else []))
        ]

    lines.writerow(spread([(h, f"{h} of", f"{h} printed") for h in sheet.head]))
    for row in sheet.rows:
        lines.writerow(spread([(_exact(e), e.mark, e.beside) for e in row]))
    return out.getvalue()


def _exact(entry: Entry) -> str:
    if entry.value is None:
        return "" if entry.text == GAP else entry.text
    return "" if math.isnan(entry.value) else repr(float(entry.value))


def _plain(entry: Entry) -> str:
    text = f"**{entry.text}**" if entry.best else entry.text
    mark = f" {entry.mark}" if entry.mark else ""
    return f"{text}{mark}" + (f" [{entry.beside}]" if entry.beside else "")


def _tex_entry(entry: Entry) -> str:
    text = _tex(entry.text)
    text = rf"\textbf{{{text}}}" if entry.best else text
    mark = rf" {{\scriptsize {_tex(entry.mark)}}}" if entry.mark else ""
    return f"{text}{mark}" + (f" [{_tex(entry.beside)}]" if entry.beside else "")


def _tex(text: str) -> str:
    escaped = "".join(f"\\{c}" if c in "_%&#$" else c for c in text)
    return escaped.replace("−", "$-$").replace(GAP, "--").replace("±", r"$\pm$")


def _numeric(sheet: Sheet, column: int) -> bool:
    return any(row[column].value is not None for row in sheet.rows)
