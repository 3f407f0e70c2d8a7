"""The detector `memory`: what it remembers, what it leaves out, and both ways to its features."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from asbench.detectors import build, memory, pretrained_of
from asbench.detectors.memory import LEARNED, MARKED
from asbench.nets.features import FeatureBatch, Features, cell_share, gathered
from asbench.nets.losses import focal_logits, margins
from asbench.nets.recalled import Recalled
from synth_store.types import UserError
from tests.squares import normals, squares

SMALL = {"backbone_name": "random", "remembered": 30, "width": 8}


def prepared(**changes):
    detector = build("memory", 0, SMALL | changes)
    detector.prepare(normals(size=64), torch.Generator().manual_seed(0))
    return detector.eval()


def look(detector, count=4):
    return detector.look(normals(size=64)[:count].float() / 255)


def drawn(count=4):
    """Features that differ from image to image as those of a random network hardly do."""
    random = torch.Generator().manual_seed(0)
    fine, coarse = ((count, 8, 8, 40), (count, 4, 4, 112))
    return Features(*(torch.randn(shape, generator=random).half() for shape in (fine, coarse)))


def remembering(features, whole=None):
    detector = build("memory", 0, SMALL | {"remembered": 10_000})
    detector.remember(features, torch.Generator().manual_seed(0), whole)
    return detector.eval()


def images(features):
    return [*gathered(features).flatten(1, 2)]


def test_a_distance_is_that_from_the_nearest_patch():
    detector, other = remembering(drawn()), drawn(6)[4:]
    rows = torch.cat(images(other)) - detector.usual[0]
    every = cdist(rows.double(), detector.bank.double())
    nearest = detector.nearest(images(other))
    np.testing.assert_allclose(nearest.distance, every.min(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(nearest.place, every.argmin(axis=1))


def test_the_head_sees_the_difference_from_the_nearest_patch_and_its_length():
    detector, other = remembering(drawn()), drawn(6)[4:]
    rows, nearest = torch.cat(images(other)), detector.nearest(images(other))
    mean, deviation = detector.usual
    seen = detector.inputs(images(other), nearest)
    patch = detector.bank[nearest.place] + mean
    torch.testing.assert_close(seen[:, :-1] * deviation, rows - patch, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen[:, -1], detector.in_units(nearest.distance))
    remembered = detector.bank[None, :5] + mean
    itself = detector.inputs([*remembered], detector.nearest([*remembered]))
    assert float(itself[:, :-1].abs().max()) < 1e-3  # whatever it looks like


def test_an_image_is_no_neighbour_of_itself_while_training():
    detector = remembering(drawn())
    given, source = images(drawn()), torch.arange(4)
    alone = detector.nearest(given).distance
    nearest = detector.nearest(given, source)
    without = nearest.distance
    own = source.repeat_interleave(len(without) // 4)
    assert (detector.origin[nearest.place] != own).all()
    assert (without >= alone).all()
    assert without.mean() > 2 * alone.mean()
    nowhere = torch.full((4,), -1)
    torch.testing.assert_close(detector.nearest(given, nowhere).distance, alone)


def test_tiles_of_one_photograph_are_no_neighbours_of_one_another():
    """They overlap: a patch of a tile stands in the next one too."""
    whole = torch.tensor([0, 0, 1, 1])
    detector = remembering(drawn(), whole)
    assert set(detector.origin.tolist()) == {0, 1}
    apart = detector.nearest(images(drawn()), whole).distance
    alone = remembering(drawn()).nearest(images(drawn()), torch.arange(4)).distance
    assert apart.mean() > alone.mean()


def test_a_memory_of_one_image_has_no_other_to_compare_it_with():
    detector = build("memory", 0, SMALL)
    detector.prepare(normals(size=64)[:1], torch.Generator().manual_seed(0))
    own = torch.zeros(1, dtype=torch.int64)
    assert detector.nearest(images(look(detector, 1)), own).distance.isfinite().all()


def test_a_batch_of_pixels_and_one_of_features_teach_the_same():
    detector, batch = prepared(), squares(0)
    features = detector.look(batch.image)
    nowhere = torch.full((len(batch.image),), -1)
    given = FeatureBatch(features, cell_share(batch.mask), nowhere)
    losses = []
    for one in (batch, given):
        torch.manual_seed(3)
        losses.append(float(detector.loss(one).detach()))
    assert losses[0] == losses[1]


def test_cells_marked_in_part_teach_nothing():
    """A batch whose marked cells are all below the mark has the loss of its normal cells."""
    detector = prepared()
    features = look(detector)
    share = torch.zeros(4, 8, 8)
    share[:2] = MARKED / 2
    torch.manual_seed(0)
    loss = detector.learn(FeatureBatch(features, share, torch.arange(4)))
    torch.manual_seed(0)
    kept = (torch.rand(4, 64) < LEARNED / 256) & (share.flatten(1) == 0)
    chosen = [image[here] for image, here in zip(images(features), kept, strict=True)]
    inputs = detector.inputs(chosen, detector.nearest(chosen, torch.arange(4)))
    logits = detector.head(inputs)[:, 0]
    nothing = torch.zeros(len(logits), dtype=torch.bool)
    expected = margins(logits, nothing) + 10 * focal_logits(logits, nothing, 4.0)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


def test_a_batch_without_cells_to_learn_from_teaches_nothing():
    detector = prepared()
    everywhere = torch.full((4, 8, 8), MARKED / 2)
    loss = detector.learn(FeatureBatch(look(detector), everywhere, torch.arange(4)))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all((weight.grad == 0).all() for weight in detector.head.parameters())


def test_the_map_is_the_memory_and_half_of_the_head():
    detector, features = remembering(drawn()), drawn(6)[4:]
    detector.logit.copy_(torch.tensor([2.0, 4.0]))
    detector.taught.fill_(1)
    detector.near.copy_(torch.tensor([0.0, 1e-4]))  # so that distances weigh
    judged = detector.judge(features)
    nearest = detector.nearest(images(features))
    near = detector.in_units(nearest.distance)
    head = (detector.head(detector.inputs(images(features), nearest))[:, 0] - 2) / 4
    torch.testing.assert_close(judged, (head / 2 + near).view(2, 8, 8))
    assert head.std() > 0.01
    assert near.std() > 0.01
    assert gathered(features).shape == (2, 8, 8, sum(detector.channels))


def test_a_head_that_has_seen_no_anomaly_says_nothing():
    detector, features = remembering(drawn()), drawn(6)[4:]
    near = detector.in_units(detector.nearest(images(features)).distance).view(2, 8, 8)
    share = torch.zeros(4, 8, 8)
    detector.learn(FeatureBatch(drawn(), share, torch.arange(4)))
    torch.testing.assert_close(detector.judge(features), near)
    share[0, :2] = 1
    detector.learn(FeatureBatch(drawn(), share, torch.arange(4)))
    assert not torch.allclose(detector.judge(features), near)
    detector.learn(FeatureBatch(drawn(), torch.zeros(4, 8, 8), torch.arange(4)))
    assert not torch.allclose(detector.judge(features), near)  # it does not forget that it has


def test_features_do_not_depend_on_what_is_looked_at_beside_them():
    detector = prepared()
    together = look(detector, 6)
    for place in (0, 3, 5):
        alone = detector.look(normals(size=64)[place : place + 1].float() / 255)
        assert torch.equal(alone.fine[0], together.fine[place])
        assert torch.equal(alone.coarse[0], together.coarse[place])
    assert together.fine.dtype == torch.float16
    assert len(Features.together([together, together])) == 12


def test_what_is_recalled_is_what_would_be_computed(monkeypatch):
    features, other = drawn(), drawn(6)[4:]
    known = {name: buffer.clone() for name, buffer in remembering(features).named_buffers()}
    judged = remembering(features).judge(other)
    again = remembering(features)
    for name, buffer in again.named_buffers():
        torch.testing.assert_close(buffer, known[name], rtol=0, atol=0)
    torch.testing.assert_close(again.judge(other), judged, rtol=0, atol=0)
    again.bank.zero_()  # as weights loaded into it would
    assert not torch.equal(again.judge(other), judged)
    torch.testing.assert_close(remembering(features).bank, known["bank"], rtol=0, atol=0)
    monkeypatch.setattr(memory, "MEMORIES", Recalled(0))
    monkeypatch.setattr(memory, "NEAR", Recalled(0))
    afresh = remembering(features)
    torch.testing.assert_close(afresh.bank, known["bank"], rtol=0, atol=0)
    torch.testing.assert_close(afresh.judge(other), judged, rtol=0, atol=0)


def test_another_draw_or_another_number_is_another_memory():
    features = drawn()
    one, other = (build("memory", 0, SMALL) for _ in range(2))
    one.remember(features, torch.Generator().manual_seed(0))
    other.remember(features, torch.Generator().manual_seed(1))
    assert not torch.equal(one.bank, other.bank)
    few = build("memory", 0, SMALL | {"remembered": 20})
    few.remember(features, torch.Generator().manual_seed(0))
    assert len(few.bank) == 20


def test_refusals():
    for wrong in ({"remembered": 0}, {"width": 0}, {"lr": 0.0}):
        with pytest.raises(UserError, match="cannot be built"):
            build("memory", 0, SMALL | wrong)
    with pytest.raises(UserError, match="0 for the memory alone"):
        build("memory", 0, SMALL | {"head_weight": -1.0})
    with pytest.raises(UserError, match="choose from lite0, resnet18"):
        build("memory", 0, {"backbone_name": "vgg"})
    with pytest.raises(UserError, match="must be positive"):
        build("memory", 0, SMALL | {"sigma": 0.0})
    with pytest.raises(RuntimeError, match="memory is empty"):
        build("memory", 0, SMALL)(squares(0).image)
    with pytest.raises(UserError, match="or build memory@random"):
        build("memory", 0).prepare(normals(size=64), torch.Generator())


def test_missing_weights_are_refused_with_the_backbone_that_is_at_hand(monkeypatch):
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nowhere")
    with pytest.raises(UserError, match="train with --set backbone_name=lite0 instead"):
        pretrained_of("memory@resnet18")


def test_losses_are_their_formulas():
    logits = torch.tensor([-2.0, -0.25, 0.25, 2.0])
    anomalous = torch.tensor([False, False, True, True])
    assert float(margins(logits, anomalous)) == pytest.approx(0.125 + 0.125)
    probability = torch.sigmoid(torch.where(anomalous, logits, -logits)).double()
    expected = (-((1 - probability) ** 4) * probability.log()).mean()
    assert float(focal_logits(logits, anomalous, 4.0)) == pytest.approx(float(expected), rel=1e-5)
    assert float(margins(logits, torch.zeros(4, dtype=torch.bool))) == pytest.approx(
        float((logits + 0.5).clamp_min(0).mean())
    )
