"""What every detector must do, held on its smallest variant with the real loop."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from asbench.detectors import PACKAGE, build, parameters, protocol_of, resolve
from asbench.nets.weights import load_weights, save_weights
from asbench.plugins import module, names
from asbench.training.loop import fit
from tests.squares import normals, squares

SMALL = {
    "draem": ("draem", {"width": 4, "seg_width": 8, "lr": 3e-3}),
    "unet": ("unet", {"width": 4, "lr": 3e-3}),
    "destseg": ("destseg@tiny-scratch", {"width": 4}),
    "memseg": ("memseg@tiny-scratch", {"width": 4}),
    "patchcore": ("patchcore@tiny-scratch", {"width": 4}),
}
TRAINED = [name for name in SMALL if protocol_of(name).steps != 0]
STEPS = {"unet": 60, "destseg": 80, "memseg": 50}
"""DRAEM's learning is held with the loop's own tests."""


def small(name, size=64):
    detector = build(SMALL[name][0], 0, SMALL[name][1])
    detector.prepare(normals(size=size), torch.Generator().manual_seed(0))
    return detector


def train(detector, folder, **changes):
    settings = {"steps": 10, "seed": 3, "device": "cpu", "folder": folder}
    return fit(detector, lambda step: squares(step, 32, 4), **(settings | changes))


def stop_at(step):
    """Return a `stop` that is false `step` times."""
    asked = iter(range(step + 1))
    return lambda: next(asked) == step


def test_every_detector_is_held_to_it():
    assert sorted(SMALL) == names(PACKAGE)


@pytest.mark.parametrize("name", SMALL)
def test_parameters_are_plain_and_variants_can_be_built(name):
    found, _ = resolve(name)
    assert all(p.type in (int, float, str, bool) for p in parameters(found))
    assert found.title
    assert found.paper
    assert found.url.startswith("https://")
    with torch.device("meta"):
        for variant in ("", *module(PACKAGE, name).VARIANTS):
            full = f"{name}@{variant}".rstrip("@")
            build(full, 0)
            assert (protocol_of(full).steps_for(100) > 0) == (name in TRAINED)
            shares = [stage.share for stage in build(full, 0).stages(10)]
            assert sum(shares) == pytest.approx(float(name in TRAINED))


@pytest.mark.parametrize("size", [(32, 96), (96, 32), (160, 64)])
@pytest.mark.parametrize("name", SMALL)
def test_sides_may_be_odd_multiples_of_the_stride(name, size):
    detector = small(name, 32)
    generator = torch.Generator().manual_seed(0)
    some = torch.randint(256, (10, 3, *size), generator=generator, dtype=torch.uint8)
    detector.prepare(some, generator)
    detector.eval()
    with torch.no_grad():
        maps = detector(torch.rand(2, 3, *size))
    assert maps.shape == (2, *size)
    assert maps.dtype == torch.float32
    assert maps.min() >= 0
    assert maps.max() <= (1 if name in TRAINED else np.inf)  # a distance has no upper end
    assert detector.image_scores(maps).shape == (2,)


@pytest.mark.parametrize("name", TRAINED)
def test_stopping_and_resuming_changes_nothing(name, tmp_path):
    straight = small(name, 32)
    whole = train(straight, tmp_path / "straight")
    for pause in (1, 1, 3, None):  # DeSTSeg's border is at 2: before it, on it, after it
        pieces = small(name, 32)  # nothing but the folder carries over
        found = train(pieces, tmp_path / "pieces", stop=pause and stop_at(pause))
        assert found.losses == whole.losses[: found.steps]
    assert found.done
    first, second = straight.state_dict(), pieces.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", TRAINED)
def test_bf16_trains_and_keeps_float32(name, tmp_path):
    detector = small(name, 32)
    assert train(detector, tmp_path, precision="bf16", steps=5).done
    assert all(t.dtype == torch.float32 for t in detector.state_dict().values() if t.numel() > 1)


@pytest.mark.parametrize("name", STEPS)
def test_a_few_dozen_steps_lower_the_loss_and_find_the_squares(name, tmp_path):
    detector = small(name)
    steps = STEPS[name]
    found = fit(detector, squares, steps=steps, seed=3, device="cpu", folder=tmp_path / "c")
    losses = torch.tensor([loss for _, loss in found.losses])
    begin = 0
    for stage in detector.stages(steps):
        end = begin + round(stage.share * steps)
        first, last = losses[begin : begin + 5].mean(), losses[end - 5 : end].mean()
        assert last < 0.9 * first, stage.name
        begin = end
    unseen = squares(1000)
    detector.eval()
    with torch.no_grad():
        maps = detector(unseen.image)
    scores = detector.image_scores(maps)
    assert scores[::2].min() > scores[1::2].max()
    assert roc_auc_score(unseen.mask.flatten(), maps.flatten()) > 0.95

    save_weights(detector, tmp_path / "model.safetensors")
    again = build(SMALL[name][0], 1, SMALL[name][1])  # another seed, and never prepared
    load_weights(again, tmp_path / "model.safetensors")
    again.to(memory_format=torch.channels_last).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(unseen.image), maps)
