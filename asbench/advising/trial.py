"""Every method tried: one memory a seed, its distances measured once, a head of seconds a method."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from torch import Tensor

from asbench.advising.evidence import Evidence
from asbench.detectors import build
from asbench.detectors.memory import MARKED, Memory
from asbench.evaluation.metrics import pixel_metrics
from asbench.evaluation.predict import evaluating
from asbench.nets.features import FeatureBatch, Features, gathered
from asbench.nets.pretrained import Pretrained
from asbench.nets.seeds import address_seed, private_rng, seed_rng
from asbench.progress import Progress
from asbench.types import Interrupted
from synth_store import Mix, Schedule

SOME = 32
"""Images whose cells are in float32 at once."""


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


def evidence(
    trial: Trial,
    seeds: Sequence[int],
    steps: int,
    progress: Progress,
    stop: Callable[[], bool] | None = None,
) -> Evidence:
    """Try every method with every seed.

    A method is tried as `asbench train` would train the detector `memory` on it alone, on fewer
    normals and samples. Raises Interrupted where `stop` says so between two heads.
    """
    parts = [
        _tried(trial, seed, steps, partial(_heard, progress, place, len(seeds)), stop)
        for place, seed in enumerate(seeds)
    ]
    memory, head, both, pixel, unusual = (np.stack(each) for each in zip(*parts, strict=True))
    counts = [len(trial.kept), *(len(kept) for _, kept in trial.samples.values())]
    of = np.repeat(np.arange(-1, len(trial.samples)), counts)
    return Evidence(trial.methods, of, memory, head, both, pixel, np.median(unusual, axis=0))


def _heard(progress: Progress, place: int, seeds: int, done: int, total: int) -> None:
    progress("trying methods", place * total + done, seeds * total)


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _tried(
    trial: Trial,
    seed: int,
    steps: int,
    heard: Callable[[int, int], None],
    stop: Callable[[], bool] | None,
) -> Arrays:
    """Return what one seed shows: memory (N,), head and both (M, N), pixel (M, M), unusual (M,)."""
    memory = _memory(trial, seed)
    total = len(trial.samples)
    normals = _distances(memory, trial.normals)
    heads = []
    for done, (method, (taught, _)) in enumerate(trial.samples.items()):
        if stop is not None and stop():
            raise Interrupted("stopped while methods were tried: the same command begins it anew.")
        heads.append(_head(memory, trial.normals, normals, taught, method, seed, steps))
        heard(done + 1, total)
    return _judged(memory, heads, trial)


def _memory(trial: Trial, seed: int) -> Memory:
    """Return the detector of a seed with its memory chosen, and a head that knows nothing yet."""
    model = build("memory", seed, None if trial.pretrained else {"backbone_name": "random"})
    assert isinstance(model, Memory)
    if trial.pretrained is not None:
        model.load_backbone(trial.pretrained.tensors)
    generator = torch.Generator().manual_seed(seed)
    model.remember(trial.normals.features, generator, trial.normals.source)
    return model.eval()


def _distances(memory: Memory, shown: Shown) -> Tensor:
    """Return how far each cell is from what is remembered: float32 (n, cells)."""
    parts = []
    for part in _parts(shown):
        rows = gathered(part.features).flatten(1, 2)
        parts.append(memory.distances([*rows], part.source).view(len(rows), -1))
    return torch.cat(parts)


def _head(
    memory: Memory,
    normals: Shown,
    near: Tensor,
    taught: Shown,
    method: str,
    seed: int,
    steps: int,
) -> Memory:
    """Return the detector with a head that was trained on one method alone.

    The stream of items, the loss and the optimizer are those of a training; near: distances of the
    normals' cells.
    """
    model = copy.deepcopy(memory)
    pool = Features.together([normals.features, taught.features])
    share = torch.cat([normals.share, taught.share])
    source = torch.cat([normals.source, taught.source])
    distance = torch.cat([near, _distances(memory, taught)])
    sizes, begin = (len(taught),), (0, len(normals))
    ratio = Fraction(str(memory.protocol.ratio))
    schedule = Schedule(Mix(((method, Fraction(1)),)), ratio, len(normals), sizes, seed)
    (stage,) = model.stages(steps)
    for part in stage.trains:
        part.train()
    with private_rng():
        for step in range(steps):
            items = schedule.batch_at(step, memory.protocol.batch)
            places = [begin[s] + i for s, i in zip(items.source, items.index, strict=True)]
            at = torch.tensor(places)
            seed_rng(address_seed("step", seed, step))
            loss = model.learn(FeatureBatch(pool.chosen(at), share[at], source[at], distance[at]))
            model.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in stage.optimizers:
                optimizer.step()
            for schedule_of in stage.schedules:
                schedule_of.step()
    return model.eval()


@torch.inference_mode()
def _judged(memory: Memory, heads: Sequence[Memory], trial: Trial) -> Arrays:
    """Return what the memory and every head say of what was kept out."""
    kept = [trial.kept, *(kept for _, kept in trial.samples.values())]
    distance, by_head, by_both = [], [], []  # cell maps, of each part of `kept`
    for shown in kept:
        alone, head, both = [], [], []
        for part in _parts(shown):
            rows = gathered(part.features)
            images = memory.apart(rows)
            near = memory.distances(images)
            seen = memory.inputs(images, near)
            logits = torch.stack([one.head(seen)[:, 0].float() for one in heads])
            means = torch.stack([one.logit for one in heads])
            said = (logits - means[:, :1]) / means[:, 1:]
            unit = memory.in_units(near)
            alone.append(unit.view(rows.shape[:3]))
            head.append(said.view(-1, *rows.shape[:3]))
            both.append((said + unit).view(-1, *rows.shape[:3]))
        distance.append(torch.cat(alone))
        by_head.append(torch.cat(head, dim=1))
        by_both.append(torch.cat(both, dim=1))
    pixel = np.array(
        [[_precision(trial, kept, by_both, i, j) for j in range(len(heads))] for i in range(len(heads))]
    )
    unusual = []
    for shown, near in zip(kept[1:], distance[1:], strict=True):
        marked = near[shown.share > MARKED]
        unusual.append(float(marked.median()) if len(marked) else 0.0)
    return (
        _scores(memory, trial, torch.cat(distance)[None])[0],
        _scores(memory, trial, torch.cat(by_head, dim=1)),
        _scores(memory, trial, torch.cat(by_both, dim=1)),
        pixel,
        np.array(unusual),
    )


def _scores(memory: Memory, trial: Trial, cells: Tensor) -> np.ndarray:
    """Return the image scores (M, n) of cell maps (M, n, h, w), smoothed as the detector does."""
    like = trial.kept.features
    return np.stack(
        [
            torch.cat(
                [
                    memory.image_scores(memory.spread(part, like))
                    for part in torch.split(maps, SOME)
                ]
            ).double().numpy()
            for maps in cells
        ]
    )


def _precision(
    trial: Trial, kept: Sequence[Shown], maps: Sequence[Tensor], row: int, column: int
) -> float:
    """Return the average precision over cells of one head on one method's samples and normals."""
    shown = [kept[0], kept[1 + column]]
    cells = torch.cat([maps[0][row], maps[1 + column][row]]).numpy()
    marked = torch.cat([one.share > MARKED for one in shown]).numpy()
    return float(pixel_metrics(cells, marked).ap)


def _parts(shown: Shown) -> Iterator[Shown]:
    for begin in range(0, len(shown), SOME):
        yield shown[begin : begin + SOME]
