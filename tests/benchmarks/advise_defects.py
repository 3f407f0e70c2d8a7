"""What do a few real defects add to `asbench advise`, and do other blind rules do better?

`python -m tests.benchmarks.advise_defects --store STORE --sets mtd:tile demo:board tire=PATH:tire`
beside `tests.benchmarks.advise`, with its store and its sets. The few-shot third of every set's
defects may choose; the rest of the test images scores, whoever chose. What was tried stands in
`--folder`: of every mixture the scores of all test images, so that questions can be asked anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asbench.advising import rules, with_defects
from asbench.advising.evidence import Evidence
from asbench.advising.trial import Judged, try_all
from asbench.advising.with_defects import DefectScores, ranks
from asbench.evaluation.metrics import image_auroc, pixel_metrics
from asbench.evaluation.testset import order_by_hash
from asbench.progress import quiet
from synth_store import Mix
from tests.benchmarks.advise import FIXED, Scores, at_least, seen
from tests.benchmarks.advise_stand import METHODS, Place, stand

ELEVEN = tuple(m for m in METHODS if m not in ("compose", "defectmaker", "glass", "simplex"))
"""The hand-crafted methods of the benchmark's paper."""
FEWEST = 5
"""Defects that a user has at hand who has hardly any."""
Weights = Mapping[str, float]
Floats = npt.NDArray[np.float64]


def votes(evidence: Evidence) -> Floats:
    """Return the mean rank in finding, heads alone, in outlining, and in what others say too."""
    voices = (rules.found_by_heads, rules.outlined, rules.alike)
    return np.asarray(np.mean([ranks(of(evidence)) for of in voices], axis=0))


def votes_half(evidence: Evidence) -> Floats:
    """Leave out the half with the lowest mean rank of three predictors."""
    weights = np.zeros(len(evidence.methods))
    weights[np.argsort(-votes(evidence), kind="stable")[: (len(weights) + 1) // 2]] = 1
    return weights / weights.sum()


def half_weighted(evidence: Evidence) -> Floats:
    """Take the better half, each as much as its head ranks images like the others' heads do."""
    chosen = rules.better_half(evidence) > 0
    weights = np.where(chosen, 0.1 + ranks(rules.alike(evidence)), 0)
    return np.asarray(weights / weights.sum())


def all_weighted(evidence: Evidence) -> Floats:
    """Take all, each by the square of its mean rank of three predictors."""
    weights = votes(evidence) ** 2
    return np.asarray(weights / weights.sum())


def half_single(evidence: Evidence) -> Floats:
    """Give half to `defectmaker`, the best single of the other sets whichever is left out.

    The rest is the better half's: what other sets' defects taught, and what this one's normals say.
    """
    weights = rules.better_half(evidence) / 2
    weights[evidence.methods.index("defectmaker")] += 0.5
    return weights


BLIND: Mapping[str, rules.Rule] = {
    "better_half": rules.better_half,
    "votes_half": votes_half,
    "half_weighted": half_weighted,
    "all_weighted": all_weighted,
    "half_single": half_single,
}
"""The rule that ships, and four that were thought of after it."""
SEEING = {
    "third": tuple(with_defects.RULES),
    "five": ("apart_third", "apart_half", "shrunk_half"),
}
"""Rules by the defects that they see: the few-shot third, and `FEWEST` of it."""
ALIKE = FIXED | {"eleven": ELEVEN}


@dataclass(frozen=True, eq=False)
class Tried:
    """One seed on one data set: evidence, and of every mixture what its detector said of all.

    labels, few: of the test images, 1 for a defect, True for the few-shot third; both: by mixture
    the scores; seen: by method, image AUROC and pixel AP are made of what heads said of few-shot
    defects; held: by mixture, pixel AP on the test images without the few-shot third.
    """

    evidence: Evidence
    labels: npt.NDArray[np.int64]
    few: npt.NDArray[np.bool_]
    both: Mapping[str, Floats]
    held: Mapping[str, float]
    seen: Mapping[str, DefectScores]

    def score(self, mix: str) -> Scores:
        """Return what a mixture's detector scores without the few-shot third."""
        rest = ~self.few
        return np.array([image_auroc(self.both[mix][rest], self.labels[rest]), self.held[mix]])


def written(weights: Weights) -> str:
    """Return a mixture as text: the methods in order, with their shares."""
    return ",".join(f"{m}:{w:.3f}" for m, w in sorted(weights.items()) if round(w, 3) > 0)


def alike(members: Sequence[str]) -> Weights:
    """Return equal shares."""
    return {m: 1 / len(members) for m in members}


def chosen(evidence: Evidence, weights: Floats) -> str:
    """Return the mixture of a rule's weights."""
    return written(dict(zip(evidence.methods, map(float, weights), strict=True)))


def tried(place: Place, store: Path, seed: int, folder: Path) -> Tried:
    """Return what one seed shows of a data set, from the folder where it stands there.

    What rules take that was not trained yet is trained, and added.
    """
    path = folder / f"{place.dataset}-{place.category}-{seed}-defects.npz"
    there: dict[str, npt.NDArray[Any]] = {}
    if path.exists():
        with np.load(path) as kept:
            there = dict(kept)
    if not there or wanted(_tried(there)) - set(_tried(there).both):
        before = folder / f"{place.dataset}-{place.category}-{seed}.npz"
        known = seen(place, store, [seed], folder).seeds[0].evidence if before.exists() else None
        folder.mkdir(parents=True, exist_ok=True)
        there = _try(place, store, seed, known, there)
        np.savez(path, **there)  # type: ignore[arg-type]
    return _tried(there)


def wanted(one: Tried) -> set[str]:
    """Return the mixtures that all ways of choosing take."""
    mixes = {written({m: 1.0}) for m in METHODS}
    mixes |= {written(alike(members)) for members in ALIKE.values()}
    mixes |= {chosen(one.evidence, rule(one.evidence)) for rule in BLIND.values()}
    for name, of in SEEING.items():
        mixes |= {_seeing(rule, name)(one) for rule in of}
    return mixes


def _tried(there: Mapping[str, npt.NDArray[Any]]) -> Tried:
    names = ("of", "memory", "head", "both", "pixel", "unusual")
    return Tried(
        Evidence(METHODS, **{n: there[f"evidence {n}"] for n in names}),
        there["labels"],
        there["few"],
        {k.removeprefix("both "): v for k, v in there.items() if k.startswith("both ")},
        {k.removeprefix("held "): float(v) for k, v in there.items() if k.startswith("held ")},
        {
            name: DefectScores(there[f"seen {name} both"], there[f"seen {name} pixel"])
            for name in SEEING
        },
    )


def _try(
    place: Place,
    root: Path,
    seed: int,
    known: Evidence | None,
    there: Mapping[str, npt.NDArray[Any]],
) -> dict[str, npt.NDArray[Any]]:
    at = stand(place, root, seed)
    marked = at.marked
    few = np.array([item.few_shot for item in at.test.items])
    out = dict(there)

    def add(mixes: Sequence[str], said: Judged) -> None:
        for mix, scores, cells in zip(mixes, said.both, said.cells, strict=True):
            out[f"both {mix}"] = scores
            out[f"held {mix}"] = np.array(pixel_metrics(cells[~few], marked[~few]).ap)

    if not out:
        evidence = known or try_all([at.bench], quiet)
        for name in ("of", "memory", "head", "both", "pixel", "unusual"):
            out[f"evidence {name}"] = np.asarray(getattr(evidence, name))
        out["labels"] = at.labels
        out["few"] = few
        order = order_by_hash([item.id for item in at.test.items])
        five = [i for i in order if few[i]][:FEWEST]
        said, good = at.singles(at.shown), at.singles(at.bench.trial.kept)
        none = np.zeros(good.cells.shape[1:], np.bool_)
        for name, which in (("third", np.flatnonzero(few)), ("five", np.array(five))):
            places = np.concatenate([none, marked[which]])
            pixel = [
                pixel_metrics(np.concatenate([g, c[which]]), places).ap
                for g, c in zip(good.cells, said.cells, strict=True)
            ]
            out[f"seen {name} both"] = said.both[None, :, which]
            out[f"seen {name} pixel"] = np.array([pixel])
        add([written({m: 1.0}) for m in METHODS], said)
    more = sorted(wanted(_tried(out)) - set(_tried(out).both))
    add(more, at.said([Mix.parse(mix) for mix in more]))
    return out


@dataclass(frozen=True, eq=False)
class Set:
    """A data set with what each seed showed."""

    place: Place
    seeds: tuple[Tried, ...]

    def mean(self, of: Callable[[Tried], str]) -> Scores:
        """Return the mean over the seeds of what each seed's choice scores, none of it few-shot."""
        return np.asarray(np.mean([one.score(of(one)) for one in self.seeds], axis=0))

    @property
    def singles(self) -> Scores:
        """The scores of every method alone: (M, 2)."""
        return np.array([self.mean(lambda _, m=m: written({m: 1.0})) for m in METHODS])


def ways(sets: Sequence[Set]) -> dict[str, list[Scores]]:
    """Return what every way of choosing scores on each set."""
    out: dict[str, list[Scores]] = {}
    for name, rule in BLIND.items():
        out[f"`{name}`"] = [
            one.mean(lambda t, r=rule: chosen(t.evidence, r(t.evidence))) for one in sets
        ]
    for name, members in ALIKE.items():
        out[name] = [one.mean(lambda _, m=members: written(alike(m))) for one in sets]
    out["fixed single, chosen on the other sets"] = [
        one.singles[
            int(np.argmax(np.mean([o.singles[:, 0] for o in sets if o is not one], axis=0)))
        ]
        for one in sets
    ]
    for name, of in SEEING.items():
        for rule in of:
            out[f"`{rule}`, {name}"] = [one.mean(_seeing(rule, name)) for one in sets]
    return out


def _seeing(rule: str, name: str) -> Callable[[Tried], str]:
    of = with_defects.RULES[rule]
    return lambda t: chosen(t.evidence, of(t.evidence, t.seen[name]))


def table(sets: Sequence[Set]) -> list[str]:
    """Return a table of all ways beside the blind rule, the fixed single and equal weights."""
    oracle = np.array([one.singles[:, 0].max() for one in sets])
    each = ways(sets)
    against = ("`better_half`", "fixed single, chosen on the other sets", "equal")
    lines = [
        "| way | image AUROC, mean | SD over sets | pixel AP, mean | regret to the oracle single "
        "| worst regret | >= `better_half` | >= fixed single | >= equal weights |",
        f"|---|{'---:|' * 8}",
    ]
    for name, scores in each.items():
        means = np.array(scores)
        regret = oracle - means[:, 0]
        held = [
            sum(at_least(a, b) for a, b in zip(scores, each[other], strict=True))
            for other in against
        ]
        lines.append(
            f"| {name} | {means[:, 0].mean():.3f} | {means[:, 0].std(ddof=1):.3f} "
            f"| {means[:, 1].mean():.3f} | {regret.mean():+.3f} | {regret.max():+.3f} "
            f"| {' | '.join(f'{count} of {len(sets)}' for count in held)} |"
        )
    return [*lines, f"\noracle single: image AUROC {oracle.mean():.3f}"]


def set_by_set(sets: Sequence[Set], names: Sequence[str]) -> list[str]:
    """Return image AUROC and pixel AP of some ways on every set."""
    each = ways(sets)
    few = [int((one.seeds[0].few & (one.seeds[0].labels == 1)).sum()) for one in sets]
    lines = [
        f"| set | few-shot defects | {' | '.join(names)} |",
        f"|---|---:|{'---:|' * len(names)}",
    ]
    for at, one in enumerate(sets):
        cells = [f"{each[name][at][0]:.3f} / {each[name][at][1]:.3f}" for name in names]
        lines.append(f"| {one.place} | {few[at]} | {' | '.join(cells)} |")
    return lines


def left_out(sets: Sequence[Set]) -> list[str]:
    """Return, for each set, the rule with the third that is best on all others, and its gain."""
    each = ways(sets)
    names = [f"`{rule}`, third" for rule in with_defects.RULES]
    lines = ["| left out | best rule on the others | gain in image AUROC | in pixel AP |"]
    lines.append("|---|---|---:|---:|")
    gains = []
    for at, one in enumerate(sets):
        means = {n: np.mean([s[0] for i, s in enumerate(each[n]) if i != at]) for n in names}
        best = max(means, key=lambda n: means[n])
        gains.append(each[best][at] - each["`better_half`"][at])
        lines.append(f"| {one.place} | {best} | {gains[-1][0]:+.3f} | {gains[-1][1]:+.3f} |")
    mean = np.mean(gains, axis=0)
    return [*lines, f"\nmean gain {mean[0]:+.3f} image AUROC, {mean[1]:+.3f} pixel AP"]


def main(arguments: list[str] | None = None) -> int:
    """Try, compare, print."""
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reading.add_argument("--store", type=Path, required=True)
    reading.add_argument("--sets", type=Place.parse, nargs="+", required=True)
    reading.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--folder", type=Path, default=Path("advise-evidence"))
    asked = reading.parse_args(arguments)
    torch.set_num_threads(1)
    every: dict[Place, list[Tried]] = {place: [] for place in asked.sets}
    for seed in asked.seeds:
        for place in asked.sets:
            every[place].append(tried(place, asked.store, seed, asked.folder))
            print(f"{place} was tried with seed {seed}", file=sys.stderr, flush=True)
    sets = [Set(place, tuple(seeds)) for place, seeds in every.items()]
    print("\n".join(table(sets)))
    print("\n## Set by set, image AUROC / pixel AP\n")
    ships = with_defects.SHIPPED
    shown = ("`better_half`", f"`{ships}`, third", f"`{ships}`, five")
    print("\n".join(set_by_set(sets, shown)))
    if len(sets) > 2:
        print("\n## One set left out\n")
        print("\n".join(left_out(sets)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
