"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.types import IntParamType

STORE = "asbench-store"
RUNS = "runs"
FITS = "fits"
QUALITY = "quality"


Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Return a click option whose default is shown in the help."""
    return click.option(*names, **{"show_default": True, **settings})


dataset = option(
    "--dataset",
    default="demo",
    help="A data set's name, or the path of a folder or table of images.",
)
name = option("--name", default=None, help="Key of a path's images in the store.  [its slug]")


def listed(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    """Take several values from a repeated option, from commas, or both; each once."""
    parts = [part.strip() for text in given for part in text.split(",")]
    if not all(parts):
        raise click.BadParameter(f"{','.join(given)!r} has an empty name.", ctx, parameter)
    return tuple(dict.fromkeys(parts))


def seeds(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> list[int]:
    """Take several seeds as `listed` does; raises click.BadParameter for what is none."""
    texts = listed(ctx, parameter, given)
    for text in texts:
        if not text.isdecimal():
            raise click.BadParameter(f"{text!r} is not a seed: 0, 1, 2, ...", ctx, parameter)
    return [int(text) for text in texts]


class AtLeast(IntParamType):
    """A whole number from `smallest` up; click's own range crowds the help with its formula."""

    def __init__(self, smallest: int) -> None:
        self.smallest = smallest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = int(super().convert(value, param, ctx))
        if number < self.smallest:
            self.fail(f"{number} is too small: give {self.smallest} or more.", param, ctx)
        return number


categories = option(
    "--category", multiple=True, callback=listed, help="A category; several: a,b or repeat.  [all]"
)
store = option(
    "--store",
    type=click.Path(),
    default=STORE,
    help="Folder of the store; to read, s3://BUCKET/PREFIX too.",
)
runs = option("--runs", type=click.Path(path_type=Path), default=RUNS, help="Folder of the runs.")
quality = option(
    "--quality",
    type=click.Path(path_type=Path),
    default=QUALITY,
    help="Folder of what was measured.",
)
fits = option(
    "--fits", type=click.Path(path_type=Path), default=FITS, help="Folder of fitted weights."
)
synth_seed = option("--seed", default=0, type=AtLeast(0), help="Seed of the synthetic set.")
device = option("--device", default=None, help="cpu, cuda or cuda:1.  [cuda where there is one]")
settings = option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter that differs from its default; repeat for several.",
)


size = click.option("--size", type=AtLeast(8), help="Image side of a new store, in pixels.  [256]")
resize = click.option(
    "--resize",
    type=click.Choice(["stretch", "pad"]),
    help="How a new store fits images to its size.  [stretch]",
)
learned_weights = option(
    "--weights",
    multiple=True,
    metavar="NAME=PATH",
    help="Pretrained weights of a learned method.  [those in ASBENCH_WEIGHTS]",
)
quality_weights = option(
    "--weights",
    multiple=True,
    metavar="NAME=PATH",
    help="Weights: inception, alexnet, vgg16, resnet18.  [those in ASBENCH_WEIGHTS]",
)
parity = click.option(
    "--parity",
    is_flag=True,
    help="Record the scores of the detector's published code beside the exact ones.",
)
workers = click.option("--workers", type=AtLeast(1), help="Processes.  [one per core]")
scheduler = option(
    "--scheduler",
    default=None,
    metavar="ADDRESS",
    help="Run on the workers of this dask scheduler: tcp://HOST:PORT.  [on this machine]",
)
weights = option(
    "--weights",
    multiple=True,
    metavar="NAME=PATH",
    help="Pretrained weights, as resnet18=FILE.  [those in ASBENCH_WEIGHTS]",
)


def parsed(settings: tuple[str, ...]) -> dict[str, str]:
    """Turn `--set name=value` options into a mapping; raises click.BadParameter."""
    found = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(
                f"{text!r} is not NAME=VALUE, as in patches=3.", param_hint="--set"
            )
        found[key.strip()] = value.strip()
    return found


def unless(value: object, default: object) -> object | None:
    """Return an option's value, or None where it is the default and need not be typed."""
    return None if value is None or str(value) == str(default) else value
