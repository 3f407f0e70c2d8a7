"""Does `asbench advise` choose well? Its rules on data sets whose real defects are known.

`python -m tests.benchmarks.advise --store STORE --sets mtd:tile demo:board tire=PATH:tire` takes
the 15 methods of the study `real` from a store (`asbench study run real` makes one), tries them as
`advise` does, and scores the same detectors, and one trained on each rule's mixture, on the real
test images. What was tried stands in `--folder` and is not tried again. `--runs` are the study's
own runs, longer trainings on all normals: where all methods are there with three seeds, they are a
second truth of the single methods. `--train` trains the shipped rule's mixtures as such runs.
`--quality` is a folder of what `asbench quality` measured, as STUDY/quality, to be held beside;
`--resnet` a file of ResNet-18 by which all six metrics are measured on a few samples.

Of a set without masks, such as `elpv:mono`, image AUROC alone is known: pixel AP is NaN there,
means leave it out, and what is at least as good is so in image AUROC.

Rules see no test image. The comparison does: so the best rule is named leaving one data set out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asbench import results
from asbench.advising import rules
from asbench.advising.evidence import Evidence
from asbench.advising.trial import single, try_all
from asbench.evaluation.metrics import image_auroc, pixel_metrics
from asbench.progress import quiet
from asbench.quality import record as qualities
from asbench.quality.statistics import DRAWS, correlate
from asbench.results.frame import frame
from asbench.training.train import train
from synth_store import Mix
from tests.benchmarks.advise_quality import SMALL, from_records, whole_images
from tests.benchmarks.advise_stand import METHODS, Place, stand

FIXED = {"equal": METHODS, "four": ("cutpaste", "draem", "memseg", "nsa")}
"""Mixtures that look at nothing: all, and the one that the study named before it was measured."""
PAPER = ("draem",)
"""Of the paper's best, what needs no defect and no fit."""
NEAR_AUROC, NEAR_AP = 0.005, 0.02
"""How much worse still counts as equal: image AUROC, and pixel AP relatively."""
DRAWN = 100
"""Times that random choice draws a method for every set."""
Scores = npt.NDArray[np.float64]
"""(image AUROC, pixel AP)."""


@dataclass(frozen=True, eq=False)
class Seed:
    """What one seed showed of a data set, and what was true.

    truth: by the methods of a mixture, sorted, what its detector scored on the test images; memory:
    what the memory alone did.
    """

    evidence: Evidence
    truth: Mapping[tuple[str, ...], Scores]
    memory: Scores


@dataclass(frozen=True, eq=False)
class Seen:
    """A data set with what each seed showed."""

    place: Place
    seeds: tuple[Seed, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order of the evidence."""
        return self.seeds[0].evidence.methods

    def score(self, mix: Iterable[str]) -> Scores:
        """Return the mean score of a mixture over the seeds."""
        return np.asarray(np.mean([one.truth[tuple(sorted(mix))] for one in self.seeds], axis=0))

    def of_rule(self, rule: rules.Rule) -> Scores:
        """Return the mean score of what a rule takes, seed by seed, of that seed's evidence."""
        each = [one.truth[members(one.evidence, rule)] for one in self.seeds]
        return np.asarray(np.mean(each, axis=0))

    def mean(self, of: Callable[[Evidence], npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
        """Return the mean over the seeds of a number of each method: (M,)."""
        return np.asarray(np.mean([of(one.evidence) for one in self.seeds], axis=0))

    @property
    def singles(self) -> npt.NDArray[np.float64]:
        """The scores of every method alone: (M, 2)."""
        return np.stack([self.score((method,)) for method in self.methods])


def members(evidence: Evidence, rule: rules.Rule) -> tuple[str, ...]:
    """Return the methods that a rule takes, sorted."""
    weights = rule(evidence)
    return tuple(sorted(m for m, w in zip(evidence.methods, weights, strict=True) if w > 0))


def tried(place: Place, store: Path, seed: int, folder: Path) -> dict[str, npt.NDArray[Any]]:
    """Return what one seed shows of a data set, from the folder where it stands there.

    Under the names of `Evidence`; under `true METHODS` the scores of their mixture.
    """
    path = folder / f"{place.dataset}-{place.category}-{seed}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **_try(place, store, seed))  # type: ignore[arg-type]
    with np.load(path) as there:
        return dict(there)


def _try(place: Place, root: Path, seed: int) -> dict[str, npt.NDArray[Any]]:
    at = stand(place, root, seed)
    evidence = try_all([at.bench], quiet)
    mixes = {single(method).names for method in METHODS} | set(FIXED.values())
    mixes |= {members(evidence, rule) for rule in rules.RULES.values()}
    order = sorted(tuple(sorted(mix)) for mix in mixes)
    said = at.said([Mix.of(dict.fromkeys(mix, 1 / len(mix))) for mix in order])
    out = {f.name: np.asarray(getattr(evidence, f.name)) for f in fields(Evidence)}
    out["memory alone"] = np.array([image_auroc(said.memory, at.labels), np.nan])
    for mix, scores, cells in zip(order, said.both, said.cells, strict=True):
        ap = pixel_metrics(cells, at.marked).ap if at.masked else np.nan
        out[f"true {','.join(mix)}"] = np.array([image_auroc(scores, at.labels), ap])
    return out


def seen(place: Place, store: Path, seeds: Sequence[int], folder: Path) -> Seen:
    """Return a data set with the evidence and the truth of all seeds."""
    return Seen(place, tuple(_read(tried(place, store, seed, folder)) for seed in seeds))


def _read(there: Mapping[str, npt.NDArray[Any]]) -> Seed:
    own = {f.name: there[f.name] for f in fields(Evidence) if f.name != "methods"}
    evidence = Evidence(tuple(map(str, there["methods"])), **own)
    truth = {
        tuple(key.removeprefix("true ").split(",")): scores
        for key, scores in there.items()
        if key.startswith("true ")
    }
    return Seed(evidence, truth, there["memory alone"])


PREDICTORS: Mapping[str, Callable[[Evidence], npt.NDArray[np.float64]]] = {
    "finds what others drew": rules.found,
    "the same, heads alone": rules.found_by_heads,
    "outlines what others drew": rules.outlined,
    "agreement with the memory": lambda e: e.agreement,
    "heads alone and agreement": rules.trusted,
    "agreement with other heads": rules.alike,
    "closeness to normals": rules.near,
    "the memory finds it": lambda e: e.by_memory,
}
"""What might foretell which method detects, of evidence alone."""


def predictions(
    sets: Sequence[Seen],
    metric: int,
    truths: Mapping[Place, npt.NDArray[np.float64]],
    qualities: Mapping[Place, Mapping[str, npt.NDArray[np.float64]]],
) -> list[str]:
    """Return a table: each number's rank correlation with true detection, set by set.

    Numbers of a rule, and image-quality scores where they were measured: all say that more is
    better.
    """
    lines = [f"| predictor | {' | '.join(str(one.place) for one in sets)} | mean | sets |"]
    lines.append(f"|---|{'---|' * (len(sets) + 2)}")
    rows: dict[str, dict[Place, npt.NDArray[np.float64]]] = {
        name: {one.place: one.mean(of) for one in sets} for name, of in PREDICTORS.items()
    }
    for place, scores in qualities.items():
        for score, values in scores.items():
            rows.setdefault(f"*{score}*", {})[place] = values
    for name, by in rows.items():
        cells, values = [], []
        for one in sets:
            if one.place not in by:
                cells.append("-")
                continue
            rho = correlate(
                by[one.place], truths[one.place][:, metric], least=4, resamples=DRAWS
            ).spearman
            cells.append(f"{rho.value:+.2f} [{rho.low:+.2f}, {rho.high:+.2f}]")
            values.append(rho.value)
        mean = np.mean(values) if values else np.nan
        lines.append(f"| {name} | {' | '.join(cells)} | {mean:+.2f} | {len(values)} |")
    return lines


def at_least(scores: Scores, other: Scores) -> bool:
    """Say whether scores are as good as others, in what metrics are known, but for a margin."""
    outlined = np.isnan(scores[1]) or scores[1] >= other[1] * (1 - NEAR_AP)
    return bool(scores[0] >= other[0] - NEAR_AUROC and outlined)


def blind(sets: Sequence[Seen], without: Seen) -> str:
    """Return the single method with the highest mean image AUROC on all other sets."""
    means = np.mean([one.singles[:, 0] for one in sets if one is not without], axis=0)
    return without.methods[int(np.argmax(means))]


def comparison(sets: Sequence[Seen]) -> list[str]:
    """Return a table of every rule beside what looks at nothing, over all sets."""
    oracle = np.array([one.singles[:, 0].max() for one in sets])
    fixed = [one.score((blind(sets, one),)) for one in sets]
    equal = [one.score(FIXED["equal"]) for one in sets]
    ways: dict[str, list[Scores]] = {
        f"rule {name}": [one.of_rule(rule) for one in sets] for name, rule in rules.RULES.items()
    }
    ways |= {name: [one.score(mix) for one in sets] for name, mix in FIXED.items()}
    ways["fixed single, chosen on the other sets"] = fixed
    ways["draem (the paper's best without defects)"] = [one.score(PAPER) for one in sets]
    lines = [
        "| way | image AUROC, mean | SD over sets | pixel AP, mean | regret to the oracle single "
        "| worst regret | >= fixed single | >= equal weights |",
        f"|---|{'---:|' * 7}",
    ]
    for name, each in ways.items():
        table = np.array(each)
        regret = oracle - table[:, 0]
        lines.append(
            f"| {name} | {table[:, 0].mean():.3f} | {table[:, 0].std(ddof=1):.3f} "
            f"| {np.nanmean(table[:, 1]):.3f} | {regret.mean():+.3f} | {regret.max():+.3f} "
            f"| {_share(each, fixed)} | {_share(each, equal)} |"
        )
    singles = np.mean([one.singles for one in sets], axis=0)
    lines.append(f"\n{_drawn(sets, ways[f'rule {rules.SHIPPED}'])}")
    lines.append(
        f"\noracle single: image AUROC {oracle.mean():.3f}; fixed singles, mean over sets:"
    )
    order = np.argsort(-singles[:, 0])
    lines.append(", ".join(f"{sets[0].methods[m]} {singles[m, 0]:.3f}" for m in order))
    return lines


def _drawn(sets: Sequence[Seen], shipped: Sequence[Scores]) -> str:
    """Say what random choice scores: a method drawn for every set, `DRAWN` times over."""
    rng, rows = np.random.default_rng(0), np.arange(len(sets))
    all_of = np.stack([one.singles for one in sets])
    means = np.array(
        [
            np.nanmean(all_of[rows, rng.integers(0, all_of.shape[1], len(sets))], axis=0)
            for _ in range(DRAWN)
        ]
    )
    own, oracle = np.nanmean(shipped, axis=0), all_of[:, :, 0].max(axis=1).mean()
    low, high = np.quantile(means[:, 0], [0.025, 0.975])
    return (
        f"random single, {DRAWN} draws: image AUROC {means[:, 0].mean():.3f} (SD over draws "
        f"{means[:, 0].std(ddof=1):.3f}, 95 % in {low:.3f} to {high:.3f}), pixel AP "
        f"{means[:, 1].mean():.3f} (SD {means[:, 1].std(ddof=1):.3f}), regret "
        f"{oracle - means[:, 0].mean():+.3f}; the shipped rule's mean is above "
        f"{(means[:, 0] < own[0]).sum()} of {DRAWN} draws in image AUROC, "
        f"{(means[:, 1] < own[1]).sum()} in pixel AP"
    )


def _share(each: Sequence[Scores], others: Sequence[Scores]) -> str:
    held = [at_least(one, other) for one, other in zip(each, others, strict=True)]
    return f"{sum(held)} of {len(held)}"


def left_out(sets: Sequence[Seen]) -> list[str]:
    """Return, for each set, the rule that was best on all others and what it scores on this one."""
    lines = ["| left out | best rule on the others | its image AUROC | pixel AP | takes | oracle |"]
    lines.append("|---|---|---:|---:|---|---:|")
    regrets = []
    for one in sets:
        others = [other for other in sets if other is not one]
        means = {
            name: np.mean([other.of_rule(rule)[0] for other in others])
            for name, rule in rules.RULES.items()
        }
        name = max(means, key=lambda n: means[n])
        score, oracle = one.of_rule(rules.RULES[name]), one.singles[:, 0].max()
        regrets.append(oracle - score[0])
        taken = ", ".join(members(one.seeds[0].evidence, rules.RULES[name]))
        lines.append(
            f"| {one.place} | {name} | {score[0]:.3f} | {score[1]:.3f} | {taken} | {oracle:.3f} |"
        )
    return [*lines, f"\nmean regret {np.mean(regrets):+.3f}"]


def recorded(runs: Path, sets: Sequence[Seen]) -> dict[Place, npt.NDArray[np.float64]]:
    """Return the study's own scores of the single methods, (M, 2), where all have three seeds."""
    table = frame(results.runs(runs))
    if table.empty:
        return {}
    table = table[(table.detector == "memory") & (table.ratio == 0.5) & table.pool.isna()]
    out = {}
    for one in sets:
        own = table[(table.dataset == one.place.dataset) & (table.category == one.place.category)]
        scores = [own[own.mix == f"{m}:1"][["image_auroc", "pixel_ap"]] for m in one.methods]
        if all(len(each) >= 3 for each in scores):
            out[one.place] = np.stack([each.to_numpy().mean(axis=0) for each in scores])
    return out


def trained(sets: Sequence[Seen], store: Path, runs: Path, seeds: Sequence[int]) -> list[str]:
    """Train what the shipped rule takes, and equal weights, as the study does; return a table."""
    lines = ["| set | mixture | image AUROC | pixel AP |", "|---|---|---:|---:|"]
    for one in sets:
        rule = rules.RULES[rules.SHIPPED]
        for name, mix in (("advised", members(joined(one), rule)), ("equal", FIXED["equal"])):
            scores = []
            for seed in seeds:
                run = train(
                    one.place.path or one.place.dataset,
                    Mix.of(dict.fromkeys(mix, 1 / len(mix))),
                    name=one.place.dataset if one.place.path else None,
                    category=one.place.category,
                    detector="memory",
                    steps=300,
                    seed=seed,
                    store=store,
                    runs=runs,
                ).run
                scores.append([run.metrics["full"][m] for m in ("image_auroc", "pixel_ap")])
            mean, spread = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
            shown = [f"{m:.3f} +- {s:.3f}" for m, s in zip(mean, spread, strict=True)]
            lines.append(f"| {one.place} | {name}: {', '.join(mix)} | {' | '.join(shown)} |")
    return lines


def joined(one: Seen) -> Evidence:
    """Return the evidence of all seeds as one, as `advise` has it."""
    parts = [seed.evidence for seed in one.seeds]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("memory", "head", "both", "pixel")
    }
    unusual = np.median([part.unusual for part in parts], axis=0)
    return Evidence(parts[0].methods, parts[0].of, unusual=unusual, **arrays)


def measured(
    sets: Sequence[Seen], study: Path | None, store: Path, resnet: Path | None, folder: Path
) -> dict[Place, dict[str, npt.NDArray[np.float64]]]:
    """Return image-quality scores of every method, set by set.

    Those of a study's records where it measured all methods of a set, and beside them, where a
    ResNet-18 is given, those of `whole_images`, from the folder where they stand there.
    """
    records = qualities.rows(study) if study is not None and study.is_dir() else []
    out: dict[Place, dict[str, npt.NDArray[np.float64]]] = {}
    for one in sets:
        place, methods = one.place, one.methods
        out[place] = from_records(records, place.dataset, place.category, methods)
        path = folder / f"{place.dataset}-{place.category}-quality.npz"
        if resnet is not None and not path.exists():
            name = place.dataset if place.path else None
            given = place.path or place.dataset
            np.savez(path, **whole_images(given, name, place.category, store, methods, resnet))  # type: ignore[arg-type]
        if path.exists():
            with np.load(path) as there:
                out[place] |= {f"{score}, n={SMALL}": there[score] for score in there}
    return out


def main(arguments: list[str] | None = None) -> int:
    """Try, compare, print."""
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reading.add_argument("--store", type=Path, required=True)
    reading.add_argument("--sets", type=Place.parse, nargs="+", required=True)
    reading.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--folder", type=Path, default=Path("advise-evidence"))
    reading.add_argument("--runs", type=Path)
    reading.add_argument("--quality", type=Path)
    reading.add_argument("--resnet", type=Path)
    reading.add_argument("--train", type=Path, metavar="RUNS")
    asked = reading.parse_args(arguments)
    torch.set_num_threads(1)
    sets = []
    for place in asked.sets:
        sets.append(seen(place, asked.store, asked.seeds, asked.folder))
        print(f"{place} was tried", file=sys.stderr, flush=True)
    quality = measured(sets, asked.quality, asked.store, asked.resnet, asked.folder)
    own = {one.place: one.singles for one in sets}
    truths = {f"of the same detectors ({len(asked.seeds)} seeds)": own}
    if asked.runs is not None:
        truths["of the study's runs"] = recorded(asked.runs, sets)
    for title, truth in truths.items():
        for at, metric in enumerate(("image AUROC", "pixel AP")):
            known = [one for one in sets if one.place in truth]
            there = [one for one in known if not np.isnan(truth[one.place][:, at]).any()]
            if there:
                print(f"\n## Spearman with true {metric} {title}\n")
                print("\n".join(predictions(there, at, truth, quality)))
    print("\n## Rules\n")
    print("\n".join(comparison(sets)))
    if len(sets) > 2:
        print("\n## One set left out\n")
        print("\n".join(left_out(sets)))
    if asked.train is not None:
        print("\n## Trained\n")
        print("\n".join(trained(sets, asked.store, asked.train, asked.seeds)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
