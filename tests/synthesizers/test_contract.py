"""The contract, over every hand-crafted method and every variant that ships."""

from __future__ import annotations

import pytest

from asbench.synthesizers import resolve
from asbench.testing import SynthesizerContract
from asbench.testing.synthesizers import hand_crafted
from asbench.types import Synthesizer

pytestmark = pytest.mark.slow


class TestShipped(SynthesizerContract):
    @pytest.fixture(params=hand_crafted())
    def synthesizer(self, request: pytest.FixtureRequest) -> Synthesizer:
        return resolve(request.param, dataset="testing", category="texture")
