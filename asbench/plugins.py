"""Plugins: a file's name is the plugin's name; entry points serve packages of others.

A plugin module holds one public class of its kind, a dataclass whose fields are its parameters.
Beside it may stand `VARIANTS`, named parameter sets. What else may stand there is its kind's own.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeVar

from asbench.parameters import settle
from synth_store.types import UserError, check_name

T = TypeVar("T")

GROUPS = {
    "asbench.synthesizers": "method",
    "asbench.detectors": "detector",
    "asbench.datasets": "data set",
    "asbench.trackers": "tracker",
}
"""The package of each kind, which is also its entry-point group, and what people call the kind."""


def names(package: str) -> list[str]:
    """Return the names of a kind's plugins, sorted, without importing any of them."""
    return sorted(_ours(package) | {e.name for e in _entries(package, tuple(sys.path))})


def _ours(package: str) -> frozenset[str]:
    """Return the names of the plugins that ship with ASBench."""
    spec = importlib.util.find_spec(package)
    return _in_folders(tuple((spec.submodule_search_locations if spec else None) or ()))


@lru_cache
def _in_folders(folders: tuple[str, ...]) -> frozenset[str]:
    return frozenset(m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_"))


@lru_cache
def _entries(package: str, searched: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the plugins of other packages on the path: looked up once, it reads many files."""
    return tuple(entry_points(group=package))


def check(package: str, name: str) -> str:
    """Return the plain name of plugin `name` (variant or not); raises UserError with the nearest.

    Imports nothing. Raises UserError, too, for a name that several packages claim: a store's sets
    are told apart by it.
    """
    plain = check_name(name, GROUPS[package]).partition("@")[0]
    known = names(package)
    if plain not in known:
        near = difflib.get_close_matches(plain, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}."
        raise UserError(f"{GROUPS[package]} {plain!r} is unknown: {hint}")
    owners = sorted(_owner(e) for e in _entries(package, tuple(sys.path)) if e.name == plain)
    if plain in _ours(package) and owners:
        raise UserError(
            f"{GROUPS[package]} {plain!r} ships with ASBench, and {' and '.join(owners)} "
            f"{'claims' if len(owners) == 1 else 'claim'} the name: uninstall what you do not "
            "mean, or have its entry point renamed."
        )
    if len(owners) > 1:
        raise UserError(
            f"{GROUPS[package]} {plain!r} is claimed by {' and '.join(owners)}: uninstall all but "
            "one, or have an entry point renamed."
        )
    return plain


def _owner(entry: EntryPoint) -> str:
    """Return what an entry point was installed with."""
    return f"the package {entry.dist.name}" if entry.dist else f"the module {entry.module}"


def module(package: str, name: str) -> ModuleType:
    """Import the module of plugin `name` (variant or not); raises UserError with the nearest."""
    plain = check(package, name)
    for entry in _entries(package, tuple(sys.path)):
        if entry.name == plain:
            return importlib.import_module(entry.module)
    return importlib.import_module(f"{package}.{plain}")


def load(package: str, name: str, base: type[T]) -> type[T]:
    """Return the class of plugin `name`; raises TypeError if its file is not a plugin of `base`."""
    where = module(package, name)
    own = [
        c
        for c in vars(where).values()
        if inspect.isclass(c)
        and c.__module__ == where.__name__
        and issubclass(c, base)
        and not inspect.isabstract(c)
        and not c.__name__.startswith("_")
    ]
    if len(own) != 1:
        raise TypeError(f"{where.__name__} must define one {base.__name__}, not {len(own)}")
    return own[0]


def title(package: str, name: str) -> str:
    """Return what a plugin is called in refusals: `detector 'draem'`."""
    return f"{GROUPS[package]} {name.partition('@')[0]!r}"


def table(package: str, name: str, which: str = "VARIANTS") -> dict[str, dict[str, Any]]:
    """Return the settings by name that stand beside a plugin's class; empty where none do."""
    return dict(getattr(module(package, name), which, {}))


def variant(package: str, name: str, mend: str = "") -> Mapping[str, Any]:
    """Return the settings of the variant that `name` ends in; none for a plain name.

    Raises UserError with the choices for one that does not ship, and with `mend`, what else to do.
    """
    plain, _, chosen = name.partition("@")
    shipped = table(package, name)
    if chosen and chosen not in shipped:
        choices = ", ".join([plain, *(f"{plain}@{v}" for v in sorted(shipped))])
        raise UserError(
            f"{title(package, name)} has no variant {chosen!r}: choose from {choices}{mend}."
        )
    return shipped.get(chosen, {})


def resolve(
    package: str, name: str, base: type[T], settings: Mapping[str, Any] | None = None
) -> tuple[type[T], dict[str, Any]]:
    """Return the class behind `<plugin>[@<variant>]` and a value for each of its parameters.

    Defaults, overruled by the variant's, overruled by `settings`. Raises UserError for a plugin, a
    variant, a parameter or a value that is not one.
    """
    cls, changes = load(package, name, base), variant(package, name)
    return cls, settle(title(package, name), cls, changes, settings or {})
