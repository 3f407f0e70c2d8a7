import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from asbench.detectors import build, pretrained_of
from asbench.nets.detector import Backbone
from asbench.nets.pretrained import check_networks, find_pretrained, parse_weights, weights_digest
from asbench.nets.resnet import STEM, ResNet18
from synth_store.types import UserError

LAYERS = (*STEM, "layer1", "layer2")
SHALLOW = Backbone("resnet18", LAYERS, folded=True, instead="toy@scratch")
PUBLISHED = "resnet18-f37072fd.pth"


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch, tmp_path):
    """No weights but those a test puts somewhere."""
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))


@pytest.fixture(scope="module")
def trained():
    """A shallow ResNet-18 of full width whose batch norm does something."""
    torch.manual_seed(0)
    net = ResNet18(depth=2).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(torch.rand(tensor.shape) + 0.2)
    return net


def plain(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def fold(net, keep_norm):
    """Multiply batch norm into the convolutions: as biases, or as norms that only add theirs."""
    state = plain(net)
    for name in [n for n, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]:
        convolution = name.replace("bn", "conv").replace("downsample.1", "downsample.0")
        norm = {k: state.pop(f"{name}.{k}") for k in ("weight", "bias", "running_mean")}
        variance = state.pop(f"{name}.running_var")
        state.pop(f"{name}.num_batches_tracked")
        scale = norm["weight"] / (variance + 1e-5).sqrt()
        state[f"{convolution}.weight"] *= scale.view(-1, 1, 1, 1)
        bias = norm["bias"] - norm["running_mean"] * scale
        if keep_norm:
            state[f"{name}.weight"] = torch.ones_like(bias)
            state[f"{name}.bias"] = bias
            state[f"{name}.running_mean"] = torch.zeros_like(bias)
            state[f"{name}.running_var"] = torch.full_like(bias, 1 - 1e-5)
        else:
            state[f"{convolution}.bias"] = bias
    return state


def saved(tensors, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("keep_norm", [True, False])
def test_a_folded_network_is_the_same_function(trained, keep_norm, tmp_path):
    path = saved(fold(trained, keep_norm), tmp_path / "folded.safetensors")
    found = find_pretrained(SHALLOW, {"resnet18": path})
    assert found.folded
    net = ResNet18(depth=2).eval()
    net.load_state_dict(dict(found.tensors))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected, got = trained(images), net(images)
    for level in expected:
        scale = expected[level].abs().max()
        assert (expected[level] - got[level]).abs().max() / scale < 1e-5


def test_weights_that_were_never_trained_are_not_taken_for_folded(tmp_path):
    path = saved(plain(ResNet18(depth=2)), tmp_path / "fresh.safetensors")
    assert not find_pretrained(SHALLOW, {"resnet18": path}).folded


def test_a_partial_file_serves_the_layers_it_has(trained, tmp_path):
    path = saved(plain(trained), tmp_path / "w.safetensors")
    one = Backbone("resnet18", (*STEM, "layer1"), folded=False, instead="toy@scratch")
    found = find_pretrained(one, {"resnet18": path})
    assert {name.partition(".")[0] for name in found.tensors} == {*STEM, "layer1"}
    assert found.missing == ("layer3", "layer4")
    state = trained.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.tensors.items())
    record = found.record()
    assert record["missing"] == ["layer3", "layer4"]
    assert record["layers"] == ["bn1", "conv1", "layer1"]
    assert record["digest"] == found.digest

    deep = Backbone("resnet18", (*LAYERS, "layer4"), folded=False, instead="toy@shallow")
    with pytest.raises(UserError, match=r"w.safetensors lacks layer4 of resnet18: .*toy@shallow"):
        find_pretrained(deep, {"resnet18": path})


def test_folded_weights_are_refused_where_batch_norm_trains(trained, tmp_path):
    path = saved(fold(trained, True), tmp_path / "w.safetensors")
    trains = Backbone("resnet18", LAYERS, folded=False, instead="toy@partial")
    with pytest.raises(UserError, match=r"folded .* eval mode only.*toy@partial"):
        find_pretrained(trains, {"resnet18": path})


def test_where_they_are_looked_for(trained, tmp_path, monkeypatch):
    """--weights before ASBENCH_WEIGHTS before torchvision's cache."""
    monkeypatch.setattr("asbench.nets.pretrained.check_published", lambda path: None)
    tensors = plain(trained)
    cached = saved(tensors, tmp_path / "torch_home/hub/checkpoints" / PUBLISHED)
    assert find_pretrained(SHALLOW).path == cached
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(folder))
    assert find_pretrained(SHALLOW).path == cached
    own = saved(tensors, folder / "resnet18_mine.safetensors")
    assert find_pretrained(SHALLOW).path == own
    named = saved(tensors, tmp_path / "elsewhere.pth")
    assert find_pretrained(SHALLOW, {"resnet18": named}).path == named
    saved(tensors, folder / PUBLISHED)
    with pytest.raises(UserError, match=r"f37072fd.pth and resnet18_mine.safetensors: choose one"):
        find_pretrained(SHALLOW)
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"ASBENCH_WEIGHTS names .*nowhere"):
        find_pretrained(SHALLOW)


@pytest.mark.parametrize(
    ("name", "instead"),
    [("destseg", "destseg@scratch"), ("memseg", "memseg@scratch"), ("memseg", "memseg@partial")],
)
def test_without_weights_the_file_its_source_and_the_way_round_are_named(name, instead):
    with pytest.raises(UserError) as refusal:
        pretrained_of(name)
    for said in (PUBLISHED, "IMAGENET1K_V1", "--weights resnet18=", "ASBENCH_WEIGHTS", instead):
        assert said in str(refusal.value)


@pytest.mark.parametrize("name", ["draem", "unet", "destseg@scratch", "memseg@tiny-scratch"])
def test_who_starts_from_scratch_needs_nothing(name):
    assert pretrained_of(name) is None


def test_the_digest_is_of_the_content(trained, tmp_path):
    tensors = plain(trained)
    first = find_pretrained(SHALLOW, {"resnet18": saved(tensors, tmp_path / "a.pth")})
    fewer = {k: v for k, v in tensors.items() if "num_batches" not in k}  # as torchvision's file
    fewer["fc.weight"] = torch.zeros(1000, 512)
    again = find_pretrained(SHALLOW, {"resnet18": saved(fewer, tmp_path / "b.safetensors")})
    assert first.digest == again.digest == weights_digest(dict(reversed(first.tensors.items())))
    assert len(first.digest) == 64
    for change in (
        {"conv1.weight": tensors["conv1.weight"] + 1e-6},
        {"bn1.bias": tensors["bn1.bias"].double()},
        {"bn1.more": tensors["bn1.bias"]},
    ):
        assert weights_digest({**tensors, **change}) != weights_digest(tensors)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layer1.0.bn1.weight": None}, "it has no 'layer1.0.bn1.weight'"),
        (
            {"conv1.weight": torch.zeros(32, 3, 7, 7)},
            r"'conv1.weight' is \(32, 3, 7, 7\), not \(64",
        ),
        ({"layer1.7.conv1.weight": torch.zeros(1)}, "it has 'layer1.7.conv1.weight'"),
        ({"backbone.conv1.weight": torch.zeros(1)}, "it has 'backbone.conv1.weight'"),
    ],
)
def test_another_networks_weights_are_refused(trained, change, says, tmp_path):
    tensors = {k: v for k, v in {**plain(trained), **change}.items() if v is not None}
    with pytest.raises(UserError, match=says):
        find_pretrained(SHALLOW, {"resnet18": saved(tensors, tmp_path / "w.safetensors")})


class Evil:
    """What a pickle could do."""

    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


def test_damaged_and_hostile_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing, torn, module, hostile = (tmp_path / f"{n}.pth" for n in ("no", "torn", "net", "evil"))
    saved({"conv1.weight": torch.zeros(64, 3, 7, 7)}, torn)
    torn.write_bytes(torn.read_bytes()[:1000])
    torch.save([torch.zeros(3)], module)
    torch.save({"conv1.weight": Evil()}, hostile)
    for path, says in (
        (missing, "no such file"),
        (torn, "not a readable file of weights"),
        (module, "does not hold named tensors"),
        (hostile, "not a readable file of weights"),
    ):
        with pytest.raises(UserError, match=says):
            find_pretrained(SHALLOW, {"resnet18": path})
    assert not (tmp_path / "made-by-a-pickle").exists()


def test_names_and_paths_of_the_command_line():
    assert parse_weights(["resnet18=a=b.pth"]) == {"resnet18": Path("a=b.pth")}
    assert parse_weights([]) == {}
    for wrong in (["resnet18"], ["resnet18="], ["resnet18=a", "resnet18=b"]):
        with pytest.raises(UserError, match="NAME=PATH"):
            parse_weights(wrong)
    with pytest.raises(UserError, match=r"'resnet50' are of no use here: choose from resnet18"):
        check_networks({"resnet50": Path("a.pth")})


@pytest.mark.data
@pytest.mark.skipif(
    "ASBENCH_WEIGHTS" not in os.environ, reason="set ASBENCH_WEIGHTS to a folder with resnet18*"
)
class TestImageNet:
    """With real weights: those of the whole network, or folded and without layer 4."""

    folder = os.environ.get("ASBENCH_WEIGHTS", "")

    @pytest.fixture(autouse=True)
    def _weights(self, monkeypatch, _bare_machine):
        monkeypatch.setenv("ASBENCH_WEIGHTS", self.folder)

    @pytest.mark.parametrize("name", ["destseg", "memseg@partial"])
    def test_they_fit_and_matter(self, name):
        found = pretrained_of(name)
        detector = build(name, 0)
        net = detector.teacher if name == "destseg" else detector.extractor
        detector.load_backbone(found.tensors)
        state = net.state_dict()
        assert all(torch.equal(state[k], tensor) for k, tensor in found.tensors.items())
        stripes = torch.zeros(2, 3, 64, 64)
        stripes[0, :, :, ::8] = 1  # upright
        stripes[1, :, ::8, :] = 1  # lying
        with torch.no_grad():
            levels = net.eval()(stripes)
        first, second = levels["layer3"].flatten(1)
        assert torch.cosine_similarity(first, second, dim=0) < 0.9
        assert 0.1 < levels["layer3"].std() < 10

    def test_what_lacks_layer_4_serves_memseg_as_partial_only(self):
        partial = pretrained_of("memseg@partial")
        if "layer4" not in partial.missing:
            assert pretrained_of("memseg").digest != partial.digest
            return
        assert partial.folded
        with pytest.raises(UserError, match=r"lacks layer4 of resnet18: .*memseg@partial"):
            pretrained_of("memseg")
