"""Learning rates over the steps of a training."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR


def fall_twice(optimizer: Optimizer, steps: int, factor: float = 0.2) -> LRScheduler:
    """Times `factor` after 80 % and again after 90 % of the steps.

    0.2: DRAEM, AnomalyDiffusion; 0.4: SuperSimpleNet.
    """
    milestones = [-(-steps * tenths // 10) for tenths in (8, 9)]
    return MultiStepLR(optimizer, milestones, gamma=factor)


def warm_up_and_cosine(
    optimizer: Optimizer, steps: int, lowest: float, warm_up: float
) -> LRScheduler:
    """Linear from `lowest` to 1 over the share `warm_up` of the steps, cosine to `lowest`: MemSeg.

    lowest: a factor of the optimiser's rate, in [0, 1]; reached again at step `steps`.
    """
    warm = round(steps * warm_up)

    def factor(step: int) -> float:
        if step < warm:
            height = step / warm
        else:
            height = (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
        return lowest + (1 - lowest) * height

    return LambdaLR(optimizer, factor)
