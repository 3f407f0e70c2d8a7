"""Which methods can be tried on a category as it is, and why others cannot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asbench import plugins
from asbench.generation.fitted import fitted_methods
from asbench.synthesizers import PACKAGE, resolve, variants
from asbench.types import LearnedSynthesizer, Synthesizer

BLOCKS = ("compose@crack-shade-paste", "compose@disc-shade-paste", "compose@superpixel-self-paste")
"""Blocks of `compose` that no other method here consists of."""
QUICK = ("compose", "cutpaste", "defectmaker", "destseg", "draem", "glass", "memseg", "simplex")
"""The methods of a first idea: one of each kind of mask and source."""


def candidates(
    dataset: str, category: str, fits: Path | str, *, quick: bool
) -> tuple[list[str], dict[str, str]]:
    """Return the methods to try, sorted, and why each of the others is not, by name."""
    tried, untried = [], {}
    fitted = fitted_methods(fits, dataset, category)
    for name in plugins.names(PACKAGE):
        if issubclass(plugins.load(PACKAGE, name, Synthesizer), LearnedSynthesizer):
            if not any(one.partition("@")[0] == name for one in fitted):
                variant = next(iter(variants(name)), None)
                full = name if variant is None else f"{name}@{variant}"
                untried[name] = f"learned, and not fitted: `asbench fit --method {full}` first"
        elif resolve(name, dataset=dataset, category=category).from_defects:
            untried[name] = "it shows real defects, and good photographs alone are looked at"
        else:
            tried.append(name)
    tried += [*BLOCKS, *fitted]
    if quick:
        untried |= {name: "left out by --quick" for name in tried if name not in QUICK}
        tried = [name for name in tried if name in QUICK]
    else:
        rest = len(variants("compose")) - len(BLOCKS)
        untried["other variants"] = (
            f"of every method only the default, {rest} of `compose` are not: add with --method"
        )
    return sorted(tried), untried


def named(methods: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the methods that were asked for, sorted, and that no others were."""
    return sorted(set(methods)), {"all others": "--method named those to try"}
