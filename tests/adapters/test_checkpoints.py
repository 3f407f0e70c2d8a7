"""The authors' checkpoints, with made-up tensors under the true names: into a run, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import asbench
from asbench.adapters.authors import PUBLISHED, to_ours, to_theirs
from asbench.adapters.checkpoints import export_checkpoint, import_checkpoint
from asbench.detectors import build
from synth_store import Geometry, SynthStore
from synth_store.types import UserError
from tests.cli.conftest import Run, photograph
from tests.cli.conftest import run as run

pytestmark = pytest.mark.slow

SMALL = {
    "draem": {"width": 4, "seg_width": 4},
    "unet": {"width": 4},
    "destseg@tiny-scratch": {},
    "memseg@tiny-scratch": {},
}


# --- what the authors' networks call their tensors, listed from their code ---


def convolution(
    name: str, inputs: int, outputs: int, side: int, bias: bool = True
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs, side, side)
    if bias:
        yield f"{name}.bias", (outputs,)


def norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def two(name: str, inputs: int, middle: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """DRAEM's block: convolution, norm, ReLU, convolution, norm, ReLU."""
    yield from convolution(f"{name}.0", inputs, middle, 3)
    yield from norm(f"{name}.1", middle)
    yield from convolution(f"{name}.3", middle, outputs, 3)
    yield from norm(f"{name}.4", outputs)


def up(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from convolution(f"{name}.1", inputs, outputs, 3)
    yield from norm(f"{name}.2", outputs)


def reconstruction(w: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    widths = [3, w, 2 * w, 4 * w, 8 * w, 8 * w]
    for n in range(1, 6):
        yield from two(f"encoder.block{n}", widths[n - 1], widths[n], widths[n])
    for n, (inside, after) in enumerate(((8, 4), (4, 2), (2, 1), (1, 1)), 1):
        yield from up(f"decoder.up{n}", inside * w, inside * w)
        yield from two(f"decoder.db{n}", inside * w, inside * w, after * w)
    yield from convolution("decoder.fin_out.0", w, 3, 3)


def discriminative(w: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    widths = [inputs, w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w]
    for n in range(1, 7):
        yield from two(f"encoder_segment.block{n}", widths[n - 1], widths[n], widths[n])
    steps = (("_b", 8, 8, 8), ("1", 8, 4, 4), ("2", 4, 2, 2), ("3", 2, 1, 1), ("4", 1, 1, 1))
    for name, before, after, beside in steps:
        yield from up(f"decoder_segment.up{name}", before * w, after * w)
        joined = (after + beside) * w if name == "_b" else (after + before) * w
        joined = 2 * w if name == "4" else joined
        yield from two(f"decoder_segment.db{name}", joined, after * w, after * w)
    yield from convolution("decoder_segment.fin_out.0", w, 2, 3)


def block(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A residual block; `downsample` where the channels change."""
    yield from convolution(f"{name}.conv1", inputs, outputs, 3, bias=False)
    yield from norm(f"{name}.bn1", outputs)
    yield from convolution(f"{name}.conv2", outputs, outputs, 3, bias=False)
    yield from norm(f"{name}.bn2", outputs)
    if inputs != outputs:
        yield from convolution(f"{name}.downsample.0", inputs, outputs, 1, bias=False)
        yield from norm(f"{name}.downsample.1", outputs)


def layer(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from block(f"{name}.0", inputs, outputs)
    yield from block(f"{name}.1", outputs, outputs)


def resnet(name: str, w: int, deepest: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from convolution(f"{name}.conv1", 3, w, 7, bias=False)
    yield from norm(f"{name}.bn1", w)
    for n in range(1, deepest + 1):
        yield from layer(f"{name}.layer{n}", w << max(0, n - 2), w << (n - 1))


def destseg(w: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    wide = 4 * w
    yield from resnet("teacher_net.encoder", w, 3)
    for n, inputs in ((4, 8 * w), (3, 8 * w), (2, 4 * w), (1, 2 * w)):
        yield from layer(f"student_net.decoder_layer{n}", inputs, w << (n - 1))
    yield from resnet("student_net.encoder", w, 4)
    yield from layer("segmentation_net.res", 7 * w, wide)
    pyramid = "segmentation_net.head.0"
    yield from convolution(f"{pyramid}.aspp_feature_extractors.0.1.conv", wide, wide, 1, bias=False)
    yield from norm(f"{pyramid}.aspp_feature_extractors.0.1.norm", wide)
    for n in (1, 2, 3):
        yield from convolution(
            f"{pyramid}.aspp_feature_extractors.{n}.conv", wide, wide, 3, bias=False
        )
        yield from norm(f"{pyramid}.aspp_feature_extractors.{n}.norm", wide)
    yield from convolution(f"{pyramid}.aspp_fusion_layer.conv", 4 * wide, wide, 3, bias=False)
    yield from norm(f"{pyramid}.aspp_fusion_layer.norm", wide)
    yield from convolution("segmentation_net.head.1", wide, wide, 3, bias=False)
    yield from norm("segmentation_net.head.2", wide)
    yield from convolution("segmentation_net.head.4", wide, 1, 1)


def memseg(w: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    stem = 3 * w // 4
    yield from resnet("feature_extractor", w, 4)
    for n, c in ((1, 2 * w), (2, 4 * w), (3, 8 * w)):
        squeezed, part = max(8, c // 32), f"msff.blk{n}"
        yield from convolution(f"{part}.conv1", c, c, 3)
        yield from convolution(f"{part}.attn.conv1", c, squeezed, 1)
        yield from norm(f"{part}.attn.bn1", squeezed)
        yield from convolution(f"{part}.attn.conv_h", squeezed, c, 1)
        yield from convolution(f"{part}.attn.conv_w", squeezed, c, 1)
        yield from convolution(f"{part}.conv2.0", c, c // 2, 3)
        yield from convolution(f"{part}.conv2.1", c // 2, c // 2, 3)
    yield from convolution("msff.upconv32.1", 4 * w, 2 * w, 3)
    yield from convolution("msff.upconv21.1", 2 * w, w, 3)
    yield from convolution("decoder.conv", w, stem, 3)
    sizes = ((3, 8 * w, 4 * w), (2, 8 * w, 2 * w), (1, 4 * w, w), (0, 2 * w, stem))
    for name, inputs, outputs in (*((f"upconv{n}", i, o) for n, i, o in sizes),
                                  ("upconv2mask", 2 * stem, stem)):  # fmt: skip
        yield from convolution(f"decoder.{name}.blk.1", inputs, outputs, 3)
        yield from norm(f"decoder.{name}.blk.2", outputs)
    yield from convolution("decoder.final_conv", stem, 2, 3)


def theirs(detector: str) -> list[dict[str, Tensor]]:
    """The files of an author's checkpoint, full of random numbers."""
    plain = detector.partition("@")[0]
    shapes = {
        "draem": (reconstruction(4), discriminative(4, 6)),
        "unet": (discriminative(4, 3),),
        "destseg": (destseg(8),),
        "memseg": (memseg(8),),
    }[plain]
    generator = torch.Generator().manual_seed(1)

    def made(name: str, shape: tuple[int, ...]) -> Tensor:
        if not shape:
            return torch.tensor(7)
        drawn = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            return drawn * (2 / shape[1:].numel()) ** 0.5
        return (0.1 * drawn).exp() if name.endswith(("weight", "var")) else 0.1 * drawn

    return [{name: made(name, torch.Size(shape)) for name, shape in one} for one in shapes]


# --- names ---


@pytest.mark.parametrize("detector", SMALL)
def test_every_tensor_of_theirs_has_a_place_and_comes_back_to_the_bit(detector: str) -> None:
    files = theirs(detector)
    whole = {name: tensor for one in files for name, tensor in one.items()}
    ours = to_ours(detector, {f"module.{name}": tensor for name, tensor in whole.items()})
    model = build(detector, 0, SMALL[detector])
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("bank_")}
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in state.items()}
    back = list(to_theirs(detector, {**model.state_dict(), **ours}).values())
    assert [set(one) for one in back] == [set(one) for one in files]
    for one, other in zip(back, files, strict=True):
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_draem_sees_the_channels_in_the_other_order() -> None:
    whole = {name: tensor for one in theirs("draem") for name, tensor in one.items()}
    ours, swapped = (build("draem", 0, SMALL["draem"]).eval() for _ in range(2))
    ours.load_state_dict(to_ours("draem", whole))
    swapped.load_state_dict(PUBLISHED["draem"].before(to_ours("draem", whole)))  # their channels
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, bgr = ours.reconstruction(images), swapped.reconstruction(images.flip(1))
        assert torch.allclose(found, bgr.flip(1), atol=1e-5)
        six, their = torch.cat([found, images], 1), torch.cat([bgr, images.flip(1)], 1)
        assert torch.allclose(ours.segmentation(six), swapped.segmentation(their), atol=1e-4)
        assert not torch.allclose(ours.reconstruction(images), swapped.reconstruction(images))


def test_destseg_merges_the_pooled_branch_last() -> None:
    (whole,) = theirs("destseg")
    merging = whole["segmentation_net.head.0.aspp_fusion_layer.conv.weight"]
    branches = torch.rand(1, merging.shape[1], 5, 5)
    pooled, dilated = branches.split([merging.shape[1] // 4, 3 * merging.shape[1] // 4], 1)
    ours = to_ours("destseg@tiny-scratch", whole)["segmentation.head.0.merge.0.weight"]
    expected = nn.functional.conv2d(branches, merging)
    found = nn.functional.conv2d(torch.cat([dilated, pooled], 1), ours)
    assert torch.allclose(expected, found, atol=1e-5)


# --- runs ---


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    photograph(folder / "photos", ("bolt",))
    return folder


def where(place: Path) -> dict[str, object]:
    store = place / "store"
    SynthStore.create(store, Geometry(32, 32))
    return {
        "category": "bolt",
        "store": store,
        "runs": place / "runs",
        "device": "cpu",
    }


@pytest.mark.parametrize("detector", SMALL)
def test_an_imported_run_is_one_like_others_and_gives_the_files_back(
    detector: str, place: Path
) -> None:
    files, same = [], []
    for number, tensors in enumerate(theirs(detector)):
        files.append(place / f"{detector}-{number}.pckl")
        torch.save(tensors, files[-1])
        same.append(place / f"{detector}-{number}.safetensors")
        save_file(tensors, same[-1])
    run = import_checkpoint(
        detector, files[::-1], str(place / "photos"), settings=SMALL[detector], **where(place)
    )
    assert run.run.decides["steps"] == 0
    assert set(run.run.environment["imported"]) == {path.name for path in files}
    assert run.run.threshold is not None
    assert "9 training normals" in run.run.threshold.rule
    again = import_checkpoint(
        detector, same, str(place / "photos"), settings=SMALL[detector], **where(place)
    )
    assert again.id == run.id
    scored = asbench.evaluate(run)
    assert scored.metrics["full"] == pytest.approx(run.run.metrics["full"], nan_ok=True)
    written = export_checkpoint(run, place / "back")
    for tensors, path in zip(theirs(detector), written, strict=True):
        back = torch.load(path, weights_only=True)
        assert set(back) == set(tensors)
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in back.items())


def test_the_command_line_goes_there_and_back(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    torch.save(theirs("unet")[0], "unet.pckl")
    done = run(
        "checkpoint import unet@tiny unet.pckl --set width=4 --dataset photos --category bolt "
        "--store store --runs cli --device cpu"
    )
    assert done.status == 0, done.err
    (folder,) = Path("cli").iterdir()
    assert done.next[0] == f"asbench evaluate cli/{folder.name}"
    assert json.loads((folder / "run.json").read_text())["environment"]["imported"].keys() == {
        "unet.pckl"
    }
    back = run(f"checkpoint export cli/{folder.name} --out theirs")
    assert back.status == 0
    assert [path.name for path in Path("theirs").iterdir()] == [f"unet-{folder.name}.pckl"]


# --- refusals ---


def test_what_does_not_fit_is_named(place: Path) -> None:
    (tensors,) = theirs("unet")
    cases = {
        "extra": ({**tensors, "encoder_segment.block9.0.weight": torch.zeros(1)}, "has no place"),
        "missing": (
            {k: v for k, v in tensors.items() if "fin_out" not in k},
            "it has no 'segmentation.head.weight'",
        ),
        "shape": ({**tensors, "decoder_segment.fin_out.0.bias": torch.zeros(3)}, r"\(3,\) there"),
        "nan": (
            {**tensors, "decoder_segment.fin_out.0.bias": torch.full((2,), torch.nan)},
            "NaN",
        ),
    }
    for name, (changed, says) in cases.items():
        path = place / f"{name}.pckl"
        torch.save(changed, path)
        with pytest.raises(UserError, match=says):
            import_checkpoint(
                "unet", [path], str(place / "photos"), settings={"width": 4}, **where(place)
            )
    torch.save(build("unet", 0, {"width": 4}), place / "module.pckl")
    with pytest.raises(UserError, match=r"module.pckl is not a readable file of weights"):
        import_checkpoint("unet", [place / "module.pckl"], str(place / "photos"), **where(place))
    with pytest.raises(UserError, match="choose from destseg, draem, memseg, unet"):
        import_checkpoint("patchcore", [path], str(place / "photos"), **where(place))
