"""Options that several commands share, so that they are spelt and explained once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

STORE = "asbench-store"
RUNS = "runs"


Command = TypeVar("Command", bound=Callable[..., Any])


def option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """Return a click option whose default is shown in the help."""
    return click.option(*names, **{"show_default": True, **settings})


dataset = option(
    "--dataset", default="demo", help="A data set's name, or the path of a folder of images."
)
name = option("--name", default=None, help="Key of a folder's images in the store.  [its slug]")
categories = option(
    "--category", "category", multiple=True, help="A category; repeat for several.  [all]"
)
store = option(
    "--store", type=click.Path(path_type=Path), default=STORE, help="Folder of the store."
)
runs = option("--runs", type=click.Path(path_type=Path), default=RUNS, help="Folder of the runs.")
synth_seed = option("--seed", "seed", default=0, help="Seed of the synthetic set.")
device = option("--device", default=None, help="cpu, cuda, cuda:1, ...  [cuda where there is one]")
settings = option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter that differs from the method's own; repeat for several.",
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


def given(**values: tuple[object, object]) -> str:
    """Return the options, out of name=(value, default), that differ from their default."""
    return "".join(
        f" --{name.replace('_', '-')} {value}"
        for name, (value, default) in values.items()
        if str(value) != str(default)
    )
