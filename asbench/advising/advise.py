"""One advice, top to bottom: photographs, pools, features, trials, a rule, and what it says."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asbench.advising import rules, with_defects
from asbench.advising.candidates import candidates, named
from asbench.advising.evidence import Evidence, Floats, auroc, effects
from asbench.advising.gather import trial_of
from asbench.advising.kept import Kept
from asbench.advising.real_defects import RealDefects, heads_on, read_defects
from asbench.advising.study_file import study_text
from asbench.advising.trial import Bench, go_on, judged, try_all
from asbench.advising.with_defects import DefectScores
from asbench.data import defect_sizes, tiling
from asbench.data.defect_sizes import Sizes
from asbench.data.geometry import geometry_of
from asbench.data.objects import said
from asbench.datasets import open_dataset
from asbench.detectors import build, pretrained_of, protocol_of
from asbench.evaluation.kept_normals import kept_photographs
from asbench.files.documents import into_place
from asbench.generation.generate import render_sets
from asbench.imaging.contact_sheet import LABEL, Band, contact_sheet
from asbench.nets.features import FeatureDetector
from asbench.parameters import takes
from asbench.report.page.advice import following, page
from asbench.results.advised import FILE, PAGE, STUDY, Advised, folder_of
from asbench.settings import STORE, AdviseSettings, GenerateSettings
from asbench.training.feature_store import FeatureStore
from asbench.types import Dataset
from synth_store import Geometry, Mix, Normals, StoredSet, SynthStore, UserError
from synth_store.types import Image

DETECTOR = "memory"
TRIALS = "trials"
"""The folder of what trials learned, beside the advice."""
LEAST = 20
"""Photographs that are too few to be split into those that teach and those that judge."""


@dataclasses.dataclass(frozen=True)
class Effort:
    """How much is tried: photographs at most, samples of each method, steps of a training, trials.

    The steps are fewer than a training's own: the order of methods stands earlier than the scores.
    """

    photographs: int
    samples: int
    steps: int
    trials: int


WHOLE = Effort(photographs=300, samples=120, steps=200, trials=3)
QUICK = Effort(photographs=75, samples=40, steps=50, trials=1)


@takes(AdviseSettings)
def advise(asked: AdviseSettings) -> Advised:
    """Try every method on good photographs, and propose what to train on.

    No defect is looked at, unless `defects` names a folder of some: those may choose too, but none
    that runs on the category are scored on, save its few-shot third.

    Samples of every method are rendered into the store; the detector `memory` is trained on each
    alone, on two thirds of the photographs, and scored on the samples of all others and on the
    photographs that are left. A rule (`asbench.advising.rules`) makes a mixture of that. The
    record, a page and a study file stand in `<store>-advice/<dataset>/<category>`, and
    `train(mix="advised")` trains the mixture. What was rendered, and its features, stay in the
    store and are used again; so does what the trials learned, beside the record: stopped or killed,
    the same call goes on where it was.

    Returns the record. Raises UserError for what the caller can mend, Interrupted where `stop`
    ended it.
    """
    start = time.perf_counter()
    effort = _effort(asked)
    data = open_dataset(asked.dataset, name=asked.name)
    category = _category(data, asked)
    where = folder_of(asked.store, data.name, category)
    _refuse_few(data, category)
    if asked.methods:
        methods, untried = named(asked.methods)
    else:
        methods, untried = candidates(data.name, category, asked.fits, quick=asked.quick)
    if len(methods) < 2:
        raise UserError(f"{methods[0]} alone is nothing to choose from: name two methods or more.")
    pretrained = pretrained_of(DETECTOR, None, asked.weights)
    real = _real_defects(asked, data, category)

    # Pools and features, which stay in the store.
    sets = _pools(asked, data, category, methods, effort.samples)
    normals, store = sets[0].normals, SynthStore.open(asked.store)
    found = _found(data, category, normals, asked.smallest_defect, real)
    for sentence in found:
        asked.notify(sentence)
    model = build(DETECTOR, 0)
    assert isinstance(model, FeatureDetector)
    if pretrained is not None:
        model.load_backbone(pretrained.tensors)
    features = FeatureStore(store, model.eval(), asked.progress, asked.stop)
    trial = trial_of(features, normals, sets, effort.samples, effort.photographs, pretrained)

    # Every method on all others, and the mixture.
    kept = Kept(where / TRIALS)
    benches = []
    for seed in range(effort.trials):
        go_on(asked.stop)
        benches.append(Bench.of(trial, seed, effort.steps, kept))
        asked.progress("remembering photographs", seed + 1, effort.trials)
    shown = try_all(benches, asked.progress, asked.stop)
    rule = rules.RULES[rules.SHIPPED]
    blind = mix = _mix(shown, rule(shown))
    name, why, seen = rules.SHIPPED, rule.__doc__, None
    if real is not None:
        seen = heads_on(benches, model, real)
        name = with_defects.SHIPPED
        rule_of_both = with_defects.RULES[name]
        mix, why = _mix(shown, rule_of_both(shown, seen)), rule_of_both.__doc__
    advised = Advised(
        dataset=data.name,
        category=category,
        origin=_origin(asked),
        geometry=str(store.geometry),
        normals=normals.digest,
        mix=mix,
        rule=name,
        reason=(why or "").partition("\n")[0],
        detector=DETECTOR,
        ratio=protocol_of(DETECTOR).ratio,
        steps=effort.steps,
        quick=asked.quick,
        n=effort.samples,
        trials=effort.trials,
        taught=len({int(i) for i in trial.normals.source}),
        kept=len(trial.kept),
        textures=asked.textures,
        photographs=found,
        others={name: _mix(shown, one(shown)) for name, one in rules.RULES.items()},
        untried=untried,
        seconds=round(time.perf_counter() - start, 1),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        expected=_expected(shown, benches, Mix.of(mix)),
        **_measured(shown),  # type: ignore[arg-type]
        **_seen(shown, real, seen, blind),  # type: ignore[arg-type]
    )
    FILE.write(advised, where)
    into_place(where / STUDY, study_text(advised, data, asked))
    elsewhere = None if str(asked.store) == STORE else asked.store
    into_place(where / PAGE, page(advised, _sheets(sets), following(advised, elsewhere, where)))
    kept.tidy()
    return advised


def _effort(asked: AdviseSettings) -> Effort:
    own = QUICK if asked.quick else WHOLE
    return dataclasses.replace(
        own, samples=asked.n or own.samples, trials=asked.trials or own.trials
    )


def _category(data: Dataset, asked: AdviseSettings) -> str:
    known = data.categories()
    if asked.category is None and len(known) > 1:
        asked.notify(f"category {known[0]} of {', '.join(known)}: another with --category")
    category = known[0] if asked.category is None else asked.category
    if category not in known:
        raise UserError(
            f"category {category!r} is not in {data.name}: choose from {', '.join(known)}."
        )
    return category


def _real_defects(asked: AdviseSettings, data: Dataset, category: str) -> RealDefects | None:
    """Read the defects that may choose, before anything is rendered; None where none may."""
    if asked.defects is None:
        return None
    if SynthStore.stands_at(asked.store):
        geometry = SynthStore.open(asked.store).geometry
    else:
        wanted = asked.size, asked.resize, asked.scale, asked.overlap
        geometry = geometry_of(asked.store, *wanted) or Geometry()
    return read_defects(Path(asked.defects), data, category, geometry, asked.progress)


def _refuse_few(data: Dataset, category: str) -> None:
    count = len(data.train(category))
    if count < LEAST:
        raise UserError(
            f"{data.name}/{category} has {count} good photographs, and {LEAST} at least are needed "
            "for some to teach and others to judge. See what was recognised with "
            "`asbench data check PATH`."
        )


def _pools(
    asked: AdviseSettings, data: Dataset, category: str, methods: list[str], count: int
) -> list[StoredSet]:
    """Render what the store lacks of every method's first samples."""
    own = {one.name for one in dataclasses.fields(GenerateSettings)}
    said = {
        one.name: getattr(asked, one.name)
        for one in dataclasses.fields(asked)
        if one.name in own and one.init
    }
    wanted = GenerateSettings(**said | {"method": methods, "category": category, "n": count})
    return [one.stored for one in render_sets(wanted)]


def _found(
    data: Dataset,
    category: str,
    normals: Normals,
    smallest: float | None,
    real: RealDefects | None,
) -> list[str]:
    """Say what was found of the photographs and defects, and whether the size is enough."""
    whole = tiling.photographs(normals)
    kept = len(kept_photographs(whole, 0.1))
    shapes = [data.image(item).shape for item in data.train(category)[:20]]
    sizes = {(shape[0], shape[1]) for shape in shapes}
    low, high = min(sizes), max(sizes)
    size = f"{low[1]}x{low[0]}" + ("" if low == high else f" to {high[1]}x{high[0]}")
    tone = "grey" if normals.grey else "coloured"
    place = f"{data.name}/{category}"
    lines = [
        f"{place}: {len(whole)} good photographs, {size} pixels, {tone}",
        f"{place}: {said(normals)}",
        f"{place}: training keeps {kept} of them out, and sets the threshold on those",
    ]
    tiles = tiling.said(normals)
    lines += [f"{place}: {tiles}"] if tiles else []
    lines += real.said(place) if real is not None else []
    return [*lines, *(f"{place}: {line}" for line in _size(normals, sorted(sizes), smallest, real))]


def _size(
    normals: Normals,
    photographs: list[tuple[int, int]],
    smallest: float | None,
    real: RealDefects | None,
) -> list[str]:
    """Say what the size keeps of the smallest defects, by the rule of `asbench data check`."""
    breadths = Sizes((), ()) if real is None else real.sizes
    told = defect_sizes.advise(breadths, photographs, normals.geometry, smallest)
    usual = normals.geometry == Geometry()
    more = usual and defect_sizes.finer(photographs, normals.geometry, told)
    further = [defect_sizes.worth(normals.geometry)] if more else []
    if told is not None:
        return [str(told), *further]
    least = defect_sizes.least(photographs, normals.geometry)
    line = (
        f"at {normals.geometry} a defect of less than {least:.3g} px across keeps fewer than "
        f"{defect_sizes.ENOUGH:g} and can hardly be found; with --smallest-defect PIXELS a size "
        "is proposed"
    )
    return [line, *further]


def _origin(asked: AdviseSettings) -> list[str]:
    return ["--dataset", str(asked.dataset), *(["--name", asked.name] if asked.name else [])]


def _mix(shown: Evidence, weights: Floats) -> dict[str, float]:
    pairs = zip(shown.methods, weights, strict=True)
    return {method: round(float(weight), 6) for method, weight in pairs if weight > 0}


def _expected(shown: Evidence, benches: list[Bench], mix: Mix) -> list[float]:
    """Return what the mixture itself, trained, scores on each method's samples: image AUROC."""

    def both(bench: Bench) -> dict[str, Tensor]:
        said = [judged(bench.memory, [bench.head(mix)], one).both[0] for one in bench.kept]
        return {"both": torch.from_numpy(np.concatenate(said))}

    each = []
    for bench in benches:
        said = bench.told(f"expected of {mix}", partial(both, bench))["both"].numpy()
        each.append([auroc(said, shown.of, m) for m in range(len(shown.methods))])
    return [round(float(value), 4) for value in np.mean(each, axis=0)]


def _measured(shown: Evidence) -> dict[str, object]:
    """Return the fields of the record that are the evidence's, rounded."""

    def row(values: Floats) -> list[float]:
        return [round(float(value), 4) for value in values]

    rows = np.array([effects(one) for one in shown.heads_each])
    spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.full(len(shown.methods), np.nan)
    return {
        "methods": list(shown.methods),
        "cross": [row(one) for one in shown.cross],
        "outline": [row(one) for one in shown.pixel.mean(axis=0)],
        "finds": row(rules.found(shown)),
        "heads": row(rules.found_by_heads(shown)),
        "spread": row(spread),
        "alike": row(rules.alike(shown)),
        "outlines": row(rules.outlined(shown)),
        "agreement": row(shown.agreement),
        "memory": row(shown.by_memory),
        "unusual": row(shown.unusual),
    }


def _seen(
    shown: Evidence, real: RealDefects | None, seen: DefectScores | None, blind: dict[str, float]
) -> dict[str, object]:
    """Return the fields of the record that are of real defects; none without any."""
    if real is None or seen is None:
        return {}
    return {
        "defects": len(real),
        "few_shot": real.few_shot,
        "scored": real.scored,
        "seen": [round(float(value), 4) for value in seen.found(shown)],
        "seen_outlines": [round(float(v), 4) for v in seen.outlined()] if seen.masked else [],
        "blind": blind,
    }


def _sheets(sets: list[StoredSet], count: int = 6) -> dict[str, Image]:
    """Return one row of samples of every set, as they stand in the store."""
    rows = {}
    for stored in sets:
        some = [stored[i] for i in range(min(count, stored.count))]
        rows[stored.key.method] = contact_sheet([Band("", some)], side=128, compact=True)[LABEL:]
    return rows
