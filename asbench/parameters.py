"""Parameters: fields of a dataclass, each with a default and a sentence; how they get values."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import types
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints


def parameter(
    default: Any, doc: str, *, rendering: bool = False, hash: bool | None = None, **more: Any
) -> Any:
    """Return a dataclass field with its documentation: shown in help, by `methods show`, in docs.

    rendering: of a learned method, that fitting does not see it, so parameter sets that differ in
    it alone render from the same fit. All else decides what is fitted. hash: as of a dataclass's
    field. more: what else the field's readers go by; `asbench.settings` says what of settings.
    """
    metadata = {"doc": doc, "rendering": rendering, **more}
    return dataclasses.field(default=default, hash=hash, metadata=metadata)


class Parameter(NamedTuple):
    """One parameter of a class."""

    name: str
    type: Any
    default: Any
    doc: str
    rendering: bool = False
    """Of a learned method: whether fitting does not see it."""


def parameters(cls: type) -> tuple[Parameter, ...]:
    """Return the parameters of a dataclass, in its order: the fields that have a default.

    Raises TypeError for a class that takes arguments but was not made a dataclass.
    """
    own = vars(cls)
    if "__dataclass_fields__" not in own and (
        any(isinstance(value, dataclasses.Field) for value in own.values())
        or ("__init__" in own and inspect.signature(cls).parameters)
    ):
        raise TypeError(f"{cls.__name__} has parameters: put a line @dataclass(...) before it")
    if not dataclasses.is_dataclass(cls):
        return ()
    hints = get_type_hints(cls)
    return tuple(
        Parameter(
            f.name,
            hints[f.name],
            f.default,
            f.metadata.get("doc", ""),
            bool(f.metadata.get("rendering")),
        )
        for f in dataclasses.fields(cls)
        if f.init and f.default is not dataclasses.MISSING
    )


def settle(what: str, cls: type, *changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for every parameter: its default, overruled by one change after the other.

    changes: by parameter, values or strings as typed at the command line; whole numbers serve as
    floats, lists as tuples. what: whose parameters they are, for refusals: `detector 'draem'`.
    Raises UserError for a parameter that is not there and for a value of another type.
    """
    from synth_store.types import UserError  # with numpy, which a command's help does without

    known = {p.name: p for p in parameters(cls)}
    settled = {p.name: p.default for p in known.values()}
    for name, value in (item for change in changes for item in change.items()):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]}?" if near else ""
            listed = f"choose from {', '.join(known)}" if known else "it has none"
            raise UserError(f"{what} has no parameter {name!r}: {listed}.{hint}")
        wanted = known[name].type
        try:
            settled[name] = _convert(
                _parse(value, wanted) if isinstance(value, str) else value, wanted
            )
        except (TypeError, ValueError, SyntaxError) as error:
            default = known[name].default
            raise UserError(
                f"{what}: {name}={value!r} is not {_spell(wanted)} (default {default!r})."
            ) from error
    return settled


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
