"""Scores: what runs, the paper's printed tables and made-up grids have in common.

Every table and figure of the paper is a group-by over a list of `Score`.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from asbench.data import published
from asbench.results import BEST_ON_TEST, Run, Subset

Source = Literal["run", "paper", "made-up"]
_REDUCED = ("tiny", "partial", "scratch")
"""What a detector's variant is called that is not the network its authors published."""


SELECTED = "Checkpoints were selected on the test set: upper bounds, not results."
_GEOMETRY = "256x256 (stretch)"
"""What the paper trains on."""


class Place(NamedTuple):
    """Where a score stands in the grid of a study; a plain tuple of the same parts equals it.

    category: "" for a data set's mean; mix: method names, sorted, empty at ratio 0.
    """

    dataset: str
    category: str
    detector: str
    mix: tuple[str, ...]
    ratio: float
    seed: int
    synth_seed: int = 0


class Setting(NamedTuple):
    """What a cell of a table or a point of a figure is about.

    dataset, detector: "" where averaged over; mix: () where averaged over, and at ratio 0;
    ratio: None where each detector stands at its default ratio.
    """

    dataset: str
    detector: str
    mix: tuple[str, ...]
    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one training scored, or a mean of such over categories.

    dataset, detector: with their variants; category: "" for a data set's mean; mix: method names,
    sorted: one for a single method, none at ratio 0; metrics: by name of
    `asbench.results.METRICS`, in 0..1, NaN where undefined, a missing name where not measured;
    saw_defects: real defects of the category that training saw; reduced: not the network that the
    detector's authors published; shares: of the mix's methods, () where equal; settings: whatever
    else decides the outcome, in words; unlike: why this must not stand beside a printed number, a
    phrase each; runs: the ids of the runs it comes from.
    """

    dataset: str
    category: str
    detector: str
    mix: tuple[str, ...]
    ratio: float
    seed: int
    synth_seed: int
    metrics: Mapping[str, float]
    subset: Subset
    saw_defects: int = 0
    selected_on_test: bool = False
    reduced: bool = False
    source: Source = "run"
    shares: tuple[float, ...] = ()
    settings: str = ""
    unlike: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        return Place(
            self.dataset,
            self.category,
            self.detector,
            self.mix,
            self.ratio,
            self.seed,
            self.synth_seed,
        )

    @property
    def setting(self) -> Setting:
        return Setting(self.dataset, self.detector, self.mix, self.ratio)


def from_runs(runs: Iterable[Run], subset: Subset) -> list[Score]:
    """Return one score per run, on the given subset of the test images, in the order of the runs.

    A mix of unequal shares keeps them in `shares`; the tables of the paper leave it out.
    """
    return [_from_run(run, subset) for run in runs]


def dataset_means(
    scores: Iterable[Score], categories: Mapping[str, Collection[str]] | None = None
) -> list[Score]:
    """Return the unweighted means over the categories of each data set, seed by seed.

    A mean stands only where every category of its data set has a score: those of `categories`,
    else all that any score of that data set names. Scores that are means already pass through.
    """
    means, groups = [], defaultdict(list)
    named: defaultdict[str, set[str]] = defaultdict(set)
    for score in scores:
        if score.category:
            groups[score.place._replace(category=""), score.shares].append(score)
            named[score.dataset].add(score.category)
        else:
            means.append(score)
    for (place, _), members in groups.items():
        wanted = set((categories or {}).get(place.dataset, ())) or named[place.dataset]
        if wanted <= {m.category for m in members}:
            means.append(_mean([m for m in members if m.category in wanted]))
    return sorted(means, key=lambda s: (s.place, s.shares))


class Estimate(NamedTuple):
    """A mean over seeds, of training and of synthesis alike: NaN where one of them is undefined.
    sd: sample (n - 1), NaN for one seed; n: seeds."""

    mean: float
    sd: float
    n: int


def estimates(scores: Iterable[Score], metric: str) -> dict[Setting, Estimate]:
    """Return the mean over seeds of each setting, of data-set means that have the metric.

    Mixes of unequal shares are left out: a `Setting` names equal ones.
    """
    groups: defaultdict[Setting, list[float]] = defaultdict(list)
    for score in scores:
        if score.category:
            raise ValueError(f"{score.place} is no data-set mean: call dataset_means first")
        if metric in score.metrics and not score.shares:
            groups[score.setting].append(score.metrics[metric])
    return {s: Estimate(mean(v), _sd(v), len(v)) for s, v in sorted(groups.items())}


def means(scores: Iterable[Score], metric: str) -> dict[Setting, float]:
    """Return `estimates` without their spread."""
    return {setting: e.mean for setting, e in estimates(scores, metric).items()}


def at_default(cells: Mapping[Setting, float], ratios: Mapping[str, float]) -> dict[Setting, float]:
    """Return the cells at each detector's default ratio, under ratio None."""
    return {
        setting._replace(ratio=None): value
        for setting, value in cells.items()
        if setting.ratio is not None and setting.ratio == ratios.get(setting.detector)
    }


def average(
    cells: Mapping[Setting, float],
    over: Literal["dataset", "detector", "mix"],
    weights: Mapping[str, float] | None = None,
) -> dict[Setting, float]:
    """Return the means over one part of the settings, which is then empty in the keys.

    weights: equation 1 where `over` is `dataset`: by its name; None weighs alike. NaN where a
    member lacks that stands elsewhere in `cells`: means over different members do not compare.
    """
    wanted = sorted({getattr(setting, over) for setting in cells})
    found = {}
    for key in sorted({_with(s, over, () if over == "mix" else "") for s in cells}, key=_order):
        members = [cells.get(_with(key, over, name), math.nan) for name in wanted]
        found[key] = mean(members, None if weights is None else [weights[n] for n in wanted])
    return found


def class_counts(scores: Iterable[Score]) -> dict[str, int]:
    """Return equation 1's weights: a data set's number of categories.

    Table 3's where the paper has the data set, else those of the scores (1 for a bare mean).
    """
    named: defaultdict[str, set[str]] = defaultdict(set)
    for score in scores:
        named[score.dataset].add(score.category)
    table = published.table3()
    return {
        name: table[plain(name)].categories if plain(name) in table else len(categories)
        for name, categories in sorted(named.items())
    }


def mean(values: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Return the weighted mean (equation 1: weights are counts of classes); NaN spreads.

    Raises ValueError for nothing to average.
    """
    if not values:
        raise ValueError("there is nothing to average")
    weights = weights or [1.0] * len(values)
    pairs = zip(values, weights, strict=True)
    return math.fsum(v * w for v, w in pairs) / math.fsum(weights)


def plain(name: str) -> str:
    """Return a method's, detector's or data set's name without its variant."""
    return name.partition("@")[0]


def title(mix: Sequence[str]) -> str:
    """Return a mix in words: `draem + fractal`; `normals only` for none."""
    return " + ".join(mix) or "normals only"


class Settled(NamedTuple):
    """One score per place, and why others were left out, a sentence each."""

    scores: list[Score]
    notes: tuple[str, ...]


def settle(scores: Sequence[Score], selected: bool = False) -> Settled:
    """Keep one score per place, so that no table averages over unlike trainings.

    Last checkpoints stay, or those selected on the test set where `selected`. Of several at one
    place the settings that most scores of the detector have stay, then the last in the list.
    Whatever else differs within a detector is noted.
    """
    honest = [s for s in scores if s.selected_on_test == selected]
    notes = []
    if selected:
        notes.append(SELECTED)
    elif left := len(scores) - len(honest):
        notes.append(f"{left} scores of checkpoints selected on the test set are left out.")
    common = Counter((s.detector, s.settings) for s in honest)
    kept: dict[tuple[Place, tuple[float, ...]], Score] = {}
    dropped: Counter[tuple[str, str]] = Counter()
    for score in honest:
        key = score.place, score.shares
        other = kept.get(key)
        if other is None:
            kept[key] = score
            continue
        new, old = (common[s.detector, s.settings] for s in (score, other))
        loser = other if new >= old else score
        kept[key] = score if loser is other else other
        dropped[loser.detector, loser.settings] += 1
    for (detector, settings), count in sorted(dropped.items()):
        told = f" ({settings})" if settings else ""
        notes.append(f"{count} scores of {detector}{told} stand for places taken: left out.")
    left_in: defaultdict[str, set[str]] = defaultdict(set)
    for score in kept.values():
        left_in[score.detector].add(score.settings)
    for detector, several in sorted(left_in.items()):
        if len(several) > 1:
            notes.append(f"{detector} was not trained alike: {' | '.join(sorted(several))}.")
    return Settled(list(kept.values()), tuple(notes))


def missing(scores: Iterable[Score], expected: Iterable[tuple[Any, ...]]) -> list[Place]:
    """Return the expected places without a score, in the order given.

    expected: tuples as `Place`, of its first six parts (any synth seed will do) or all seven.
    """
    have = {s.place for s in scores}
    have_any = {place[:6] for place in have}
    return [Place(*e) for e in expected if tuple(e) not in (have if len(e) == 7 else have_any)]


def _from_run(run: Run, subset: Subset) -> Score:
    d = run.decides
    mix = tuple(sorted(d["mix"]))
    weights = [d["mix"][name] for name in mix]
    reduced = any(word in d["detector"].partition("@")[2] for word in _REDUCED)
    parts = len(mix) if run.steps_mode == "per-component" else 1
    protocol = published.training(d["detector"], d["dataset"], d["category"])
    as_published = protocol is not None and d["steps"] == protocol.steps * parts
    unlike = []
    if d["geometry"] != _GEOMETRY:
        unlike.append(f"images of {d['geometry']}")
    if d["pool"] is not None:
        unlike.append(f"a pool of {d['pool']} samples")
    if reduced:
        unlike.append("a reduced network")
    elif plain(d["detector"]) != d["detector"]:
        unlike.append("other parameters")
    if not as_published:
        told = "no published steps" if protocol is None else f"published {protocol.steps}"
        unlike.append(f"{d['steps']} steps, {told}")
    if protocol is not None and d["batch"] != protocol.batch:
        unlike.append(f"batch {d['batch']}, published {protocol.batch}")
    settings = {
        "steps": "published" if as_published else d["steps"] // max(parts, 1),
        "steps mode": run.steps_mode,
        **{k: d[k] for k in ("batch", "pool", "ratio_mode", "precision", "geometry")},
        **d["parameters"],
    }
    return Score(
        dataset=d["dataset"],
        category=d["category"],
        detector=d["detector"],
        mix=mix,
        ratio=float(d["ratio"]),
        seed=d["seed"],
        synth_seed=d["synth_seed"],
        metrics=dict(run.metrics[subset]),
        subset=subset,
        saw_defects=run.saw_defects,
        selected_on_test=d["select"] == BEST_ON_TEST,
        reduced=reduced,
        shares=() if len(set(weights)) < 2 else tuple(w / math.fsum(weights) for w in weights),
        settings=", ".join(f"{k} {_told(v)}" for k, v in settings.items()),
        unlike=tuple(unlike),
        runs=(run.id,),
    )


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _mean(members: Sequence[Score]) -> Score:
    shared = set.intersection(*(set(m.metrics) for m in members))
    metrics = {k: mean([m.metrics[k] for m in members]) for k in members[0].metrics if k in shared}
    return replace(
        members[0],
        category="",
        metrics=metrics,
        saw_defects=max(m.saw_defects for m in members),
        selected_on_test=any(m.selected_on_test for m in members),
        settings=" | ".join(sorted({m.settings for m in members})),
        unlike=tuple(sorted({why for m in members for why in m.unlike})),
        runs=tuple(run for m in members for run in m.runs),
    )


def _sd(values: Sequence[float]) -> float:
    return math.nan if len(values) < 2 or math.isnan(sum(values)) else statistics.stdev(values)


def _with(setting: Setting, part: str, value: object) -> Setting:
    return Setting(**{**setting._asdict(), part: value})


def _order(setting: Setting) -> tuple[object, ...]:
    ratio = -1.0 if setting.ratio is None else setting.ratio
    return (*setting[:3], ratio)
