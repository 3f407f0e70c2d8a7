"""Figures 7, 9 and 12: test images chosen by what came out of them, beside those chosen by hash.

The paper's images are chosen after the scores were known, by rules that stand in its code: figure 7
where one synthesis beats another by more than 0.1 of single-image pixel AP, figure 12 where the
weakest mixture beats the best single by 0.05 and more. How many images satisfy the rule, and how
many its reverse, is what such a figure does not say; here it stands beside it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asbench.report.page.galleries import Scene, Tile
from asbench.report.paper.scores import plain
from asbench.report.tables import ResultRow, ResultTable
from asbench.results import Run, table_of
from asbench.results.frame import context
from synth_store import Mix

Rule = Callable[[Sequence[float]], float]
"""How far the pixel APs of one image, in the order of the runs, satisfy a rule; reversed if < 0."""
WIN, MIXED_WIN = 0.1, 0.05
MOST = 4
"""Images a strip shows."""


@dataclass(frozen=True, slots=True)
class Picked:
    """A test image with the heat maps of the runs compared."""

    scene: Scene
    tiles: tuple[Tile, ...]
    aps: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the paper's image figures, from our runs.

    rule: in words; holds, reverse: defective test images that satisfy the rule, and its reverse, of
    `of`; by_rule: of those with a kept heat map the clearest, by_hash: of all kept, the first.
    """

    name: str
    paper: str
    caption: str
    rule: str
    holds: int
    reverse: int
    of: int
    by_rule: tuple[Picked, ...]
    by_hash: tuple[Picked, ...]


def choices(table: ResultTable, scenes: Sequence[Scene], root: Path) -> list[Choice]:
    """Return what the runs can show of figures 7, 9 and 12, one for each category and detector.

    scenes: as `galleries.scenes` gives them. Of several seeds the lowest is shown.
    """
    kept: defaultdict[str, list[tuple[Scene, Tile]]] = defaultdict(list)
    for scene in scenes:
        for tile in (*scene.tiles, *scene.others):
            kept[tile.run.label].append((scene, tile))
    shown = [row for row in table.rows if row.categories == 1 and row.runs[0].label in kept]
    chosen: list[Choice] = []
    for paper, rule_text, rule, runs in _comparisons(shown):
        choice = _choose(f"choice-{len(chosen)}", paper, rule_text, rule, runs, kept, root)
        if choice is not None:
            chosen.append(choice)
    return chosen


def _comparisons(rows: Sequence[ResultRow]) -> Iterator[tuple[str, str, Rule, list[Run]]]:
    groups: defaultdict[str, list[ResultRow]] = defaultdict(list)
    for row in rows:
        groups[context(row.runs[0], "mix", "sets", "ratio")].append(row)
    for members in groups.values():
        ratios: defaultdict[float, dict[tuple[str, ...], Run]] = defaultdict(dict)
        for row in members:
            ratios[row.ratio][tuple(sorted(map(plain, row.mix.names)))] = row.runs[0]
        for runs in ratios.values():
            if ("draem",) in runs and ("memseg",) in runs:
                text = f"draem beats memseg by more than {WIN:g} of the image’s pixel AP"
                yield "7", text, _first_wins, [runs["draem",], runs["memseg",]]
        yield from _overdosed(ratios)
        for runs in ratios.values():
            yield from _mixed(runs)


def _overdosed(
    ratios: Mapping[float, Mapping[tuple[str, ...], Run]],
) -> Iterator[tuple[str, str, Rule, list[Run]]]:
    """Figure 9 shows DFMGAN at ratio 1; the paper states no rule for its images: this is ours."""
    lower = sorted(r for r in ratios if 0 < r < 1 and ("dfmgan",) in ratios[r])
    if lower and ("dfmgan",) in ratios.get(1.0, {}):
        text = (
            f"dfmgan at ratio {lower[0]:g} beats ratio 1 by more than {WIN:g} of the image’s pixel "
            "AP (the paper names no rule)"
        )
        yield "9", text, _first_wins, [ratios[lower[0]]["dfmgan",], ratios[1.0]["dfmgan",]]


def _mixed(runs: Mapping[tuple[str, ...], Run]) -> Iterator[tuple[str, str, Rule, list[Run]]]:
    mixes = [mix for mix in runs if len(mix) > 1 and all((m,) in runs for m in mix)]
    parts = sorted({m for mix in mixes for m in mix})
    if mixes:
        text = f"the weakest mixture beats the best single by {MIXED_WIN:g} of pixel AP and more"
        count = len(mixes)

        def rule(aps: Sequence[float]) -> float:
            lead = min(aps[:count]) - max(aps[count:])
            back = min(aps[count:]) - max(aps[:count])
            return lead if lead >= MIXED_WIN else -back if back >= MIXED_WIN else 0.0

        yield "12", text, rule, [*(runs[mix] for mix in mixes), *(runs[m,] for m in parts)]


def _first_wins(aps: Sequence[float]) -> float:
    lead = aps[0] - aps[1]
    return lead if abs(lead) > WIN else 0.0


def _choose(
    name: str,
    paper: str,
    text: str,
    rule: Rule,
    runs: Sequence[Run],
    kept: Mapping[str, Sequence[tuple[Scene, Tile]]],
    root: Path,
) -> Choice | None:
    aps = [{line.id: line.pixel_ap for line in table_of(run, root) if line.label} for run in runs]
    shared = [i for i in aps[0] if all(not math.isnan(a.get(i, math.nan)) for a in aps)]
    margins = {i: rule([a[i] for a in aps]) for i in shared}
    by_id: dict[str, list[tuple[Scene, Tile]]] = defaultdict(list)
    for run in runs:
        for scene, tile in kept[run.label]:
            by_id[scene.id].append((scene, tile))
    whole = [
        Picked(pairs[0][0], tuple(t for _, t in pairs), tuple(a[i] for a in aps))
        for i, pairs in by_id.items()
        if len(pairs) == len(runs) and i in margins
    ]
    if not whole:
        return None
    won = sorted(
        (p for p in whole if margins[p.scene.id] > 0),
        key=lambda p: (-margins[p.scene.id], p.scene.id),
    )
    d = runs[0].decides
    names = " against ".join(dict.fromkeys(f"{Mix.of(r.decides['mix']).title}" for r in runs))
    return Choice(
        name=name,
        paper=paper,
        caption=f"{d['detector']} on {d['dataset']}/{d['category']}: {names}",
        rule=text,
        holds=sum(m > 0 for m in margins.values()),
        reverse=sum(m < 0 for m in margins.values()),
        of=len(margins),
        by_rule=tuple(won[:MOST]),
        by_hash=tuple(whole[:MOST]),
    )
