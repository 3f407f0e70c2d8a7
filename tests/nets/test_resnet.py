import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.v2.functional import normalize

from asbench.nets.resnet import Pointwise, ResNet18, freeze, measure_statistics, silence_residuals

LEVELS = ["stem", "layer1", "layer2", "layer3", "layer4"]


def images(count=2, height=64, width=64, seed=0):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def scrambled(net):
    """Give batch norm statistics and weights that show any mistake in their place."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
    return net


def test_it_is_torchvisions_network():
    torch.manual_seed(0)
    theirs = scrambled(resnet18(weights=None)).eval()
    ours = ResNet18().eval()
    weights = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(weights)  # strict: neither lacks a name
    nodes = {"relu": "stem", **{level: level for level in LEVELS[1:]}}
    extractor = create_feature_extractor(theirs, nodes)
    some = images()
    with torch.no_grad():
        expected = extractor(normalize(some, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        found = ours(some)
    assert list(found) == LEVELS
    for level in LEVELS:
        torch.testing.assert_close(found[level], expected[level])


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (160, 32)])
def test_levels_halve_and_channels_double(size):
    found = ResNet18(width=4)(images(2, *size))
    for level, channels, stride in zip(LEVELS, (4, 4, 8, 16, 32), (2, 4, 8, 16, 32), strict=True):
        assert found[level].shape == (2, channels, size[0] // stride, size[1] // stride)


def test_depth_ends_the_network():
    shallow = ResNet18(width=4, depth=2)
    assert list(shallow(images())) == LEVELS[:3]
    assert not any(name.startswith(("layer3", "layer4")) for name in shallow.state_dict())


def test_narrow_shortcuts_train_in_channels_last():
    """What oneDNN crashes on if it is asked for a strided 1x1 convolution."""
    torch.manual_seed(0)
    ours, plain = Pointwise(4, 8, 2), nn.Conv2d(4, 8, 1, stride=2, bias=False)
    plain.load_state_dict(ours.state_dict())
    ours = ours.to(memory_format=torch.channels_last)
    x = torch.randn(2, 4, 64, 64)
    found = ours(x.contiguous(memory_format=torch.channels_last))
    expected = plain(x)  # channels first: oneDNN's other code
    torch.testing.assert_close(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad, rtol=1e-4, atol=1e-3)


def test_initialisation_is_torchvisions():
    torch.manual_seed(0)
    net = ResNet18(width=16)
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            n = module.weight.numel()
            std = module.weight.std().item()
            assert std == pytest.approx((2 / fan_out) ** 0.5, rel=5 / (2 * n) ** 0.5), name


def test_silent_residuals_leave_the_shortcut():
    net = ResNet18(width=4).eval()
    silence_residuals(net)
    x = torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(net.layer1(x), x.relu())
        block = net.layer2[0]
        torch.testing.assert_close(block(x), F.relu(block.downsample(x)))


def test_measured_statistics_are_those_of_the_features_and_modes_stay():
    torch.manual_seed(0)
    net = ResNet18(width=4)
    net.layer2.eval()
    modes = [module.training for module in net.modules()]
    batches = [images(4, seed=seed) for seed in range(3)]
    measure_statistics(net, batches, [net.conv1, net.bn1, net.layer1])
    assert [module.training for module in net.modules()] == modes
    assert all(m.momentum == 0.1 for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    with torch.no_grad():
        before_norm = [net.conv1((batch - net.mean) / net.std) for batch in batches]
    means = torch.stack([x.mean((0, 2, 3)) for x in before_norm]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in before_norm]).mean(0)
    torch.testing.assert_close(net.bn1.running_mean, means)
    torch.testing.assert_close(net.bn1.running_var, variances)
    assert (net.layer2[0].bn1.running_mean == 0).all()  # not among the parts


def test_frozen_layers_pass_gradients_on():
    net = ResNet18(width=4)
    freeze(net.layer1)
    net(images())["layer1"].sum().backward()
    assert net.conv1.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.layer1.parameters())
