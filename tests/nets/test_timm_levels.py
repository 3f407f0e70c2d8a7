"""Backbones of timm: by a stand-in for the package everywhere, by itself where it is installed."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from asbench.detectors import build, pretrained_of
from asbench.nets.backbones import Frozen
from asbench.nets.pretrained import find_pretrained, weights_digest
from asbench.nets.timm_levels import STRIDES
from synth_store.types import UserError

with_timm = pytest.mark.skipif(
    find_spec("timm") is None, reason="needs the extra timm: pip install 'asbench[timm]'"
)
REAL = ("test_resnet", "test_efficientnet", "mobilenetv3_small_050")
"""Small ones, of three families."""


class Toy(nn.Module):
    """A network with timm's ways: four levels, and a classifier that may be cut off."""

    reductions = (2, 4, 8, 16)

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 4, 6, 8, 10)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b)) for a, b in pairwise(widths)
        )
        self.fc = nn.Linear(10, 5)
        self.feature_info = [{"reduction": r} for r in self.reductions]

    def prune_intermediate_layers(self, indices):
        self.fc = nn.Identity()

    def forward_intermediates(self, x, indices, intermediates_only, stop_early):
        assert intermediates_only
        assert stop_early
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return [levels[i] for i in indices]


class Transformer(Toy):
    reductions = (16,) * 4


class Shrunk(Toy):
    """Says strides that it has not."""

    reductions = (4, 8, 16, 32)


NETS = {"toy": Toy, "toy_vit": Transformer, "toy_shrunk": Shrunk, "toy_fixed": Toy}


@pytest.fixture(autouse=True)
def _bare_machine(monkeypatch, tmp_path):
    """No weights but those a test puts somewhere, and no network."""

    def refused(*_):
        raise AssertionError("the network was asked")

    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refused)


@pytest.fixture
def timm(monkeypatch):
    """A stand-in for the package, that knows the nets above and gives no weights."""

    def config(name):
        return SimpleNamespace(
            mean=(0.5, 0.4, 0.3),
            std=(0.2, 0.3, 0.4),
            fixed_input_size=name == "toy_fixed",
            input_size=(3, 224, 224),
            hf_hub_id=f"timm/{name}",
        )

    def create_model(name, pretrained):
        assert not pretrained
        return NETS[name]()

    module = SimpleNamespace(
        __version__="0.0",
        list_models=lambda pretrained=False: [] if pretrained else [*NETS],
        get_pretrained_cfg=config,
        create_model=create_model,
    )
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def images(height=64, width=96):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def shaken(net: nn.Module) -> dict[str, torch.Tensor]:
    """A network's tensors, no norm the identity any more."""
    generator = torch.Generator().manual_seed(1)
    return {
        k: v + 0.1 * torch.rand(v.shape, generator=generator) if v.is_floating_point() else v
        for k, v in net.state_dict().items()
    }


def saved(tensors, path: Path) -> Path:
    if path.suffix == ".pth":
        torch.save(dict(tensors), path)
    else:
        save_file(dict(tensors), path)
    return path


def test_without_timm_the_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"need timm: pip install 'asbench\[timm\]', or .*=lite0"):
        Frozen("timm:resnet18")
    Frozen("lite0")


def test_levels_are_the_networks_normalised_by_its_config(timm, tmp_path):
    theirs = Toy().eval()
    theirs.load_state_dict(shaken(theirs))
    frozen = Frozen("timm:toy")
    path = saved(theirs.state_dict(), tmp_path / "any.pth")
    frozen.fill(find_pretrained(frozen.needed(), {"timm:toy": path}).tensors)
    x = (images() - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor(
        [0.2, 0.3, 0.4]
    ).view(3, 1, 1)
    with torch.no_grad():
        wanted = theirs.forward_intermediates(x, [1, 2, 3], True, True)
    assert frozen.channels == (6, 8, 10)
    for level, own in zip(frozen(images()), wanted, strict=True):
        torch.testing.assert_close(level, own)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("toi", r"timm has no network 'toi': did you mean toy"),
        ("hf-hub:timm/toy", "no network 'hf-hub:timm'"),
        ("local-dir:toy", "no network 'local-dir:toy'"),
        ("toy_vit", "timm:toy_vit gives no levels at stride 4 and 8, .*convolutional"),
        ("toy_fixed", "looks at images of 224x224 only"),
        ("toy_shrunk", r"its levels are \[\(4, 32, 48\).*, not at strides 4, 8 and 16"),
    ],
)
def test_what_cannot_serve_is_refused(timm, name, says):
    with pytest.raises(UserError, match=says):
        Frozen(f"timm:{name}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stages.1.0.weight": None}, "it has no 'stages.1.0.weight'"),
        ({"stages.1.0.weight": torch.zeros(1)}, r"'stages.1.0.weight' is \(1,\), not \(6, 4, 3, 3"),
        ({"stages.9.weight": torch.zeros(1)}, "it has 'stages.9.weight', which that has not"),
    ],
)
def test_another_networks_weights_are_refused_by_name(timm, tmp_path, change, says):
    tensors = {k: v for k, v in {**Toy().state_dict(), **change}.items() if v is not None}
    path = saved(tensors, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=rf"w.safetensors is not timm's toy: {says}"):
        find_pretrained(Frozen("timm:toy").needed(), {"timm:toy": path})


def test_weights_lie_under_their_exact_name_and_may_lack_or_change_the_classifier(
    timm, tmp_path, monkeypatch
):
    needed = Frozen("timm:toy").needed()
    said = r"timm-toy.safetensors .*huggingface.co/timm/toy\) and give it with --weights timm:toy="
    with pytest.raises(UserError, match=said):
        find_pretrained(needed)
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(folder))
    tensors = shaken(Toy())
    saved(tensors, folder / "timm-toy_vit.pth")
    saved(tensors, folder / "toy.pth")
    with pytest.raises(UserError, match="not on this machine"):
        find_pretrained(needed)
    saved(tensors | {"fc.weight": torch.zeros(2, 10)}, folder / "timm-toy.pth")
    found = find_pretrained(needed)
    fewer = {k: v for k, v in tensors.items() if not k.startswith("fc") and "batches" not in k}
    again = find_pretrained(needed, {"timm:toy": saved(fewer, tmp_path / "b.safetensors")})
    assert found.digest == again.digest
    assert found.record()["timm"] == "0.0"
    frozen = Frozen("timm:toy")
    frozen.fill(found.tensors)
    assert weights_digest(frozen.weights()) == found.digest


def test_a_detector_is_built_on_it_and_its_head_begins_alike_whatever_timm_draws(timm):
    built = build("memory", 3, {"backbone_name": "timm:toy", "width": 8})
    monkeyed = Toy.__init__

    def thirsty(self):
        torch.rand(1000)
        monkeyed(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Toy, "__init__", thirsty)
        again = build("memory", 3, {"backbone_name": "timm:toy", "width": 8})
    for one, other in zip(built.head.parameters(), again.head.parameters(), strict=True):
        assert torch.equal(one, other)
    assert built.channels == (8, 10)


# --- timm itself ---


@with_timm
@pytest.mark.parametrize("name", REAL)
@torch.no_grad()
def test_levels_are_those_of_features_only(name, tmp_path):
    import timm

    torch.manual_seed(0)
    whole = timm.create_model(name, pretrained=False).eval()
    tensors = shaken(whole)
    path = saved(tensors, tmp_path / "w.safetensors")
    frozen = Frozen(f"timm:{name}")
    frozen.fill(find_pretrained(frozen.needed(), {f"timm:{name}": path}).tensors)
    theirs = timm.create_model(name, pretrained=False, features_only=True).eval()
    theirs.load_state_dict({k: tensors[k] for k in theirs.state_dict()})
    config = whole.pretrained_cfg
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    wanted = {
        stride: level
        for stride, level in zip(
            theirs.feature_info.reduction(), theirs((images() - mean) / std), strict=True
        )
    }
    for stride, level in zip(STRIDES, frozen(images()), strict=True):
        torch.testing.assert_close(level, wanted[stride])


@with_timm
def test_timms_own_names_are_known_and_others_get_near_ones():
    with pytest.raises(UserError, match=r"did you mean .*resnet18"):
        Frozen("timm:resnet81")
    with pytest.raises(UserError, match="gives no levels at stride 4 and 8"):
        Frozen("timm:vit_tiny_patch16_224")
    with pytest.raises(UserError, match="no network 'hf-hub:timm'"):
        Frozen("timm:hf-hub:timm/resnet18")
    with pytest.raises(UserError, match=r"--weights timm:test_resnet.r160_in1k=PATH"):
        pretrained_of("patchcore", {"backbone_name": "timm:test_resnet.r160_in1k"})
