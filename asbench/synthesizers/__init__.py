"""Synthesis methods, one file each, and how a name and settings become one with its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asbench import plugins
from asbench.parameters import parameters, settle
from asbench.types import LearnedSynthesizer, Synthesizer
from synth_store.types import UserError

PACKAGE = "asbench.synthesizers"


def variants(name: str) -> list[str]:
    """Return the variants that ship with a method, sorted, without the method's own name."""
    return sorted(plugins.table(PACKAGE, name))


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
    if settings:
        start = _start(plain, variant)
    else:
        own = f"`--set PARAMETER=VALUE --variant {variant}`"
        start = plugins.variant(PACKAGE, name, mend=f", or make it your own with {own}")
    place = f"{dataset.partition('@')[0]}/{category}"
    categories = plugins.table(PACKAGE, name, "CATEGORIES")
    what = plugins.title(PACKAGE, name)
    return cls(**settle(what, cls, categories.get(place, {}), start, settings or {}))


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

    What can be as published was so before it could be told otherwise: a record that lacks `colour`
    or `masks` is of a set that shows what was drawn in its colours, under its masks. Raises
    UserError for a parameter or a value that the method no longer takes.
    """
    cls = plugins.load(PACKAGE, name, Synthesizer)
    then = {p.name: "as-published" for p in parameters(cls) if "as-published" in p.choices}
    return cls(**settle(plugins.title(PACKAGE, name), cls, then, stored))


def _start(plain: str, variant: str) -> Mapping[str, Any]:
    """Return the settings of the shipped variant that the name of one's own begins with."""
    shipped = plugins.table(PACKAGE, plain)
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
    # Hyphens close a name, so that `many-mine` starts from `many` and `manymine` from the defaults.
    begun = [v for v in shipped if variant.startswith(f"{v}-")]
    return shipped[max(begun, key=len)] if begun else {}
