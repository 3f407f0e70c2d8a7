"""What a method costs is measured, not looked up."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from asbench.generation import cost
from asbench.types import Canvas, PerSample
from synth_store.types import Sample


@dataclass(frozen=True)
class Counting(PerSample):
    """Reads all that a canvas offers and moves the clock on."""

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        offered = canvas.normal, canvas.foreground, canvas.another(rng).normal, canvas.texture(rng)
        assert [a.shape[:2] for a in offered] == [(256, 256)] * 4
        defect = canvas.defect_image(rng)
        assert canvas.defect(rng).shape == defect.mask.shape == defect.image.shape[:2]
        clock[0] += 0.02
        return None


clock = [0.0]


def test_the_mean_of_what_a_sample_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost.time, "process_time", lambda: clock[0])
    found = cost.measure(Counting(), seconds=0.99)
    assert found.samples == 50
    assert found.milliseconds == pytest.approx(20)
    assert found.cpu
    assert re.match(
        r"about 20 ms a sample of 256x256 here, on one core of .+50 samples", str(found)
    )
