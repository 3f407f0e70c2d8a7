"""Checkpoints: tensors as safetensors, everything else as JSON; nothing is ever pickled.

A folder holds `step-NNNNNNNN.safetensors` and `checkpoint.json`, which names it. Both are written
under temporary names and renamed, the JSON last: a kill at any moment leaves either the old
checkpoint or the new one. The JSON carries the digest of the tensors' file, and its own.
"""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from asbench.files.documents import damaged, into_place, refuse_unsealed, sealed
from asbench.files.sums import sha256_of
from asbench.nets.weights import fill, load_tensors, save_tensors
from synth_store.types import UserError

COMMIT = "checkpoint.json"


class Leg(Protocol):
    """What a checkpoint must know of the leg that trains: a detector's stage, or a fit's."""

    @property
    def name(self) -> str: ...
    @property
    def optimizers(self) -> tuple[Optimizer, ...]: ...
    @property
    def schedules(self) -> tuple[LRScheduler, ...]: ...


@dataclass(frozen=True, eq=False)
class State:
    """What a checkpoint holds: tensors by name, and what its JSON says beside their file."""

    step: int
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def copied(self) -> State:
        """Return the same in memory of its own on the host: training goes on and changes this."""
        plain = torch.contiguous_format  # as it is written
        tensors = {
            name: tensor.to("cpu", copy=True, memory_format=plain)
            for name, tensor in self.tensors.items()
        }
        return replace(self, tensors=tensors, facts=copy.deepcopy(self.facts))


def write(folder: Path, net: nn.Module, stage: Leg, step: int, facts: Mapping[str, Any]) -> None:
    """Commit the state before step `step`, in which `stage` trains, and drop the older one.

    facts: what else the JSON should hold. Optimisers of other stages are not kept: those of past
    stages are done, those of coming ones untouched.
    """
    commit(folder, state_of(net, stage, step, facts))


def state_of(net: nn.Module, stage: Leg, step: int, facts: Mapping[str, Any]) -> State:
    """Return what `write` commits; its tensors are the network's own."""
    names: dict[Tensor, str] = {p: name for name, p in net.named_parameters()}
    tensors = {f"weights/{k}": v.detach() for k, v in net.state_dict().items()}
    optimizers = []
    for place, optimizer in enumerate(stage.optimizers):
        plain = {}
        for p, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{place}/{names[p]}/{key}"] = value
                else:
                    plain[f"{names[p]}/{key}"] = _encode(value)
        groups = [
            {k: _encode(v) for k, v in group.items() if k != "params"}
            for group in optimizer.param_groups
        ]
        optimizers.append({"groups": groups, "state": plain})
    return State(
        step,
        tensors,
        {
            "step": step,
            "stage": stage.name,
            "optimizers": optimizers,
            "schedules": [_encode(schedule.state_dict()) for schedule in stage.schedules],
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            **facts,
        },
    )


def commit(folder: Path, state: State) -> None:
    """Write a state and drop the older one."""
    folder.mkdir(parents=True, exist_ok=True)
    file = f"step-{state.step:08d}.safetensors"
    save_tensors(state.tensors, folder / file)
    written = {"tensors": file, "tensors_sha256": sha256_of(folder / file), **state.facts}
    into_place(folder / COMMIT, json.dumps(sealed(written), indent=1) + "\n")
    for old in folder.glob("step-*"):
        if old.name != file:
            old.unlink()


def peek(folder: Path) -> dict[str, Any] | None:
    """Return what the checkpoint's JSON holds, or None if there is no checkpoint."""
    path = folder / COMMIT
    if not path.exists():
        return None
    try:
        commit: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        refuse_unsealed(commit)
        if missing := [key for key in ("step", "stage", "tensors") if key not in commit]:
            raise KeyError(missing[0])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise damaged(path, error, _again(folder)) from error
    return commit


def _again(folder: Path) -> str:
    return f"delete the folder {folder} and start again"


def restore(folder: Path, commit: Mapping[str, Any], net: nn.Module, stage: Leg) -> None:
    """Put weights, optimisers and schedules back as `write` found them.

    commit: what `peek` returned; stage: the one that trains at its step.
    """
    path = folder / commit["tensors"]
    tensors = load_tensors(path)
    stated = commit.get("tensors_sha256")  # of earlier releases none
    if stated is not None and sha256_of(path) != stated:
        what = f"it is not what {COMMIT} says: damaged, or another's"
        raise damaged(path, what, _again(folder))
    try:
        _put_back(path, tensors, commit, net, stage)
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise damaged(folder / COMMIT, error, _again(folder)) from error


def _put_back(
    path: Path, tensors: Mapping[str, Tensor], commit: Mapping[str, Any], net: nn.Module, stage: Leg
) -> None:
    weights = {
        k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")
    }
    fill(net, weights, path)
    names: dict[Tensor, str] = {p: name for name, p in net.named_parameters()}
    for place, (optimizer, saved) in enumerate(
        zip(stage.optimizers, commit["optimizers"], strict=True)
    ):
        _restore_optimizer(optimizer, f"optimizer/{place}/", names, tensors, saved)
    for schedule, state in zip(stage.schedules, commit["schedules"], strict=True):
        schedule.load_state_dict({**schedule.state_dict(), **_decode(state)})


def _restore_optimizer(
    optimizer: Optimizer,
    prefix: str,
    names: Mapping[Tensor, str],
    tensors: Mapping[str, Tensor],
    saved: Mapping[str, Any],
) -> None:
    states: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith(prefix):
            name, entry = key.removeprefix(prefix).split("/")
            states.setdefault(name, {})[entry] = tensor
    for key, value in saved["state"].items():
        name, entry = key.split("/")
        states.setdefault(name, {})[entry] = _decode(value)
    current = optimizer.state_dict()
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    optimizer.load_state_dict(
        {
            "state": {
                place: {k: _laid_out(v, p) for k, v in states[names[p]].items()}
                for place, p in enumerate(parameters)
                if names[p] in states
            },
            "param_groups": [
                {**now, **{k: _decode(v) for k, v in group.items()}}
                for now, group in zip(current["param_groups"], saved["groups"], strict=True)
            ],
        }
    )


def _laid_out(value: Any, parameter: Tensor) -> Any:
    """Lay a state tensor out in memory like its parameter, as the optimiser had made it."""
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value


def _encode(value: Any) -> Any:
    """Turn state into JSON; mappings become lists of pairs, since JSON's keys are only strings."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {"pairs": [[_encode(k), _encode(v)] for k, v in value.items()]}
    if isinstance(value, Sequence):
        return [_encode(v) for v in value]
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}: {value!r}")


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return {_decode(k): _decode(v) for k, v in value["pairs"]}
    if isinstance(value, list):
        return [_decode(v) for v in value]
    return value
