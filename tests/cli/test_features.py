"""Features on the command line: kept by a training, sized, verified, dropped, computed anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench import results
from tests.cli.conftest import Run

pytestmark = pytest.mark.slow

TRAIN = (
    "train --dataset photos --mix draem --detector memory@random --steps 3 --batch 4 "
    "--set remembered=20 --set width=4 --device cpu"
)


def test_from_a_training_to_damage_and_back(run: Run, place: Path) -> None:
    first = run(f"{TRAIN} --runs first")
    assert first.status == 0, first.err
    listed = run("store ls")
    assert "features" in listed.out
    said = run("store info photos/draem/0").out
    assert "  features of random-" in said
    assert "photos/normal/bolt" in said
    assert "  features of test-random-" in said
    assert run("store verify").status == 0

    (fine, *_) = sorted(Path("asbench-store").rglob("fine/c/0/0/0/0"))
    data = bytearray(fine.read_bytes())
    data[50] ^= 4
    fine.write_bytes(data)
    found = run("store verify")
    assert found.status == 1
    assert f"{fine}, chunk 0, is damaged" in found.out.replace("\n", " ").replace("  ", " ")
    (mend,) = found.next
    assert mend.startswith("asbench store rm --features --store ")
    refused = run(f"{TRAIN} --runs second")
    assert refused.status != 0
    assert "asbench store verify" in refused.err
    assert run(mend.removeprefix("asbench ")).status == 0
    assert run(f"{TRAIN} --runs second").status == 0
    metrics = [results.read(next(Path(runs).iterdir())).metrics for runs in ("first", "second")]
    assert metrics[0] == metrics[1]

    fine.write_bytes(data)
    discarded = run("store verify --discard")
    assert "its features dropped; the next training computes them anew" in discarded.out
    assert run("store verify").status == 0


def test_they_are_dropped(run: Run, place: Path) -> None:
    assert run(TRAIN).status == 0
    would = run("store rm --features --dry-run")
    assert "would drop features of photos/draem/0/bolt (" in would.out
    assert would.next == ["asbench store rm --features"]
    assert any(Path("asbench-store").rglob("features"))
    dropped = run("store rm --features")
    assert "dropped features of photos/normal/bolt (" in dropped.out
    assert not any(Path("asbench-store").rglob("features"))
    assert run("store verify").status == 0
    assert "features" not in run("store ls").out
    nothing = run("store rm")
    assert nothing.status == 2
    assert "Missing argument" in nothing.err
