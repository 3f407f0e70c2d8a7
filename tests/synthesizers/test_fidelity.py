"""Every hand-crafted method against the law its authors published, on 2,000 samples of 256 x 256.

Each statement (an area, an angle, an opacity, a share of empty masks) gives a p-value; Holm's
procedure over all of them bounds the chance of one false alarm in this file by 0.1 %. Seeds are
fixed: a failure is a change of the law. What is expected is written in `tests.laws` from the papers
and their published code, never taken from ours. Some draws cannot be read off a finished image:
then what blurs them (noise, jitter, blending) is replaced by something that shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asbench.synthesizers import resolve
from asbench.types import PerSample
from tests.evidence import rejected
from tests.laws import fractals, later, natural, noise, patches
from tests.laws.reading import Laws, changed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LEVEL = 0.001

LAWS: dict[str, Callable[[PerSample], Laws]] = {
    "croppaste": later.pasted,
    "cutout": patches.cutout,
    "cutout@cifar": patches.cutout_cifar,
    "cutpaste": patches.cutpaste,
    "cutpaste@asbench": patches.cutpaste,
    "cutpaste_scar": patches.scar,
    "cutpaste_scar@asbench": patches.scar_asbench,
    "defectmaker": later.maker,
    "destseg": noise.destseg,
    "destseg@asbench": noise.destseg_asbench,
    "diffusionad": later.diffusion,
    "draem": noise.draem,
    "fpi": patches.fpi,
    "fpi@asbench": patches.disc,
    "fpi@asbench-wrap": patches.disc_wraps,
    "fractal": fractals.fractals,
    "fractal@online": fractals.fractals_online,
    "glass": later.glass,
    "memseg": noise.shown,
    "memseg@asbench": noise.dark_only,
    "nsa": natural.nsa_textures,
    "nsa@asbench": natural.nsa_bare,
    "pii": patches.pii,
    "riad": patches.riad,
    "simplex": later.simplex,
    "transfusion": later.transfusion,
}


def made(name: str) -> Any:
    return resolve(name, dataset="testing", category="texture")


@pytest.fixture(scope="module")
def p_values() -> Laws:
    """The p-value of every statement about every method."""
    return {
        f"{name}: {what}": p for name, laws in LAWS.items() for what, p in laws(made(name)).items()
    }


@pytest.mark.parametrize("name", LAWS)
def test_method_has_the_published_law(name: str, p_values: Laws) -> None:
    off = rejected(p_values, LEVEL)
    assert not {what: p for what, p in off.items() if what.startswith(f"{name}: ")}


@pytest.mark.parametrize(
    ("name", "settings", "what"),
    [
        ("cutout", {"length_high": 48 / 256}, "height"),
        ("cutpaste", {"aspect_low": 0.36}, "aspect"),
        ("destseg", {"beta_high": 0.76}, "opacity"),
        ("fpi", {"reach_low": 0.06}, "height"),
        ("fpi@asbench", {"core": 0.55}, "row"),
        ("riad", {"sides": (4 / 256, 8 / 256, 16 / 256)}, "side"),
    ],
)
def test_a_method_off_its_law_is_found(
    name: str, settings: dict[str, Any], what: str, p_values: Laws
) -> None:
    """By the same statement, were it one among all of this file."""
    p = LAWS[name](changed(made(name), **settings))[what]
    assert f"{name}: {what}" in rejected(p_values | {f"{name}: {what}": p}, LEVEL)
