"""From a name and settings to a method with its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from asbench import plugins, synthesizers
from asbench.parameters import parameter, parameters
from asbench.synthesizers import own_name, resolve, variants
from asbench.synthesizers.cutout import Cutout
from asbench.synthesizers.draem import Draem
from asbench.types import Canvas, PerSample
from synth_store.types import Sample, UserError


@dataclass(frozen=True)
class Example(PerSample):
    """A method with a field of every type."""

    title: ClassVar[str] = "Example"

    count: int = parameter(1, "a count")
    share: float = parameter(0.5, "a share")
    soft: bool = parameter(False, "a switch")
    mode: Literal["hard", "soft"] = parameter("hard", "a choice")
    label: str = parameter("a", "a text")
    area: tuple[float, float] = parameter((0.1, 0.2), "a range")
    limit: int | None = parameter(None, "a limit, or none")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        return None


class Module:
    """Stands in for the module of `example`."""

    VARIANTS: ClassVar[dict[str, dict[str, Any]]] = {"many": {"count": 9}}
    CATEGORIES: ClassVar[dict[str, dict[str, Any]]] = {
        "mvtec/tile": {"count": 4, "share": 0.25},
    }


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda package, name, base: Example)
    monkeypatch.setattr(plugins, "module", lambda package, name: Module)


def test_plain_names_and_variants() -> None:
    assert resolve("cutout", dataset="demo", category="a") == Cutout()
    assert variants("cutout") == ["cifar"]
    assert resolve("cutout@cifar", dataset="demo", category="a").fill == "mean"  # type: ignore[attr-defined]
    assert resolve("draem", dataset="demo", category="a") == Draem()
    for method in ("cutout", "draem"):
        for variant in variants(method):
            resolve(f"{method}@{variant}", dataset="demo", category="a")


@pytest.mark.usefixtures("example")
def test_category_then_variant_then_settings() -> None:
    def made(name: str, category: str, **settings: Any) -> Any:
        return resolve(name, dataset="mvtec@sub", category=category, settings=settings)

    assert made("example", "wood") == Example()
    assert made("example", "tile") == Example(count=4, share=0.25)
    assert made("example@many", "tile") == Example(count=9, share=0.25)
    assert made("example@mine", "tile", share="0.75") == Example(count=4, share=0.75)
    assert made("example@many-mine", "tile", share="0.75") == Example(count=9, share=0.75)
    assert made("example@manymine", "tile", share="0.75") == Example(count=4, share=0.75)


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("count", "3", 3),
        ("count", 3, 3),
        ("share", "1", 1.0),
        ("share", 1, 1.0),
        ("soft", "true", True),
        ("soft", "False", False),
        ("mode", "soft", "soft"),
        ("label", "3", "3"),
        ("area", "(0.2, 1)", (0.2, 1.0)),
        ("area", [0.2, 0.3], (0.2, 0.3)),
        ("limit", "7", 7),
        ("limit", "None", None),
    ],
)
def test_strings_and_values_become_the_fields_type(key: str, text: Any, value: Any) -> None:
    method = resolve("example@mine", dataset="d", category="c", settings={key: text})
    found = getattr(method, key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("key", "text", "match"),
    [
        ("count", "three", "a whole number"),
        ("count", "1.5", "a whole number"),
        ("count", "true", "a whole number"),
        ("share", "wide", "a number"),
        ("soft", "1", "true or false"),
        ("mode", "medium", "one of hard, soft"),
        ("area", "(1, 2, 3)", "of the form"),
        ("limit", "many", "a whole number or"),
        ("coutn", "3", "Did you mean count"),
    ],
)
def test_values_that_do_not_fit_are_refused(key: str, text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        resolve("example@mine", dataset="d", category="c", settings={key: text})


def test_settings_need_a_name_of_their_own() -> None:
    with pytest.raises(UserError, match=r"--variant three.*cutout@three"):
        resolve("cutout", dataset="d", category="c", settings={"fill": "mean"})
    with pytest.raises(UserError, match=r"--method cutout@cifar --variant two"):
        resolve("cutout@cifar", dataset="d", category="c", settings={"fill": "black"})
    assert own_name("cutout@cifar", "two") == "cutout@cifar-two"
    assert own_name("cutout", "two") == "cutout@two"
    assert own_name("cutout@cifar", None) == "cutout@cifar"
    own = resolve("cutout@three", dataset="d", category="c", settings={"fill": "mean"})
    assert own == Cutout(fill="mean")


def test_unknown_names_are_refused_with_the_choices() -> None:
    with pytest.raises(UserError, match=r"choose from cutout, cutout@cifar.*--set"):
        resolve("cutout@cifra", dataset="d", category="c")
    with pytest.raises(UserError, match="did you mean cutout"):
        resolve("cutuot", dataset="d", category="c")
    with pytest.raises(UserError, match="0 < length_low"):
        resolve("cutout@big", dataset="d", category="c", settings={"length_high": "3"})


def test_parameters_list_every_field_with_its_documentation() -> None:
    listed = {p.name: p for p in parameters(Cutout)}
    assert list(listed) == ["length_low", "length_high", "fill", "colour"]
    assert listed["length_low"].type is float
    assert listed["fill"].default == "black"
    assert all(p.doc.endswith(".") for p in listed.values())
    assert synthesizers.PACKAGE in plugins.GROUPS
