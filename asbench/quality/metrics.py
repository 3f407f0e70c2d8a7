"""The quality metrics by name, which network each needs, and which can be had on this machine.

A name without an `@` is the metric as published; one with an `@` is a stand-in: the same formula
over other features. A stand-in never bears the real one's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asbench.quality.feature_extractors import Histogram, Inception, Layer3, Space
from asbench.quality.pairwise import Lpips, Pairwise, Psnr, Resnet, Ssim
from asbench.quality.weights import check_names, find_weights
from synth_store.types import UserError

PAIRWISE: Mapping[str, str | None] = {
    "ssim": None,
    "psnr": None,
    "lpips": "alexnet",
    "lpips_vgg": "vgg16",
    "lpips@resnet18": "resnet18",
}
"""Metrics of pairs, with the network each needs."""
SPACES: Mapping[str, str | None] = {
    "inception": "inception",
    "resnet18-layer3": "resnet18",
    "histogram": None,
}
"""Feature spaces, with the network each needs."""
DISTRIBUTION: Mapping[str, tuple[str, str]] = {
    "fid": ("fid", "inception"),
    "kid": ("kid", "inception"),
    "is": ("is", "inception"),
    "fid@resnet18-layer3": ("fid", "resnet18-layer3"),
    "kid@resnet18-layer3": ("kid", "resnet18-layer3"),
    "is@resnet18-layer3": ("is", "resnet18-layer3"),
    "fid@histogram": ("fid", "histogram"),
    "kid@histogram": ("kid", "histogram"),
}
"""Metrics of sets: formula and space."""
METRICS = (*PAIRWISE, *DISTRIBUTION)


def network_of(metric: str) -> str | None:
    """Return the network a metric needs, None for none."""
    return PAIRWISE[metric] if metric in PAIRWISE else SPACES[DISTRIBUTION[metric][1]]


@dataclass(frozen=True, eq=False)
class Loaded:
    """Metrics ready for use: those of pairs and of sets by name, the spaces of the latter."""

    names: tuple[str, ...]
    pairwise: Mapping[str, Pairwise]
    spaces: Mapping[str, Space]

    @property
    def weights(self) -> dict[str, str]:
        """The digest of each network's weights, as far as they are used."""
        digests = {PAIRWISE[name]: metric.digest for name, metric in self.pairwise.items()}
        # A network that serves both: what a space takes of it is as decisive.
        digests |= {SPACES[name]: space.digest for name, space in self.spaces.items()}
        return {str(name): digest for name, digest in sorted(digests.items(), key=str) if digest}

    def digest_behind(self, score: str) -> str:
        """Return the digest of the weights behind a score's metric, empty where it has none.

        score: a metric of `METRICS`, or another that names its space after an `@`.
        """
        if score in self.pairwise:
            return self.pairwise[score].digest or ""
        space = DISTRIBUTION[score][1] if score in DISTRIBUTION else score.partition("@")[2]
        return (self.spaces[space].digest or "") if space in self.spaces else ""

    @property
    def distribution(self) -> list[tuple[str, str, Space]]:
        """The metrics of sets: name, formula, space."""
        return [
            (name, DISTRIBUTION[name][0], self.spaces[DISTRIBUTION[name][1]])
            for name in self.names
            if name in DISTRIBUTION
        ]


def available(given: Mapping[str, Path] | None = None) -> dict[str, str]:
    """Return every metric with why it cannot be had on this machine: empty where it can."""
    reasons = {}
    for metric in METRICS:
        network, why = network_of(metric), ""
        if network is not None:
            try:
                find_weights(network, given)
            except UserError as error:
                why = str(error)
            else:
                why = _without_package() if network == "inception" else ""
        reasons[metric] = why
    return reasons


def load_metrics(
    names: Sequence[str], given: Mapping[str, Path] | None, device: torch.device
) -> Loaded:
    """Return the metrics of these names, their networks read.

    Raises UserError for an unknown name and for weights that are missing, damaged or of no use.
    """
    check_names(given or {})
    for name in names:
        if name not in METRICS:
            raise UserError(f"quality metric {name!r} is unknown: choose {', '.join(METRICS)}.")
    wanted = tuple(sorted(set(names)))
    paths = {n: find_weights(n, given) for n in dict.fromkeys(map(network_of, wanted)) if n}
    pairwise = {name: _pairwise(name, paths, device) for name in wanted if name in PAIRWISE}
    used = dict.fromkeys(DISTRIBUTION[name][1] for name in wanted if name in DISTRIBUTION)
    return Loaded(wanted, pairwise, {name: _space(name, paths, device) for name in used})


def _pairwise(name: str, paths: Mapping[str, Path], device: torch.device) -> Pairwise:
    if name == "ssim":
        return Ssim()
    if name == "psnr":
        return Psnr()
    if name == "lpips@resnet18":
        return Resnet(paths["resnet18"], device)
    net = {"lpips": "alex", "lpips_vgg": "vgg"}[name]
    return Lpips(net, paths[str(PAIRWISE[name])], device)


def _space(name: str, paths: Mapping[str, Path], device: torch.device) -> Space:
    if name == "histogram":
        return Histogram()
    return (
        Layer3(paths["resnet18"], device)
        if name != "inception"
        else Inception(paths["inception"], device)
    )


def _without_package() -> str:
    from importlib.util import find_spec

    if find_spec("torch_fidelity") is not None:
        return ""
    return "fid, kid and is need the package torch-fidelity: `pip install 'asbench[quality]'`."
