"""Detectors: one file each; this file finds, resolves and builds them by name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from asbench import plugins
from asbench.nets.detector import Detector, Protocol
from asbench.nets.pretrained import Pretrained, find_pretrained
from asbench.nets.seeds import address_seed, private_rng, seed_rng
from synth_store.types import UserError

PACKAGE = "asbench.detectors"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One keyword argument of a detector's constructor."""

    name: str
    type: type
    default: Any


def parameters(detector: type[Detector]) -> tuple[Parameter, ...]:
    """Return a detector's parameters, read from its constructor's signature, in its order."""
    signature = inspect.signature(detector, eval_str=True)
    return tuple(Parameter(p.name, p.annotation, p.default) for p in signature.parameters.values())


def resolve(
    name: str, settings: Mapping[str, Any] | None = None
) -> tuple[type[Detector], dict[str, Any]]:
    """Return the class behind `<detector>[@<variant>]` and all its parameters.

    Defaults, overruled by the variant's, overruled by `settings`: values, or strings as typed at
    the command line. Raises UserError for an unknown
    detector, variant or parameter, and for a value of another type than the parameter's (an int
    may stand for a float).
    """
    found = plugins.load(PACKAGE, name, Detector)  # type: ignore[type-abstract]
    plain, _, variant = name.partition("@")
    variants: Mapping[str, Mapping[str, Any]] = getattr(
        plugins.module(PACKAGE, name), "VARIANTS", {}
    )
    if variant and variant not in variants:
        choices = ", ".join([plain, *(f"{plain}@{v}" for v in variants)])
        raise UserError(f"detector {plain!r} has no variant {variant!r}: choose from {choices}.")
    known = {p.name: p for p in parameters(found)}
    values = {p.name: p.default for p in known.values()}
    for key, value in {**variants.get(variant, {}), **(settings or {})}.items():
        if key not in known:
            raise UserError(
                f"detector {plain!r} has no parameter {key!r}: choose from {', '.join(known)}."
            )
        values[key] = _checked(plain, known[key], value)
    return found, values


def _checked(detector: str, parameter: Parameter, value: Any) -> Any:
    kind = parameter.type
    if isinstance(value, str) and kind is not str:
        value = _typed(value)
    if kind is float and type(value) is int:
        return float(value)
    # bool is a subclass of int, but width=True is a slip.
    if isinstance(kind, type) and type(value) is not kind:
        raise UserError(
            f"{parameter.name}={value!r} of detector {detector!r} is a {type(value).__name__}: "
            f"it must be {kind.__name__}, as in {parameter.name}={parameter.default!r}."
        )
    return value


def _typed(text: str) -> Any:
    """Read a value as typed at the command line; what is no literal stays a string."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def protocol_of(name: str) -> Protocol:
    """Return how `<detector>[@<variant>]` is trained: the variant's own protocol if it has one."""
    found, _ = resolve(name)
    own: Mapping[str, Protocol] = getattr(plugins.module(PACKAGE, name), "PROTOCOLS", {})
    return own.get(name.partition("@")[2], found.protocol)


def pretrained_of(
    name: str,
    settings: Mapping[str, Any] | None = None,
    given: Mapping[str, Path] | None = None,
) -> Pretrained | None:
    """Return the weights a detector starts from at these parameters; None if from scratch.

    given: files by the network's name, before all other places. Their digest belongs to a run's id;
    `build(...).load_backbone(found.tensors)` puts them in. Raises what `resolve` and
    `find_pretrained` raise.
    """
    with torch.device("meta"):
        needed = build(name, 0, settings).backbone()
    return None if needed is None else find_pretrained(needed, given)


def build(name: str, seed: int, settings: Mapping[str, Any] | None = None) -> Detector:
    """Return a new detector on the CPU. Equal arguments give equal weights.

    torch's global generator is left as it was. Raises what `resolve` raises.
    """
    found, values = resolve(name, settings)
    with private_rng():
        seed_rng(address_seed("weights", seed))
        return found(**values)
