"""Kills of every command that writes: the same command goes on, to equal bytes or metrics.

Commands run in processes forked from this one, which has imported everything: a kill then costs
what the command does, and not two seconds of imports.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import asbench.data.fetch
import asbench.evaluation.evaluate
import asbench.evaluation.export_model
import asbench.evaluation.predict_files
import asbench.fitting.loop
import asbench.generation.export_set
import asbench.generation.fit
import asbench.generation.generate
import asbench.generation.verify
import asbench.quality.measure
import asbench.report.document
import asbench.study.run
import asbench.training.train
from asbench import results
from asbench.datasets import btad
from asbench.files.sums import sha256_of
from cli.main import main
from synth_store.metadata import read_attributes
from synth_store.types import StoreError
from tests import trees
from tests.cli.conftest import photograph
from tests.faults.tally import Tally
from tests.toynets import REALNET

LIMIT = 120.0
SETS = {f"--set {name}={str(value).replace(' ', '')}" for name, value in REALNET.items()}
GENERATE = "generate --dataset photos --category bolt --workers 1 --size 32"
TRAIN = (
    "train --dataset photos --category bolt --mix cutpaste --detector unet@tiny --set width=2 "
    "--steps 60 --batch 4 --device cpu"
)
FETCH = "data fetch btad --accept-licence"
STUDY = """
size: 32
samples: 20
folders: {photos: PHOTOS}
datasets: {photos: [bolt]}
detectors:
  unet@tiny: {steps: 30, batch: 2, set: {width: 2}}
mixes: [cutout, cutpaste]
quality: {metrics: [ssim], samples: 12}
"""


@dataclass(frozen=True)
class Command:
    """A command line that writes, where it writes to, and how often it is tried."""

    line: str
    left: Callable[[Path], object]
    weight: int
    ended: str = "\0"
    """What the same command says where it had ended before the kill."""


def _stored(folder: Path) -> object:
    """Every byte of the store but the time at which sets were begun."""
    found = {}
    for path in sorted(p for p in (folder / "asbench-store").rglob("*") if p.is_file()):
        data: object = path.read_bytes()
        if path.name == "zarr.json":
            try:
                attributes = read_attributes(path.parent)
                data = json.dumps({k: v for k, v in attributes.items() if k != "created"})
            except StoreError:
                data = path.read_bytes()
        found[str(path.relative_to(folder))] = data
    return found


def _trained(folder: Path) -> object:
    """Weights, tables and metrics of all runs."""
    return {
        one.id: (
            repr(one.metrics),
            repr(one.losses),
            (folder / "runs" / one.id / "model.safetensors").read_bytes(),
            (folder / "runs" / one.id / "test.csv").read_bytes(),
        )
        for one in results.runs(folder / "runs")
    }


def _written(*names: str) -> Callable[[Path], object]:
    """Every byte below these places, and that no part of a file is left beside them."""

    def left(folder: Path) -> object:
        found = {}
        for name in names:
            there = [folder / name, *(folder / name).rglob("*")]
            for path in sorted(p for p in there if p.is_file()):
                found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    return left


def _exported(folder: Path) -> object:
    """What the program says of an image: its file holds the time at which it was packed."""
    path = folder / "model.pt2"
    beside = path.with_name("model.pt2.sha256").read_text()
    program = asbench.evaluation.export_model.read_pt2(path)
    maps, scores = program(np.full((1, 32, 32, 3), 99, np.uint8))
    return beside == f"{sha256_of(path)}  model.pt2\n", maps.tobytes(), scores.tobytes()


def _fitted(folder: Path) -> object:
    return [p.read_bytes() for p in sorted((folder / "fits").rglob("weights.safetensors"))]


def _studied(folder: Path) -> object:
    runs = folder / "mine" / "runs"
    return {one.id: repr(one.metrics) for one in results.runs(runs)} if runs.is_dir() else {}


def _commands(folder: Path) -> dict[str, Command]:
    run = next(folder.glob("runs/*")).name
    return {
        "generate": Command(f"{GENERATE} --method cutpaste --seed 7 -n 700", _stored, 5),
        "train": Command(f"{TRAIN} --seed 3", _trained, 5),
        "fit": Command(
            f"fit --dataset photos --category bolt --method realnet {' '.join(sorted(SETS))} "
            "--variant toy",
            _fitted,
            2,
        ),
        "store copy": Command("store copy asbench-store other", _written("other"), 4),
        "store rm": Command("store rm photos/cutpaste", _stored, 3, "is not in the store"),
        "store export": Command("store export photos/cutpaste/0 --out png", _written("png"), 2),
        "generate --replace": Command(
            f"{GENERATE} --method cutpaste --seed 0 -n 300 --replace", _stored, 3
        ),
        "predict": Command(
            f"predict runs/{run} photos/bolt/test --out said", _written("said/predictions.csv"), 2
        ),
        "report": Command("report --csv runs.csv --markdown runs.md --out r.html",
                          _written("runs.csv", "runs.md"), 1),
        "export": Command(f"export runs/{run} --output model.pt2", _exported, 1),
        "fetch": Command(FETCH, _written("data"), 4, "is there already"),
        "fetch --archive": Command(
            f"{FETCH} --archive btad.zip", _written("data"), 2, "is there already"
        ),
        "study": Command("study run mine.yaml --workers 1", _studied, 1),
    }  # fmt: skip


def run(tally: Tally, cases: int, seed: int, work: Path) -> None:
    """Kill so many commands, each at a random moment, and run each again to its end."""
    with _served(work / "btad.zip"):
        _kill(tally, cases, seed, work)


@contextmanager
def _served(archive: Path) -> Iterator[None]:
    """Let BTAD's link be one of a server on this machine, and `data` the folder of data sets."""
    made = archive.parent / "made"
    trees.btad(made / "BTech_Dataset_transformed")
    files = {p.relative_to(made).as_posix(): p.read_bytes() for p in made.rglob("*") if p.is_file()}
    content = trees.zipped(archive, files | {"notes.bin": random.Random(0).randbytes(4_000_000)})
    line = [sys.executable, "-m", "tests.faults.serve", str(archive)]
    server = subprocess.Popen(
        line, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    source, data = btad.SOURCE, os.environ.get("ASBENCH_DATA")
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        btad.SOURCE = replace(source, url=url, checksum=f"sha256:{sha256_of(content)}")  # type: ignore[misc]
        os.environ |= {"ASBENCH_DATA": "data", "no_proxy": "127.0.0.1"}
        yield
    finally:
        btad.SOURCE = source  # type: ignore[misc]
        os.environ.pop("ASBENCH_DATA")
        if data is not None:
            os.environ["ASBENCH_DATA"] = data
        server.kill()
        server.wait()


def _kill(tally: Tally, cases: int, seed: int, work: Path) -> None:
    rng = random.Random(seed)
    asbench.training.train.CHECKPOINT_EVERY = 7
    base = work / "base"
    base.mkdir()
    photograph(base / "photos", ("bolt",))
    shutil.copy(work / "btad.zip", base)
    (base / "mine.yaml").write_text(STUDY.replace("PHOTOS", str(base / "photos")))
    for line in (
        f"{GENERATE} --method cutpaste -n 300",
        f"{GENERATE} --method cutpaste --seed 1 -n 300",
        f"{GENERATE} --method cutout -n 300",
        TRAIN,
    ):
        status = _wait(_start(line, base), LIMIT)
        if status != 0:
            raise RuntimeError(f"{line}: {status}: {(base / 'said.txt').read_text()[-2000:]}")
    commands = _commands(base)
    wanted, seconds = {}, {}
    for name, command in list(commands.items()):
        place = _fresh(base, work)
        began = time.monotonic()
        status = _wait(_start(command.line, place), LIMIT)
        if status != 0:
            tally.unreached.append(f"kills of {name}: {(place / 'said.txt').read_text()[-300:]!r}")
            del commands[name]
            continue
        seconds[name], wanted[name] = time.monotonic() - began, command.left(place)
    names = [name for name, command in commands.items() for _ in range(command.weight)]
    for number in range(cases):
        name = rng.choice(names)
        _case(
            tally,
            name,
            commands[name],
            wanted[name],
            seconds[name],
            rng,
            _fresh(base, work),
            number,
        )


def _case(  # type: ignore[no-untyped-def]
    tally, name, command, wanted, seconds, rng, place, number
) -> None:
    for _ in range(rng.choice((1, 1, 2))):
        process = _start(command.line, place)
        time.sleep(rng.random() * 1.1 * seconds)
        _end(process)
    status = _wait(_start(command.line, place), LIMIT)
    what = f"{number}: {(place / 'said.txt').read_text()[-300:]!r}"
    done = command.ended in what
    if status is None:
        tally.note("kill", name, "hang", what)
    elif "Traceback" in (place / "said.txt").read_text():
        tally.note("kill", name, "traceback", what)
    elif status != 0 and not done:
        tally.note("kill", name, "lost", what)
    elif parts := [p for p in place.rglob("*") if p.name.endswith((".part", ".partial"))]:
        tally.note("kill", name, "lost", f"{number}: {parts[0]} is left")
    else:
        tally.note("kill", name, "equal" if command.left(place) == wanted else "silent", what)


def _fresh(base: Path, work: Path) -> Path:
    place = work / "place"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place)
    return place


def _start(line: str, place: Path) -> int:
    """Run a command in a forked process, the leader of a group of its own; return its number."""
    process = os.fork()
    if process:
        return process
    try:
        # torch makes its pool of threads anew in a forked process, at the first call that asks for
        # it; where two threads of autograd ask at once, one finds none and ends the process.
        torch.set_num_threads(1)
        os.setsid()
        os.chdir(place)
        out = os.open("said.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
        os.dup2(out, 1)
        os.dup2(out, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        main(shlex.split(line))
    except SystemExit as ended:
        _flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)
    except BaseException:
        import traceback

        traceback.print_exc()
        _flush()
        os._exit(70)
    os._exit(0)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _end(process: int) -> None:
    """Kill a process and all of its group."""
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:  # not yet the leader of a group
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _wait(process: int, limit: float) -> int | None:
    """Return the status that a process ends with; None for one that does not, which is killed."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    _end(process)
    return None
