"""Parameters: fields of a dataclass, each with a default and a sentence; how they get values."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import math
import textwrap
import types
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import (
    Any,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")
S_contra = TypeVar("S_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


def parameter(default: Any, doc: str, *, hash: bool | None = None, **more: Any) -> Any:
    """Return a dataclass field with its documentation: shown in help, by `methods show`, in docs.

    hash: as of a dataclass's field; more: what `Parameter` has beside.
    """
    return dataclasses.field(default=default, hash=hash, metadata={"doc": doc, **more})


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a plugin, or one of `asbench.settings`.

    choices: the values that a literal takes. rendering: of a learned method, that fitting does not
    see it, so parameter sets that differ in it alone render from the same fit.

    Of settings: unset: what None, or nothing, stands for; least, most: the smallest and the largest
    whole number that make sense; flags: how the command line spells it, where not `--name`, empty
    where it has no option; decides: whether a run's outcome, and so its id, depends on it; study:
    where a study file says it: `detectors` for each of them, `protocol` for all trainings,
    `quality`, and `axis` for one of which every value is run; plural: what it is called there,
    where not by its name; none: the word for None there.
    """

    name: str
    type: Any
    default: Any
    doc: str
    choices: tuple[str, ...] = ()
    rendering: bool = False
    unset: str = ""
    least: int | None = None
    most: int | None = None
    flags: tuple[str, ...] | None = None
    decides: bool = False
    study: str = ""
    plural: str = ""
    none: str = ""

    @property
    def key(self) -> str:
        """What a study file calls it."""
        return self.plural or (self.flags[-1].lstrip("-") if self.flags else self.name)


_READ: dict[type, tuple[Parameter, ...]] = {}


def parameters(cls: type) -> tuple[Parameter, ...]:
    """Return the parameters of a dataclass in reading order: the fields that have a default.

    Those given by name alone come after the others, the class's own before its bases', and who
    hears of the work last. Raises TypeError for a class that takes arguments but was not made a
    dataclass.
    """
    if cls not in _READ:
        _READ[cls] = _read(cls)
    return _READ[cls]


def _read(cls: type) -> tuple[Parameter, ...]:
    own = vars(cls)
    if "__dataclass_fields__" not in own and (
        any(isinstance(value, dataclasses.Field) for value in own.values())
        or ("__init__" in own and inspect.signature(cls).parameters)
    ):
        raise TypeError(f"{cls.__name__} has parameters: put a line @dataclass(...) before it")
    if not dataclasses.is_dataclass(cls):
        return ()
    hints = get_type_hints(cls)
    said_by = {name: n for n, c in enumerate(cls.__mro__) for name in inspect.get_annotations(c)}

    def place(field: dataclasses.Field[Any]) -> tuple[bool, bool, int]:
        by_name = field.kw_only is True
        return by_name, field.metadata.get("flags") == (), said_by[field.name] if by_name else 0

    return tuple(
        Parameter(
            f.name,
            hints[f.name],
            f.default,
            **{"doc": "", **f.metadata, "choices": _choices(hints[f.name])},
        )
        for f in sorted(dataclasses.fields(cls), key=place)
        if f.init and f.default is not dataclasses.MISSING
    )


def _choices(kind: Any) -> tuple[str, ...]:
    options = (kind, *get_args(kind))
    return tuple(c for o in options if get_origin(o) is Literal for c in get_args(o))


def refuse_impossible(settings: Any) -> None:
    """Raise UserError for a setting that is not among its choices, or a number beyond its most."""
    for one in parameters(type(settings)):
        why, value = "", getattr(settings, one.name)
        if one.choices and value is not None and value not in one.choices:
            why = f"{value!r} is unknown: choose {' or '.join(one.choices)}."
        for number in value if isinstance(value, tuple) else (value,):
            if one.most is not None and isinstance(number, int) and number > one.most:
                why = f"{number} is too large: give {one.least or 0} to {one.most}."
        if why:
            from synth_store.types import UserError  # with numpy, which help does without

            raise UserError(f"{one.name.replace('_', ' ')} {why}")


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

    Whole numbers serve as floats and lists as tuples; a bool is no number, nor is what is not
    finite: no comparison refuses a NaN.
    """
    for option in _options(wanted):
        origin, members = get_origin(option), get_args(option)
        if origin is Literal and value in members:
            return value
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if option is float and number and math.isfinite(value):
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


class OfSettings(Protocol[P, S_contra, R_co]):
    """A function that takes settings one by one or, as `of`, all at once."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
    def of(self, settings: S_contra, /) -> R_co: ...


def takes(cls: Callable[P, S]) -> Callable[[Callable[[S], R]], OfSettings[P, S, R]]:
    """Give a function of settings the signature of the settings, and their sentences as its `Args`.

    What type checkers and editors see of it is the constructor of `cls`; so does `help`.
    """

    def decorate(function: Callable[[S], R]) -> OfSettings[P, S, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            return function(cls(*args, **kwargs))

        there = inspect.signature(cls).parameters
        inner = [there[one.name] for one in parameters(cast(type[Any], cls))]
        result = inspect.signature(function).return_annotation
        called.__doc__ = f"{inspect.getdoc(function)}\n\n{_arguments(cast(type[Any], cls))}"
        stage = cast(Any, called)
        stage.__signature__ = inspect.Signature(inner, return_annotation=result)
        stage.of = function
        return cast(OfSettings[P, S, R], stage)

    return decorate


def _arguments(cls: type[Any]) -> str:
    entries = (
        f"{one.name}: {one.doc}{f' None: {one.unset}.' if one.unset else ''}"
        for one in parameters(cls)
    )
    fill = partial(textwrap.fill, width=88, initial_indent=" " * 4, subsequent_indent=" " * 8)
    return "\n".join(["Args:", *map(fill, entries)])
