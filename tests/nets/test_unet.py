import pytest
import torch
from torch import nn

from asbench.nets.unet import UNet


def test_published_size():
    with torch.device("meta"):
        six, three = UNet(6), UNet(3)
    count = lambda net: sum(p.numel() for p in net.parameters())  # noqa: E731
    assert round(count(six) / 1e6, 2) == 28.37
    assert count(six) - count(three) == 3 * 64 * 9  # only the first convolution sees the input


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_logits_have_the_size_of_the_image(size):
    net = UNet(3, classes=2, width=4).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, 2, *size)


def test_every_parameter_takes_part():
    net = UNet(3, width=4)
    net(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_initialisation_is_the_published_one():
    torch.manual_seed(0)
    net = UNet(6, width=16)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            n = module.weight.numel()
            assert abs(module.weight.mean().item()) < 5 * 0.02 / n**0.5
            assert module.weight.std().item() == pytest.approx(0.02, rel=5 / (2 * n) ** 0.5)
            bound = (module.in_channels * 9) ** -0.5  # torch's default for biases
            assert module.bias.abs().max() <= bound
            assert module.bias.abs().max() > 0
        elif isinstance(module, nn.BatchNorm2d):
            n = module.weight.numel()
            assert abs(module.weight.mean().item() - 1) < 5 * 0.02 / n**0.5
            assert module.weight.std() > 0
            assert (module.bias == 0).all()


def test_what_is_faint_on_a_surface_survives_mixed_precision():
    """One level of 255 about a mean of .6 drowns in what a first convolution rounds in bf16."""
    surface = 0.6 + 0.004 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    net = UNet(3, width=8)
    pixels, head = net.down[0][0], net.head
    plain = nn.Conv2d(3, 8, 3, padding=1)
    plain.load_state_dict(pixels.state_dict())

    def seen(convolution):
        inside = convolution(surface)[..., 1:-1, 1:-1].float()
        return inside - inside.mean(dim=(0, 2, 3), keepdim=True)

    exact = seen(plain)
    with torch.autocast("cpu", torch.bfloat16):
        kept, rounded = seen(pixels), seen(plain)
        assert head(net.down[0](surface)).dtype == torch.float32
        assert (
            net.down[1](surface.mean(1, keepdim=True).expand(2, 8, 32, 32)).dtype == torch.bfloat16
        )
    assert torch.equal(kept, exact)
    assert (rounded - exact).norm() > 0.3 * exact.norm()
