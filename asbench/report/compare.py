"""Two mixtures compared over all that else is the same: run beside run, with a paired test."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from asbench import results
from asbench.quality.statistics import Interval, bootstrap, signed_rank
from asbench.report.paper.blocks import ENOUGH
from asbench.results import BEST_ON_TEST, METRICS, Run, Subset, by_category, subset_for
from asbench.results.frame import context
from asbench.settings import RUNS
from synth_store import Mix, UserError
from synth_store.rng import address_rng


class Block(NamedTuple):
    """One independent unit of a comparison: what runs on either mixture scored there, 0..1."""

    name: str
    first: float
    second: float


@dataclass(frozen=True)
class PairedComparison:
    """What runs on `first` scored minus what those on `second` did.

    metric: on `subset` of the test images; pairs: of runs; blocks: what the test runs over;
    difference: the mean over blocks, with its 95 % interval (percentiles of a bootstrap over
    blocks); p: two-sided, of Wilcoxon's signed-rank test over blocks; notes: what a reader must
    know, a sentence each.
    """

    first: str
    second: str
    metric: str
    subset: Subset
    pairs: int
    blocks: tuple[Block, ...]
    difference: float
    interval: Interval
    p: float
    notes: tuple[str, ...]

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.metric} of {self.first} minus {self.second}: {self.difference:+.4f}, 95 % "
            f"{low:+.4f} to {high:+.4f}, Wilcoxon p = {self.p:.3g}, n = {len(self.blocks)}"
        )


def compare(
    first: str,
    second: str,
    *,
    runs: Path | str | Iterable[Run] = RUNS,
    metric: str = "image_auroc",
) -> PairedComparison:
    """Compare what was trained on one mixture with what was trained on another.

    A pair is two finished runs that differ in nothing but the mixture: same data, detector, ratio,
    steps and seeds. Pairs are averaged by category, and each category is a block; where there are
    fewer than five of them, each pair is. The test is that of the report's answers on mixtures.

    Args:
        first, second: mixtures as `train` takes them: `draem`, `draem:0.5,fractal:0.5`.
        runs: the folder of the runs, or runs as `asbench.results.runs` returns them.
        metric: a name of `asbench.results.METRICS`.

    All are scored on the held-out test images as soon as one of them has seen real defects. Runs
    selected on the test set play no part, nor pairs of which a score is undefined. Raises UserError
    for an unknown metric, and where no pair stands, naming the mixtures that runs are of.
    """
    if metric not in METRICS:
        raise UserError(f"metric {metric!r} is unknown: choose from {', '.join(METRICS)}.")
    known = results.runs(Path(runs)) if isinstance(runs, Path | str) else list(runs)
    known = [run for run in by_category(known) if run.decides["select"] != BEST_ON_TEST]
    one, other = (_of_mix(known, mix) for mix in (first, second))
    settings = sorted(one.keys() & other.keys())
    subset = subset_for(side[at] for side in (one, other) for at in settings)
    pairs = [
        (one[at], one[at].metrics[subset][metric], other[at].metrics[subset][metric])
        for at in settings
    ]
    pairs = [pair for pair in pairs if not math.isnan(pair[1] + pair[2])]
    if not pairs:
        there = (
            "; ".join(sorted({str(Mix.of(r.decides["mix"])) for r in known if r.decides["mix"]}))
            or "none"
        )
        raise UserError(
            f"no two finished runs differ in nothing but {first} and {second}. There are runs on: "
            f"{there}. Train what is missing with the same detector, ratio, steps and seeds."
        )
    blocks, notes = _blocks(pairs)
    differences = [block.first - block.second for block in blocks]
    return PairedComparison(
        first=first,
        second=second,
        metric=metric,
        subset=subset,
        pairs=len(pairs),
        blocks=blocks,
        difference=fmean(differences),
        interval=bootstrap(differences, address_rng("compare", first, second)),
        p=signed_rank(differences),
        notes=notes,
    )


def _of_mix(runs: Sequence[Run], text: str) -> Mapping[tuple[str, int], Run]:
    """Return the runs on a mixture, by all that decides them but the mixture."""
    mix = Mix.parse(text)
    return {
        (context(run, "mix", "sets"), run.decides["seed"]): run
        for run in runs
        if Mix.of(run.decides["mix"]) == mix
    }


def _blocks(pairs: Sequence[tuple[Run, float, float]]) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Return the blocks of pairs of scores, and what is to be said of them."""
    by_category: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for run, first, second in pairs:
        by_category[f"{run.decides['dataset']}/{run.decides['category']}"].append((first, second))
    if len(by_category) >= ENOUGH:
        averaged = {c: tuple(map(fmean, zip(*of, strict=True))) for c, of in by_category.items()}
        return tuple(Block(c, *of) for c, of in averaged.items()), ()
    note = (
        f"Fewer than {ENOUGH} categories: every pair of runs counts as a block, so blocks share "
        "test images and p is optimistic."
    )
    return tuple(Block(_name(run), *scores) for run, *scores in pairs), (note,)


def _name(run: Run) -> str:
    d = run.decides
    seeds = f"seed {d['seed']}" + (f", set seed {d['synth_seed']}" if d["synth_seed"] else "")
    return f"{d['dataset']}/{d['category']}, {d['detector']} at ratio {d['ratio']:g}, {seeds}"
