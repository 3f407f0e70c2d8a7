"""`asbench fit` and what follows it, at toy size: fit, stop, go on, generate, verify, train."""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from asbench.synthesizers.realnet.networks import RealnetModel
from cli.main import INTERRUPTED
from tests.cli.conftest import QUICK, Run
from tests.toynets import REALNET

pytestmark = pytest.mark.slow

TOY = " ".join(f"--set {name}={str(value).replace(' ', '')}" for name, value in REALNET.items())
OWN = f"--method realnet {TOY} --variant toy"
FIT = f"fit --dataset photos {OWN}"


def test_a_fit_from_its_command_to_a_trained_detector(run: Run, place: Path) -> None:
    made = run(FIT)
    assert made.status == 0, made.err
    assert "samples.png" in made.out
    (after,) = made.next
    assert "--method realnet --dataset photos --variant toy" in after

    rendered = run(f"{after.removeprefix('asbench ')} -n 6 --workers 1")
    assert rendered.status == 0, rendered.err
    assert run("store verify --recompute 3").status == 0
    info = run("store info photos/realnet@toy/0/nut")
    assert info.status == 0, info.err

    mixed = "train --dataset photos --mix realnet:0.5,draem:0.5 --category bolt"
    trained = run(f"{mixed} {QUICK}")
    assert trained.status == 0, trained.err
    assert "realnet@toy" in trained.out
    (record,) = (json.loads(p.read_text()) for p in Path("runs").glob("*/run.json"))
    assert record["decides"]["mix"] == {"draem": 0.5, "realnet@toy": 0.5}


def test_sigterm_saves_a_fit_that_goes_on_to_the_same_weights(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"{FIT} --category bolt"
    passes, whole = itertools.count(), RealnetModel._backward

    def interrupted(*arguments: Any) -> Any:
        """Be asked to end in the middle of the second step."""
        if next(passes) == 3:
            signal.raise_signal(signal.SIGTERM)
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(RealnetModel, "_backward", interrupted)
        stopped = run(line)
    assert stopped.status == INTERRUPTED
    assert "stopping after this step" in stopped.err
    assert "stopped at step 2, saved in" in stopped.err
    assert "the same command continues from there" in stopped.err
    refused = run(f"generate --dataset photos {OWN} --category bolt")
    assert refused.status == 1
    assert "realnet@toy is not fitted for photos/bolt" in refused.err

    resumed = run(line)
    assert resumed.status == 0, resumed.err
    assert "continues from step 2 of 4" in resumed.out
    assert run(f"{line} --fits other").status == 0
    file = "photos/realnet@toy/0/bolt/weights.safetensors"
    assert Path("fits", file).read_bytes() == Path("other", file).read_bytes()


def test_what_a_fit_is_refused_for(run: Run, place: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    for line, told in (
        ("fit --dataset photos --method draem", ["draem has nothing to fit", "asbench generate"]),
        (
            "fit --dataset photos --method realnet",
            ["256x256_diffusion.pt", "--weights adm256=PATH", "ASBENCH_WEIGHTS", "@tiny-scratch"],
        ),
        (
            "fit --dataset photos --method realnet --weights adm256=nowhere.pt",
            ["not at nowhere.pt"],
        ),
        (f"{FIT} --set side=17 --variant odd", ["side=17", "divisible by 2"]),
        (f"{FIT} --device cuda:7", ["'cuda:7' is not in this machine"]),
        ("generate --dataset photos --method realnet@tiny-scratch", ["`asbench fit --method"]),
        ("preview --dataset photos --method realnet@tiny-scratch", ["`asbench fit --method"]),
    ):
        refused = run(line)
        assert refused.status == 1, line
        for part in told:
            assert part in refused.err, (line, refused.err)
        assert not (place / "fits").exists()
