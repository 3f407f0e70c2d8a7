"""A study file is read as it was meant, or everything that is wrong with it is named."""

from __future__ import annotations

import pytest

from asbench.study import spec
from asbench.study.spec import Budget
from synth_store import Geometry, Mix, UserError
from tests.study.conftest import Write

SMALL = """
datasets: {demo: [weave]}
detectors: [unet@tiny]
mixes: [draem]
"""


def test_what_is_not_said_has_a_default(write: Write) -> None:
    study = write(SMALL)
    assert (study.name, study.samples, study.textures) == ("mine", 1000, "procedural")
    assert study.geometry == Geometry(256, 256, "stretch")
    assert study.protocol == {}
    assert (study.faults, study.quality) == ((), None)
    (part,) = study.parts
    assert part.datasets == {"demo": {"weave": None}}
    assert part.detectors == (Budget("unet@tiny"),)
    assert part.axes == {
        "mix": (Mix.parse("draem"),),
        "ratio": (None,),
        "seed": (0,),
        "synth_seed": (0,),
        "pool": (None,),
    }
    assert part.keep


def test_parts_take_over_what_stands_at_the_top_unless_they_say_otherwise(write: Write) -> None:
    study = write("""
        size: 96
        datasets: {demo: {weave: 60, board: 60}, mtd: [tile]}
        detectors:
          unet@tiny: {steps: 9, batch: 4}
          draem: {epochs: 700}
        mixes: [draem, "fractal:3,draem:1"]
        seeds: [0, 1]
        parts:
          first:
          second:
            datasets: [demo]
            detectors: {unet@tiny: {steps: 5}}
            mixes: fractal
            ratios: [0, 0.25, published]
            pools: [all, 50]
            seeds: 7
            keep: false
    """)
    assert study.faults == ()
    first, second = study.parts
    assert first.datasets == {"demo": {"weave": 60, "board": 60}, "mtd": {"tile": None}}
    assert first.detectors[1] == Budget("draem", epochs=700)
    assert [str(mix) for mix in first.axes["mix"]] == ["draem:1", "draem:0.25,fractal:0.75"]
    assert first.axes["seed"] == (0, 1)
    assert second.datasets == {"demo": {"weave": 60, "board": 60}}
    assert second.detectors == (Budget("unet@tiny", training={"steps": 5, "batch": 4}),)
    assert second.axes == {
        "mix": (Mix.parse("fractal"),),
        "ratio": (0.0, 0.25, None),
        "seed": (7,),
        "synth_seed": (0,),
        "pool": (None, 50),
    }
    assert not second.keep
    assert study.geometry == Geometry(96, 96)


def test_a_study_says_where_the_objects_of_a_data_set_are(write: Write) -> None:
    study = write("name: other\n" + SMALL + "objects: {demo: dark, mtd: ./masks}\n")
    assert (study.faults, study.objects) == ((), {"demo": "dark", "mtd": "./masks"})
    assert write(SMALL).objects == {}
    assert "objects: 'dark' is not of the form" in write(SMALL + "objects: dark\n").faults[0]


def test_a_study_extends_another(write: Write) -> None:
    write("name: other\n" + SMALL + "seeds: [0, 1]\n", "base")
    study = write("extends: base.yaml\nseeds: 5\nprotocol: {select: best-on-test}\n")
    assert study.name == "mine"
    assert study.parts[0].axes["seed"] == (5,)
    assert study.parts[0].axes["mix"] == (Mix.parse("draem"),)
    assert study.protocol == {"select": "best-on-test"}
    with pytest.raises(UserError, match="in turn"):
        write("extends: mine.yaml")


def test_quality_is_asked_for_in_short_or_in_full(write: Write) -> None:
    short = write(SMALL + "quality: [ssim, fid]\n")
    assert short.quality == {"metrics": ("ssim", "fid"), "n": 500, "real": "held_out"}
    whole = write(SMALL + "quality: {metrics: kid, samples: 50, real: full}\n")
    assert whole.quality == {"metrics": ("kid",), "n": 50, "real": "full"}
    assert short.faults == whole.faults == ()


def test_everything_that_is_wrong_is_named_at_once_with_its_place(write: Write) -> None:
    study = write("""
        size: 4
        sample: 100
        protocol: {ratio_mode: coin, parity: 1}
        datasets: {btad: [1, "02"], mvtec: {carpet: many}}
        detectors: {unet@tiny: {steps: 0}, draem: {steps: 5, epochs: 5, set: 3}}
        mixes: [draem, "draem:0.5,fractal:half", 7]
        variants: {nsa: {patches: 3}}
        quality: {metric: ssim, samples: 1, real: some}
        parts:
          a: {ratio: 0.5}
          b: {ratios: [0.5, 1.5, half], seeds: [-1], pools: 0, keep: 1, seed: 3}
    """)
    said = "\n".join(study.faults)
    for place, what in (
        ("size", "too small"),
        ("sample", "did you mean samples"),
        ("protocol.ratio_mode", "choose exact or bernoulli"),
        ("protocol.parity", "choose false or true"),
        ("datasets.btad", "1 is not a text: put it in quotes"),
        ("datasets.mvtec.carpet", "'many' is not a number"),
        ("detectors.unet@tiny.steps", "0 is not a number from 1 up"),
        ("detectors.draem", "two budgets"),
        ("detectors.draem.set", "3 is not of the form"),
        ("mixes", "the weight 'half' of fractal"),
        ("mixes", "7 is not a text"),
        ("variants.nsa", "a name of yours"),
        ("quality", "no metric is named"),
        ("quality.metric", "did you mean metrics"),
        ("quality.samples", "1 samples cannot be compared"),
        ("quality.real", "choose held_out or full"),
        ("parts.a.ratio", "did you mean ratios"),
        ("parts.b.ratios", "ratio 1.5 is impossible"),
        ("parts.b.ratios", "'half' is not a ratio"),
        ("parts.b.seeds", "-1 is not a seed"),
        ("parts.b.pools", "0 is not a number from 1 up"),
        ("parts.b.keep", "1 is neither true nor false"),
        ("parts.b.seed", "did you mean seeds"),
    ):
        assert any(f.startswith(f"{place}: ") and what in f for f in study.faults), (place, said)
    assert len(study.faults) == len(set(study.faults)) == 23


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "no YAML that can be read"),
        ("- a", "is no study"),
        ("seeds: 1\nseeds: 2", "'seeds' stands twice"),
    ],
)
def test_what_is_no_study_is_refused(write: Write, text: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        write(text)


def test_an_unknown_study_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"those are .*paper"):
        spec.read("papper")


@pytest.mark.parametrize("name", spec.shipped())
def test_shipped_studies_have_no_fault(name: str) -> None:
    study = spec.read(name)
    assert study.faults == ()
    assert study.name == name
    assert study.about
