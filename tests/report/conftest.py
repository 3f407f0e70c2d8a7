"""Made-up runs: three seeds, ratios, a mixture and its singles, few-shot, NaN, two categories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench import results
from asbench.results import METRICS, SUBSETS, Gallery, ImageRow, Run, Threshold
from synth_store.rng import address_rng

SIDE = 48


def made_up(**settings: Any) -> Run:
    """Return a run whose numbers are drawn from its settings' address."""
    decides: dict[str, Any] = {
        "dataset": "demo",
        "category": "weave",
        "geometry": f"{SIDE}x{SIDE} (stretch)",
        "normals": "5f2d8c",
        "test": "7e57" * 16,
        "mix": {"draem": 1.0},
        "ratio": 0.5,
        "ratio_mode": "exact",
        "pool": None,
        "detector": "draem@tiny",
        "parameters": {"width": 16, "note": "a<b"},
        "steps": 300,
        "batch": 8,
        "precision": "fp32",
        "weights": None,
        "seed": 0,
        "synth_seed": 0,
        "select": "last",
        **settings,
    }
    decides.setdefault("sets", {m: f"{decides['category']}-{m}-digest" for m in decides["mix"]})
    rng = address_rng("made up", results.run_id(decides))
    scores: Any = {s: {m: float(rng.uniform(0.55, 0.98)) for m in METRICS} for s in SUBSETS}
    before: Any = {s: {m: float(rng.uniform(0.4, 0.6)) for m in METRICS} for s in SUBSETS}
    losses = tuple((step, float(2 * np.exp(-step / 90) + 0.1)) for step in range(0, 301, 10))
    return Run(
        decides=decides,  # type: ignore[arg-type]
        metrics=scores,
        counts={
            s: {"normal": 20, "anomalous": 31, "with_mask": 30, "regions": 44} for s in SUBSETS
        },
        reasons={},
        untrained=before,
        saw_defects=0,
        realised={"normal": 1200, **{m: 1200 // len(decides["mix"]) for m in decides["mix"]}},
        losses=losses,
        threshold=Threshold(value=0.5, rule="0.995 quantile of the training normals' scores"),
        environment={"asbench": "0.1.0", "commit": "abc1234", "torch": "2.15.0", "device": "cpu"},
        seconds={"train": 71.25, "score": 3.5},
        created=f"2026-01-02T03:04:{decides['seed']:02d}Z",
    )


def put(root: Path, run: Run) -> Path:
    """Save a run with a table and a gallery, as training does."""
    folder = root / run.id
    y, x = np.mgrid[:SIDE, :SIDE]
    lines, images, masks, maps = [], [], [], []
    for number in range(4):
        rng = address_rng("image", run.decides["category"], number)
        weave = 118 + 34 * np.sin(x / (2 + number)) + 22 * np.sin(y / 3)
        mask = (np.hypot(y - 20 - 4 * number, x - 24) < 7) & (number > 0)
        grain = rng.normal(0, 7, (SIDE, SIDE, 3)) - 60 * mask[..., None]
        images.append(np.clip(weave[..., None] * (1, 0.95, 0.85) + grain, 0, 255).astype(np.uint8))
        masks.append(mask)
        glow = np.exp(-((y - 20 - 4 * number) ** 2 + (x - 22) ** 2) / 90) * (number > 0)
        noise = address_rng("map", run.id, number).uniform(0, 0.2, (SIDE, SIDE))
        maps.append((0.7 * glow + noise).astype(np.float16))
        defect = ("good", "hole", "thread", "stain")[number]
        score = float(maps[-1].max())
        lines.append(
            ImageRow(f"test/{defect}/{number}.png", int(number > 0), defect, False, score, 0.5)
        )
    stacks = np.stack(images), np.stack(masks), np.stack(maps)
    results.write_table(folder, lines)
    results.write_gallery(folder, Gallery(tuple(line.id for line in lines), *stacks))
    results.save(run, folder)
    return folder


@pytest.fixture(name="made_up")
def _made_up() -> Callable[..., Run]:
    return made_up


@pytest.fixture(name="put")
def _put() -> Callable[[Path, Run], Path]:
    return put


def dozen() -> list[Run]:
    """Return three seeds of two singles and their mixture, two more ratios, and ratio 0."""
    both = {"draem": 0.5, "fractal": 0.5}
    mixes: list[dict[str, float]] = [{"draem": 1.0}, {"fractal": 1.0}, both]
    found = [made_up(mix=mix, seed=seed) for mix in mixes for seed in range(3)]
    found += [made_up(mix=mix, ratio=ratio) for mix in mixes for ratio in (0.25, 0.75)]
    return [*found, made_up(mix={}, ratio=0.0)]


@pytest.fixture
def plain() -> list[Run]:
    return dozen()


@pytest.fixture
def root(tmp_path: Path, plain: list[Run]) -> Path:
    folder = tmp_path / "runs"
    for run in plain:
        put(folder, run)
    return folder
