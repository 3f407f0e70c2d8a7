"""Weights as safetensors files: nothing is ever pickled, nothing is ever half written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asbench.files.documents import into_place
from synth_store.types import UserError


def save_weights(net: nn.Module, path: Path) -> None:
    """Write a network's parameters and buffers as one safetensors file, by rename."""
    save_tensors(net.state_dict(), path)


def load_weights(net: nn.Module, path: Path) -> None:
    """Fill a network in place from a safetensors file.

    An empty buffer (a memory bank before `prepare`) takes the file's size. Raises UserError if
    the file is missing or damaged or holds NaN, or naming the first key or shape that does not fit.
    """
    tensors = load_tensors(path)
    refuse_not_finite(tensors, path)
    fill(net, tensors, path)


def fill(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors, read from `path`, into a network; raises UserError for the first misfit."""
    state = net.state_dict()
    for key, held in state.items():
        if key not in tensors:
            raise UserError(f"{path} does not fit {_title(net)}: it has no {key!r}.")
        if held.numel() and held.shape != tensors[key].shape:
            raise UserError(
                f"{path} does not fit {_title(net)}: {key!r} is {tuple(tensors[key].shape)} there "
                f"and {tuple(held.shape)} here; were both built with the same parameters?"
            )
    for key in tensors:
        if key not in state:
            raise UserError(f"{path} does not fit {_title(net)}: {key!r} has no place here.")
    for key, held in state.items():
        if held.numel() == 0:
            _set_buffer(net, key, tensors[key].to(held))
    net.load_state_dict(dict(tensors))


def _set_buffer(net: nn.Module, key: str, value: Tensor) -> None:
    owner, _, name = key.rpartition(".")
    setattr(net.get_submodule(owner), name, value)


def _title(net: nn.Module) -> str:
    return f"this {type(net).__name__}"


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as one safetensors file, by rename; raises UserError where it cannot."""
    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    try:
        into_place(path, lambda part: save_file(plain, part))
    except safetensors.SafetensorError as error:  # what it makes of a full disk
        raise UserError(f"cannot write {path}: {error}.") from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; raises UserError if it is missing or damaged."""
    if not path.is_file():
        raise UserError(f"weights {path} are missing: no such file.")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is not a readable safetensors file: {error}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    return tensors


def refuse_not_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError, naming the first, for weights that hold NaN or infinities."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{path} cannot be used: {name!r} holds NaN or infinities.")


def refuse_zeroed(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError, naming the first, for weights of a layer that are all zero.

    For released weights, whose layers have all been trained; what a disk lost often comes as zeros.
    """
    for name, tensor in tensors.items():
        if tensor.ndim > 1 and tensor.is_floating_point() and not bool(tensor.any()):
            raise UserError(f"{path} cannot be used: all of {name!r} is zero.")
