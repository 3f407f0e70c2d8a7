import pytest
import torch

from asbench.detectors import build, resolve
from asbench.detectors.draem import VARIANTS, Draem
from asbench.parameters import parameters
from synth_store.types import UserError

SMALL = {"width": 2, "seg_width": 2}


def test_parameters_come_from_the_fields():
    assert [(p.name, p.type, p.default) for p in parameters(Draem)] == [
        ("width", int, 128),
        ("seg_width", int, 64),
        ("lr", float, 1e-4),
        ("joint", bool, True),
        ("window", int, 21),
    ]
    assert all(p.doc.endswith(".") for p in parameters(Draem))


def test_settings_overrule_the_variant_and_the_variant_the_defaults():
    own = {"width": 128, "seg_width": 64, "lr": 1e-4, "joint": True, "window": 21}
    assert resolve("draem") == (Draem, own)
    tiny = resolve("draem@tiny")[1]
    assert tiny == {**resolve("draem")[1], **VARIANTS["tiny"]}
    assert resolve("draem@tiny", {"width": 5})[1] == {**tiny, "width": 5}


def test_every_variant_can_be_built():
    for variant in VARIANTS:
        with torch.device("meta"):
            assert isinstance(build(f"draem@{variant}", 0), Draem)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("dream", {}, "did you mean draem"),
        ("draem@small", {}, "choose from draem, draem@tiny"),
        ("draem", {"widht": 3}, "choose from width, seg_width, lr"),
        ("draem", {"width": "3.5"}, "is not a whole number"),
        ("draem", {"width": "true"}, "is not a whole number"),
        ("draem", {"width": "wide"}, "is not a whole number"),
        ("draem", {"width": True}, "is not a whole number"),
        ("draem", {"width": 3.5}, "is not a whole number"),
        ("draem", {"lr": "fast"}, "is not a number"),
        ("draem", {"lr": float("nan")}, "is not a number"),
        ("memory", {"head_weight": "1e999"}, "is not a number"),
    ],
)
def test_refusals_name_the_choices(name, settings, says):
    with pytest.raises(UserError, match=says):
        resolve(name, settings)


def test_an_int_may_stand_for_a_float():
    rate = resolve("draem", {"lr": 1})[1]["lr"]
    assert rate == 1.0
    assert isinstance(rate, float)


def test_settings_may_be_typed_as_at_the_command_line():
    typed = resolve("draem@tiny", {"width": "3", "lr": "1e-3"})[1]
    assert typed == resolve("draem@tiny", {"width": 3, "lr": 1e-3})[1]


def test_equal_seeds_give_equal_weights_and_leave_the_global_state():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = (build("draem", seed, SMALL).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["segmentation.head.weight"], other["segmentation.head.weight"])
