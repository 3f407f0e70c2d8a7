"""Test images side by side: what the detector of every run saw in them."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asbench.report.page import overlays
from asbench.report.tables import ResultRow, ResultTable
from asbench.results import Gallery, ImageRow, Run, gallery_of, table_of


@dataclass(frozen=True, slots=True)
class Tile:
    """One run's heat map of one image. `layer`: PNG to lie over the image; `low`, `high`: its ends.

    verdict: `flagged` or `passed` by the run's threshold, empty where it has none.
    """

    run: Run
    mix: str
    layer: str
    score: float
    verdict: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scene:
    """One test image with the heat maps of all runs that kept it.

    name: unique on the page; image: PNG; blank, truth: clear and outline layers of its size.
    tiles: of each row's lowest seed; others: of its other seeds.
    """

    name: str
    dataset: str
    category: str
    id: str
    defect: str
    label: int
    masked: bool
    width: int
    height: int
    image: str
    blank: str
    truth: str
    tiles: tuple[Tile, ...]
    others: tuple[Tile, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    row: ResultRow
    run: Run
    gallery: Gallery
    place: int
    line: ImageRow
    low: float
    high: float


def places(table: ResultTable, most: int) -> frozenset[tuple[str, str]]:
    """Return (data set, category) of as many as have at most so many runs together, one at least.

    Chosen by a hash of their names: which ones a page has room for must not be a matter of taste.
    """
    runs: Counter[tuple[str, str]] = Counter()
    for row in table.rows:
        if row.categories == 1:
            runs[row.dataset, row.category] += len(row.runs)
    chosen: list[tuple[str, str]] = []
    total = 0
    for at in sorted(runs, key=lambda at: hashlib.sha256("/".join(at).encode()).digest()):
        total += runs[at]
        if not chosen or total <= most:
            chosen.append(at)
    return frozenset(chosen)


def scenes(table: ResultTable, root: Path, within: frozenset[tuple[str, str]]) -> list[Scene]:
    """Return the gallery images of all runs `within` some (data set, category), by their names.

    Raises UserError for a damaged gallery or table; a run without a gallery shows none.
    """
    groups: dict[tuple[str, str, str, str], list[_Seen]] = {}
    for row in table.rows:
        if row.categories > 1 or (row.dataset, row.category) not in within:
            continue
        for run in row.runs:
            for seen in _seen(row, run, root):
                image = hashlib.sha256(seen.gallery.images[seen.place].tobytes()).hexdigest()
                at = (row.dataset, row.category, seen.line.id, image[:12])
                groups.setdefault(at, []).append(seen)
    return [_scene(f"image-{n}", groups[at]) for n, at in enumerate(sorted(groups))]


def _seen(row: ResultRow, run: Run, root: Path) -> Iterator[_Seen]:
    if not (root / run.id / "gallery.npz").exists():
        return
    gallery = gallery_of(run, root)
    lines = {line.id: line for line in table_of(run, root)}
    finite = gallery.maps[np.isfinite(gallery.maps)].astype(np.float32)
    # One scale for all images of a run, or a normal image's noise would glow like a defect.
    low, high = (float(v) for v in np.percentile(finite, (1, 99.8))) if finite.size else (0.0, 1.0)
    for place, name in enumerate(gallery.ids):
        if name in lines:
            yield _Seen(row, run, gallery, place, lines[name], low, high)


def _scene(name: str, seen: list[_Seen]) -> Scene:
    first = seen[0]
    image, mask = first.gallery.images[first.place], first.gallery.masks[first.place]
    lowest = [s for s in seen if s.run.decides["seed"] == s.row.seeds[0]]
    return Scene(
        name=name,
        dataset=first.row.dataset,
        category=first.row.category,
        id=first.line.id,
        defect=first.line.defect,
        label=first.line.label,
        masked=bool(mask.any()),
        width=image.shape[1],
        height=image.shape[0],
        image=_text(overlays.encode(image)),
        blank=_text(overlays.outline_layer(np.zeros_like(mask))),
        truth=_text(overlays.outline_layer(mask)),
        tiles=tuple(map(_tile, lowest)),
        others=tuple(_tile(s) for s in seen if s not in lowest),
    )


def _tile(seen: _Seen) -> Tile:
    map_, mask = seen.gallery.maps[seen.place], seen.gallery.masks[seen.place]
    threshold = seen.run.threshold
    verdict = ""
    if threshold is not None:
        verdict = "flagged" if seen.line.score >= threshold.value else "passed"
    layer = _text(overlays.heat_layer(map_, seen.low, seen.high, mask))
    mix = seen.row.mix.title
    return Tile(seen.run, mix, layer, seen.line.score, verdict, seen.low, seen.high)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
