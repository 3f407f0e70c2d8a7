import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from asbench.detectors import build
from asbench.detectors.draem import Draem
from asbench.nets.detector import Batch
from asbench.nets.losses import focal, ssim
from synth_store.types import UserError

SMALL = {"width": 4, "seg_width": 4}


def batch(size=64, count=4):
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(count, 3, size, size, generator=generator) * 0.2 + 0.4
    mask = torch.zeros(count, 1, size, size)
    mask[::2, :, 20:40, 12:36] = 1
    return Batch(clean * (1 - mask) + 0.9 * mask, clean, mask)


def test_published_sizes():
    with torch.device("meta"):
        detector = Draem()
    count = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    assert count(detector.reconstruction) == 69_048_579
    assert count(detector.segmentation) == 28_374_146
    assert round(count(detector) / 1e6, 2) == 97.42


def test_published_protocol():
    protocol = Draem.protocol
    assert (protocol.batch, protocol.ratio, protocol.epochs) == (8, 0.5, 700)
    assert protocol.steps_for(209) == 700 * 27  # the last batch of an epoch is a part batch
    assert Draem.stride == 32


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_maps_are_probabilities_of_the_image_size(size):
    maps = build("draem", 0, SMALL).eval()(torch.rand(2, 3, *size))
    assert maps.shape == (2, *size)
    assert maps.dtype == torch.float32
    assert 0 <= maps.min() <= maps.max() <= 1


def test_image_score_is_the_largest_mean_over_21_by_21_with_padding_zeros_counted():
    maps = torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(0))
    expected = [ndimage.uniform_filter(m, 21, mode="constant").max() for m in maps.double().numpy()]
    np.testing.assert_allclose(build("draem", 0, SMALL).image_scores(maps), expected, rtol=1e-5)
    corner = torch.zeros(1, 64, 64)
    corner[0, :11, :11] = 1  # the window at the corner pixel sees 121 ones of 441 places
    assert build("draem", 0, SMALL).image_scores(corner).item() == pytest.approx(121 / 441)


def test_the_window_of_the_image_score_is_odd_and_can_be_chosen():
    maps = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = [ndimage.uniform_filter(m, 5, mode="constant").max() for m in maps.double().numpy()]
    found = build("draem", 0, {**SMALL, "window": 5}).image_scores(maps)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(UserError, match=r"window of 4 pixels.*--set window=21"):
        build("draem", 0, {**SMALL, "window": 4})


@pytest.mark.parametrize("joint", [True, False])
def test_only_a_joint_training_moves_the_reconstruction_by_the_segmentation(joint):
    detector, some = build("draem", 0, {**SMALL, "joint": joint}), batch()
    _, probabilities = detector.restore_and_segment(some.image)
    focal(probabilities, some.mask).backward()
    reached = [p.grad is not None for p in detector.reconstruction.parameters()]
    assert all(reached) if joint else not any(reached)
    assert all(p.grad is not None for p in detector.segmentation.parameters())


def test_loss_is_the_sum_of_the_three():
    detector, some = build("draem", 0, SMALL), batch()
    restored, probabilities = detector.restore_and_segment(some.image)
    value_range = 1.0 + float(restored.min() < -0.5)
    expected = (
        F.mse_loss(restored, some.clean)
        + 1
        - ssim(restored, some.clean, value_range)
        + focal(probabilities, some.mask)
    )
    assert detector.loss(some).item() == pytest.approx(expected.item(), rel=1e-5)


def test_segmentation_loss_reaches_the_reconstruction():
    detector, some = build("draem", 0, SMALL), batch()
    focal(detector.restore_and_segment(some.image)[1], some.mask).backward()
    assert all(p.grad.abs().sum() > 0 for p in [detector.reconstruction.head.weight])


def test_learning_rate_falls_at_80_and_90_percent():
    (stage,) = build("draem", 0, SMALL).stages(20)
    rates = []
    for _ in range(20):
        rates.append(stage.optimizers[0].param_groups[0]["lr"])
        stage.optimizers[0].step()
        stage.schedules[0].step()
    np.testing.assert_allclose(rates, [1e-4] * 16 + [2e-5] * 2 + [4e-6] * 2)


def test_the_shortest_training_starts_at_the_full_rate():
    (stage,) = build("draem", 0, SMALL).stages(1)
    assert stage.optimizers[0].param_groups[0]["lr"] == 1e-4


@pytest.mark.parametrize("wrong", [{"width": 0}, {"seg_width": -1}, {"lr": 0.0}])
def test_sizes_that_cannot_be(wrong):
    with pytest.raises(UserError, match="cannot be built"):
        build("draem", 0, wrong)
