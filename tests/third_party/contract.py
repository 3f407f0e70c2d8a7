"""What the package's author runs: the contract, with one import. Not collected by our own suite."""

import pytest
from dash_anomaly import Dash

from asbench.testing import SynthesizerContract


class TestDash(SynthesizerContract):
    @pytest.fixture(params=[0.1, 0.3])
    def synthesizer(self, request):
        return Dash(length=request.param)
