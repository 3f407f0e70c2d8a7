"""Weights as others released them, brought to the layout that our networks load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from asbench.nets import lite0
from asbench.nets.shapes import without_values
from synth_store.types import UserError

TITLES = {"resnet18": "ResNet-18", "wide_resnet50_2": "Wide ResNet-50-2"}
RESNET_LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
NORM_EPS = 1e-5


def layer_of(name: str) -> str:
    """Return the layer a tensor belongs to: `layer1` of `layer1.0.conv1.weight`."""
    return name.partition(".")[0]


def standard(
    tensors: Mapping[str, Tensor], path: Path, network: str
) -> tuple[dict[str, Tensor], bool]:
    """Return a residual network's tensors in torchvision's layout, and whether they are folded.

    Convolutions with a bias and no batch norm get one that adds the bias and does nothing else in
    eval mode. The classifier is dropped, whole layers may be missing, missing counts of batches are
    zero. Raises UserError for another network's tensors, shapes, or half a layer.
    """
    layout = _layout(network)
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
            raise UserError(
                f"{path} is not a {TITLES[network]} of torchvision: it has no {name!r}."
            )
        if name in state and state[name].shape != expected.shape:
            raise UserError(
                f"{path} is not a {TITLES[network]} of torchvision: {name!r} is "
                f"{tuple(state[name].shape)}, not {tuple(expected.shape)}."
            )
    for name in state:
        if name not in layout:
            raise UserError(f"{path} is not a {TITLES[network]} of torchvision: it has {name!r}.")
    if not state:
        raise UserError(f"{path} holds no layer of a {TITLES[network]}.")
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


def _layout(network: str) -> dict[str, Tensor]:
    """The names and shapes of a network of torchvision's without its classifier."""
    import torchvision  # late: 1.4 s, and what was trained here needs none of it

    with without_values():
        state = getattr(torchvision.models, network)(weights=None).state_dict()
    return {name: tensor for name, tensor in state.items() if layer_of(name) != "fc"}


def lite0_weights(tensors: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], bool]:
    """Return EfficientNet-Lite0's released tensors up to stride 16, batch norms folded in: True.

    Raises UserError for another network's.
    """
    try:
        return lite0.folded(tensors, lite0.TO_STRIDE_16), True
    except ValueError as error:
        raise UserError(f"{path} is not EfficientNet-Lite0 as released: {error}.") from error
