"""Toys whose defects are shut away, and RealNet's networks, small enough to be fitted on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asbench.generation import fit as fitting
from asbench.generation import fitted as loading
from asbench.generation import generate as stage
from asbench.generation.fit import fit
from asbench.generation.generate import generate
from asbench.types import Item
from synth_store.types import Image, Mask
from tests.toynets import REALNET as SETTINGS
from tests.toyset import Toys

METHOD = "realnet@toy"


@dataclass(frozen=True)
class Guarded(Toys):
    """The toys, whose defects may not be looked at unless they are few-shot; `none`: not at all."""

    none: bool = False

    def image(self, item: Item) -> Image:
        assert not item.label or (item.few_shot and not self.none), f"{item.id} was read"
        return super().image(item)

    def mask(self, item: Item) -> Mask | None:
        if item.label:
            assert item.few_shot, f"the mask of {item.id} was read"
        return super().mask(item)


def shut_away(patch: pytest.MonkeyPatch) -> None:
    """Let both stages find the toy data set under its name, none of its defects to be looked at."""
    for module in (stage, fitting):
        patch.setattr(module, "open_dataset", lambda dataset, **_: Guarded(none=True))


def fit_toys(place: Path, **options: Any) -> list[loading.Fitted]:
    """Fit the toy network on the toys at 32x32, below a folder."""
    settings = {**SETTINGS, **options.pop("settings", {})}
    given: dict[str, Any] = {"size": 32, "store": place / "store", "fits": place / "fits"}
    return fit("toys", "realnet", settings=settings, variant="toy", **given | options)


def render(place: Path, **options: Any) -> list[str | None]:
    """Render 13 samples of both categories and return the digests."""
    given: dict[str, Any] = {"n": 13, "store": place / "store", "fits": place / "fits"}
    settings = {**SETTINGS, **options.pop("settings", {})}
    variant = options.pop("variant", "toy")
    given |= {"size": 32, "workers": 1, "settings": settings, "variant": variant, **options}
    return [s.digest for s in generate("toys", "realnet", **given)]
