"""What a study file may say, value by value: each read, or refused with its place."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, cast

from asbench.results import SUBSETS, Subset
from synth_store import Mix, UserError
from synth_store.types import check_category, check_name

PUBLISHED: Literal["published"] = "published"
"""In place of a ratio: the one that a detector's authors trained at."""

T = TypeVar("T")


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
        found: dict[Any, T] = {}
        for one in given:
            missing = cast(T, self)
            got = self.value(where, read, one, missing)
            if got is not missing:
                found.setdefault(got, got)
        return tuple(found.values())

    def known(self, where: str, given: Any, names: Iterable[str]) -> dict[str, Any]:
        """Return a mapping's entries whose names are known."""
        if given is None:
            return {}
        if not isinstance(given, dict):
            self.faults.append(
                f"{where or 'the file'}: {given!r} is not of the form `name: value`."
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
        raise UserError(f"{value!r} is not a text: put it in quotes.")
    return value


def mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{value!r} is not of the form `{{name: value}}`.")
    return value


def category(value: Any) -> str:
    return check_category(text(value))


def dataset_name(value: Any) -> str:
    return check_name(text(value), "data set")


def detector_name(value: Any) -> str:
    return check_name(text(value), "detector")


def method_name(value: Any) -> str:
    return check_name(text(value), "method")


def mix(value: Any) -> str:
    return str(Mix.parse(text(value)))


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{value!r} is neither true nor false.")
    return value


def count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{value!r} is not a number from 1 up.")
    return value


def samples(value: Any) -> int:
    if count(value) < 2:
        raise UserError(f"{value!r} samples cannot be compared: give 2 or more.")
    return int(value)


def subset(value: Any) -> Subset:
    if value not in SUBSETS:
        raise UserError(f"{value!r} is unknown: choose held_out or full.")
    return cast(Subset, value)


def seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"{value!r} is not a seed: 0, 1, 2, ...")
    return value


def pool(value: Any) -> int | None:
    return None if value == "all" else count(value)


def ratio(value: Any) -> float | None:
    if value == PUBLISHED:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{value!r} is not a ratio: a number from 0 to 1, or `{PUBLISHED}`.")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise UserError(f"ratio {value} is impossible: choose from 0 to 1.")
    return float(value)


def precision(value: Any) -> str:
    if value not in ("fp32", "bf16"):
        raise UserError(f"{value!r} is unknown: choose fp32 or bf16.")
    return str(value)
