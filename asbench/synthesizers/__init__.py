"""Synthesis methods, one file each, and how a name and settings become one with its parameters."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import types
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from asbench import plugins
from asbench.types import LearnedSynthesizer, Synthesizer
from synth_store.types import UserError

PACKAGE = "asbench.synthesizers"


class Parameter(NamedTuple):
    """One field of a synthesizer."""

    name: str
    type: Any
    default: Any
    doc: str
    rendering: bool = False
    """Of a learned method: whether fitting does not see it."""


def parameters(cls: type[Synthesizer]) -> list[Parameter]:
    """Return the parameters of a method: name, type, default and documentation of each field."""
    hints = get_type_hints(cls)
    return [
        Parameter(
            f.name,
            hints[f.name],
            f.default,
            f.metadata.get("doc", ""),
            bool(f.metadata.get("rendering")),
        )
        for f in dataclasses.fields(cls)
        if f.init
    ]


def variants(name: str) -> list[str]:
    """Return the variants that ship with a method, sorted, without the method's own name."""
    return sorted(_table(name, "VARIANTS"))


def hand_crafted() -> list[str]:
    """Return the names of the methods that render without having been fitted, sorted."""
    return [
        name
        for name in plugins.names(PACKAGE)
        if not issubclass(
            plugins.load(PACKAGE, name, Synthesizer),
            LearnedSynthesizer,
        )
    ]


def resolve(
    name: str, *, dataset: str, category: str, settings: Mapping[str, Any] | None = None
) -> Synthesizer:
    """Return the method `name` with the parameters it has on one category.

    name: `<method>` or `<method>@<variant>`. The method's defaults, then its settings for
    `dataset/category` (the data set's own variant plays no part), then those of the shipped
    variant, then `settings`: values, or strings as typed at the command line. A variant of one's
    own starts from the shipped one that its name begins with: `realnet@tiny-scratch-long` from
    `realnet@tiny-scratch`.

    Raises UserError for an unknown method, variant, parameter or value; for settings without a
    variant of one's own, since rows and stores tell parameter sets apart by name alone.
    """
    plain, _, variant = name.partition("@")
    cls = plugins.load(PACKAGE, name, Synthesizer)
    shipped = _table(name, "VARIANTS")
    if settings:
        _check_own_name(plain, variant, shipped)
    elif variant and variant not in shipped:
        raise UserError(_unknown_variant(plain, variant, shipped))
    place = f"{dataset.partition('@')[0]}/{category}"
    # Hyphens close a name, so that `many-mine` starts from `many` and `manymine` from the defaults.
    begun = [v for v in shipped if f"{variant}-".startswith(f"{v}-")]
    start = shipped[max(begun, key=len)] if begun else {}
    chosen = _table(name, "CATEGORIES").get(place, {}) | start
    known = {p.name: p for p in parameters(cls)}
    for key, value in (settings or {}).items():
        chosen[key] = _value(plain, key, value, known)
    return dataclasses.replace(cls(), **chosen)


def own_name(method: str, variant: str | None) -> str:
    """Return the name of `method` with a parameter set of one's own; without one, `method`.

    `nsa` and `three` make `nsa@three`; `realnet@tiny-scratch` and `long`, which starts from the
    shipped variant, make `realnet@tiny-scratch-long`.
    """
    if variant is None:
        return method
    return f"{method}{'-' if '@' in method else '@'}{variant}"


def rebuild(name: str, stored: Mapping[str, Any]) -> Synthesizer:
    """Return a method with the parameters that a store or a fit recorded, as JSON has them.

    Raises UserError for a parameter or a value that the method no longer takes.
    """
    cls = plugins.load(PACKAGE, name, Synthesizer)
    known = {p.name: p for p in parameters(cls)}
    plain = name.partition("@")[0]
    return cls(**{key: _value(plain, key, value, known) for key, value in stored.items()})


def _table(name: str, table: str) -> dict[str, dict[str, Any]]:
    """Return VARIANTS or CATEGORIES of a method's module; empty where it has none."""
    return dict(getattr(plugins.module(PACKAGE, name), table, {}))


def _check_own_name(plain: str, variant: str, shipped: Mapping[str, Any]) -> None:
    if not variant:
        raise UserError(
            f"{plain!r} with other parameters needs a name: name this parameter set, e.g. "
            f"`--variant three` (becomes `{plain}@three`)."
        )
    if variant in shipped:
        raise UserError(
            f"{plain}@{variant} is a parameter set that ships with the method: to start from it, "
            f"name yours, e.g. `--method {plain}@{variant} --variant two` (becomes "
            f"`{plain}@{variant}-two`)."
        )


def _unknown_variant(plain: str, variant: str, shipped: Mapping[str, Any]) -> str:
    choices = ", ".join([plain, *(f"{plain}@{v}" for v in sorted(shipped))])
    return (
        f"{plain}@{variant} is unknown: choose from {choices}, or make it your own with "
        f"`--set PARAMETER=VALUE --variant {variant}`."
    )


def _value(plain: str, key: str, value: Any, known: Mapping[str, Parameter]) -> Any:
    """Return a setting as its parameter's type; raises UserError naming what would fit."""
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        listed = ", ".join(known) or "none"
        raise UserError(f"{plain} has no parameter {key!r}: it has {listed}.{hint}")
    wanted = known[key].type
    try:
        return _convert(_parse(value, wanted) if isinstance(value, str) else value, wanted)
    except (TypeError, ValueError, SyntaxError) as error:
        raise UserError(
            f"{plain}: {key}={value!r} is not {_spell(wanted)} (default {known[key].default!r})."
        ) from error


def _parse(text: str, wanted: Any) -> Any:
    """Read a string as typed at the command line."""
    options = _options(wanted)
    if str in options or any(get_origin(o) is Literal and text in get_args(o) for o in options):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return ast.literal_eval(text)


def _options(wanted: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(wanted) if get_origin(wanted) in (Union, types.UnionType) else (wanted,)


def _convert(value: Any, wanted: Any) -> Any:
    """Return `value` as the type `wanted`; raises TypeError where it is another kind of thing.

    Whole numbers serve as floats and lists as tuples; a bool is no number.
    """
    for option in _options(wanted):
        origin, members = get_origin(option), get_args(option)
        if origin is Literal and value in members:
            return value
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if option is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if origin is tuple and isinstance(value, tuple | list):
            inner = (members[0],) * len(value) if members[1:] == (...,) else members
            return tuple(_convert(v, t) for v, t in zip(value, inner, strict=True))
        if option in (bool, str, type(None)) and isinstance(value, option):
            return value
    raise TypeError(f"{value!r} is not {_spell(wanted)}")


def _spell(wanted: Any) -> str:
    """Say in words what a type takes."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    options = _options(wanted)
    if len(options) > 1:
        return " or ".join(_spell(o) for o in options)
    if get_origin(wanted) is Literal:
        return "one of " + ", ".join(map(str, get_args(wanted)))
    if get_origin(wanted) is tuple:
        return f"of the form {wanted}"
    return words.get(wanted, str(wanted))
