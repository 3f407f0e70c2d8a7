"""Options of the commands, made from the settings they set: spelt and explained once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

import click
from click.types import IntParamType

from asbench.parameters import Parameter, parameters
from asbench.settings import GenerateSettings, MeasureSettings, Settings, TrainSettings

S = TypeVar("S", bound=Settings)
Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Return a click option whose default is shown in the help."""
    return click.option(*names, **{"show_default": True, **settings})


def of(
    cls: type[S],
    *,
    several: Mapping[str, str] | None = None,
    required: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each of the settings, and hand it the settings they make.

    several: names of which the command takes a list, beside the settings, to run each of it, with
    what none of them stands for; required: those without a default here; without: those that the
    command takes otherwise.
    """
    many = several or {}
    offered = [one for one in parameters(cls) if one.flags != () and one.name not in without]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def called(**given: Any) -> Any:
            said = {one.name: given.pop(one.name) for one in offered if one.name not in many}
            return command(cls(**said), **given)

        called.__doc__ = command.__doc__
        # What further options left on the command must come along: click reads them from there.
        called.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        for one in reversed(offered):
            changed = replace(one, default=None, unset=many[one.name]) if one.name in many else one
            _option(changed, many=one.name in many, required=one.name in required)(called)
        return called

    return decorate


def one(cls: type[Settings], name: str, **changed: Any) -> Callable[[Command], Command]:
    """Return the option of a single setting, for commands that have few of them."""
    (setting,) = (s for s in parameters(cls) if s.name == name)
    return _option(setting, **changed)


def _option(
    one: Parameter, *, many: bool = False, required: bool = False, **changed: Any
) -> Callable[[Command], Command]:
    flags = one.flags or (f"--{one.name.replace('_', '-')}",)
    one = replace(one, unset=changed.pop("unset", one.unset))
    said: dict[str, Any] = {"required": required, **_read(one, many)} | changed
    text = one.doc
    if said.get("multiple"):
        each = "0,1,2" if one.type is int else "a,b"
        how = (
            "repeat for several" if "=" in said.get("metavar", "") else f"several: {each} or repeat"
        )
        text = f"{text[:-1]}; {how}."
    said["help"] = f"{text}  [{one.unset}]" if one.unset else text
    if one.default is not None and one.default is not False and not required:
        said = {"default": one.default, "show_default": True} | said
    return click.option(*flags, said.pop("called", one.name), **said)


def _read(one: Parameter, many: bool) -> dict[str, Any]:
    """Return how click reads a setting's value from text."""
    kinds = get_args(one.type) if get_origin(one.type) is UnionType else (one.type,)
    if many and int in kinds:
        return {"multiple": True, "callback": seeds, "metavar": "INTEGER"}
    if many or any(get_origin(kind) is Sequence for kind in kinds):
        return {"multiple": True, "callback": _listed}
    for kind in kinds:
        if get_origin(kind) is Mapping:
            callback, value = (_weights, "PATH") if get_args(kind)[1] is Path else (_pairs, "VALUE")
            return {"multiple": True, "callback": callback, "metavar": f"NAME={value}"}
    if one.choices:
        return {"type": click.Choice(one.choices)}
    if one.name == "size":
        return {"type": ImageSize(one.least or 1)}
    if bool in kinds:
        return {"is_flag": True}
    if int in kinds:
        return {"type": click.INT if one.least is None else AtLeast(one.least)}
    if float in kinds and str not in kinds:
        return {"type": click.FLOAT}
    return {"type": click.Path()} if Path in kinds else {}


def listed(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Take several values from a repeated option, from commas, or both; each once."""
    parts = [part.strip() for text in given for part in text.split(",")]
    if not all(parts):
        raise click.BadParameter(f"{','.join(given)!r} has an empty name.", ctx, parameter)
    return tuple(dict.fromkeys(parts))


def seeds(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> list[int]:
    """Take several seeds as `listed` does; 0 for none. Raises click.BadParameter for others."""
    texts = listed(ctx, parameter, given)
    for text in texts:
        if not text.isdecimal():
            raise click.BadParameter(f"{text!r} is not a seed: 0, 1, 2, ...", ctx, parameter)
    return [int(text) for text in texts] or [0]


class AtLeast(IntParamType):
    """A whole number from `smallest` up; click's own range crowds the help with its formula."""

    def __init__(self, smallest: int) -> None:
        self.smallest = smallest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = int(super().convert(value, param, ctx))
        if number < self.smallest:
            self.fail(f"{number} is too small: give {self.smallest} or more.", param, ctx)
        return number


class ImageSize(click.ParamType[tuple[int, int]]):
    """A side in pixels, or WIDTHxHEIGHT; becomes (height, width)."""

    name = "pixels"

    def __init__(self, smallest: int) -> None:
        self.smallest = smallest

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        from asbench.data.geometry import read_size  # only then: the store brings numpy along
        from synth_store.types import UserError

        try:
            height, width = read_size(value)
        except UserError as error:
            self.fail(str(error), param, ctx)
        if min(height, width) < self.smallest:
            small = min(height, width)
            self.fail(f"{small} is too small: give {self.smallest} or more.", param, ctx)
        return height, width


def parsed(settings: tuple[str, ...]) -> dict[str, str]:
    """Turn `--set name=value` options into a mapping; raises click.BadParameter."""
    pairs = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(
                f"{text!r} is not NAME=VALUE, as in patches=3.", param_hint="--set"
            )
        pairs[key.strip()] = value.strip()
    return pairs


def _listed(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...] | None:
    return listed(ctx, parameter, given) or None


def _pairs(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    return parsed(given) or None


def _weights(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, Path] | None:
    if not given:
        return None
    from asbench.nets.pretrained import parse_weights  # only then: it brings torch along

    return parse_weights(given)


def unless(value: object, default: object) -> object | None:
    """Return an option's value, or None where it is the default and need not be typed."""
    return None if value is None or str(value) == str(default) else value


STORE = Settings().store
RUNS = TrainSettings().runs
FITS = GenerateSettings().fits
QUALITY = MeasureSettings().out

dataset = one(Settings, "dataset")
name = one(Settings, "name")
store = one(Settings, "store")
device = one(Settings, "device")
runs = one(TrainSettings, "runs", type=click.Path(path_type=Path))
parity = one(TrainSettings, "parity")
threshold = one(TrainSettings, "threshold", unset="the run's own")
false_alarms = one(TrainSettings, "false_alarms", unset="the run's own rule")
categories = one(GenerateSettings, "category", callback=listed)
synth_seed = one(GenerateSettings, "seed")
fits = one(GenerateSettings, "fits", type=click.Path(path_type=Path))
quality = one(MeasureSettings, "out", called="quality", type=click.Path(path_type=Path))
workers = click.option("--workers", type=AtLeast(1), help="Processes.  [one per core]")
scheduler = option(
    "--scheduler",
    default=None,
    metavar="ADDRESS",
    help="Run on the workers of this dask scheduler: tcp://HOST:PORT.  [on this machine]",
)
