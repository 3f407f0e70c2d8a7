"""What every detector must do, held on its smallest variant with the real loop."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from asbench.detectors import PACKAGE, build, protocol_of, resolve
from asbench.nets.weights import load_weights, save_weights
from asbench.plugins import names, table
from asbench.testing import DetectorContract
from asbench.training.loop import fit
from tests.squares import normals, squares

pytestmark = pytest.mark.slow

SMALL = {
    "draem": ("draem", {"width": 4, "seg_width": 8, "lr": 3e-3}),
    "unet": ("unet", {"width": 4, "lr": 3e-3}),
    "destseg": ("destseg@tiny-scratch", {"width": 4}),
    "memseg": ("memseg@tiny-scratch", {"width": 6}),  # narrower, its variances leave float32
    "patchcore": ("patchcore@random", {}),
}
"""Smaller than what ships, for the tests below; the contract makes do without a line here."""
TRAINED = [name for name in SMALL if protocol_of(name).steps != 0]
STEPS = {"unet": 60, "destseg": 80, "memseg": 50}
"""DRAEM's learning is held with the loop's own tests."""


def small(name, size=64):
    detector = build(SMALL[name][0], 0, SMALL[name][1])
    detector.prepare(normals(size=size), torch.Generator().manual_seed(0))
    return detector


def smallest(name):
    """Return the variant of the fewest weights among those that need no pretrained ones."""
    if name in SMALL:
        return build(SMALL[name][0], 0, SMALL[name][1])
    with torch.device("meta"):
        every = {v: build(v, 0) for v in (name, *(f"{name}@{v}" for v in table(PACKAGE, name)))}
    weights = {
        variant: sum(p.numel() for p in model.parameters())
        for variant, model in every.items()
        if model.backbone() is None
    }
    assert weights, f"{name} has no variant without pretrained weights to hold to the contract"
    return build(min(weights, key=weights.__getitem__), 0)


class TestShipped(DetectorContract):
    @pytest.fixture(params=names(PACKAGE))
    def detector(self, request):
        return smallest(request.param)


def test_a_detector_without_a_line_here_is_held_to_it_small(monkeypatch):
    monkeypatch.setattr(f"{__name__}.SMALL", {})
    assert smallest("memseg").width == resolve("memseg@tiny-scratch")[1]["width"]


@pytest.mark.parametrize("name", names(PACKAGE))
def test_variants_can_be_built(name):
    with torch.device("meta"):
        for variant in ("", *table(PACKAGE, name)):
            full = f"{name}@{variant}".rstrip("@")
            learns = protocol_of(full).steps_for(100) > 0
            shares = [stage.share for stage in build(full, 0).stages(10)]
            assert sum(shares) == pytest.approx(float(learns))


@pytest.mark.parametrize("size", [(32, 96), (96, 32), (160, 64)])
@pytest.mark.parametrize("name", SMALL)
def test_maps_are_probabilities_or_distances(name, size):
    detector = small(name, 32)
    generator = torch.Generator().manual_seed(0)
    some = torch.randint(256, (10, 3, *size), generator=generator, dtype=torch.uint8)
    detector.prepare(some, generator)
    detector.eval()
    with torch.no_grad():
        maps = detector(torch.rand(2, 3, *size))
    assert maps.min() >= 0
    assert maps.max() <= (1 if name in TRAINED else np.inf)  # a distance has no upper end


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
