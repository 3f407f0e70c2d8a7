import math

import numpy as np
import pytest
import torch
from torch.optim import SGD

from asbench.nets.schedules import fall_twice, warm_up_and_cosine


def rates(make, steps, lr):
    """Return the rate of each step, and the one after the last."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = make(optimizer)
    found = []
    for _ in range(steps + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("steps", [1, 5, 20, 33])
def test_fall_twice(steps):
    share = [step / steps for step in range(steps)]
    expected = [1e-4 * 0.2 ** ((s >= 0.8) + (s >= 0.9)) for s in share]
    np.testing.assert_allclose(rates(lambda o: fall_twice(o, steps), steps, 1e-4)[:-1], expected)


def test_warm_up_and_cosine_has_the_published_corners():
    found = rates(lambda o: warm_up_and_cosine(o, 5000, 1 / 30, 0.1), 5000, 3e-3)
    assert found[0] == pytest.approx(1e-4)
    assert found[250] == pytest.approx((1e-4 + 3e-3) / 2)
    assert found[500] == pytest.approx(3e-3) == max(found)
    quarter = (1 + math.cos(math.pi / 4)) / 2
    assert found[500 + 4500 // 4] == pytest.approx(1e-4 + (3e-3 - 1e-4) * quarter)
    assert found[2750] == pytest.approx((1e-4 + 3e-3) / 2)
    assert found[5000] == pytest.approx(1e-4)
    assert found[:501] == sorted(found[:501])
    assert found[500:] == sorted(found[500:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_short_trainings_have_positive_rates(steps):
    assert min(rates(lambda o: warm_up_and_cosine(o, steps, 1 / 30, 0.1), steps, 1.0)) > 0
