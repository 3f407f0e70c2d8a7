"""SuperSimpleNet: its sizes, its loss, its noise, and one opinion by pixels and by features."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from asbench.detectors import build, pretrained_of, protocol_of
from asbench.detectors.supersimplenet import noise_masks
from asbench.nets.features import FeatureBatch, Features, cell_share
from asbench.nets.seeds import private_rng, seed_rng
from asbench.training.loop import fit
from synth_store.types import UserError
from tests.squares import squares

LEARNING = ("adaptor", "segmentation", "classification", "score")


def small(**changes):
    return build("supersimplenet@random", 0, changes).to(memory_format=torch.channels_last)


def given(detector, step=0):
    """Return a batch of features: every other item anomalous."""
    batch = squares(step)
    share = cell_share(batch.mask, detector.square)
    return FeatureBatch(detector.look(batch.image), share, torch.full((len(share),), -1))


def learned(detector, batch, seed=0):
    """Return the loss of a step, its chance seeded as the loop does."""
    detector.train()
    with private_rng():
        seed_rng(seed)
        return detector.learn(batch)


def count(part):
    return sum(p.numel() for p in part.parameters())


def test_sizes_are_the_published_ones():
    with torch.device("meta"):
        detector = build("supersimplenet", 0)
    channels = 512 + 1024
    sizes = [count(getattr(detector, name)) for name in LEARNING]
    assert sizes == [
        channels * channels + channels,
        channels * 1024 + 1024 + 2 * 1024 + 1024,
        (channels + 1) * 128 * 25 + 128 + 2 * 128,
        258 + 1,
    ]
    assert detector.backbone().network == "wide_resnet50_2"
    protocol = protocol_of("supersimplenet")
    assert (protocol.batch, protocol.epochs) == (32, 300)


@pytest.mark.parametrize(("enlarge", "side"), [(1, 8), (2, 16)])
def test_a_map_is_as_fine_as_asked_for_and_features_are_as_published(enlarge, side):
    detector = small(enlarge=enlarge)
    features = detector.look(squares(0).image)
    assert detector.judge(features).shape == (8, side, side)
    assert detector.maps(features).shape == (8, 64, 64)
    torch.nn.init.dirac_(detector.adaptor.weight)
    torch.nn.init.zeros_(detector.adaptor.bias)
    levels = [level.float().permute(0, 3, 1, 2) for level in (features.fine, features.coarse)]
    large = [F.interpolate(v, (side, side), mode="bilinear", align_corners=True) for v in levels]
    padded = F.pad(torch.cat(large, dim=1), (1, 1, 1, 1))
    mean = sum(padded[..., y : y + side, x : x + side] for y in range(3) for x in range(3)) / 9
    torch.testing.assert_close(detector.adapted(features), mean, atol=1e-5, rtol=1e-5)


def test_its_loss_is_the_plain_formula():
    detector = small(noise_std=0.0)
    batch = given(detector)
    found = learned(detector, batch)
    detector = small(noise_std=0.0).train()  # the running statistics of another would do as well
    cells, scores = detector.heads(detector.adapted(batch.features))
    cells, scores = cells.double().detach(), scores.double().detach()
    marked, anomalous = batch.share > 0.5, torch.tensor([True, False] * 4)
    sides = (0.5 + cells[~marked]).clamp_min(0).mean() + (0.5 - cells[marked]).clamp_min(0).mean()

    def focal(logits, truth):
        p = torch.where(truth, torch.sigmoid(logits), 1 - torch.sigmoid(logits))
        return (-((1 - p) ** 4) * p.log()).mean()

    expected = sides + focal(cells, marked) + focal(scores, anomalous)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_an_anomaly_too_small_for_any_cell_makes_its_image_anomalous(monkeypatch):
    detector = small(noise_std=0.0)
    batch = given(detector)
    share = torch.zeros_like(batch.share)
    share[0, 3, 3] = 0.1
    seen = []
    monkeypatch.setattr(
        "asbench.detectors.supersimplenet.focal_logits",
        lambda logits, anomalous, gamma: seen.append(anomalous) or logits.sum() * 0,
    )
    learned(detector, FeatureBatch(batch.features, share, batch.source))
    cells, images = seen
    assert not cells.any()
    assert images.tolist() == [True] + [False] * 7


def test_noise_stays_under_its_masks_and_off_what_is_marked():
    detector = small(noise_std=0.5)
    batch = given(detector)
    adapted = detector.adapted(batch.features).detach()
    before = batch.share > 0.5
    anomalous = before.flatten(1).any(1)
    with private_rng():
        seed_rng(1)
        noisy, marked, now = detector.disturbed(adapted, before, anomalous)
    twice = torch.cat([before, before])
    changed = noisy - torch.cat([adapted, adapted])
    where = (changed != 0).any(dim=1)
    assert where.any()
    assert not (where & twice).any()
    assert torch.equal(marked, twice | where)
    assert torch.equal(now, torch.cat([anomalous, anomalous]) | where.flatten(1).any(1))
    drawn = changed.permute(0, 2, 3, 1)[where]
    assert drawn.mean().item() == pytest.approx(0, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, rel=0.03)


def test_noise_masks_are_perlin_for_half_of_the_images():
    with private_rng():
        seed_rng(0)
        first = noise_masks(400, 32, 32, 0.2)
        seed_rng(0)
        assert torch.equal(first, noise_masks(400, 32, 32, 0.2))
        more = noise_masks(400, 32, 32, 0.6)
    touched = first.flatten(1).any(dim=1)
    assert 0.4 < touched.float().mean() < 0.55  # a mask may happen to be empty
    shares = first[touched].float().mean(dim=(1, 2))
    assert 0.15 < shares.mean() < 0.35
    assert more.float().mean() < first.float().mean() / 2


def test_noise_belongs_to_training_only():
    detector, quiet = small(), small(noise_std=0.0)
    batch = given(detector)
    losses = [learned(detector, batch, seed).item() for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert learned(quiet, batch, 0).item() == pytest.approx(learned(quiet, batch, 1).item())
    detector.eval()
    state = torch.random.get_rng_state()
    detector.maps_and_scores_of(batch.features)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("detach", [True, False])
def test_the_score_reaches_the_map_only_where_it_is_not_detached(detach):
    detector = small(detach=detach).train()
    _, scores = detector.heads(detector.adapted(given(detector).features))
    scores.sum().backward()
    reached = [p.grad is not None for p in detector.segmentation.parameters()]
    assert all(reached) if not detach else not any(reached)
    assert all(p.grad is not None for p in detector.adaptor.parameters())
    assert all(p.grad is not None for p in detector.classification.parameters())


@pytest.mark.parametrize("enlarge", [1, 2])
def test_features_and_pixels_say_the_same(enlarge):
    detector, batch = small(enlarge=enlarge), squares(0)
    features = given(detector)
    with private_rng():
        seed_rng(3)
        by_pixels = detector.loss(batch)
    assert torch.equal(by_pixels, learned(detector, features, 3))
    detector.eval()
    with torch.no_grad():
        maps, scores = detector.maps_and_scores(batch.image)
        again, likewise = detector.maps_and_scores_of(detector.look(batch.image))
        assert torch.equal(maps, again)
        assert torch.equal(scores, likewise)
        assert torch.equal(maps, detector(batch.image))
        assert torch.equal(maps, detector.maps(features.features))
        assert not torch.allclose(scores, detector.image_scores(maps))
        detector.scored_by = "map"
        maps, scores = detector.maps_and_scores(batch.image)
        torch.testing.assert_close(scores, maps.amax((1, 2)))


def test_rates_decay_and_clipping_are_the_published_ones():
    detector = small(lr=1e-4, clip=1.0)
    stage = detector.stages(10)[0]
    (adam,), (schedule,) = stage.optimizers, stage.schedules
    assert [(g["lr"], g["weight_decay"]) for g in adam.param_groups] == [(1e-4, 1e-2), (2e-4, 1e-5)]
    known = {p for group in adam.param_groups for p in group["params"]}
    assert known == {p for name in LEARNING for p in getattr(detector, name).parameters()}
    for p in known:
        p.grad = torch.ones_like(p)
    rates = []
    for _ in range(10):
        rates.append(adam.param_groups[0]["lr"])
        adam.step()
        schedule.step()
    np.testing.assert_allclose(rates, [1e-4] * 8 + [4e-5, 1.6e-5])
    norm = torch.cat([p.grad.flatten() for p in known]).norm().item()
    assert norm == pytest.approx(1, abs=1e-3)


def test_a_few_dozen_steps_on_pretrained_features_find_the_squares(tmp_path):
    name = "supersimplenet@lite0"
    detector = build(name, 0, {"hidden": 32, "width": 8})
    detector.load_backbone(pretrained_of(name).tensors)
    found = fit(detector, squares, steps=40, seed=3, device="cpu", folder=tmp_path / "c")
    losses = [loss for _, loss in found.losses]
    assert np.mean(losses[-5:]) < 0.3 * np.mean(losses[:5])
    unseen = squares(1000)
    detector.eval()
    with torch.no_grad():
        maps, scores = detector.maps_and_scores(unseen.image)
    assert scores[::2].min() > scores[1::2].max()
    assert roc_auc_score(unseen.mask.flatten(), maps.flatten()) > 0.95


@pytest.mark.parametrize(
    "wrong",
    [
        {"enlarge": 3},
        {"hidden": 0},
        {"width": 0},
        {"lr": 0.0},
        {"noise_std": -0.1},
        {"clip": -1.0},
        {"sigma": 0.0},
        {"backbone_name": "vgg"},
        {"scored_by": "mean"},
    ],
)
def test_what_cannot_be_built_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=name):
        small(**wrong)


def test_features_of_another_size_than_a_square_are_read_alike():
    detector = small()
    features = Features(torch.zeros(2, 4, 12, 40).half(), torch.zeros(2, 2, 6, 112).half())
    assert detector.maps(features).shape == (2, 32, 96)
