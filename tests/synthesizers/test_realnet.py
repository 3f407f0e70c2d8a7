"""RealNet's plugin: where the anomaly goes, the settings of categories, what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench import plugins
from asbench.generation.fitted import fit_parameters
from asbench.imaging.foreground import histogram
from asbench.synthesizers import PACKAGE, realnet, resolve
from asbench.synthesizers.realnet import CATEGORIES, VARIANTS, Realnet
from asbench.types import Canvas, LearnedSynthesizer, Material, Synthesizer
from synth_store import UserError, address_rng
from synth_store.types import Mask
from tests.toynets import REALNET

WITHIN = 3.29
"""Half-width of a 99.9 % interval, in standard errors."""


def canvas(foreground: Mask | None = None, size: int = 64) -> Canvas:
    """Dark on the left, bright on the right; the stored foreground is the middle."""
    image = np.full((size, size, 3), 60, np.uint8)
    image[:, size // 2 :] = 190
    middle = np.zeros((size, size), np.bool_)
    middle[size // 4 : -size // 4, size // 4 : -size // 4] = True
    given = middle if foreground is None else foreground
    return Canvas(Material("testing", "halves", [image], [given]), 0)


def masks(method: Realnet, count: int = 60) -> list[Mask]:
    found = [method.place(canvas(), address_rng("place", i)) for i in range(count)]
    return [placed.mask for placed in found if placed is not None]


TOY = Realnet(**REALNET)


def test_opacity_is_uniform_from_a_half_to_one() -> None:
    found = [TOY.place(canvas(), address_rng("opacity", i)) for i in range(400)]
    opacity = np.array([placed.opacity for placed in found if placed is not None])
    assert len(opacity) > 380
    assert 0.5 <= opacity.min() < 0.52
    assert 0.98 < opacity.max() <= 1
    assert abs(opacity.mean() - 0.75) < WITHIN * 0.5 / 12**0.5 / len(opacity) ** 0.5


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        ({"object_rule": "otsu"}, slice(32, 64)),
        ({"object_rule": "otsu", "object_dark": True}, slice(0, 32)),
        ({"object_rule": "otsu", "object_channel": "blue"}, slice(32, 64)),
        ({"object_rule": "dark", "object_threshold": 100}, slice(0, 32)),
        ({"object_rule": "bright", "object_threshold": 100}, slice(32, 64)),
        ({"object_rule": "whole image"}, slice(0, 64)),
    ],
)
def test_masks_keep_to_the_object(rule: dict[str, Any], columns: slice) -> None:
    found = masks(Realnet(**REALNET | rule))
    assert len(found) > 50
    reached = np.any(found, axis=0)
    inside = np.zeros((64, 64), np.bool_)
    inside[:, columns] = True
    assert not reached[~inside].any()
    assert reached[inside].mean() > 0.8


def test_elsewhere_the_stored_foreground_counts() -> None:
    reached = np.any(masks(TOY), axis=0)
    assert reached[16:48, 16:48].mean() > 0.8
    assert reached.sum() == reached[16:48, 16:48].sum()
    assert TOY.needs == {"foreground"}
    assert Realnet(**REALNET | {"object_rule": "whole image"}).needs == frozenset()


def test_gaps_are_closed_and_specks_opened_in_256ths() -> None:
    """A gap of 3 pixels at 256 is closed by squares of 6; at 128 one of 1 is."""
    for size, gap in ((256, 3), (128, 1)):
        image = np.zeros((size, size, 3), np.uint8)
        image[size // 4 : -size // 4, size // 4 : -size // 4] = 200
        image[:, size // 2 : size // 2 + gap] = 0
        image[20:22, 20:22] = 200
        found = histogram(image, "otsu", close=6, opening=6)
        assert found[size // 2, size // 2]
        assert not found[20:22, 20:22].any()
        bare = histogram(image, "otsu")
        assert not bare[size // 2, size // 2]
        assert bare[20:22, 20:22].all()


def test_channels_are_those_of_rgb() -> None:
    image = np.full((32, 32, 3), 10, np.uint8)
    image[:16, :, 1] = 200
    image[:, 16:, 2] = 200
    assert np.array_equal(histogram(image, "otsu", channel="green"), image[..., 1] > 100)
    assert np.array_equal(histogram(image, "otsu", channel="blue"), image[..., 2] > 100)
    assert np.array_equal(histogram(image, "otsu", channel="blue", dark=True), image[..., 2] < 100)


def test_settings_of_categories() -> None:
    counts = {d: sum(c.startswith(f"{d}/") for c in CATEGORIES) for d in ("mvtec", "visa")}
    assert counts == {"mvtec": 15, "visa": 12}
    assert sum(c.startswith(("mpdd/", "btad/")) for c in CATEGORIES) == 9
    for category, steps, rule in (
        ("visa/pcb2", 17_320, "triangle"),
        ("visa/fryum", 17_320, "otsu"),
        ("mpdd/tubes", 12_375, "otsu"),
        ("btad/02", 11_250, "whole image"),
        ("mtd/all", 14_560, "automatic"),
    ):
        place = dict(zip(("dataset", "category"), category.split("/"), strict=True))
        method = resolve("realnet", **place)
        tiny = resolve("realnet@tiny-scratch", **place)
        assert isinstance(method, Realnet)
        assert isinstance(tiny, Realnet)
        assert (method.steps, method.object_rule) == (steps, rule)
        assert (tiny.steps, tiny.object_rule) == (VARIANTS["tiny-scratch"]["steps"], rule)
    screw = resolve("realnet", dataset="mvtec", category="screw")
    assert isinstance(screw, Realnet)
    assert (screw.object_rule, screw.object_dark, screw.object_close) == ("otsu", True, 6)
    asbench = resolve("realnet@asbench", dataset="mvtec", category="carpet")
    assert isinstance(asbench, Realnet)
    assert (asbench.object_rule, asbench.object_threshold) == ("dark", 100)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"weights": "adm256"}, "weights=adm256 are of another network"),
        ({"side": 17}, "side=17"),
        ({"attention": (5,)}, r"attention=\(5,\) must name sides of levels: choose from 16, 8"),
        ({"groups": 3}, "must be a multiple of groups=3"),
        ({"attention": (8,), "head_channels": 5}, "must be a multiple of head_channels=5"),
        ({"steps": 0}, "steps=0"),
        ({"at_once": 0}, "at_once=0"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"average": 1.0}, "average=1.0"),
        ({"walk": 1001}, "walk=1001"),
        ({"strength_low": 0.3}, "strength_low=0.3"),
        ({"opacity_low": 0.0}, "opacity_low=0.0"),
        ({"object_threshold": 256}, "object_threshold=256"),
        ({"object_close": -1}, "object_close=-1"),
        ({"exponent_high": 11}, "exponent_high=11"),
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=f"realnet: .*{match}"):
        Realnet(**REALNET | wrong)


LEARNED = [
    name
    for name in plugins.names(PACKAGE)
    if issubclass(plugins.load(PACKAGE, name, Synthesizer), LearnedSynthesizer)
]


@pytest.mark.parametrize("name", LEARNED)
def test_categories_of_a_joint_model_agree_where_fitting_looks(name: str) -> None:
    """One fit serves them all, so it must be one set of parameters."""
    module = plugins.module(PACKAGE, name)
    fits: dict[str, set[str]] = {}
    for address in getattr(module, "CATEGORIES", {}):
        dataset, category = address.split("/")
        method = resolve(name, dataset=dataset, category=category)
        assert isinstance(method, LearnedSynthesizer)
        if method.joint:
            fits.setdefault(dataset, set()).add(repr(fit_parameters(method)))
    assert all(len(found) == 1 for found in fits.values())


@pytest.mark.parametrize("name", LEARNED)
def test_learned_methods_are_listed_without_torch(name: str) -> None:
    check = f"import sys, asbench.synthesizers.{name}; sys.exit('torch' in sys.modules)"
    root = Path(realnet.__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", check], cwd=root, check=False).returncode == 0
