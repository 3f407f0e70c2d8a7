"""What a study file may say, value by value: each read, or refused with its place."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar, cast, get_args

from asbench.data.validation_part import KEPT_MOST, kept_count
from asbench.parameters import Parameter
from asbench.settings import MOST_SAMPLES, MOST_SEED, Where
from synth_store import Mix, UserError
from synth_store.types import check_category, check_name

T = TypeVar("T")

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 200
_REPR.maxlist = _REPR.maxtuple = _REPR.maxset = _REPR.maxdict = 12
said = _REPR.repr
"""A value as it stands in an error: a long one is cut."""


class Reading:
    """Reads values of a document, and notes what is wrong with where it stands."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults

    def value(self, where: str, read: Callable[[Any], T], value: Any, otherwise: T) -> T:
        """Return `read(value)`; where it raises UserError note that, and return `otherwise`."""
        try:
            return read(value)
        except UserError as error:
            self.faults.append(f"{where}: {error}")
            return otherwise

    def values(self, where: str, read: Callable[[Any], T], value: Any) -> tuple[T, ...]:
        """Return each of a list (one value is a list of one) that can be read, once."""
        given = value if isinstance(value, list) else [value]
        if not given:
            self.faults.append(f"{where}: it is empty: leave it out, or name something.")
        distinct: dict[Any, T] = {}
        for one in given:
            missing = cast(T, self)
            got = self.value(where, read, one, missing)
            if got is not missing:
                distinct.setdefault(got, got)
        return tuple(distinct.values())

    def known(self, where: str, given: Any, names: Iterable[str]) -> dict[str, Any]:
        """Return a mapping's entries whose names are known."""
        if given is None:
            return {}
        if not isinstance(given, dict):
            self.faults.append(
                f"{where or 'the file'}: {said(given)} is not of the form `name: value`."
            )
            return {}
        choices = list(names)
        for key in given:
            if key not in choices:
                near = difflib.get_close_matches(str(key), choices, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(choices)}."
                place = f"{where}.{key}" if where else str(key)
                self.faults.append(f"{place}: nothing has this name: {hint}")
        return {key: value for key, value in given.items() if key in choices}


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{said(value)} is not a text: put it in quotes.")
    return value


def mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{said(value)} is not of the form `{{name: value}}`.")
    return value


def category(value: Any) -> str:
    return check_category(text(value))


def dataset_name(value: Any) -> str:
    return check_name(text(value), "data set")


def detector_name(value: Any) -> str:
    return check_name(text(value), "detector")


def method_name(value: Any) -> str:
    return check_name(text(value), "method")


def reader(setting: Parameter) -> Callable[[Any], Any]:
    """Return what reads the values of a setting: raises UserError for what is none."""
    if setting.name in _READERS:
        read = _READERS[setting.name]
    elif setting.type is bool:
        read = partial(_choice, choices=(False, True))
    elif setting.choices:
        read = partial(_choice, choices=setting.choices)
    elif setting.least is not None:
        read = partial(count, least=setting.least, most=setting.most)
    else:
        read = mapping
    return (lambda value: None if value == setting.none else read(value)) if setting.none else read


def _choice(value: Any, choices: Sequence[Any]) -> Any:
    if value not in choices or isinstance(value, bool) != isinstance(choices[0], bool):
        listed = " or ".join(str(choice).lower() for choice in choices)
        raise UserError(f"{said(value)} is unknown: choose {listed}.")
    return value


def where(value: Any) -> Where:
    _choice(value, get_args(Where))
    return cast(Where, value)


def mix(value: Any) -> Mix:
    return Mix.parse(text(value))


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{said(value)} is neither true nor false.")
    return value


def count(value: Any, least: int = 1, most: int | None = MOST_SAMPLES) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"{said(value)} is not a number from {least} up.")
    if most is not None and value > most:
        raise UserError(f"{value} is too large: give {least} to {most}.")
    return value


def times(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{said(value)} is not a number from 0 (any change, as published) up.")
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{said(value)} is impossible: give a number from 0 (any change) up.")
    return float(value)


def samples(value: Any) -> int:
    if count(value) < 2:
        raise UserError(f"{said(value)} samples cannot be compared: give 2 or more.")
    return int(value)


def seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"{said(value)} is not a seed: 0, 1, 2, ...")
    if value > MOST_SEED:
        raise UserError(f"seed {value} is too large: give 0 to {MOST_SEED}.")
    return value


def ratio(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{said(value)} is not a ratio: a number from 0 to 1, or `published`.")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise UserError(f"ratio {value} is impossible: choose from 0 to 1.")
    return float(value)


def share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{said(value)} is not a share: a number from 0 to {KEPT_MOST:g}.")
    kept_count(0, value)
    return float(value)


_READERS: dict[str, Callable[[Any], Any]] = {
    "mix": mix,
    "ratio": ratio,
    "seed": seed,
    "synth_seed": seed,
    "n": samples,
    "kept_out": share,
}
"""Settings whose values are explained in words of their own."""
