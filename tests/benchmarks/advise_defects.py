"""What do a few real defects add to `asbench advise`, and do other blind rules do better?

`python -m tests.benchmarks.advise_defects --store STORE --sets mtd:tile demo:board tire=PATH:tire`
beside `tests.benchmarks.advise`, with its store and its sets. The few-shot third of every set's
defects may choose; the rest of the test images scores, whoever chose. What was tried stands in
`--folder`: of every mixture the scores of all test images, so that questions can be asked anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asbench.advising import rules, with_defects
from asbench.advising.evidence import Evidence
from asbench.advising.gather import trial_of
from asbench.advising.trial import Bench, Shown, judged, single, try_all
from asbench.advising.with_defects import DefectScores, ranks
from asbench.datasets import open_dataset
from asbench.detectors import build, pretrained_of
from asbench.evaluation.metrics import image_auroc, pixel_metrics
from asbench.evaluation.testset import TestSet, order_by_hash
from asbench.nets.features import FeatureDetector, cell_share
from asbench.progress import quiet
from asbench.training.feature_store import FeatureStore, TestImages
from synth_store import Mix, StoreKey, SynthStore
from tests.benchmarks.advise import (
    FIXED,
    METHODS,
    PHOTOGRAPHS,
    SAMPLES,
    STEPS,
    Place,
    Scores,
    seen,
)

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


BLIND: Mapping[str, rules.Rule] = {
    "better_half": rules.better_half,
    "votes_half": votes_half,
    "half_weighted": half_weighted,
    "all_weighted": all_weighted,
}
"""The rule that ships, and three that were thought of after it."""
SEEING = {
    "third": tuple(with_defects.RULES),
    "five": ("seen_best", "blend_best", "blend_third", "blend_half"),
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
    """Return what one seed shows of a data set, from the folder where it stands there."""
    path = folder / f"{place.dataset}-{place.category}-{seed}-defects.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        before = folder / f"{place.dataset}-{place.category}-{seed}.npz"
        known = seen(place, store, [seed], folder).seeds[0].evidence if before.exists() else None
        np.savez(path, **_try(place, store, seed, known))  # type: ignore[arg-type]
    with np.load(path) as kept:
        there = dict(kept)
    names = ("of", "memory", "head", "both", "pixel", "unusual")
    evidence = Evidence(METHODS, **{n: there[f"evidence {n}"] for n in names})
    return Tried(
        evidence,
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
    place: Place, root: Path, seed: int, known: Evidence | None
) -> dict[str, npt.NDArray[Any]]:
    store, pretrained = SynthStore.open(root), pretrained_of("memory")
    model = build("memory", 0)
    assert isinstance(model, FeatureDetector)
    assert pretrained is not None
    model.load_backbone(pretrained.tensors)
    features = FeatureStore(store, model.eval())
    normals = store.normals(place.dataset, place.category)
    sets = [store.read(StoreKey(place.dataset, m, 0), place.category) for m in METHODS]
    trial = trial_of(features, normals, sets, SAMPLES, PHOTOGRAPHS, pretrained)
    bench = Bench.of(trial, seed, STEPS)
    evidence = known or try_all([bench], quiet)
    named = place.path is not None
    data = open_dataset(place.path or place.dataset, name=place.dataset if named else None)
    test = TestSet(data, data.test(place.category), store.geometry)
    images = TestImages(test, normals, test.digest())
    looked = features.of(images, range(len(images)))
    empty = np.zeros((store.geometry.height, store.geometry.width), np.bool_)
    masks = [empty if mask is None else mask for mask in test.masks]
    share = cell_share(torch.from_numpy(np.stack(masks))[:, None].float())
    shown = Shown(looked, share, torch.full((len(images),), -1))
    labels = np.array([item.label for item in test.items])
    few = np.array([item.few_shot for item in test.items])
    order = order_by_hash([item.id for item in test.items])
    five = [i for i in order if few[i]][:FEWEST]
    marked = share.numpy() > 0.5

    heads = [bench.head(single(m)) for m in METHODS]
    said = judged(bench.memory, heads, shown)
    good = judged(bench.memory, heads, trial.kept)
    none = np.zeros(good.cells.shape[1:], np.bool_)
    out: dict[str, npt.NDArray[Any]] = {"labels": labels, "few": few}
    for name, which in (("third", np.flatnonzero(few)), ("five", np.array(five))):
        places = np.concatenate([none, marked[which]])
        pixel = [
            pixel_metrics(np.concatenate([g, c[which]]), places).ap
            for g, c in zip(good.cells, said.cells, strict=True)
        ]
        out[f"seen {name} both"] = said.both[None, :, which]
        out[f"seen {name} pixel"] = np.array([pixel])
    mixes = {written({m: 1.0}): said.both[i] for i, m in enumerate(METHODS)}
    cells = {written({m: 1.0}): said.cells[i] for i, m in enumerate(METHODS)}

    wanted = {written(alike(members)) for members in ALIKE.values()}
    wanted |= {chosen(evidence, rule(evidence)) for rule in BLIND.values()}
    for name, of in SEEING.items():
        defects = DefectScores(out[f"seen {name} both"], out[f"seen {name} pixel"])
        wanted |= {chosen(evidence, with_defects.RULES[r](evidence, defects)) for r in of}
    more = sorted(wanted - set(mixes))
    judges = [bench.head(Mix.parse(mix)) for mix in more]
    told = judged(bench.memory, judges, shown)
    mixes |= dict(zip(more, told.both, strict=True))
    cells |= dict(zip(more, told.cells, strict=True))
    for mix, scores in mixes.items():
        out[f"both {mix}"] = scores
        out[f"held {mix}"] = np.array(pixel_metrics(cells[mix][~few], marked[~few]).ap)
    for name in ("of", "memory", "head", "both", "pixel", "unusual"):
        out[f"evidence {name}"] = np.asarray(getattr(evidence, name))
    return out


def main(arguments: list[str] | None = None) -> int:
    """Try, compare, print."""
    reading = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    reading.add_argument("--store", type=Path, required=True)
    reading.add_argument("--sets", type=Place.parse, nargs="+", required=True)
    reading.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--folder", type=Path, default=Path("advise-evidence"))
    asked = reading.parse_args(arguments)
    torch.set_num_threads(1)
    for seed in asked.seeds:
        for place in asked.sets:
            tried(place, asked.store, seed, asked.folder)
            print(f"{place} was tried with seed {seed}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
