import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import AdamW

from asbench.detectors import build, pretrained_of
from asbench.detectors.memseg import (
    LEVELS,
    CoordAtt,
    Memseg,
    Msff,
    classwise_focal,
    nearest_items,
    spatial_gates,
)
from asbench.training.loop import fit
from synth_store.types import UserError
from tests.squares import normals, squares

pytestmark = pytest.mark.slow

SMALL = {"width": 4, "pretrained": "none", "memory": 5}


def small(seed=0, **changes):
    detector = build("memseg", seed, SMALL | changes)
    detector.prepare(normals(), torch.Generator().manual_seed(seed))
    return detector


def millions(*parameters):
    return round(sum(p.numel() for p in parameters) / 1e6, 2)


def doubled(plane):
    """Twice the size, linear between the corners, in numpy; plane (h, w)."""
    for _ in range(2):
        n = len(plane)
        at = np.linspace(0, n - 1, 2 * n)
        plane = np.stack([np.interp(at, np.arange(n), column) for column in plane.T])
    return plane


def test_published_sizes_and_protocol():
    with torch.device("meta"):
        detector = Memseg()
    assert millions(*detector.parameters()) == 19.05
    assert millions(*(p for p in detector.parameters() if p.requires_grad)) == 16.27
    assert millions(*detector.fusion.parameters()) == 5.83
    assert millions(*detector.decoder.parameters()) == 2.04
    protocol = Memseg.protocol
    assert (protocol.steps, protocol.batch, protocol.ratio) == (5000, 8, 0.5)
    assert protocol.augment is None


def test_coordinate_attention_by_hand():
    torch.manual_seed(0)
    net, x = CoordAtt(3).eval(), torch.randn(1, 3, 4, 6)
    found = net(x)[0].detach().double().numpy()
    assert net.squeeze[0].out_channels == 8
    assert CoordAtt(512).squeeze[0].out_channels == 16
    matrix = lambda conv: conv.weight[:, :, 0, 0].detach().double().numpy()  # noqa: E731
    bias = lambda conv: conv.bias.detach().double().numpy()  # noqa: E731
    v = x[0].double().numpy()

    def weights(means, last):  # means (3, n): of the rows, or of the columns
        y = matrix(net.squeeze[0]) @ means + bias(net.squeeze[0])[:, None]
        y = y / np.sqrt(1 + 1e-5)  # batch norm at its initial statistics
        y = y * np.clip(y + 3, 0, 6) / 6
        return 1 / (1 + np.exp(-(matrix(last) @ y + bias(last)[:, None])))

    rows, columns = weights(v.mean(2), net.rows), weights(v.mean(1), net.columns)
    expected = v * rows[:, :, None] * columns[:, None, :]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_spatial_gates_by_hand():
    generator = torch.Generator().manual_seed(0)
    sides = [(8, 16), (4, 8), (2, 4)]
    differences = [torch.rand(1, 3, *side, generator=generator) for side in sides]
    gates = spatial_gates(differences)
    one, two, three = (d[0].double().numpy().mean(0) for d in differences)
    expected = [one * doubled(two * doubled(three)), two * doubled(three), three]
    for gate, by_hand in zip(gates, expected, strict=True):
        np.testing.assert_allclose(gate[0, 0], by_hand, rtol=1e-4)


def test_fusion_by_hand_with_the_identity_for_convolutions():
    """Every convolution passes its first channels on, attention is a constant."""
    fusion = Msff(2, 2).eval()
    with torch.no_grad():
        for module in fusion.modules():
            if isinstance(module, nn.Conv2d):
                module.bias.zero_()
                module.weight.zero_()
                if module.kernel_size == (3, 3):
                    for channel in range(module.out_channels):
                        module.weight[channel, channel, 1, 1] = 1
    generator = torch.Generator().manual_seed(0)
    joined = [
        torch.rand(1, 2 * c, side, side, generator=generator)
        for c, side in zip((2, 4, 8), (8, 4, 2), strict=True)
    ]
    found = fusion(joined)
    assert [tuple(f.shape) for f in found] == [(1, 2, 8, 8), (1, 4, 4, 4), (1, 8, 2, 2)]
    halves = [j[0].double().numpy() for j in joined]
    # The convolution's x times the attention's x, the latter weighted by two sigmoids of zero.
    y1, y2, y3 = (0.25 * h[: len(h) // 2] ** 2 for h in halves)
    y2 = y2 + np.stack([doubled(plane) for plane in y3[:4]])
    y1 = y1 + np.stack([doubled(plane) for plane in y2[:2]])
    d1, d2, d3 = (h[len(h) // 2 :].mean(0) for h in halves)
    gate2 = d2 * doubled(d3)
    for got, expected in zip(found, (y1 * d1 * doubled(gate2), y2 * gate2, y3 * d3), strict=True):
        np.testing.assert_allclose(got[0].detach(), expected, rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_item_is_that_of_a_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 6, 8), (8, 3, 4), (16, 2, 2)]
    features = [torch.randn(6, *shape, generator=generator) for shape in shapes]
    banks = [torch.randn(9, *shape, generator=generator) * 3 ** (seed - 2) for shape in shapes]
    expected = []
    for b in range(6):
        distances = [
            sum(
                ((f[b].double() - bank[k].double()) ** 2).mean().item()
                for f, bank in zip(features, banks, strict=True)
            )
            for k in range(9)
        ]
        expected.append(int(np.argmin(distances)))
    assert nearest_items(features, banks).tolist() == expected


def test_an_image_of_the_memory_is_its_own_nearest():
    detector = small().eval()
    chosen = torch.randperm(10, generator=torch.Generator().manual_seed(0))[:5]
    levels = detector.extractor(normals()[chosen].float() / 255)
    banks = [detector.get_buffer(f"bank_{level}") for level in LEVELS]
    assert [len(bank) for bank in banks] == [5, 5, 5]
    assert nearest_items([levels[level] for level in LEVELS], banks).tolist() == [0, 1, 2, 3, 4]
    for level, bank in zip(LEVELS, banks, strict=True):
        torch.testing.assert_close(bank, levels[level])


def test_fewer_normals_than_the_memory_holds():
    detector = build("memseg", 0, SMALL | {"memory": 30})
    modes = [module.training for module in detector.modules()]
    detector.prepare(normals(count=9), torch.Generator())  # the last batch of 8 is one image
    assert len(detector.bank_layer1) == 9
    assert [module.training for module in detector.modules()] == modes
    assert not detector.bank_layer1.requires_grad


def test_the_segmentation_sees_features_and_squared_differences(monkeypatch):
    detector, images = small().eval(), squares(0, count=3).image
    fed = []

    def fusion(joined):
        fed.extend(joined)
        return Msff.forward(detector.fusion, joined)

    monkeypatch.setattr(detector.fusion, "forward", fusion)
    detector(images)
    levels = detector.extractor(images)
    features = [levels[level] for level in LEVELS]
    banks = [detector.get_buffer(f"bank_{level}") for level in LEVELS]
    nearest = nearest_items(features, banks)
    for got, feature, bank in zip(fed, features, banks, strict=True):
        for item in range(3):
            torch.testing.assert_close(got[item, : len(feature[0])], feature[item])
            difference = (feature[item] - bank[nearest[item]]) ** 2
            torch.testing.assert_close(got[item, len(feature[0]) :], difference)


def test_classwise_focal_by_hand():
    probabilities = torch.tensor([[[[0.7, 0.9]], [[0.3, 0.1]]]])
    mask = torch.tensor([[[[1.0, 0.0]]]])
    high, low = 1 - 1e-5, 1e-5
    pixels = []
    for (normal, anomalous), (y0, y1) in zip(
        [(0.7, 0.3), (0.9, 0.1)], [(low, high), (high, low)], strict=True
    ):
        pixels.append(
            -((1 - normal) ** 4) * y0 * np.log(normal + 1e-5)
            - (1 - anomalous) ** 4 * y1 * np.log(anomalous + 1e-5)
        )
    assert classwise_focal(probabilities, mask).item() == pytest.approx(np.mean(pixels), rel=1e-5)
    sure = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert torch.isfinite(classwise_focal(sure, torch.ones(1, 1, 1, 1)))


def test_loss_is_the_weighted_sum():
    detector, batch = small().eval(), squares(1)
    p = detector.probabilities(batch.image).detach()
    l1 = np.abs(p[:, 1].double().numpy() - batch.mask[:, 0].numpy()).mean()
    expected = 0.6 * l1 + 0.4 * classwise_focal(p, batch.mask).item()
    assert detector.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_optimiser_and_rate_are_the_published_ones():
    (stage,) = Memseg(width=1, pretrained="none").stages(5000)
    (adamw,) = stage.optimizers
    assert isinstance(adamw, AdamW)
    (group,) = adamw.param_groups
    assert group["weight_decay"] == 5e-4
    rates = {}
    for step in range(5000):
        rates[step] = group["lr"]
        adamw.step()  # without gradients: nothing to do
        stage.schedules[0].step()
    assert rates[0] == pytest.approx(1e-4)
    assert rates[500] == pytest.approx(3e-3)
    assert group["lr"] == pytest.approx(1e-4)


PUBLISHED, HELD = {"width": 64, "pretrained": "imagenet"}, {"width": 64, "pretrained": "partial"}


@pytest.mark.parametrize(
    ("changes", "statistics_move"), [(PUBLISHED, True), (HELD, False), ({}, False)]
)
def test_what_is_frozen_stays(changes, statistics_move, tmp_path):
    detector = build("memseg", 0, SMALL | changes)
    needed = detector.backbone()
    if needed is not None:
        state = detector.extractor.state_dict()
        taken = {k: v.clone() for k, v in state.items() if k.partition(".")[0] in needed.layers}
        detector.load_backbone(taken)
    detector.prepare(normals(size=32), torch.Generator())
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    batch_at = lambda step: squares(step, 32, 2)  # noqa: E731
    fit(detector, batch_at, steps=2, seed=0, device="cpu", folder=tmp_path)
    now = detector.state_dict()
    moved = {k for k in now if not torch.equal(now[k], before[k])}
    frozen = ("layer1", "layer2", "layer3")
    weights = {name for name, _ in detector.named_parameters()}
    assert not any(name.startswith("bank") for name in moved)
    assert not any(f"extractor.{level}." in name for name in moved & weights for level in frozen)
    assert {"extractor.conv1.weight", "extractor.layer4.0.conv1.weight"} <= moved
    assert "extractor.layer4.0.bn1.running_mean" in moved
    assert ("extractor.bn1.running_mean" in moved) == statistics_move
    for level in frozen:
        assert (f"extractor.{level}.0.bn1.running_mean" in moved) == statistics_move


@pytest.mark.parametrize("stem_learns", [True, False])
def test_the_memory_stays_true_where_the_stem_does_not_learn(stem_learns, tmp_path):
    detector = small(stem_learns=stem_learns)
    kept = [getattr(detector, f"bank_{level}") for level in LEVELS]
    fit(detector, squares, steps=10, seed=0, device="cpu", folder=tmp_path)
    detector.prepare(normals(), torch.Generator().manual_seed(0))
    again = [getattr(detector, f"bank_{level}") for level in LEVELS]
    apart = [float((a - b).norm() / a.norm()) for a, b in zip(kept, again, strict=True)]
    assert all((share > 1e-3) == stem_learns for share in apart), apart


def test_narrowing_is_of_fusion_and_decoder_alone():
    plain, narrow = small(width=8), small(width=8, narrowing=4)
    shapes = [{k: v.shape for k, v in d.extractor.state_dict().items()} for d in (plain, narrow)]
    assert shapes[0] == shapes[1]
    assert [m.out_channels for m in narrow.fusion.narrow] == [4, 8, 16]  # twice w, 2w, 4w
    assert narrow.decoder.up3[1].out_channels == 4
    assert not any("narrow" in name for name in plain.state_dict())
    with torch.no_grad():
        assert narrow.eval()(squares(0).image).shape == (8, 64, 64)


def test_the_score_is_the_mean_of_the_hundred_largest():
    maps = torch.rand(2, 20, 30, generator=torch.Generator().manual_seed(0))
    expected = [np.sort(m.ravel())[-100:].mean() for m in maps.double().numpy()]
    np.testing.assert_allclose(small().image_scores(maps), expected, rtol=1e-5)


def test_refusals():
    for wrong in ({"width": 0}, {"lr": 0.0}, {"memory": 0}, {"narrowing": 0}, {"narrowing": 5}):
        with pytest.raises(UserError, match="cannot be built"):
            build("memseg", 0, SMALL | wrong)
    with pytest.raises(UserError, match="unknown: choose imagenet, partial, none"):
        build("memseg", 0, SMALL | {"pretrained": "full"})
    with pytest.raises(UserError, match="width 4 has no pretrained weights"):
        build("memseg", 0, {"width": 4})
    with pytest.raises(UserError, match="one 32x32 image"):
        small().loss(squares(0, 32, 1))
    with pytest.raises(UserError, match="has not got them: call load_backbone"):
        build("memseg", 0).prepare(normals(), torch.Generator())
    with pytest.raises(RuntimeError, match="memory is empty"):
        build("memseg", 0, SMALL)(squares(0).image)


def test_weights_reach_the_extractor(tmp_path, monkeypatch):
    source = build("memseg@scratch", 5).extractor.state_dict()
    torch.save(source, tmp_path / "resnet18-drawn.pth")
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path))
    for name, layer4 in (("memseg", True), ("memseg@partial", False)):
        detector = build(name, 0)
        detector.load_backbone(pretrained_of(name).tensors)
        state = detector.extractor.state_dict()
        same = {k.partition(".")[0] for k in state if torch.equal(state[k], source[k])}
        different = {k.partition(".")[0] for k in state if not torch.equal(state[k], source[k])}
        assert {"conv1", "bn1", "layer1", "layer2", "layer3"} <= same
        assert different == (set() if layer4 else {"layer4"})
