"""The page of an advice: what was tried on one's own photographs, and why this mixture."""

from __future__ import annotations

import base64
import io
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image as Pillow

from asbench.report.page.html import resource
from asbench.results.advised import STUDY, Advised
from synth_store import Mix
from synth_store.types import Image

NAMED = 4
"""Methods that the heading names; of more it says how many."""
QUALITY = 82
"""Of the pictures, as JPEG has it: a page of twenty rows stays below a megabyte."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of the matrix; shade: how far it is between the lowest and the highest, 0..100."""

    text: str
    shade: int
    own: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One method: what was measured of it, its cells, and its pictures."""

    method: str
    share: str
    alike: str
    finds: str
    heads: str
    spread: str
    outlines: str
    agreement: str
    memory: str
    unusual: str
    seen: str
    seen_outlines: str
    cells: tuple[Cell, ...]
    uri: str
    width: int
    height: int


def page(advised: Advised, sheets: Mapping[str, Image], commands: Sequence[str] = ()) -> str:
    """Return the page as text, with all it shows inside.

    sheets: a row of samples of each method, uint8 (H, W, 3); commands: what to type next. Equal
    inputs give equal bytes.
    """
    rows = rows_of(advised, sheets)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    low, high = _ends(advised)
    return environment.from_string(resource("advice.html.jinja")).render(
        css=Markup(resource("page.css")),
        js=Markup(resource("page.js")),
        advised=advised,
        title=_title(advised.mixture),
        rows=rows,
        chosen=[row for row in rows if row.share],
        low=f"{low:.2f}",
        high=f"{high:.2f}",
        mean=f"{np.mean(advised.expected):.3f}",
        worst=f"{min(advised.expected):.3f}",
        worst_of=advised.methods[int(np.argmin(advised.expected))],
        blind=", ".join(advised.blind),
        others=[(rule, ", ".join(mix)) for rule, mix in advised.others.items()],
        commands=commands or following(advised),
        study=STUDY,
    )


def rows_of(advised: Advised, sheets: Mapping[str, Image]) -> list[Row]:
    """Return the methods of the mixture, then the others; those first whose heads find most."""
    cross = np.array(advised.cross)
    low, high = _ends(advised)
    order = sorted(
        range(len(advised.methods)),
        key=lambda i: (-advised.mix.get(advised.methods[i], 0), -advised.heads[i]),
    )
    rows = []
    for i in order:
        method = advised.methods[i]
        cells = tuple(
            Cell(f"{cross[i, j]:.2f}", round(100 * (cross[i, j] - low) / (high - low)), i == j)
            for j in order
        )
        sheet, spread = sheets.get(method), advised.spread[i]
        share = advised.mix.get(method)
        rows.append(
            Row(
                method=method,
                share=f"{share:.0%}" if share else "",
                alike=f"{advised.alike[i]:+.2f}",
                finds=f"{advised.finds[i]:.3f}",
                heads=f"{advised.heads[i]:.3f}",
                spread="" if spread is None or math.isnan(spread) else f"{spread:.3f}",
                outlines=f"{advised.outlines[i]:.3f}",
                agreement=f"{advised.agreement[i]:+.2f}",
                memory=f"{advised.memory[i]:.2f}",
                unusual=f"{advised.unusual[i]:.1f}",
                seen=f"{advised.seen[i]:.3f}" if advised.seen else "",
                seen_outlines=f"{advised.seen_outlines[i]:.3f}" if advised.seen_outlines else "",
                cells=cells,
                uri="" if sheet is None else _jpeg(sheet),
                width=0 if sheet is None else sheet.shape[1],
                height=0 if sheet is None else sheet.shape[0],
            )
        )
    return rows


def following(
    advised: Advised, store: Path | str | None = None, folder: Path | str | None = None
) -> list[str]:
    """Return the commands that come next; store: where it is not the default one."""
    place = [*advised.origin, "--category", advised.category]
    at = ["--store", str(store)] if store is not None else []
    lines = [["asbench", "train", "--mix", "advised", *place, *at]]
    if folder is not None:
        lines.append(["asbench", "study", "run", str(Path(folder) / STUDY)])
    return [shlex.join(line) for line in lines]


def _title(mix: Mix) -> str:
    """Return a mixture in words that a heading holds."""
    many = len(mix.names) > NAMED
    return f"a mixture of {len(mix.names)} methods" if many else mix.title


def _ends(advised: Advised) -> tuple[float, float]:
    """Return the lowest and highest value of the matrix, apart."""
    cross = np.array(advised.cross)
    low, high = float(cross.min()), float(cross.max())
    return low, max(high, low + 1e-9)


def _jpeg(image: Image) -> str:
    out = io.BytesIO()
    Pillow.fromarray(image).save(out, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
