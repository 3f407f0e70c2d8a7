"""Feature spaces: what their features are, and that a full mask is the whole image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asbench.nets.resnet import ResNet18
from asbench.nets.weights import load_tensors, save_tensors
from asbench.quality.feature_extractors import Histogram, Inception, Layer3, Space
from synth_store import UserError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 64, 64), generator=rng).byte()


@pytest.fixture(params=["histogram", "resnet18-layer3"])
def space(request: pytest.FixtureRequest, resnet: Path) -> Space:
    return Histogram() if request.param == "histogram" else Layer3(resnet, CPU)


def test_a_full_mask_is_the_whole_image_and_an_empty_one_is_nothing(
    space: Space, images: Tensor
) -> None:
    full = torch.ones(2, 64, 64, dtype=torch.bool)
    found = space.features(images, {"whole": None, "inside": full, "border": ~full})
    np.testing.assert_allclose(found["inside"], found["whole"], rtol=1e-5, atol=1e-7)
    assert np.isnan(found["border"]).all()
    assert found["whole"].dtype == np.float64


def test_a_region_knows_nothing_of_the_rest(images: Tensor) -> None:
    here = torch.zeros(2, 64, 64, dtype=torch.bool)
    here[:, 8:24, 8:24] = True
    changed = images.clone()
    changed[:, :, 40:] = 0
    one, two = (Histogram().features(x, {"inside": here})["inside"] for x in (images, changed))
    np.testing.assert_array_equal(one, two)


def test_a_histogram_counts(images: Tensor) -> None:
    found = Histogram().features(images, {"whole": None})["whole"]
    for channel in range(3):
        counts = np.histogram(images[0, channel].numpy(), bins=8, range=(0, 256))[0]
        np.testing.assert_allclose(found[0, 8 * channel : 8 * channel + 8], counts / 4096)
    np.testing.assert_allclose(found[:, 24:].sum(1), 1)
    flat = Histogram().features(torch.full_like(images, 100), {"whole": None})["whole"]
    assert flat[0, 24] == 1


def test_layer3_is_the_pooled_third_layer(images: Tensor, resnet: Path) -> None:
    space, net = Layer3(resnet, CPU), ResNet18(depth=3).eval()
    net.load_state_dict(load_tensors(resnet))
    with torch.inference_mode():
        expected = net(images.float() / 255)["layer3"].mean((2, 3))
    np.testing.assert_allclose(
        space.features(images, {"whole": None})["whole"], expected, rtol=1e-5, atol=1e-6
    )


def test_half_a_resnet_is_refused(resnet: Path, tmp_path: Path) -> None:
    some = {k: v for k, v in load_tensors(resnet).items() if not k.startswith("layer3")}
    save_tensors(some, tmp_path / "half.safetensors")
    with pytest.raises(UserError, match="lacks 'layer3"):
        Layer3(tmp_path / "half.safetensors", CPU)


def test_inception_is_torchmetrics_network(
    images: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_fidelity", reason="needs the extra `quality`")
    from torchmetrics.image.fid import NoTrainInceptionV3

    path = tmp_path / "weights-inception-nobody.pth"
    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(torch, "load", lambda *_, **__: {})
        patch.setattr(NoTrainInceptionV3, "load_state_dict", lambda *_, **__: None)
        drawn = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path))
        torch.save(drawn.state_dict(), path)
    space = Inception(path, CPU)
    full = torch.ones(2, 64, 64, dtype=torch.bool)
    found = space.features(images, {"whole": None, "inside": full})
    for name, ours in (
        ("2048", torch.from_numpy(found["whole"])),
        ("logits_unbiased", space.logits(torch.from_numpy(found["whole"]))),
    ):
        theirs = NoTrainInceptionV3("inception-v3-compat", [name], str(path))
        with torch.inference_mode():
            torch.testing.assert_close(ours.float(), theirs(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["inside"], found["whole"], rtol=1e-5)
    torch.save({"one": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="does not hold torch-fidelity's InceptionV3"):
        Inception(tmp_path / "other.pth", CPU)


def test_inception_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchmetrics.image.fid as fid

    monkeypatch.setattr(fid, "_TORCH_FIDELITY_AVAILABLE", False)
    torch.save({"one": torch.zeros(1)}, tmp_path / "any.pth")
    with pytest.raises(UserError, match=r"asbench\[quality\].*fid@histogram"):
        Inception(tmp_path / "any.pth", CPU)


def test_a_file_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights-inception.pth"
    torch.save({"one": Path(tmp_path)}, path)  # any object that is no tensor must be built by code
    with pytest.raises(UserError, match="not a readable file of weights"):
        Inception(path, CPU)
