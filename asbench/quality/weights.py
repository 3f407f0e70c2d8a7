"""The networks behind quality metrics: where their files are looked for; nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synth_store.types import UserError


@dataclass(frozen=True, slots=True)
class Network:
    """A network whose weights come as a file.

    name: as in `--weights NAME=PATH`; file: what its authors call it; begins: how file names
    begin under which it is found in `ASBENCH_WEIGHTS`; url: where to get it.
    """

    name: str
    file: str
    begins: tuple[str, ...]
    url: str


_TORCHVISION = "https://download.pytorch.org/models"
NETWORKS = {
    network.name: network
    for network in (
        Network(
            "inception",
            "weights-inception-2015-12-05-6726825d.pth",
            ("inception", "weights-inception"),
            "https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0",
        ),
        Network("alexnet", "alexnet-owt-7be5be79.pth", ("alexnet",), _TORCHVISION),
        Network("vgg16", "vgg16-397923af.pth", ("vgg16",), _TORCHVISION),
        Network("resnet18", "resnet18-f37072fd.pth", ("resnet18",), _TORCHVISION),
    )
}


def find_weights(name: str, given: Mapping[str, Path] | None = None) -> Path:
    """Return the file of a network's weights: `given[name]`, else the one in `ASBENCH_WEIGHTS`.

    Raises UserError saying what to fetch and where to put it where there is none, and naming the
    candidates where there are several.
    """
    network = NETWORKS[name]
    if given and name in given:
        if not given[name].is_file():
            raise UserError(f"weights {given[name]} of {name} are missing: no such file.")
        return given[name]
    base = os.environ.get("ASBENCH_WEIGHTS")
    folder = Path(base) if base else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"ASBENCH_WEIGHTS names {base}, and there is no such folder.")
    files = [
        path
        for path in sorted(folder.iterdir() if folder else ())
        if path.name.startswith(network.begins) and path.suffix in (".safetensors", ".pth")
    ]
    if len(files) > 1:
        raise UserError(
            f"{folder} holds {' and '.join(path.name for path in files)}: choose one with "
            f"--weights {name}={files[0]}"
        )
    if files:
        return files[0]
    raise UserError(
        f"the weights of {name} are not on this machine: fetch {network.file} from {network.url} "
        f"and give it with --weights {name}=PATH, or put it into a folder and name that in "
        "ASBENCH_WEIGHTS; or measure with a stand-in, whose name has an @: fid@histogram needs "
        "no weights at all."
    )


def check_names(given: Mapping[str, Path]) -> None:
    """Raise UserError for weights of a network that no quality metric uses."""
    for name in given:
        if name not in NETWORKS:
            raise UserError(
                f"weights of {name!r} are of no use here: choose from {', '.join(NETWORKS)}."
            )
