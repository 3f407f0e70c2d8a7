import numpy as np
import pytest
import torch
from scipy import ndimage

from asbench.nets.scores import largest_mean, top_mean


def maps(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_largest_mean_is_a_zero_padded_box_filter():
    some = maps(3, 40, 24)
    expected = [ndimage.uniform_filter(m, 21, mode="constant").max() for m in some.double().numpy()]
    np.testing.assert_allclose(largest_mean(some), expected, rtol=1e-5)


def test_top_mean_is_the_mean_of_the_end_of_the_sorted_pixels():
    some = maps(3, 16, 24)
    expected = [np.sort(m.ravel())[-100:].mean() for m in some.double().numpy()]
    np.testing.assert_allclose(top_mean(some), expected, rtol=1e-6)


def test_a_map_smaller_than_the_count_is_taken_whole():
    some = maps(2, 4, 5)
    assert top_mean(some)[1].item() == pytest.approx(some[1].mean().item())
