"""Detectors: one file each; this file finds, resolves and builds them by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asbench import plugins
from asbench.nets.detector import Detector, Protocol
from asbench.nets.pretrained import Pretrained, find_pretrained
from asbench.nets.seeds import address_seed, private_rng, seed_rng
from asbench.nets.shapes import without_values

PACKAGE = "asbench.detectors"


def resolve(
    name: str, settings: Mapping[str, Any] | None = None
) -> tuple[type[Detector], dict[str, Any]]:
    """Return the class behind `<detector>[@<variant>]` and a value for each of its parameters.

    Defaults, overruled by the variant's, overruled by `settings`: values, or strings as typed at
    the command line. Raises UserError for a detector, variant, parameter or value that is not one.
    """
    return plugins.resolve(PACKAGE, name, Detector, settings)  # type: ignore[type-abstract]


def protocol_of(name: str) -> Protocol:
    """Return how `<detector>[@<variant>]` is trained: the variant's own protocol if it has one."""
    cls, _ = resolve(name)
    own: Mapping[str, Protocol] = getattr(plugins.module(PACKAGE, name), "PROTOCOLS", {})
    return own.get(name.partition("@")[2], cls.protocol)


def pretrained_of(
    name: str,
    settings: Mapping[str, Any] | None = None,
    given: Mapping[str, Path] | None = None,
) -> Pretrained | None:
    """Return the weights a detector starts from at these parameters; None if from scratch.

    given: files by the network's name, before all other places. Their digest belongs to a run's id;
    `build(...).load_backbone(pretrained.tensors)` puts them in. Raises what `resolve` and
    `find_pretrained` raise.
    """
    with without_values():
        needed = build(name, 0, settings).backbone()
    return None if needed is None else find_pretrained(needed, given)


def build(name: str, seed: int, settings: Mapping[str, Any] | None = None) -> Detector:
    """Return a new detector on the CPU. Equal arguments give equal weights.

    torch's global generator is left as it was. Raises what `resolve` raises.
    """
    cls, values = resolve(name, settings)
    with private_rng():
        seed_rng(address_seed("weights", seed))
        return cls(**values)
