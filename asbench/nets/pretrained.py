"""Pretrained weights: found on this machine, checked, named by their content; never downloaded."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asbench.nets.detector import Backbone
from asbench.nets.resnet import ResNet18
from asbench.nets.weights import load_tensors
from synth_store.types import UserError

NETWORKS = ("resnet18",)
PUBLISHED = "resnet18-f37072fd.pth"
URL = f"https://download.pytorch.org/models/{PUBLISHED}"
FULL_WIDTH = 64
NORM_EPS = 1e-5


@dataclass(frozen=True, eq=False)
class Pretrained:
    """The weights of a network's layers, as a detector takes them.

    tensors: by torchvision's names, the wanted layers and no others. missing: layers of the network
    that the file lacks. folded: batch norm is the identity but for its bias, its scale multiplied
    into the convolution in front: the same function in eval mode only.
    """

    network: str
    path: Path
    tensors: Mapping[str, Tensor]
    missing: tuple[str, ...]
    folded: bool

    @cached_property
    def digest(self) -> str:
        """What the tensors are, whatever file they came in: 64 hex digits."""
        return weights_digest(self.tensors)

    def record(self) -> dict[str, Any]:
        """Return what a run should say of them, ready for JSON."""
        return {
            "network": self.network,
            "file": self.path.name,
            "layers": sorted({layer_of(name) for name in self.tensors}),
            "missing": list(self.missing),
            "folded": self.folded,
            "digest": self.digest,
        }


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors: names, types, shapes, bytes; in any order of names.

    How many batches a batch norm has seen is no part of it: some files carry the count, some do
    not, and it changes no output.
    """
    stamp = hashlib.sha256()
    for name in sorted(tensors):
        if name.endswith("num_batches_tracked"):
            continue
        tensor = tensors[name].detach().cpu().contiguous()
        stamp.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        stamp.update(tensor.numpy().tobytes())
    return stamp.hexdigest()


def find_pretrained(needed: Backbone, given: Mapping[str, Path] | None = None) -> Pretrained:
    """Return the weights a detector starts from.

    They are looked for in `given[network]`, else in the folder `ASBENCH_WEIGHTS` as
    `<network>*.safetensors` or `.pth`, else in torchvision's own cache. Raises UserError where
    there are none, where the file is damaged or of another network, lacks a layer that is needed,
    or is folded where that will not do; it says what to do and which variant does without.
    """
    check_networks(given or {})
    path = _locate(needed, given or {})
    tensors, folded = standard(read(path), path)
    present = {layer_of(name) for name in tensors}
    layers = list(dict.fromkeys(layer_of(name) for name in _layout()))
    missing = tuple(layer for layer in layers if layer not in present)
    lacking = [layer for layer in needed.layers if layer in missing]
    if lacking:
        raise UserError(f"{path} lacks {', '.join(lacking)} of {needed.network}: {_mend(needed)}")
    if folded and not needed.folded:
        raise UserError(
            f"{path} has its batch norm folded into the convolutions, which is right in eval mode "
            f"only, and this detector trains it: {_mend(needed)}"
        )
    wanted = {name: t for name, t in tensors.items() if layer_of(name) in needed.layers}
    return Pretrained(needed.network, path, wanted, missing, folded)


def parse_weights(texts: Iterable[str]) -> dict[str, Path]:
    """Read `NAME=PATH` texts of the command line; raises UserError for what is not one."""
    given: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path or name in given:
            raise UserError(
                f"--weights {text!r} is not NAME=PATH, once for each name: write for example "
                f"--weights resnet18={PUBLISHED}"
            )
        given[name] = Path(path).expanduser()
    return given


def check_networks(given: Mapping[str, Path]) -> None:
    """Raise UserError if weights were given for a network that nothing here starts from."""
    for name in given:
        if name not in NETWORKS:
            raise UserError(
                f"weights of {name!r} are of no use here: choose from {', '.join(NETWORKS)}."
            )


def check_choice(detector: str, pretrained: str, choices: Sequence[str], width: int) -> None:
    """Raise UserError for no choice, and for weights at a width that has none."""
    if pretrained not in choices:
        raise UserError(
            f"pretrained={pretrained!r} of {detector!r} is unknown: choose {', '.join(choices)}."
        )
    if pretrained != "none" and width != FULL_WIDTH:
        raise UserError(
            f"{detector} of width {width} has no pretrained weights, only width {FULL_WIDTH} has: "
            "add --set pretrained=none."
        )


def check_loaded(detector: str, loaded: bool) -> None:
    """Raise UserError if a detector that starts from pretrained weights never got them."""
    if not loaded:
        raise UserError(
            f"{detector} starts from pretrained weights and has not got them: call "
            f"load_backbone(pretrained_of({detector!r}).tensors) before prepare, or build "
            f"{detector}@scratch."
        )


def layer_of(name: str) -> str:
    """Return the layer a tensor belongs to: `layer1` of `layer1.0.conv1.weight`."""
    return name.partition(".")[0]


def read(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a safetensors file, or from a .pth without running code from it."""
    if path.suffix == ".safetensors":
        return load_tensors(path)
    if not path.is_file():
        raise UserError(f"weights {path} are missing: no such file.")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a readable file of weights: {error}") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise UserError(f"{path} does not hold named tensors: save a state_dict, not a module.")
    return dict(tensors)


def standard(tensors: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], bool]:
    """Return a ResNet-18's tensors in torchvision's layout, and whether they are folded.

    Convolutions with a bias and no batch norm get one that adds the bias and does nothing else in
    eval mode. The classifier is dropped, whole layers may be missing, missing counts of batches are
    zero. Raises UserError for another network's tensors, shapes, or half a layer.
    """
    layout = _layout()
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        convolution = name.removesuffix(".bias")
        if f"{convolution}.weight" in layout and name not in layout and name != convolution:
            state.update(_identity_norm(_norm_after(convolution), tensor))
        elif layer_of(name) != "fc":
            state[name] = tensor
    present = {layer_of(name) for name in state}
    for name, expected in layout.items():
        if layer_of(name) in present and name.endswith("num_batches_tracked"):
            state.setdefault(name, torch.zeros((), dtype=torch.int64))
        if layer_of(name) in present and name not in state:
            raise UserError(f"{path} is not a ResNet-18 of torchvision: it has no {name!r}.")
        if name in state and state[name].shape != expected.shape:
            raise UserError(
                f"{path} is not a ResNet-18 of torchvision: {name!r} is "
                f"{tuple(state[name].shape)}, not {tuple(expected.shape)}."
            )
    for name in state:
        if name not in layout:
            raise UserError(f"{path} is not a ResNet-18 of torchvision: it has {name!r}.")
    if not state:
        raise UserError(f"{path} holds no layer of a ResNet-18.")
    norms = [name.removesuffix(".running_var") for name in state if name.endswith("running_var")]
    return state, any(_is_identity(state, norm) for norm in norms)


def _norm_after(convolution: str) -> str:
    """`bn1` of `conv1`, `layer2.0.downsample.1` of `layer2.0.downsample.0`."""
    if convolution.endswith("downsample.0"):
        return f"{convolution[:-1]}1"
    return convolution.replace("conv", "bn")


def _identity_norm(norm: str, bias: Tensor) -> dict[str, Tensor]:
    """A batch norm that adds `bias`: its variance makes up for the epsilon under the root."""
    return {
        f"{norm}.weight": torch.ones_like(bias),
        f"{norm}.bias": bias,
        f"{norm}.running_mean": torch.zeros_like(bias),
        f"{norm}.running_var": torch.full_like(bias, 1 - NORM_EPS),
    }


def _is_identity(tensors: Mapping[str, Tensor], norm: str) -> bool:
    # A network nobody trained also has weight 1 and mean 0, but its variance is exactly 1.
    return bool(
        (tensors[f"{norm}.weight"] == 1).all()
        and (tensors[f"{norm}.running_mean"] == 0).all()
        and ((tensors[f"{norm}.running_var"] - (1 - NORM_EPS)).abs() < NORM_EPS / 10).all()
    )


def _layout() -> dict[str, Tensor]:
    """The names and shapes of torchvision's ResNet-18 without its classifier."""
    with torch.device("meta"):
        return ResNet18().state_dict()


def _locate(needed: Backbone, given: Mapping[str, Path]) -> Path:
    if needed.network in given:
        return given[needed.network]
    base = os.environ.get("ASBENCH_WEIGHTS")
    if base:
        folder = Path(base)
        if not folder.is_dir():
            raise UserError(f"ASBENCH_WEIGHTS names {base}, and there is no such folder.")
        files = sorted(
            path
            for path in folder.glob(f"{needed.network}*")
            if path.suffix in (".safetensors", ".pth")
        )
        if len(files) > 1:
            raise UserError(
                f"{folder} holds {' and '.join(path.name for path in files)}: choose one with "
                f"--weights {needed.network}={files[0]}"
            )
        if files:
            return files[0]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / PUBLISHED
    if cached.is_file():
        return cached
    raise UserError(f"the weights of {needed.network} are not on this machine: {_mend(needed)}")


def _mend(needed: Backbone) -> str:
    return (
        f"fetch {PUBLISHED} (torchvision's IMAGENET1K_V1) from {URL} and give it with "
        f"--weights {needed.network}=PATH, or put it into a folder and name that in "
        f"ASBENCH_WEIGHTS; or train {needed.instead} instead."
    )
