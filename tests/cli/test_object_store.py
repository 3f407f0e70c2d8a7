"""What reads a store reads it from an object store; what must write says so before it begins."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asbench.training import sampler
from synth_store import fetching, remote
from tests.cli.conftest import QUICK, Run, tree
from tests.synth_store.object_server import ObjectServer, serving

pytestmark = pytest.mark.slow

URL = "s3://shelf/store"
TRAIN = f"train --dataset ./photos --category bolt --mix cutpaste --ratio 0.5 {QUICK}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    pytest.importorskip("obstore", reason="needs the extra: pip install 'asbench[cloud]'")
    with serving() as server:
        server.name_in(monkeypatch)
        yield server


@pytest.fixture
def bucket(server: ObjectServer, place: Path, run: Run) -> ObjectServer:
    """The store of photographs, copied there by the command."""
    copied = run(f"store copy asbench-store {URL}")
    assert copied.status == 0
    assert copied.next == [f"asbench store ls --store {URL}"]
    server.requests.clear()
    return server


def test_a_copy_says_what_it_wrote_and_what_stood(bucket: ObjectServer, run: Run) -> None:
    assert "photos/cutpaste/0/bolt: " in (again := run(f"store copy asbench-store {URL}")).out
    assert "0.0 kB written" in again.out
    assert "kB written" not in again.out.replace("0.0 kB written", "")
    assert run(f"store copy {URL} back photos/cutpaste").status == 0
    here = {n: b for n, b in tree(Path("asbench-store")).items() if "/cutpaste/" in n}
    assert {n: b for n, b in tree(Path("back")).items() if "/cutpaste/" in n} == here


def test_a_training_is_that_of_the_folder(bucket: ObjectServer, run: Run) -> None:
    assert run(f"{TRAIN} --runs here").status == 0
    assert run(f"{TRAIN} --store {URL} --runs there").status == 0
    (here,), (there,) = (list(Path(runs).glob("*/model.safetensors")) for runs in ("here", "there"))
    assert there.parent.name == here.parent.name  # the run's id: everything that decides it
    assert there.read_bytes() == here.read_bytes()
    shards = [key for key in bucket.fetched("c") if "/image/" in key or "/mask/" in key]
    assert len(shards) == len(set(shards))
    assert {verb for verb, _ in bucket.requests} <= {"GET", "HEAD", "LIST"}


def test_all_that_reads_reads_there(bucket: ObjectServer, run: Run) -> None:
    at = f"--store {URL}"
    for line in (
        f"store ls {at}",
        f"store info photos/cutpaste {at}",
        f"store verify {at}",
        f"store export photos/cutpaste/0 {at} --out png",
        f"quality --dataset ./photos --category bolt --metric ssim,psnr {at}",
        f"{TRAIN} {at}",
        f"{TRAIN} {at}".replace("cutpaste", "draem"),
        f"cross --dataset photos {at} --device cpu",
        f"report {at} --out report.html",
        f"generate --dataset ./photos --method cutpaste --size 32 -n 2 {at}",  # stands there whole
    ):
        found = run(line)
        assert found.status == 0, (line, found.err)
    assert "photos/cutpaste/0/bolt" in Path("report.html").read_text(encoding="utf-8")
    assert {verb for verb, _ in bucket.requests} <= {"GET", "HEAD", "LIST"}


@pytest.mark.parametrize(
    "line",
    [
        "generate --dataset ./photos --method cutpaste -n 99",
        "generate --dataset ./photos --method cutout -n 2",
        "generate --dataset ./photos --method cutpaste -n 2 --replace",
        "generate --dataset demo --method cutpaste -n 2",
        "store rm photos/cutpaste",
        "store verify --discard",
        "train --dataset demo --category weave --ratio 0 --detector draem@tiny --device cpu",
    ],
)
def test_what_must_write_is_refused(bucket: ObjectServer, run: Run, line: str) -> None:
    before = dict(bucket.objects)
    refused = run(f"{line} --store {URL}")
    assert refused.status != 0
    assert "read and not written" in refused.err
    assert f"asbench store copy asbench-store {URL}" in " ".join(refused.err.split())
    assert bucket.objects == before


@pytest.mark.parametrize("line", [f"store ls --store {URL}", f"store copy asbench-store {URL}"])
def test_without_its_package_it_names_the_extra(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setattr(remote, "_connected", remote._connected.__wrapped__)
    refused = run(line)
    assert refused.status != 0
    assert "pip install 'asbench[cloud]'" in refused.err
    assert "Traceback" not in refused.err


def test_more_than_is_held_is_not_streamed_from_there(
    bucket: ObjectServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "RESIDENT_SHARE", 0)
    assert run(f"{TRAIN} --store {URL}").status == 0
    monkeypatch.setattr(fetching.held, "bound", 1000)
    refused = run(f"{TRAIN} --store {URL} --seed 1")
    assert refused.status != 0
    assert f"asbench store copy {URL} asbench-store" in " ".join(refused.err.split())


def test_features_of_a_store_that_is_only_read_are_computed_and_not_kept(
    bucket: ObjectServer, run: Run
) -> None:
    memory = "--detector memory@random --steps 2 --batch 2 --set remembered=20 --device cpu"
    line = f"train --dataset ./photos --category bolt --mix cutpaste {memory}"
    trained = run(f"{line} --store {URL}")
    assert trained.status == 0, trained.err
    assert f"{URL} is only read: features it lacks are computed, and not kept" in trained.out
    again = run(f"{line} --runs beside")
    assert "is only read" not in again.out
    remote, local = (next(Path(runs).iterdir()) for runs in ("runs", "beside"))
    assert remote.name == local.name
    weights = [(folder / "model.safetensors").read_bytes() for folder in (remote, local)]
    assert weights[0] == weights[1]
