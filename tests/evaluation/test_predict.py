import numpy as np
import pytest
import torch

from asbench.detectors import build
from asbench.evaluation.predict import predict
from synth_store.types import UserError

SMALL = {"width": 4, "seg_width": 4}


@pytest.fixture(scope="module")
def detector():
    net = build("draem", 0, SMALL)
    net.train()
    with torch.no_grad():  # move the running statistics away from their start
        net(torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    return net


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), dtype=np.uint8)


def test_maps_and_scores_of_every_image(detector, images):
    maps, scores = predict(detector, images, "cpu")
    assert maps.shape == (7, 64, 64)
    assert scores.shape == (7,)
    assert maps.dtype == scores.dtype == np.float32
    detector.eval()
    with torch.no_grad():
        expected = detector(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(maps, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(scores, detector.image_scores(expected).numpy(), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_the_batch_size_does_not_matter(detector, images, batch):
    maps, scores = predict(detector, images, "cpu", batch=batch)
    whole, whole_scores = predict(detector, images, "cpu")
    np.testing.assert_allclose(maps, whole, atol=1e-5)
    np.testing.assert_allclose(scores, whole_scores, atol=1e-5)


def test_an_iterable_is_read_as_it_goes(detector, images):
    maps, _ = predict(detector, (image for image in images), "cpu", batch=3)
    assert np.array_equal(maps, predict(detector, images, "cpu", batch=3)[0])


def test_weights_statistics_and_modes_stay(detector, images):
    detector.train()
    detector.segmentation.eval()
    before = {k: v.clone() for k, v in detector.state_dict().items()}
    modes = [m.training for m in detector.modules()]
    predict(detector, images[:2], "cpu")
    assert [m.training for m in detector.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in detector.state_dict().items())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ([], "no image"),
        ([np.zeros((64, 48, 3), np.uint8)], "multiples of 32"),
        ([np.zeros((64, 64, 3), np.float32)], "uint8"),
        ([np.zeros((64, 64), np.uint8)], "uint8"),
        ([np.zeros((64, 64, 3), np.uint8), np.zeros((32, 64, 3), np.uint8)], "differ in size"),
    ],
)
def test_images_that_do_not_fit(detector, wrong, says):
    with pytest.raises(UserError, match=says):
        predict(detector, wrong, "cpu")
