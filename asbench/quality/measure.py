"""Measure a stored set: every score of one category of one set, one record."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from asbench.data import tiling
from asbench.data.set_record import record_of
from asbench.datasets import open_dataset
from asbench.evaluation.testset import TestSet
from asbench.imaging.noise import noise_of
from asbench.mend import regenerate_command
from asbench.nets.device import find_device
from asbench.parameters import takes
from asbench.quality import distributions, record
from asbench.quality.arrays import Masks, Pixels, as_arrays, digest_of
from asbench.quality.metrics import available, load_metrics
from asbench.quality.record import REGIONS, Decides, Pairing, Quality, Region, Score
from asbench.quality.references import BATCH, References, features, region_tensors, tensor
from asbench.quality.regions import MaskStatistics
from asbench.settings import MeasureSettings
from asbench.types import REAL
from synth_store import StoreKey, SynthStore, UserError

Floats = npt.NDArray[np.float64]

NO_REAL = "there are no such real defects"


@takes(MeasureSettings)
def measure(asked: MeasureSettings) -> Quality:
    """Measure the image quality of one category of a stored set.

    A smaller set is measured whole; scores of different n are not to be compared.

    Returns what stands in `<out>/<id>/quality.json`; one that stands already is not measured again.
    Raises UserError for what the caller can mend.
    """
    return Meter(asked).measure(asked.method, asked.seed)


def measure_all(
    asked: MeasureSettings, methods: Sequence[str] | None, categories: Sequence[str] | None
) -> Iterator[list[Quality]]:
    """Measure several sets of one seed, and yield what is measured category by category.

    methods: None for all that are stored, real defects too; categories: None for all. A category
    without a set is passed over. Raises what `measure` does, and UserError where no set is left.
    """
    data = open_dataset(asked.dataset, name=asked.name)
    store, seed = SynthStore.open(asked.store), asked.seed
    stored = [
        (key.method, category)
        for key, category in store.sets()
        if key.dataset == data.name
        and (key.seed == seed or key.method == REAL)
        and store.count(key, category)
    ]
    wanted = {
        category: methods or [method for method, c in stored if c == category]
        for category in categories or data.categories()
    }
    if not any(wanted.values()):
        line = shlex.join(
            ["asbench", "generate", "--dataset", str(asked.dataset), "--method", "draem"]
        )
        raise UserError(
            f"the store at {asked.store} holds no set of {data.name} with seed {seed}: make one "
            f"with `{line}`."
        )
    for category, chosen in wanted.items():
        if chosen:
            meter = Meter(replace(asked, category=category))
            yield [meter.measure(method, seed) for method in chosen]


class Meter:
    """Measures sets of one category: its networks and references are read once for all of them.

    Raises what `measure` does.
    """

    def __init__(self, asked: MeasureSettings) -> None:
        if asked.n < 2:
            raise UserError(f"{asked.n} samples cannot be compared: give 2 or more with -n.")
        data = open_dataset(asked.dataset, name=asked.name)
        chosen = asked.category if asked.category is not None else data.categories()[0]
        if chosen not in data.categories():
            raise UserError(
                f"category {chosen!r} is not in {data.name}: choose from "
                f"{', '.join(data.categories())}."
            )
        self.data, self.category, self.n, self.real = data, chosen, asked.n, asked.real
        self.store, self.out = SynthStore.open(asked.store), Path(asked.out)
        self.normals = self.store.normals(data.name, chosen)
        self.test = TestSet(data, data.test(chosen), self.store.geometry)
        self.device = find_device(asked.device)
        self.progress, self.notify = asked.progress, asked.notify
        why = available(asked.weights)
        names = [metric for metric in why if not why[metric]]
        if asked.metrics is None and (lacking := [metric for metric in why if why[metric]]):
            self.notify(f"left out for want of weights or packages: {', '.join(lacking)}")
        wanted = names if asked.metrics is None else asked.metrics
        self.loaded = load_metrics(wanted, asked.weights, self.device)

    @cached_property
    def references(self) -> References:
        """What the category's sets are held against."""
        parts = self.loaded.spaces, self.device, self.progress
        return References(self.test, self.normals, self.real, self.n, *parts)

    @cached_property
    def _test_digest(self) -> str:
        return self.test.digest()

    def decides(self, method: str, seed: int = 0) -> Decides:
        """Return what decides a set's scores; raises StoreError where it is not stored."""
        key = StoreKey(self.data.name, method, 0 if method == REAL else seed)
        stored = self.store.read(key, self.category)
        if stored.count < 2:
            raise UserError(
                f"{key}/{self.category} has one sample, and a set has two or more: make more with "
                f"`{regenerate_command(self.store, key, self.category, count=self.n)}`."
            )
        return Decides(
            version=record.QUALITY_VERSION,
            dataset=key.dataset,
            category=self.category,
            method=method,
            seed=key.seed,
            geometry=str(self.store.geometry),
            set=digest_of(self.store, key, self.category, min(self.n, stored.count)),
            normals=self.normals.digest,
            test=self._test_digest,
            n=self.n,
            real=self.real,
            metrics=self.loaded.names,
            weights=self.loaded.weights,
        )

    def measure(self, method: str, seed: int = 0) -> Quality:
        """Measure one set and write its record, or return the one that stands."""
        decides = self.decides(method, seed)
        there = record.finished(self.out, decides)
        if there is not None:
            self.notify(f"{method} of {self.data.name}/{self.category} is measured: {there.id}")
            return there
        start = perf_counter()
        key = StoreKey(self.data.name, method, decides["seed"])
        seen = record_of(self.store.read(key, self.category)).saw_defects
        quality = Quality(
            decides=decides,
            scores=tuple(self._marked(score) for score in self._scores(key)),
            saw_defects=len(seen),
            environment={
                "asbench": version("asbench"),
                "torch": torch.__version__,
                "torchmetrics": version("torchmetrics"),
                "device": f"{self.device.type} ({platform.processor() or platform.machine()})",
            },
            seconds=perf_counter() - start,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        record.save(quality, self.out)
        return quality

    def _marked(self, score: Score) -> Score:
        """Return a score with the weights that it rests on."""
        return replace(score, weights=self.loaded.digest_behind(score.metric)[:12])

    def _scores(self, key: StoreKey) -> Iterator[Score]:
        """Read the set once, block by block, and yield its scores."""
        count = min(self.n, self.store.read(key, self.category).count)
        drawn_on = tiling.sources(self.normals)
        loud = noise_of(self.normals, self.data.name, self.category, among=drawn_on)
        masks, pairs = MaskStatistics(loud), _Pairs(self)
        parts: list[dict[str, dict[Region, Floats]]] = []
        done = 0
        self.progress(f"{key}/{self.category}", done, count)
        for image, mask, clean in as_arrays(self.store, key, self.category, count, BATCH).blocks():
            masks.add(image, mask, clean)
            pairs.add(done, image, mask, clean)
            parts.append(features(self.loaded.spaces, image, mask, self.device))
            done += len(image)
            self.progress(f"{key}/{self.category}", done, count)
        yield from masks.scores()
        yield from pairs.scores()
        own = {
            name: {region: np.concatenate([part[name][region] for part in parts]) for region in by}
            for name, by in parts[0].items()
        }
        yield from _distribution_scores(self, own)
        for name in self.loaded.spaces:
            yield from _diversity_scores(name, own[name], self.references)
            yield from _nearest_scores(name, own[name]["inside"], self.references)


class _Pairs:
    """Gathers the metrics of pairs: each sample with its clean image, and with a real defect."""

    def __init__(self, meter: Meter) -> None:
        self.metrics, self.device = meter.loaded.pairwise, meter.device
        self.references = meter.references
        self.against_real = bool(self.references.reference) and bool(self.metrics)
        self.values: dict[tuple[str, Pairing, Region], list[Floats]] = {}

    def add(self, start: int, image: Pixels, mask: Masks, clean: Pixels) -> None:
        one = tensor(image, self.device).float() / 255
        regions = region_tensors(mask, self.device)
        partners: list[tuple[Pairing, Pixels, Mapping[Region, torch.Tensor | None]]] = [
            ("clean", clean, regions)
        ]
        if self.against_real:
            places = self.references.partners(start, len(image))
            # A real defect lies elsewhere: there is no region that both share.
            partners.append(("real", self.references.defects[places], {"whole": None}))
        for pairing, other, where in partners:
            two = tensor(other, self.device).float() / 255
            for name, metric in self.metrics.items():
                for region, values in metric(one, two, where).items():
                    self.values.setdefault((name, pairing, region), []).append(values.numpy())

    def scores(self) -> Iterator[Score]:
        for (name, pairing, region), parts in self.values.items():
            values = np.concatenate(parts)
            values = values[np.isfinite(values)]
            against = len(self.references.reference) if pairing == "real" else len(values)
            if len(values):
                mean, spread, why = float(values.mean()), float(values.std()), ""
            else:
                mean, spread, why = np.nan, np.nan, "no sample has such a region"
            n = len(values)
            yield Score(name, pairing, region, mean, n, against, spread, reason=why)
        if not self.against_real:
            for name in self.metrics:
                yield Score(name, "real", "whole", np.nan, 0, reason=NO_REAL)


def _distribution_scores(
    meter: Meter, own: Mapping[str, Mapping[Region, Floats]]
) -> Iterator[Score]:
    """Yield FID and KID against real defects and normals, and IS, with their local versions."""
    references = meter.references
    for name, formula, space in meter.loaded.distribution:
        for region in REGIONS:
            samples = _finite(own[space.name][region])
            if formula == "is":
                yield _inception_score(name, region, samples, space.logits)
                continue
            against: dict[Pairing, Floats] = {"real": _real(references, space.name, region)}
            if region == "whole":
                against["normals"] = references.of_normals[space.name]
            for pairing, others in against.items():
                yield _distance(name, formula, pairing, region, samples, others)


def _real(references: References, space: str, region: Region) -> Floats:
    """Return the features of the reference defects that have the region."""
    if not references.reference:
        return np.empty((0, 1))
    return _finite(references.of_defects[space][region][references.reference])


def _distance(
    name: str, formula: str, pairing: Pairing, region: Region, samples: Floats, others: Floats
) -> Score:
    made = partial(Score, name, pairing, region)
    n, against = len(samples), len(others)
    if n < 2 or against < 2:
        why = f"{n} samples and {against} references have the region, 2 of each are needed"
        return made(np.nan, n, against, reason=why if against else NO_REAL)
    if formula == "fid":
        return made(distributions.frechet_distance(samples, others), n, against)
    mean, spread, size = distributions.kernel_distance(samples, others)
    return made(mean, n, against, spread, f"subsets of {size}")


def _inception_score(
    name: str, region: Region, samples: Floats, logits: Callable[[torch.Tensor], torch.Tensor]
) -> Score:
    if len(samples) < 2:
        return Score(name, "self", region, np.nan, len(samples), reason="fewer than 2 samples")
    classes = logits(torch.from_numpy(samples)).numpy()
    mean, spread, splits = distributions.inception_score(classes)
    note = f"{splits} part{'s' * (splits > 1)}"
    return Score(name, "self", region, mean, len(samples), 0, spread, note)


def _diversity_scores(
    space: str, own: Mapping[Region, Floats], references: References
) -> Iterator[Score]:
    """Yield effective number and mean cosine distance of the directions away from the normals."""
    origin = references.of_normals[space].mean(axis=0)
    regions: tuple[Region, ...] = ("whole", "inside")
    for region in regions:
        samples = _finite(own[region])
        for name, formula in (
            ("effective_number", distributions.effective_number),
            ("distance", distributions.mean_distance),
        ):
            made = partial(Score, f"{name}@{space}", "self", region)
            if len(samples) < 2:
                yield made(np.nan, len(samples), reason="fewer than 2 samples have the region")
            else:
                vectors = distributions.directions(samples, origin)
                yield made(formula(vectors), len(samples))


def _nearest_scores(space: str, samples: Floats, references: References) -> Iterator[Score]:
    """Yield the mean distance to the nearest few-shot defect and to the nearest other one.

    Of as many of either, since the nearest of more is nearer. A set that copies what it has seen is
    nearer to the few-shot ones.
    """
    samples, few = _finite(samples), references.few_shot
    of_all = references.of_defects[space].get("inside", np.empty((0, 1))) if few else None
    sides: tuple[tuple[Pairing, bool], ...] = (("few-shot", True), ("held-out", False))
    groups = {
        pairing: _finite(of_all[np.array(few) == seen]) if of_all is not None else np.empty((0, 1))
        for pairing, seen in sides
    }
    size = min(map(len, groups.values()))
    for pairing, group in groups.items():
        made = partial(Score, f"nearest@{space}", pairing, "inside")
        if not size or not len(samples):
            yield made(np.nan, len(samples), reason=NO_REAL)
        else:
            spaced = np.linspace(0, len(group) - 1, size).round().astype(int)
            distances = distributions.nearest_distances(samples, group[spaced])
            yield made(float(distances.mean()), len(samples), size, float(distances.std()))


def _finite(rows: Floats) -> Floats:
    """Return the rows that are defined: those whose image has the region."""
    finite: Floats = rows[np.isfinite(rows).all(axis=1)]
    return finite
