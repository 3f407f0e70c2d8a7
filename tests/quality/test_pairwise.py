"""SSIM, PSNR and LPIPS equal torchmetrics; a full mask is the whole image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision.models import alexnet

from asbench.nets.weights import save_tensors
from asbench.quality.pairwise import PSNR_LIMIT, Lpips, Pairwise, Psnr, Resnet, Ssim
from synth_store import UserError

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
WHOLE: dict = {"whole": None}


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(3, 3, 64, 64, generator=rng)
    return a, (a + 0.1 * torch.randn(a.shape, generator=rng)).clamp(0, 1)


@pytest.fixture(scope="module")
def alex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alex") / "alexnet.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = alexnet(weights=None)
    save_tensors({f"features.{k}": v for k, v in net.features.state_dict().items()}, path)
    return path


def test_ssim_is_torchmetrics(pair: tuple[Tensor, Tensor]) -> None:
    expected = structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
    torch.testing.assert_close(Ssim()(*pair, WHOLE)["whole"].float(), expected)


def test_psnr_is_torchmetrics_and_has_a_limit(pair: tuple[Tensor, Tensor]) -> None:
    expected = peak_signal_noise_ratio(*pair, data_range=1.0, dim=(1, 2, 3), reduction="none")
    torch.testing.assert_close(Psnr()(*pair, WHOLE)["whole"].float(), expected)
    assert Psnr()(pair[0], pair[0], WHOLE)["whole"].tolist() == [PSNR_LIMIT] * 3


def test_lpips_is_torchmetrics(pair: tuple[Tensor, Tensor], alex: Path) -> None:
    ours = Lpips("alex", alex, CPU)
    theirs = _LPIPS(net="alex", pnet_rand=True)
    theirs.load_state_dict(ours.model.state_dict())
    expected = theirs(*pair, normalize=True).flatten()
    torch.testing.assert_close(ours(*pair, WHOLE)["whole"].float(), expected)
    assert len(str(ours.digest)) == 64


def test_lpips_refuses_another_network(resnet: Path) -> None:
    with pytest.raises(UserError, match="not torchvision's alex network"):
        Lpips("alex", resnet, CPU)


@pytest.fixture(scope="module", params=["ssim", "psnr", "lpips", "lpips@resnet18"])
def metric(request: pytest.FixtureRequest, alex: Path, resnet: Path) -> Pairwise:
    if request.param in ("ssim", "psnr"):
        return Ssim() if request.param == "ssim" else Psnr()
    return Lpips("alex", alex, CPU) if request.param == "lpips" else Resnet(resnet, CPU)


def test_a_full_mask_is_the_whole_image(metric: Pairwise, pair: tuple[Tensor, Tensor]) -> None:
    found = metric(*pair, {"whole": None, "inside": torch.ones(3, 64, 64, dtype=torch.bool)})
    torch.testing.assert_close(found["inside"], found["whole"])


def test_a_mask_looks_at_its_own_part(metric: Pairwise, pair: tuple[Tensor, Tensor]) -> None:
    a, changed = pair[0], pair[0].clone()
    changed[:, :, :20, :20] = 1 - changed[:, :, :20, :20]
    here, far = torch.zeros(2, 3, 64, 64, dtype=torch.bool)
    here[:, :20, :20] = True
    far[:, 54:, 54:] = True
    none = torch.zeros_like(far)
    found = metric(a, changed, {"whole": None, "inside": here, "border": none})
    away = metric(a, changed, {"inside": far})["inside"]
    sign = -1 if isinstance(metric, (Ssim, Psnr)) else 1  # similarities fall, distances rise
    assert (sign * (found["inside"] - found["whole"]) > 0).all()
    assert (sign * (found["whole"] - away) > 0).all()
    assert np.isnan(found["border"].numpy()).all()


def test_equal_images_are_at_no_distance(resnet: Path, pair: tuple[Tensor, Tensor]) -> None:
    metric = Resnet(resnet, CPU)
    assert metric(pair[0], pair[0], WHOLE)["whole"].tolist() == [0, 0, 0]
    assert (metric(*pair, WHOLE)["whole"] > 0).all()
