"""Runs made of the checkpoints that detectors' authors published, and such files made of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from asbench import results
from asbench.adapters.authors import published, to_ours, to_theirs
from asbench.detectors import build, protocol_of, resolve
from asbench.evaluation.trained import Trained
from asbench.files.documents import into_place
from asbench.files.sums import sha256_of
from asbench.nets.detector import Detector, Protocol
from asbench.nets.pretrained import Pretrained, read
from asbench.nets.weights import fill, refuse_not_finite
from asbench.progress import Progress, quiet
from asbench.settings import TrainSettings
from asbench.training.plan import Learner, plan_run
from asbench.training.train import record
from synth_store.types import UserError


def import_checkpoint(
    detector: str,
    files: Sequence[Path | str],
    dataset: str = "demo",
    *,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = quiet,
    **where: Any,
) -> Trained:
    """Make a run of a checkpoint that a detector's authors, or their code, wrote; score it.

    detector: `draem`, `destseg`, `memseg` or `unet`, or a variant of one; files: all that belong to
    the checkpoint, in any order (DRAEM has two): pickles of named tensors, read without running any
    code of theirs, or safetensors. settings: of the detector, as widths that are not the published
    ones. where: `category`, `store`, `runs`, `device`, `name`, `threshold`, `false_alarms` as for
    `asbench.train`.

    The run is of no training here: 0 steps, and weights whose digest is part of its id. All normals
    count as seen, since nobody says which its training saw; so its threshold does too. MemSeg's
    memory is filled anew from the normals. One that stands is returned as it is. Raises UserError
    where a file cannot be read or does not fit, and for what `asbench.train` refuses.
    """
    way, paths = published(detector), [Path(file) for file in files]
    if not paths:
        raise UserError(f"no file to import: {detector} has {len(way.files)}.")
    theirs = {name: tensor for path in paths for name, tensor in read(path).items()}
    tensors = to_ours(detector, theirs)
    refuse_not_finite(tensors, paths[0])
    cls, parameters = resolve(detector, settings)
    given = Pretrained("", paths[0], tensors, (), False)
    batch = protocol_of(detector).batch
    looking = Protocol(batch=batch, ratio=0.0, steps=0)
    learner = Learner(detector, looking, cls.stride, parameters, given, cls.version)
    asked = {"progress": progress, "kept_out": 0.0, **where}
    plan = plan_run(TrainSettings(dataset, None, detector=detector, **asked), learner)
    if results.finished(plan.runs, plan.decides) is not None:
        return Trained(plan.folder, str(plan.device))
    model = build(detector, plan.decides["seed"], settings)
    own = {k: v for k, v in model.state_dict().items() if way.ours and k.startswith(way.ours)}
    fill(model, {**own, **tensors}, paths[0])
    model = model.to(plan.device)
    _remember(model, [plan.normals[i] for i in plan.trained], plan.training.seed)
    what = f"{detector} on {plan.decides['dataset']}/{plan.decides['category']}"
    record(
        plan,
        model.eval(),
        losses=(),
        seconds=0.0,
        environment={
            "pretrained": None,
            "imported": {path.name: sha256_of(path) for path in paths},
        },
        progress=lambda done, total: progress(f"scoring {what}", done, total),
    )
    return Trained(plan.folder, str(plan.device))


def _remember(model: Detector, normals: Sequence[Any], seed: int) -> None:
    """Let a detector look at the normals, with its pretrained part as it was imported."""
    pixels = torch.stack([torch.tensor(image) for image in normals]).permute(0, 3, 1, 2)
    kind: Any = getattr(model, "pretrained", None)
    if kind is not None:  # else statistics of a network that nobody trained would be measured
        vars(model).update(pretrained="imagenet", loaded=True)
    model.prepare(pixels, torch.Generator().manual_seed(seed))
    if kind is not None:
        vars(model).update(pretrained=kind)


def export_checkpoint(run: Trained | Path | str, out: Path | str) -> list[Path]:
    """Write a run's weights as its detector's authors' code reads them; return the files.

    out: a folder. They are pickles of named tensors, as torch saves them; MemSeg's without the
    memory, which its authors' code fills by itself. Raises UserError for a detector whose authors
    published none, and for a variant that their network has no place for.
    """
    trained = run if isinstance(run, Trained) else Trained(run, "cpu")
    name = trained.run.decides["detector"]
    state = {k: v.detach().cpu() for k, v in trained.detector.state_dict().items()}
    written = []
    for ending, tensors in to_theirs(name, state).items():
        path = Path(out) / f"{name.partition('@')[0]}-{trained.id}{ending}"
        plain = {k: v.contiguous() for k, v in tensors.items()}
        into_place(path, partial(torch.save, plain))
        written.append(path)
    return written
