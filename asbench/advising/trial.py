"""Every method tried: a memory a seed, asked once what is nearest, a head of seconds a method."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asbench.advising.evidence import Evidence
from asbench.advising.kept import Kept, Tensors, key_of
from asbench.detectors import build
from asbench.detectors.memory import MARKED, Memory, together
from asbench.evaluation.metrics import pixel_metrics
from asbench.nets.coreset import Nearest
from asbench.nets.features import FeatureBatch, Features, gathered
from asbench.nets.pretrained import Pretrained
from asbench.nets.recalled import content
from asbench.nets.seeds import address_seed, private_rng, seed_rng
from asbench.progress import Progress
from asbench.types import Interrupted
from synth_store import Mix, Schedule

Floats = npt.NDArray[np.floating]
SOME = 32
"""Images whose cells are in float32 at once."""
LEARNED = ("head.", "logit", "taught")
"""What a training changes of the detector's state."""


@dataclass(frozen=True)
class Shown:
    """Images whose features are at hand.

    share: float32 (n, h, w), how much of each cell is marked; source: int64 (n,), which of the
    remembered normals each was drawn on, -1 where none of them.
    """

    features: Features
    share: Tensor
    source: Tensor

    def __len__(self) -> int:
        return len(self.share)

    def __getitem__(self, part: slice) -> Shown:
        return Shown(self.features[part], self.share[part], self.source[part])

    @cached_property
    def digest(self) -> bytes:
        """A digest of all numbers."""
        return content(*self.features.levels, self.share, self.source)


@dataclass(frozen=True)
class Trial:
    """What is tried: normals and samples, of each a part that trains and one that is kept out.

    samples: by method, the ones that train and those that are kept out.
    """

    normals: Shown
    kept: Shown
    samples: Mapping[str, tuple[Shown, Shown]]
    pretrained: Pretrained | None

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in their order."""
        return tuple(self.samples)

    @cached_property
    def digest(self) -> bytes:
        """A digest of all that teaches and judges."""
        pairs = (one for pair in self.samples.values() for one in pair)
        shown = self.normals, self.kept, *pairs
        return key_of(*self.samples, *(one.digest for one in shown))


@dataclass(frozen=True)
class Bench:
    """One seed's memory, and what of it is nearest to what teaches: heads are trained in seconds.

    near: (n, cells), of the normals' cells; of_samples: of the samples', by method; key: what the
    memory follows from; kept_in: where what is learned is kept, None for nowhere; trained: the
    heads until now, by mixture.
    """

    trial: Trial
    seed: int
    steps: int
    memory: Memory
    near: Nearest
    of_samples: Mapping[str, Nearest]
    key: bytes
    kept_in: Kept | None = None
    trained: dict[Mix, Memory] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, trial: Trial, seed: int, steps: int, kept_in: Kept | None = None) -> Bench:
        """Choose a seed's memory as a training does, and ask it once about every cell."""
        memory = build("memory", seed, None if trial.pretrained else {"backbone_name": "random"})
        assert isinstance(memory, Memory)
        if trial.pretrained is not None:
            memory.load_backbone(trial.pretrained.tensors)
        normals = trial.normals
        settings = [(one.name, getattr(memory, one.name)) for one in fields(memory)]
        key = key_of(seed, memory.version, *settings, normals.digest)
        chosen = _recalled(kept_in, (key,), partial(_chosen, memory, normals, seed))
        for name, tensor in chosen.items():
            setattr(memory, name, tensor)
        memory.eval()

        def near(shown: Shown) -> Nearest:
            parts = key, "nearest", shown.digest
            return Nearest(**_recalled(kept_in, parts, partial(_nearest, memory, shown)))

        of_samples = {method: near(taught) for method, (taught, _) in trial.samples.items()}
        return cls(trial, seed, steps, memory, near(normals), of_samples, key, kept_in)

    def head(self, mix: Mix) -> Memory:
        """Return the detector with a head that was trained on a mixture of the methods, once."""
        if mix not in self.trained:
            taught = (self.trial.samples[name][0].digest for name in mix.names)
            parts = self.key, "head", self.steps, *mix.shares, *taught
            learned = _recalled(self.kept_in, parts, partial(self._learned, mix))
            model = copy.deepcopy(self.memory)
            model.load_state_dict({**model.state_dict(), **learned})
            self.trained[mix] = model.eval()
        return self.trained[mix]

    def _learned(self, mix: Mix) -> Tensors:
        """Train a head, and return what is its own in the detector's state.

        As `asbench train` would on what teaches here: the stream of items, the loss and the
        optimizer are those of a training.
        """
        model, trial = copy.deepcopy(self.memory), self.trial
        shown = [trial.normals, *(trial.samples[name][0] for name in mix.names)]
        pool = Features.together([one.features for one in shown])
        share, source = (torch.cat([getattr(one, k) for one in shown]) for k in ("share", "source"))
        known = together([self.near, *(self.of_samples[name] for name in mix.names)])
        sizes = tuple(len(one) for one in shown)
        begin = np.cumsum([0, *sizes])
        ratio = Fraction(str(model.protocol.ratio))
        stream = Schedule(mix, ratio, sizes[0], sizes[1:], self.seed)
        (stage,) = model.stages(self.steps)
        for part in stage.trains:
            part.train()
        with private_rng():
            for step in range(self.steps):
                items = stream.batch_at(step, model.protocol.batch)
                at = torch.from_numpy(begin[items.source] + items.index)
                seed_rng(address_seed("step", self.seed, step))
                near = Nearest(*(of[at] for of in known))
                batch = FeatureBatch(pool.chosen(at), share[at], source[at], near)
                model.zero_grad(set_to_none=True)
                model.learn(batch).backward()  # type: ignore[no-untyped-call]
                for optimizer in stage.optimizers:
                    optimizer.step()
                for schedule in stage.schedules:
                    schedule.step()
        state = model.state_dict().items()
        return {name: value for name, value in state if name.startswith(LEARNED)}

    def told(self, what: str, make: Callable[[], Tensors]) -> Tensors:
        """Return what `make` says of these heads on what judges, once; what: its name."""
        return _recalled(self.kept_in, (self.key, what, self.steps, self.trial.digest), make)

    @property
    def kept(self) -> list[Shown]:
        """What judges: the normals that were kept out, then the samples of each method."""
        return [self.trial.kept, *(kept for _, kept in self.trial.samples.values())]


def single(method: str) -> Mix:
    """Return the mixture of one method alone."""
    return Mix(((method, Fraction(1)),))


def try_all(
    benches: Sequence[Bench], progress: Progress, stop: Callable[[], bool] | None = None
) -> Evidence:
    """Train a head on every method alone at every bench, and judge it on all others' samples.

    Raises Interrupted where `stop` says so between two heads.
    """
    methods = benches[0].trial.methods
    total = len(benches) * len(methods)
    parts: list[tuple[Floats, ...]] = []
    for bench in benches:
        heads = []
        for method in methods:
            go_on(stop)
            heads.append(bench.head(single(method)))
            progress("trying methods", len(parts) * len(methods) + len(heads), total)
        said = bench.told("shown", partial(_shown, bench, heads, progress))
        parts.append(tuple(said[name].numpy() for name in SAID))
    memory, head, both, pixel, unusual = (np.stack(each) for each in zip(*parts, strict=True))
    of = np.repeat(np.arange(-1, len(methods)), [len(one) for one in benches[0].kept])
    return Evidence(methods, of, memory, head, both, pixel, np.median(unusual, axis=0))


def go_on(stop: Callable[[], bool] | None) -> None:
    """Raise Interrupted where `stop` says so."""
    if stop is not None and stop():
        raise Interrupted("stopped while methods were tried: the same command continues.")


SAID = ("memory", "head", "both", "pixel", "unusual")


def _shown(bench: Bench, heads: Sequence[Memory], progress: Progress) -> Tensors:
    """Return what one seed shows: memory (N,), head and both (M, N), pixel (M, M), unusual (M,)."""
    said, what = [], f"judging samples, trial {bench.seed + 1}"
    for shown in bench.kept:
        said.append(judged(bench.memory, heads, shown))
        progress(what, len(said), len(bench.kept))
    marked = [(one.share > MARKED).numpy() for one in bench.kept]
    pixel = np.array(
        [
            [
                pixel_metrics(
                    np.concatenate([said[0].cells[row], one.cells[row]]),
                    np.concatenate([marked[0], places]),
                ).ap
                for one, places in zip(said[1:], marked[1:], strict=True)
            ]
            for row in range(len(heads))
        ]
    )
    unusual = [
        float(np.median(one.distance[places])) if places.any() else 0.0
        for one, places in zip(said[1:], marked[1:], strict=True)
    ]
    values = (
        np.concatenate([one.memory for one in said]),
        np.concatenate([one.head for one in said], axis=1),
        np.concatenate([one.both for one in said], axis=1),
        pixel,
        np.array(unusual),
    )
    return {name: torch.from_numpy(value) for name, value in zip(SAID, values, strict=True)}


@dataclass(frozen=True, eq=False)
class Judged:
    """What a memory and heads say of n images.

    distance: (n, h, w), of each cell, in deviations of the normals' own; cells: (M, n, h, w), the
    detectors' values; memory: (n,), head, both: (M, n), scores of images.
    """

    distance: Floats
    cells: Floats
    memory: Floats
    head: Floats
    both: Floats


@torch.inference_mode()
def judged(memory: Memory, heads: Sequence[Memory], shown: Shown) -> Judged:
    """Return what the memory and every head say of images; cells are looked at once for all."""
    parts: list[tuple[Tensor, ...]] = []
    means = torch.stack([one.logit for one in heads])
    for part in _parts(shown):
        rows = gathered(part.features)
        images = memory.apart(rows)
        near = memory.nearest(images)
        seen, unit = memory.inputs(images, near), memory.in_units(near.distance)
        logits = torch.stack([one.head(seen)[:, 0].float() for one in heads])
        said = (logits - means[:, :1]) / means[:, 1:]
        size = rows.shape[:3]
        maps = torch.cat([unit[None], said, memory.both(unit, said)]).view(-1, *size)
        whole = memory.spread(maps.flatten(0, 1), part.features)
        scores = memory.image_scores(whole).view(-1, size[0])
        parts.append((maps, scores))
    cells, said_of = (torch.cat(each, dim=1).numpy() for each in zip(*parts, strict=True))
    count = 1 + len(heads)
    return Judged(cells[0], cells[count:], said_of[0], said_of[1:count], said_of[count:])


def _recalled(kept: Kept | None, parts: tuple[object, ...], make: Callable[[], Tensors]) -> Tensors:
    return make() if kept is None else kept.of(parts, make)


def _chosen(memory: Memory, normals: Shown, seed: int) -> Tensors:
    memory.remember(normals.features, torch.Generator().manual_seed(seed), normals.source)
    return {name: getattr(memory, name) for name in ("usual", "bank", "origin", "near")}


def _nearest(memory: Memory, shown: Shown) -> Tensors:
    """Return what each cell is nearest to of what is remembered: (n, cells), by name."""
    parts = []
    for part in _parts(shown):
        rows = gathered(part.features).flatten(1, 2)
        parts.append(memory.nearest([*rows], part.source))
    return {name: each.view(len(shown), -1) for name, each in together(parts)._asdict().items()}


def _parts(shown: Shown) -> Iterator[Shown]:
    for begin in range(0, len(shown), SOME):
        yield shown[begin : begin + SOME]
