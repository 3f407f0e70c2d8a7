import numpy as np
import pytest
import torch
from scipy import ndimage

from asbench.nets.augment import random_rotation, rotate
from asbench.nets.detector import Batch


def squares(count=6, size=64):
    """Image and clean are grey copies of the mask, so that what happens to one shows on all."""
    mask = torch.zeros(count, 1, size, size)
    mask[..., 10:20, 30:50] = 1
    return Batch(mask.expand(-1, 3, -1, -1).clone(), mask.expand(-1, 3, -1, -1) * 0.5, mask)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_image_clean_and_mask_turn_alike():
    turned = random_rotation(squares(), generator(), probability=1.0)
    torch.testing.assert_close(turned.clean, turned.image * 0.5)
    assert torch.equal(turned.mask, (turned.image[:, :1] >= 0.5).float())
    assert set(turned.mask.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(turned.mask, squares().mask)


def test_a_normal_item_stays_normal():
    batch = squares()
    normal = Batch(batch.clean, batch.clean, torch.zeros_like(batch.mask))
    turned = random_rotation(normal, generator(), probability=1.0)
    assert torch.equal(turned.image, turned.clean)
    assert not turned.mask.any()


def test_items_not_drawn_come_back_bit_for_bit_and_the_input_is_left_alone():
    batch = squares(count=40)
    before = batch.image.clone()
    turned = random_rotation(batch, generator(), probability=0.3)
    same = [torch.equal(a, b) for a, b in zip(turned.image, batch.image, strict=True)]
    assert 20 <= sum(same) <= 36  # binomial(40, 0.7): mean 28, within 3 deviations
    assert torch.equal(batch.image, before)
    assert random_rotation(batch, generator(), probability=0.0) is batch


def test_draws_come_from_the_generator_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = random_rotation(squares(), generator(3))
    torch.manual_seed(2)
    again = random_rotation(squares(), generator(3))
    other = random_rotation(squares(), generator(4))
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_item_does_not_depend_on_its_neighbours():
    one = random_rotation(squares(count=1), generator(), probability=1.0)
    angles = (torch.rand(2, generator=generator())[1:] * 2 - 1) * 90
    torch.testing.assert_close(one.image, rotate(squares(count=1).image, angles))


@pytest.mark.parametrize("turns", [1, -1])
def test_a_right_angle_is_a_quarter_turn(turns):
    image = torch.rand(1, 3, 32, 32, generator=generator())
    turned = rotate(image, torch.tensor([90.0 * turns]))
    torch.testing.assert_close(turned, torch.rot90(image, turns, (2, 3)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(48, 48), (40, 64)])
@pytest.mark.parametrize("angle", [30.0, -71.5])
def test_rotation_agrees_with_scipy(size, angle):
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).random(size), 2).astype(np.float32)
    ours = rotate(torch.from_numpy(smooth)[None, None], torch.tensor([angle]))[0, 0].numpy()
    theirs = ndimage.rotate(smooth, angle, reshape=False, order=1, mode="grid-constant")
    assert np.abs(ours - theirs).max() < 1e-4
