import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from torch.nn.functional import interpolate

from asbench.detectors import build, pretrained_of
from asbench.nets import coreset
from asbench.nets.coreset import Bank, greedy_coreset
from asbench.nets.features import Features, gathered
from asbench.nets.smoothing import enlarging, gaussian, smoothed
from asbench.nets.weights import load_weights, save_weights
from synth_store.types import UserError
from tests.squares import normals, squares

SMALL = {"backbone_name": "random", "coreset": 0.1}


def small(seed=0, **changes):
    detector = build("patchcore", seed, SMALL | changes)
    detector.prepare(normals(), torch.Generator().manual_seed(seed))
    return detector.eval()


def points(count, channels, seed=0):
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 200), st.integers(0, 99), st.data())
def test_the_coreset_is_that_of_a_loop(count, channels, seed, data):
    some = points(count, channels, seed)
    wanted = data.draw(st.integers(1, count))
    found = greedy_coreset(some, wanted, torch.Generator().manual_seed(seed)).tolist()
    again = torch.Generator().manual_seed(seed)
    seen = some.double().numpy()
    if channels > 128:
        projection = torch.randn(channels, 128, generator=again)
        seen = (some @ projection / 128**0.5).double().numpy()
    chosen = [int(torch.randint(count, (1,), generator=again))]
    while len(chosen) < wanted:
        distances = cdist(seen, seen[chosen]).min(axis=1)
        distances[chosen] = -1
        chosen.append(int(distances.argmax()))
    assert found == chosen


def test_a_projection_keeps_distances_about_as_they_are():
    some = points(60, 1000)
    generator = torch.Generator().manual_seed(0)
    chosen = greedy_coreset(some, 20, generator)
    assert len(set(chosen.tolist())) == 20
    # The coreset covers the points better than a draw does: the k-centre radius is smaller.
    two = torch.cat([points(500, 6), points(6, 6, 1) * 0.1 + 30])
    covering = greedy_coreset(two, 20, torch.Generator().manual_seed(0))
    drawn = torch.randperm(len(two), generator=torch.Generator().manual_seed(0))[:20]
    assert cdist(two, two[covering]).min(1).max() < 0.5 * cdist(two, two[drawn]).min(1).max()


@pytest.mark.parametrize("waiting", [1, 7, 50, 1024])
def test_points_that_wait_are_chosen_in_the_order_of_the_plain_rule(waiting, monkeypatch):
    """Which is: again and again the point that is farthest from all that were chosen."""
    monkeypatch.setattr(coreset, "LAZY", waiting)
    some = points(300, 12)
    some[100:110] = some[:10]  # which of two equal points comes first is left to the last bit
    first = int(torch.randint(300, (1,), generator=torch.Generator().manual_seed(5)))
    every, expected = cdist(some.double(), some.double()), [first]
    for _ in range(119):
        least = every[:, expected].min(axis=1)
        least[expected] = -1
        expected.append(int(least.argmax()))
    chosen = greedy_coreset(some, 120, torch.Generator().manual_seed(5))
    assert torch.equal(some[chosen], some[expected])
    assert len(set(greedy_coreset(some, 300, torch.Generator()).tolist())) == 300


@pytest.mark.parametrize("block", [1, 7, 2048])
def test_nearest_distances_are_those_of_all_pairs(block, monkeypatch):
    monkeypatch.setattr(coreset, "BLOCK", block)
    some, bank = points(50, 30) + 4, points(23, 30, 1) + 4
    expected = cdist(some.double(), bank.double()).min(axis=1)
    few = torch.arange(23) < 20
    seen = cdist(some.double(), bank[~few].double()).min(axis=1)
    np.testing.assert_allclose(Bank.of(bank).distances(some, few), seen, rtol=1e-4)
    distances, places = Bank.of(bank).nearest(some, few)
    np.testing.assert_allclose(distances, seen, rtol=1e-4)
    np.testing.assert_array_equal(places, 20 + cdist(some, bank[~few]).argmin(axis=1))
    np.testing.assert_allclose(Bank.of(bank).distances(some), expected, rtol=1e-4)


def test_of_patches_that_are_equally_near_the_first_is_named():
    bank = torch.tensor([[5.0, 0.0], [1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]).repeat(200, 1)
    nearest = Bank.of(bank).nearest(torch.zeros(3, 2))
    assert nearest.place.tolist() == [1, 1, 1]
    torch.testing.assert_close(nearest.distance, torch.ones(3))


def test_a_number_that_is_none_stays_none():
    nearest = Bank.of(torch.eye(4)).nearest(torch.tensor([[float("nan"), 0, 0, 0], [1, 0, 0, 0]]))
    assert nearest.distance.isnan().tolist() == [True, False]


def test_the_blur_is_a_gaussian_filter():
    maps = torch.rand(2, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    kernel = gaussian(2.5)
    assert len(kernel) == 21
    for found, one in zip(smoothed(maps, kernel), maps.double().numpy(), strict=True):
        expected = gaussian_filter(one[0], 2.5, mode="nearest", truncate=4.0)
        np.testing.assert_allclose(found[0], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(32, 32), (5, 12), (1, 3)])
@pytest.mark.parametrize("factor", [4, 8])
def test_enlarging_is_interpolation_and_blur(shape, factor):
    cells = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    kernel = gaussian(2.5)
    size = tuple(factor * side for side in shape)
    large = interpolate(cells, size, mode="bilinear", align_corners=False)
    down, across = (enlarging(side, factor, kernel) for side in shape)
    assert down.shape == (size[0], shape[0])
    found = down @ cells[:, 0] @ across.mT
    torch.testing.assert_close(found, smoothed(large, kernel)[:, 0], atol=1e-5, rtol=0)


def test_every_patch_remembered_is_found_again():
    """With the whole of the normals in memory, they are at no distance from it."""
    random = torch.Generator().manual_seed(0)
    shapes = (12, 8, 8, 40), (12, 4, 4, 112)
    features = Features(*(torch.randn(shape, generator=random).half() for shape in shapes))
    detector = build("patchcore", 0, SMALL | {"coreset": 1.0})
    detector.remember(features[:10], random)
    assert detector.bank.shape == (10 * 8 * 8, 40 + 112)
    assert detector.maps(features[:10]).max() < 0.01 * detector.maps(features[10:]).mean()


def test_patches_are_neighbourhoods_of_two_levels():
    random = torch.Generator().manual_seed(0)
    fine = torch.randn(2, 8, 8, 5, generator=random).half()
    coarse = torch.randn(2, 4, 4, 7, generator=random).half()
    found = gathered(Features(fine, coarse)).double().numpy()
    assert found.shape == (2, 8, 8, 12)
    padded = np.pad(fine[1].double().numpy(), ((1, 1), (1, 1), (0, 0)))
    np.testing.assert_allclose(found[1, 3, 0, :5], padded[3:6, 0:3].mean((0, 1)), atol=1e-6)
    means = np.pad(coarse[1].double().numpy(), ((1, 1), (1, 1), (0, 0)))
    at = lambda y, x: means[y : y + 3, x : x + 3].mean((0, 1))  # noqa: E731
    # Cell (1, 2) of the finer grid lies a quarter from (0, 1): weights 3/4 and 1/4 on each axis.
    expected = (
        0.75 * 0.75 * at(0, 1) + 0.75 * 0.25 * at(0, 0) + 0.25 * 0.75 * at(1, 1)
    ) + 0.25 * 0.25 * at(1, 0)
    np.testing.assert_allclose(found[1, 1, 2, 5:], expected, atol=1e-6)


def test_it_finds_the_squares_and_keeps_its_memory(tmp_path):
    def lite0():
        made = build("patchcore@lite0", 0, {"coreset": 0.1})
        made.load_backbone(pretrained_of("patchcore@lite0").tensors)
        return made.eval()

    detector = lite0()
    detector.prepare(normals(), torch.Generator().manual_seed(0))
    assert len(detector.bank) == 64  # a tenth
    unseen = squares(1000)
    with torch.no_grad():
        maps = detector(unseen.image)
    scores = detector.image_scores(maps)
    assert scores.tolist() == maps.amax((1, 2)).tolist()
    assert scores[::2].min() > scores[1::2].max()
    assert roc_auc_score(unseen.mask.flatten(), maps.flatten()) > 0.9

    save_weights(detector, tmp_path / "model.safetensors")
    again = lite0()
    load_weights(again, tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(again(unseen.image), maps)


def test_equal_seeds_give_equal_memories():
    first, again, other = (small(seed).bank for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_it_trains_nothing():
    detector = small()
    assert detector.stages(0) == ()
    assert detector.protocol.steps_for(100) == 0
    assert not any(p.requires_grad for p in detector.parameters())


def test_a_memory_may_be_chosen_from_some_of_the_patches():
    detector = small(candidates=70)
    assert len(detector.bank) == 64
    assert not torch.equal(detector.bank, small().bank)
    assert len(small(coreset=0.5, candidates=70).bank) == 320  # never fewer than are remembered


def test_weights_reach_the_extractor(tmp_path, monkeypatch):
    source = build("memseg@scratch", 5).extractor.state_dict()
    torch.save(source, tmp_path / "resnet18-drawn.pth")
    monkeypatch.setenv("ASBENCH_WEIGHTS", str(tmp_path))
    detector = build("patchcore", 0)
    with pytest.raises(UserError, match="has not got them: call load_backbone"):
        detector.prepare(normals(), torch.Generator())
    detector.load_backbone(pretrained_of("patchcore").tensors)
    detector.prepare(normals(size=32), torch.Generator())
    state = detector.extractor.net.state_dict()
    assert all(torch.equal(state[key], source[key]) for key in state)  # the norms' means as well


def test_refusals():
    for wrong in ({"candidates": -1}, {"coreset": 0.0}, {"coreset": 1.5}, {"sigma": 0.0}):
        with pytest.raises(UserError, match=r"cannot be built|must be positive"):
            build("patchcore", 0, SMALL | wrong)
    with pytest.raises(UserError, match="choose from lite0, resnet18"):
        build("patchcore", 0, {"backbone_name": "full"})
    with pytest.raises(RuntimeError, match="memory is empty"):
        build("patchcore", 0, SMALL)(squares(0).image)
