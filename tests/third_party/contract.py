"""What the package's author runs: the contracts, with one import. Our own suite skips it."""

import pytest
from dash_anomaly import Dash
from dash_dataset import Plates
from dash_detector import Distance

import asbench
from asbench.testing import DatasetContract, DetectorContract, SynthesizerContract


class TestDash(SynthesizerContract):
    @pytest.fixture(params=[0.1, 0.3])
    def synthesizer(self, request):
        return Dash(length=request.param)


class TestDistance(DetectorContract):
    @pytest.fixture
    def detector(self):
        return Distance()


class TestPlates(DatasetContract):
    @pytest.fixture
    def dataset(self):
        return Plates()


def test_its_plugins_have_names(tmp_path):
    run = asbench.train(
        dataset="plates",
        detector="distance@sharp",
        ratio=0.0,
        store=tmp_path / "store",
        runs=tmp_path / "runs",
    )
    assert run.run.decides["parameters"] == {"power": 2.0}
