"""AnomalyDiffusion from its commands, at toy size: defects in, samples with their own clean out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from asbench.generation.fitted import FIT_FILE, FitIdentity, FitRecord
from synth_store import StoreKey, SynthStore
from tests.cli.conftest import QUICK, Run
from tests.toydiffusion import ANOMALYDIFFUSION

pytestmark = pytest.mark.slow

TOY = " ".join(
    f"--set {name}={str(value).replace(' ', '')}" for name, value in ANOMALYDIFFUSION.items()
)
OWN = f"--method anomalydiffusion {TOY} --variant toy"


def test_from_its_fit_to_a_mixed_training(run: Run, place: Path) -> None:
    """One model of both categories; its samples lie beside a hand-crafted method's."""
    made = run(f"fit --dataset photos {OWN}")
    assert made.status == 0, made.err
    record = json.loads(Path("fits/photos/anomalydiffusion@toy/0/all/fit.json").read_text())
    seen = record["identity"]["defects"]
    assert {category: len(ids) > 0 for category, ids in seen.items()} == {"bolt": True, "nut": True}

    rendered = run(f"generate --dataset photos {OWN} -n 6 --workers 1")
    assert rendered.status == 0, rendered.err
    assert run("store verify --recompute 3").status == 0
    store = SynthStore.open("asbench-store")
    for category in seen:
        samples = store.read(StoreKey("photos", "anomalydiffusion@toy", 0), category)
        assert samples.attributes["record"]["saw_defects"] == seen[category]
        for index in range(6):
            assert samples.source_of(index) == -1
            sample = samples[index]
            assert sample.clean is not None
            assert not np.array_equal(sample.image, sample.clean)

    mixed = "train --dataset photos --mix draem:0.5,anomalydiffusion:0.5 --category bolt"
    trained = run(f"{mixed} {QUICK}")
    assert trained.status == 0, trained.err
    assert "anomalydiffusion@toy" in trained.out
    (run_file,) = (json.loads(p.read_text()) for p in Path("runs").glob("*/run.json"))
    assert run_file["decides"]["mix"] == {"draem": 0.5, "anomalydiffusion@toy": 0.5}


def test_every_refusal_leads_on_to_the_next_command(run: Run, place: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """From a plain name in a mixture, without weights or a fit, to the smallest variant."""
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    refused = run("train --dataset photos --category bolt --mix draem:0.5,anomalydiffusion:0.5")
    (generate,) = re.findall(r"asbench (generate .* anomalydiffusion .*)", refused.err)
    (fit,) = re.findall(r"`asbench (fit [^`]*)`", run(generate).err)
    (smallest,) = re.findall(r"`asbench (fit [^`]*)`", run(fit).err)
    assert smallest == (
        "fit --method anomalydiffusion@tiny-scratch --dataset photos --category bolt"
    )

    folder = Path("fits/photos/anomalydiffusion@tiny-scratch/0/bolt")
    identity = FitIdentity(
        dataset="photos",
        method="anomalydiffusion@tiny-scratch",
        seed=0,
        geometry="256x256 (stretch)",
        parameters={},
        pixel_version=1,
        normals={"bolt": "0"},
        kinds={"bolt": ["crack"]},
        defects={"bolt": []},
        defects_digest="0",
        weights={},
    )
    FIT_FILE.write(FitRecord(identity, "0", {}, 1.0, "cpu", 1, {}, "2026-01-01"), folder)
    told = run(generate).err
    assert "anomalydiffusion@tiny-scratch is, so name that: `asbench generate" in told
    (again, _) = re.findall(r"`asbench ([^`]*)`", told)
    assert again == (
        "generate --method anomalydiffusion@tiny-scratch --dataset photos --category bolt"
    )


def test_without_its_weights_nothing_is_written(run: Run, place: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.delenv("ASBENCH_WEIGHTS", raising=False)
    before = sorted(place.rglob("*"))
    missing = run("fit --dataset photos --method anomalydiffusion")
    assert missing.status == 1
    for told in ("ldm-text2im-large-256", "--weights ldm=PATH", "@tiny-scratch"):
        assert told in missing.err
    Path("foreign").mkdir()
    refused = run("fit --dataset photos --method anomalydiffusion --weights ldm=foreign")
    assert refused.status == 1
    assert "foreign/vqvae/config.json cannot be read" in refused.err
    assert not Path("fits").exists()
    assert [p for p in before if not p.exists()] == []
