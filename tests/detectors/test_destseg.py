import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import SGD

from asbench.detectors import build, pretrained_of
from asbench.detectors.destseg import LEVELS, Aspp, Destseg, binary_focal
from asbench.nets.detector import Batch
from asbench.training.loop import fit
from synth_store.types import UserError
from tests.squares import normals, squares

pytestmark = pytest.mark.slow

SMALL = {"width": 4, "pretrained": "none"}


def small(seed=0, **changes):
    detector = build("destseg", seed, SMALL | changes)
    detector.prepare(normals(), torch.Generator().manual_seed(seed))
    return detector


def millions(net):
    return round(sum(p.numel() for p in net.parameters()) / 1e6, 2)


def unit(features):
    """Unit vectors along the channels, in numpy and float64."""
    features = features.detach().double().numpy()
    return features / (np.sqrt((features**2).sum(1, keepdims=True)) + 1e-12)


def test_published_sizes_and_protocol():
    with torch.device("meta"):
        detector = Destseg()
    assert millions(detector) == 35.15
    parts = (detector.teacher, detector.student, detector.segmentation)
    assert [millions(part) for part in parts] == [2.78, 24.67, 7.71]
    protocol = Destseg.protocol
    assert (protocol.steps, protocol.batch, protocol.ratio) == (5000, 32, 1.0)
    assert protocol.augment is None


def test_student_and_teacher_speak_of_the_same_places():
    detector, images = small(), squares(0).image
    restored, seen = detector.student(images), detector.teacher(images)
    assert set(restored) == set(LEVELS)
    for level, channels, side in zip(LEVELS, (4, 8, 16), (16, 8, 4), strict=True):
        assert restored[level].shape == seen[level].shape == (8, channels, side, side)


def test_narrowing_is_of_all_that_learns_and_the_shapes_stay():
    plain, narrow = small(width=8), small(width=8, narrowing=4)
    shapes = [{k: v.shape for k, v in d.teacher.state_dict().items()} for d in (plain, narrow)]
    assert shapes[0] == shapes[1]
    images = squares(0).image
    restored, seen = narrow.student(images), narrow.teacher(images)
    assert [restored[v].shape for v in LEVELS] == [seen[v].shape for v in LEVELS]
    assert narrow.student.encoder.conv1.out_channels == 2
    assert narrow.segmentation.head[-1].in_channels == 4 * 2
    assert not any("widen" in name for name in plain.state_dict())
    with torch.no_grad():
        assert narrow.eval()(images).shape == (8, 64, 64)


def test_distillation_compares_anomalous_with_clean_and_sums_over_the_batch():
    detector, batch = small().eval(), squares(0, count=4)
    restored, wanted = detector.student(batch.image), detector.teacher(batch.clean)
    expected = 0.0
    for level in LEVELS:
        s, t = unit(restored[level]), unit(wanted[level])
        for item in range(4):
            distances = [
                1 - s[item, :, y, x] @ t[item, :, y, x]
                for y in range(s.shape[2])
                for x in range(s.shape[3])
            ]
            expected += np.mean(distances)
    assert detector.distillation(batch).item() == pytest.approx(expected, rel=1e-4)
    twice = Batch(*(torch.cat([t, t]) for t in (batch.image, batch.clean, batch.mask)))
    assert detector.distillation(twice).item() == pytest.approx(2 * expected, rel=1e-4)


def test_the_segmentation_sees_minus_the_products_at_a_quarter(monkeypatch):
    detector, images = small().eval(), squares(0, count=2).image
    fed = []
    monkeypatch.setattr(detector.segmentation.body, "forward", _recording(fed))
    with pytest.raises(StopIteration):
        detector.logits(images)
    restored, seen = detector.student(images), detector.teacher(images)
    expected = [torch.from_numpy(-unit(seen[v]) * unit(restored[v])) for v in LEVELS]
    expected = [F.interpolate(e, (16, 16), mode="bilinear") for e in expected]
    torch.testing.assert_close(fed[0].double(), torch.cat(expected, 1), atol=1e-6, rtol=1e-4)
    assert fed[0].shape == (2, 7 * 4, 16, 16)


def _recording(into):
    def forward(x):
        into.append(x.detach().clone())
        raise StopIteration

    return forward


def test_segmentation_loss_by_hand():
    detector, batch = small().eval(), squares(3, count=4)
    p = detector.logits(batch.image).sigmoid().detach().double().numpy()
    mask = batch.mask.double().numpy()
    # 64 to 16 without smoothing: between the two middle pixels of four, then cut at a half.
    middle = (mask[..., 1::4, :] + mask[..., 2::4, :]) / 2
    target = ((middle[..., 1::4] + middle[..., 2::4]) / 2 >= 0.5).astype(float)
    assert 0 < target.mean() < 0.5
    p_t = np.where(target == 1, p, 1 - p)
    expected = np.mean((1 - p_t) ** 4 * -np.log(p_t)) + np.mean(np.abs(p - target))
    assert detector.segmentation_loss(batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 2.0, 4.0])
def test_binary_focal_is_the_formula_and_finite_at_certainty(gamma):
    logits = torch.tensor([-2.0, 0.0, 0.5, 3.0])
    target = torch.tensor([0.0, 1.0, 0.0, 1.0])
    p = 1 / (1 + np.exp(-logits.double().numpy()))
    p_t = np.where(target.numpy() == 1, p, 1 - p)
    expected = np.mean((1 - p_t) ** gamma * -np.log(p_t))
    assert binary_focal(logits, target, gamma).item() == pytest.approx(expected, rel=1e-5)
    sure = torch.tensor([200.0, -200.0], requires_grad=True)
    binary_focal(sure, torch.tensor([0.0, 0.0])).backward()
    assert torch.isfinite(sure.grad).all()


def test_aspp_is_three_dilations_and_the_mean():
    torch.manual_seed(0)
    aspp, x = Aspp(4).eval(), torch.randn(2, 4, 16, 12)
    norm = (1 + 1e-5) ** 0.5  # batch norm at its initial statistics
    branches = [
        F.conv2d(x, aspp.dilated[i][0].weight, padding=rate, dilation=rate).relu() / norm
        for i, rate in enumerate((6, 12, 18))
    ]
    pooled = torch.einsum("oi,bi->bo", aspp.pooled[1].weight[:, :, 0, 0], x.mean((2, 3)))
    branches.append((pooled.relu() / norm)[:, :, None, None].expand(2, 4, 16, 12))
    expected = F.conv2d(torch.cat(branches, 1), aspp.merge[0].weight, padding=1).relu() / norm
    torch.testing.assert_close(aspp(x), expected)


def test_optimisers_are_the_published_ones():
    student, segmentation = Destseg(width=1, pretrained="none").stages(5000)
    assert (student.share, segmentation.share) == (0.2, 0.8)
    (first,), (second,) = student.optimizers, segmentation.optimizers
    assert isinstance(first, SGD)
    assert isinstance(second, SGD)
    groups = [*first.param_groups, *second.param_groups]
    assert [g["lr"] for g in groups] == [0.4, 0.1, 0.01]
    assert all(g["momentum"] == 0.9 and g["weight_decay"] == 1e-4 for g in groups)
    assert not student.schedules
    assert not segmentation.schedules


def test_each_leg_trains_its_own_network_and_the_teacher_stays(tmp_path):
    detector = small()
    before = {k: v.clone() for k, v in detector.state_dict().items()}

    def moved(since):
        now = detector.state_dict()
        changed = {k.partition(".")[0] for k in now if not torch.equal(now[k], since[k])}
        return changed, {k: v.clone() for k, v in now.items()}

    settings = {"steps": 10, "seed": 0, "device": "cpu", "folder": tmp_path}
    asked = iter([False, False, True])
    fit(detector, squares, stop=lambda: next(asked), **settings)
    changed, middle = moved(before)
    assert changed == {"student"}
    fit(detector, squares, **settings)
    changed, _ = moved(middle)  # running statistics too
    assert changed == {"segmentation"}


def test_the_map_is_the_quarter_map_stretched_and_the_score_its_top_hundred():
    detector, images = small().eval(), squares(0, count=2).image
    with torch.no_grad():
        quarter, maps = detector.logits(images).sigmoid(), detector(images)
    assert quarter.shape == (2, 1, 16, 16)
    # Stretched fourfold without aligned corners: half-way points lie between four neighbours.
    between = (quarter[:, 0, 1:, 1:] + quarter[:, 0, :-1, 1:]) / 2
    between = (between + (quarter[:, 0, 1:, :-1] + quarter[:, 0, :-1, :-1]) / 2) / 2
    around = maps[:, 3:-1, 3:-1].unfold(1, 2, 4).unfold(2, 2, 4).mean((3, 4))
    torch.testing.assert_close(around, between)
    expected = [np.sort(m.ravel())[-100:].mean() for m in maps.double().numpy()]
    np.testing.assert_allclose(detector.image_scores(maps), expected, rtol=1e-5)


def test_a_random_teacher_is_measured_on_the_normals():
    unmeasured, detector = build("destseg", 0, SMALL), small()
    assert not torch.equal(detector.teacher.bn1.running_mean, unmeasured.teacher.bn1.running_mean)
    detector.eval()
    with torch.no_grad():
        seen = detector.teacher.bn1(
            detector.teacher.conv1(
                (normals().float() / 255 - detector.teacher.mean) / detector.teacher.std
            )
        )
    assert seen.mean((0, 2, 3)).abs().max() < 0.1
    assert all(not p.requires_grad for p in detector.teacher.parameters())


def test_the_student_starts_with_silent_residuals():
    student = small().student
    assert all((block.bn2.weight == 0).all() for block in student.encoder.layer3)
    assert all((block.bn2.weight == 1).all() for block in student.up3)
    assert isinstance(student.up3[0].downsample, nn.Sequential)


def test_refusals():
    for wrong in (
        {"width": 0},
        {"student_lr": 0.0},
        {"head_lr": -1.0},
        {"narrowing": 0},
        {"narrowing": 5},
    ):
        with pytest.raises(UserError, match="cannot be built"):
            build("destseg", 0, SMALL | wrong)
    with pytest.raises(UserError, match="unknown: choose imagenet, none"):
        build("destseg", 0, SMALL | {"pretrained": "partial"})
    with pytest.raises(UserError, match="width 4 has no pretrained weights"):
        build("destseg", 0, {"width": 4})
    with pytest.raises(UserError, match="batches of 1"):
        small().distillation(squares(0, count=1))
    with pytest.raises(UserError, match="has not got them: call load_backbone"):
        build("destseg", 0).prepare(normals(), torch.Generator())


def test_weights_reach_the_teacher(tmp_path, monkeypatch):
    source = build("destseg@scratch", 5).teacher
    torch.save(source.state_dict(), tmp_path / "resnet18-drawn.pth")
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path))
    found = pretrained_of("destseg")
    detector = build("destseg", 0)
    detector.load_backbone(found.tensors)
    detector.prepare(normals(), torch.Generator())  # leaves what was given as it is
    state = detector.teacher.state_dict()
    assert all(torch.equal(state[k], v) for k, v in source.state_dict().items())
    assert found.missing == ("layer4",)
