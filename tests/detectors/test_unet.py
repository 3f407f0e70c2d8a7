import numpy as np
import pytest
import torch
from scipy import ndimage

from asbench.detectors import build, protocol_of
from asbench.detectors.unet import Unet
from asbench.nets.losses import focal
from synth_store.types import UserError
from tests.squares import squares

SMALL = {"width": 4}


def test_published_size_and_protocol():
    with torch.device("meta"):
        assert round(sum(p.numel() for p in Unet().parameters()) / 1e6, 2) == 28.37
    protocol = protocol_of("unet")
    assert (protocol.batch, protocol.ratio, protocol.augment) == (8, 0.5, None)
    assert protocol.steps_for(50) == protocol.steps_for(900) == 12_600


def test_the_loss_is_the_focal_loss_alone():
    detector, batch = build("unet", 0, SMALL), squares(0)
    assert torch.equal(
        detector.loss(batch), focal(detector.probabilities(batch.image), batch.mask, gamma=2.0)
    )


def test_the_score_is_draems():
    maps = torch.rand(3, 64, 32, generator=torch.Generator().manual_seed(0))
    expected = [ndimage.uniform_filter(m, 21, mode="constant").max() for m in maps.double().numpy()]
    np.testing.assert_allclose(build("unet", 0, SMALL).image_scores(maps), expected, rtol=1e-5)


def test_the_rate_falls_after_80_and_90_percent():
    (stage,) = build("unet", 0, SMALL).stages(10)
    rates = []
    for _ in range(10):
        rates.append(stage.optimizers[0].param_groups[0]["lr"])
        stage.optimizers[0].step()
        stage.schedules[0].step()
    np.testing.assert_allclose(rates, [1e-4] * 8 + [2e-5, 4e-6])


@pytest.mark.parametrize("wrong", [{"width": 0}, {"lr": -1.0}])
def test_sizes_that_cannot_be(wrong):
    with pytest.raises(UserError, match="cannot be built"):
        build("unet", 0, wrong)
