"""Networks of timm as backbones: the architecture from there, the weights from a user's file.

timm is imported where such a network is asked for and nowhere else: it takes seconds and brings
huggingface_hub. It is never asked for weights, and never for a name that it would look up on a hub.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asbench.nets.seeds import private_rng
from synth_store.types import UserError

TIMM = "timm:"
"""In front of the name that timm has for a network."""
STRIDES = (4, 8, 16)
"""Of the levels that every backbone gives, finest first."""
LAYERS: tuple[str, ...] = ("mean", "std", "model")
"""What `TimmLevels` holds; `model` as timm names it."""
TRIED = (64, 96)
"""Height and width of the image that is shown to a network just made."""
REFUSALS = (AssertionError, AttributeError, RuntimeError, TypeError, ValueError)
"""By which a network says that it cannot give such levels."""


class TimmLevels(nn.Module):
    """timm's network of that name up to stride 16, unfilled; normalised as timm's config says.

    channels: of its three levels; published: the shapes of the whole network's tensors, by timm's
    names. Mean and deviation belong to the state, so that its digest knows them. Raises UserError
    where timm is missing or does not know the name, and for a network that has no levels at strides
    4, 8 and 16 or looks at images of one size only.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        config = _config(name)
        # What its weights begin with is drawn, and is no part of anybody else's chance.
        with torch.device("cpu"), private_rng():
            model = _timm().create_model(name, pretrained=False).eval()
        self.published = {key: tensor.shape for key, tensor in model.state_dict().items()}
        self.at = _levels(name, model)
        if config.fixed_input_size:
            size = "x".join(map(str, config.input_size[1:]))
            raise UserError(
                f"{TIMM}{name} looks at images of {size} only, and ours have the store's size: "
                "choose a convolutional network."
            )
        if hasattr(model, "prune_intermediate_layers"):
            model.prune_intermediate_layers(list(self.at))
        self.model = model
        for key, values in (("mean", config.mean), ("std", config.std)):
            self.register_buffer(key, torch.tensor(values, device="cpu").view(3, 1, 1))
        self.channels = self._tried(name)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the levels of float32 (B, 3, H, W) images in [0, 1]."""
        x = (images - self.mean) / self.std
        levels: list[Tensor] = self.model.forward_intermediates(
            x, indices=list(self.at), intermediates_only=True, stop_early=True
        )
        return levels

    @torch.no_grad()
    def _tried(self, name: str) -> tuple[int, int, int]:
        """Return the channels of the levels, which have the strides they should have."""
        wanted = [tuple(side // stride for side in TRIED) for stride in STRIDES]
        try:
            shown = torch.zeros(1, 3, *TRIED, device="cpu")
            found = [tuple(level.shape[1:]) for level in self(shown)]
        except REFUSALS as error:
            raise UserError(f"{TIMM}{name} cannot serve as a backbone: {error}") from error
        if [shape[1:] for shape in found] != wanted:
            raise UserError(
                f"{TIMM}{name} cannot serve as a backbone: of an image of {TRIED[0]}x{TRIED[1]} "
                f"its levels are {found}, channels first, not at strides 4, 8 and 16."
            )
        fine, middle, coarse = (shape[0] for shape in found)
        return fine, middle, coarse


def timm_weights(
    tensors: Mapping[str, Tensor], path: Path, name: str
) -> tuple[dict[str, Tensor], bool]:
    """Return a timm network's tensors as `TimmLevels` has them, and that they are not folded.

    What lies behind stride 16 is dropped, the classifier whatever its size. Raises UserError for
    names that timm's network does not have, for missing ones and for other shapes.
    """
    net = TimmLevels(name)
    inside = "model."
    for key in tensors:
        if key not in net.published:
            raise UserError(f"{path} is not timm's {name}: it has {key!r}, which that has not.")
    state: dict[str, Tensor] = {}
    for key, own in net.state_dict().items():
        plain = key.removeprefix(inside)
        if not key.startswith(inside) or key.endswith("num_batches_tracked"):
            state[key] = own  # the config's; how many batches a norm has seen changes nothing
        elif plain not in tensors:
            raise UserError(f"{path} is not timm's {name}: it has no {plain!r}.")
        elif tensors[plain].shape != own.shape:
            found, wanted = tuple(tensors[plain].shape), tuple(own.shape)
            raise UserError(f"{path} is not timm's {name}: {plain!r} is {found}, not {wanted}.")
        else:
            state[key] = tensors[plain].to(own.dtype)
    return state, False


def where_published(name: str) -> str:
    """Return in words where the weights of timm's network may be had."""
    config = _config(name)
    place = f"model.safetensors of https://huggingface.co/{config.hf_hub_id}"
    return f"its weights by timm's own names{f', {place}' if config.hf_hub_id else ''}"


def timm_version() -> str:
    """Return the version of timm that is installed: another's architectures may differ."""
    return str(_timm().__version__)


def _levels(name: str, model: Any) -> tuple[int, ...]:
    """Return which of the levels that a network of timm lists are the last at strides 4, 8, 16."""
    listed = getattr(model, "feature_info", ())
    infos: Sequence[Mapping[str, Any]] = getattr(listed, "info", listed)
    last = {info["reduction"]: at for at, info in enumerate(infos)}
    lacking = [str(stride) for stride in STRIDES if stride not in last]
    if lacking or not hasattr(model, "forward_intermediates"):
        raise UserError(
            f"{TIMM}{name} gives no levels at stride {' and '.join(lacking or ['4, 8 and 16'])}, "
            "which a backbone needs (a vision transformer has one stride): choose a convolutional "
            "network, such as timm:resnet50, timm:convnext_tiny or timm:efficientnet_b0."
        )
    return tuple(last[stride] for stride in STRIDES)


def _config(name: str) -> Any:
    """Return what timm says of the weights of that name; raises UserError if it knows none such."""
    timm = _timm()
    # Names of every form that it does not list, of hubs and folders too, end here.
    known = [*timm.list_models(), *timm.list_models(pretrained=True)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        said = f"did you mean {', '.join(near)}?" if near else "`timm.list_models()` lists them."
        raise UserError(f"timm has no network {name!r}: {said}")
    return timm.get_pretrained_cfg(name)


def _timm() -> Any:
    try:
        return import_module("timm")
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise UserError(
            f"backbones {TIMM}NAME need timm: pip install 'asbench[timm]', or choose another with "
            "--set backbone_name=lite0."
        ) from error
