"""What a fit starts from and may look at: weights, defects, packages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch

from asbench.generation import fit as fitting
from asbench.generation import fitted as loading
from asbench.generation import generate as stage
from asbench.generation.fit import few_shot
from asbench.synthesizers import realnet as plugin
from asbench.synthesizers.realnet.adm import adm_unet
from asbench.types import Item, LearnedSynthesizer
from synth_store import Geometry, SynthStore, UserError
from tests.generation.toyfits import Guarded, fit_toys, render, shut_away
from tests.toynets import REALNET as SETTINGS
from tests.toyset import Toys

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    shut_away(monkeypatch)


SMALL_ADM = {
    "width": 8,
    "multipliers": (1, 2),
    "layers": 1,
    "attention": (8,),
    "head_channels": 4,
    "groups": 4,
}


@pytest.fixture
def small_adm(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """ADM's network, only smaller, so that a file of its weights is."""
    monkeypatch.setattr(plugin.Realnet, "_check_network", lambda self: None)
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    return {"weights": "adm256", **SMALL_ADM}


def published(path: Path, rows: int = 1000) -> None:
    """Write weights of the small ADM as its authors would."""
    from asbench.synthesizers.realnet.adm import LABELS, _published

    net = adm_unet(16, **SMALL_ADM, classes=1)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=generator) * 0.1 for name, shape in _published(net)
    }
    torch.save({**tensors, LABELS: torch.zeros(rows, 32)}, path)


def test_pretrained_weights_are_needed_to_fit_and_not_to_render(
    tmp_path: Path, small_adm: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = r"starts from 256x256_diffusion.pt.*--weights adm256=PATH.*realnet@full-scratch"
    with pytest.raises(UserError, match=told):
        fit_toys(tmp_path, settings=small_adm)
    with pytest.raises(UserError, match="weights of 'resnet18' are of no use to RealNet"):
        fit_toys(tmp_path, settings=small_adm, weights={"resnet18": tmp_path})
    assert list(tmp_path.iterdir()) == []

    foreign = tmp_path / "foreign.pt"
    torch.save({"conv1.weight": torch.zeros(3)}, foreign)
    with pytest.raises(UserError, match="is not the ADM U-Net"):
        fit_toys(tmp_path, settings=small_adm, weights={"adm256": foreign})

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    torch.save({"out.2.bias": Harmful()}, foreign)
    with pytest.raises(UserError, match="not a readable file of weights"):
        fit_toys(tmp_path, settings=small_adm, weights={"adm256": foreign})
    assert not (tmp_path / "harm").exists()

    published(tmp_path / "256x256_diffusion.pt")
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path))
    (done,) = fit_toys(tmp_path, settings=small_adm)
    assert set(done.record.identity["weights"]) == {"adm256"}
    (tmp_path / "256x256_diffusion.pt").unlink()
    assert len(render(tmp_path, settings=small_adm)) == 2


@dataclass(frozen=True)
class Seeing(plugin.Realnet):
    """RealNet, if it learned from defects."""

    learns_from: ClassVar[Literal["normals", "few-shot defects"]] = "few-shot defects"


def test_only_the_few_shot_third_is_ever_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 6 discs the 2 lowest, whose ids the fit and every set of it name."""
    found = few_shot(Guarded(), "a")
    seen = ["test/disc/0", "test/disc/1"]
    assert sorted(item.id for item in found.items) == seen
    assert all(found.read(item, Geometry(32, 32))[1].any() for item in found.items)

    monkeypatch.setattr(fitting, "open_dataset", lambda dataset, **_: Guarded())
    monkeypatch.setattr(fitting, "resolve", lambda *_, **__: Seeing(**{**SETTINGS, "steps": 1}))
    (done,) = fit_toys(tmp_path)
    assert sorted(done.defects_seen("a")) == seen
    assert done.kinds == {"a": ("disc",), "b": ("disc",)}
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: Guarded())
    monkeypatch.setattr(stage, "resolve", lambda *_, **__: Seeing(**{**SETTINGS, "steps": 1}))
    render(tmp_path, n=2)
    opened = SynthStore.open(tmp_path / "store")
    ((key, category),) = [(k, c) for k, c in opened.sets() if c == "b"]
    assert sorted(opened.read(key, category).attributes["record"]["saw_defects"]) == seen


def test_a_data_set_without_few_shot_defects_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Sound(Toys):
        def items(self, category: str) -> tuple[Item, ...]:
            return tuple(i for i in super().items(category) if not i.label)

    monkeypatch.setattr(fitting, "open_dataset", lambda dataset, **_: Sound())
    monkeypatch.setattr(fitting, "resolve", lambda *_, **__: Seeing(**SETTINGS))
    with pytest.raises(
        UserError, match=r"has no few-shot defects: .* a type needs three test images"
    ):
        fit_toys(tmp_path)
    assert not (tmp_path / "store").exists()


@dataclass(frozen=True)
class Lacking(LearnedSynthesizer):
    """A method whose package is not installed."""

    title: ClassVar[str] = "Lacking"
    package: str = "diffusers"

    def build(self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]) -> Any:
        raise ModuleNotFoundError(f"No module named {self.package!r}", name=self.package)


def test_a_missing_library_is_named_with_the_extra_that_brings_it() -> None:
    with pytest.raises(UserError, match=r"Lacking needs diffusers.*pip install 'asbench\[diff"):
        loading.networks(Lacking(), {}, {})
    with pytest.raises(ModuleNotFoundError):
        loading.networks(Lacking(package="asbench.learned.lacking"), {}, {})


@dataclass(frozen=True)
class Bare(LearnedSynthesizer):
    """A method whose networks can be neither fitted nor asked to render."""

    title: ClassVar[str] = "Bare"

    def build(
        self, kinds: Mapping[str, tuple[str, ...]], pretrained: Mapping[str, Path]
    ) -> torch.nn.Module:
        return torch.nn.Identity()


def test_networks_that_are_no_learned_model_are_refused() -> None:
    with pytest.raises(TypeError, match=r"^Bare: build returns Identity, not a LearnedModel"):
        loading.networks(Bare(), {}, {})
