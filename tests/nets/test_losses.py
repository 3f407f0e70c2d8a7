import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from torchmetrics.functional.image import structural_similarity_index_measure

from asbench.nets.losses import focal, published_range, ssim


def reference_ssim(x, y, value_range):
    """Wang et al. 2004, written in numpy with a full 2-D window and zero padding."""
    line = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    blur = lambda plane: convolve2d(plane, window, mode="same")  # noqa: E731
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    values = []
    for a, b in zip(x.reshape(-1, *x.shape[-2:]), y.reshape(-1, *y.shape[-2:]), strict=True):
        ma, mb = blur(a), blur(b)
        va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
        top = (2 * ma * mb + c1) * (2 * cov + c2)
        values.append(top / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return np.mean(values)


def pair(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(shape, generator=generator)
    return first, (first + 0.2 * torch.randn(shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("value_range", [1.0, 2.0, 255.0])
@pytest.mark.parametrize("shape", [(2, 3, 32, 48), (1, 1, 11, 13), (1, 3, 8, 8)])
def test_ssim_is_the_formula(shape, value_range):
    x, y = pair(*shape)
    expected = reference_ssim(x.double().numpy(), y.double().numpy(), value_range)
    assert ssim(x, y, value_range).item() == pytest.approx(expected, abs=2e-6)


def test_ssim_agrees_with_torchmetrics_where_padding_does_not_tell():
    x, y = pair(1, 3, 64, 64)
    inside = torch.zeros(1, 1, 64, 64)
    inside[..., 16:48, 16:48] = 1
    x, y = x * inside, y * inside  # a black frame: reflected padding, as theirs, is zero padding
    theirs = structural_similarity_index_measure(
        x, y, gaussian_kernel=True, sigma=1.5, data_range=1.0
    )
    assert ssim(x, y, 1.0).item() == pytest.approx(theirs.item(), abs=1e-5)


def test_ssim_of_equal_images_is_one_and_its_gradient_is_finite():
    x, _ = pair(2, 3, 16, 16)
    y = x.clone().requires_grad_()
    value = ssim(y, x, 1.0)
    value.backward()
    assert value.item() == pytest.approx(1.0, abs=1e-6)
    assert torch.isfinite(y.grad).all()


def test_ssim_stays_in_float32_under_autocast():
    x, y = pair(1, 3, 32, 32)
    plain = ssim(x, y, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = ssim(x, y, 1.0)
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, 1.0), (-0.5, 1.0, 1.0), (-0.51, 1.0, 2.0), (0.0, 129.0, 255.0), (-1, 200, 256.0)],
)
def test_published_range(low, high, expected):
    image = torch.tensor([low, high, 0.3]).view(1, 1, 1, 3)
    assert published_range(image).item() == expected


def test_focal_by_hand():
    # One anomalous pixel with p = 0.3, one normal pixel with p(normal) = 0.9.
    probabilities = torch.tensor([[[[0.7, 0.9]], [[0.3, 0.1]]]])
    mask = torch.tensor([[[[1.0, 0.0]]]])
    high, low = 1 - 1e-5, 1e-5
    p_first = high * 0.3 + low * 0.7 + 1e-5
    p_second = high * 0.9 + low * 0.1 + 1e-5
    expected = np.mean([-((1 - p) ** 2) * np.log(p) for p in (p_first, p_second)])
    assert focal(probabilities, mask).item() == pytest.approx(expected, rel=1e-5)


def test_focal_is_finite_at_certainty_and_grows_with_error():
    mask = torch.ones(1, 1, 2, 2)
    sure = lambda p: torch.stack(  # noqa: E731
        [torch.full((1, 2, 2), 1 - p), torch.full((1, 2, 2), p)], dim=1
    )
    losses = [focal(sure(p), mask).item() for p in (1.0, 0.9, 0.5, 0.1, 0.0)]
    assert losses == sorted(losses)
    assert losses[0] == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(losses[-1])
