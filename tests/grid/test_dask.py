"""The same jobs on a real dask scheduler with two worker processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asbench.files.images import FileError
from asbench.grid import engines
from cli.main import main
from synth_store import StoreKey, SynthStore, UserError
from tests import clusters, jobs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with clusters.two_workers() as address:
        yield address


@pytest.fixture
def cluster(scheduler: str) -> Iterator[engines.Engine]:
    with engines.engine(scheduler=scheduler) as engine:
        yield engine


def test_every_job_comes_back_with_its_result(cluster: engines.Engine) -> None:
    assert sorted(engines.run(jobs.square, range(9), cluster)) == [(i, i * i) for i in range(9)]
    assert os.getpid() not in {pid for _, pid in engines.run(jobs.process, range(4), cluster)}
    assert list(engines.run(jobs.process, [], cluster)) == []


def test_jobs_run_on_one_thread(cluster: engines.Engine) -> None:
    for _, found in engines.run(jobs.threads, [0, 1], cluster):
        assert len(found) >= 4
        assert set(found.values()) == {1}, found


def test_a_failure_comes_through_and_ends_no_other(cluster: engines.Engine, tmp_path: Path) -> None:
    given = [(tmp_path, i) for i in range(5)]
    outcomes = dict(cluster.outcomes(jobs.fail_at_two, given))
    failed = outcomes.pop((tmp_path, 2))
    assert isinstance(failed, engines.Failure)
    assert str(failed.error) == "job 2 cannot be done: try another."
    assert list(outcomes.values()) == [0, 1, 3, 4] or sorted(outcomes.values()) == [0, 1, 3, 4]
    with pytest.raises(FileError, match=r"photo\.png is truncated") as refused:
        list(engines.run(jobs.unreadable, [tmp_path / "photo.png"], cluster))
    assert refused.value.path == tmp_path / "photo.png"


def test_a_killed_workers_job_runs_again_on_another(
    cluster: engines.Engine, tmp_path: Path
) -> None:
    ((_, survivor),) = engines.run(jobs.die_once, [tmp_path], cluster)
    assert (tmp_path / "died").exists()
    assert survivor != os.getpid()


def test_closed_it_lets_the_jobs_at_hand_end_and_hands_out_no_other(
    cluster: engines.Engine, tmp_path: Path
) -> None:
    running = engines.run(jobs.slow, [(tmp_path, i) for i in range(12)], cluster)
    next(running)
    running.close()  # type: ignore[attr-defined]
    time.sleep(0.5)
    begun = {p.name.partition("-")[2] for p in tmp_path.glob("begun-*")}
    ended = {p.name.partition("-")[2] for p in tmp_path.glob("ended-*")}
    assert begun == ended
    assert len(ended) < 12


def test_a_scheduler_that_is_killed_is_told_in_plain_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(scheduler: int, engine: engines.Engine) -> None:
        assert isinstance(engine, engines.Cluster)
        engine.client._timeout = 1  # seconds for which it tries again
        for _ in engines.run(jobs.slow, [(tmp_path, i) for i in range(12)], engine):
            with contextlib.suppress(ProcessLookupError):
                os.kill(scheduler, signal.SIGKILL)

    said = r"scheduler let go of it.*the same command continues"
    with (
        clusters.two_workers_apart() as (address, scheduler),
        engines.engine(scheduler=address) as engine,
        pytest.raises(UserError, match=said),
    ):
        run(scheduler, engine)
    assert "Traceback" not in capfd.readouterr().err


def test_what_a_scheduler_lacks_is_said(scheduler: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no worker at tcp.* has a GPU to give"):
        engines.engine(scheduler=scheduler, gpus=1).__enter__()
    with pytest.raises(UserError, match="leave out --workers"):
        engines.engine(scheduler=scheduler, workers=2).__enter__()
    with (
        engines.engine(scheduler=scheduler) as engine,
        pytest.raises(UserError, match=r"do not see .*nowhere"),
    ):
        engine.check_sees(tmp_path / "nowhere")


def test_generate_renders_the_same_on_a_cluster(scheduler: str, tmp_path: Path) -> None:
    line = "generate --method cutout --category weave -n 20 --size 32 --store"
    for words in (f"{line} here --workers 1", f"{line} there --scheduler {scheduler}"):
        with pytest.raises(SystemExit) as ended, contextlib.chdir(tmp_path):
            main(words.split())
        assert ended.value.code in (0, None)
    sets = [
        SynthStore.open(tmp_path / place).read(StoreKey("demo", "cutout", 0), "weave")
        for place in ("here", "there")
    ]
    assert sets[0].digest == sets[1].digest


SBATCH = """#!/bin/bash
cp "$1" {folder}/script
nohup bash {folder}/script > {folder}/log 2>&1 &
echo "Submitted batch job $!"
"""


def test_slurm_is_asked_for_workers_of_one_thread_and_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for sbatch runs the job's script here."""
    for name, text in (
        ("sbatch", SBATCH.format(folder=tmp_path)),
        ("scancel", "#!/bin/bash\nkill $1"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=os.pathsep)
    with engines.engine(slurm={"queue": "long"}, workers=1, gpus=1) as engine:
        assert dict(engine.outcomes(jobs.square, [3], gpu=True)) == {3: 9}
    script = (tmp_path / "script").read_text()
    assert "#SBATCH -p long" in script
    assert "#SBATCH --gres=gpu:1" in script
    assert "--nthreads 1" in script
    assert "--resources GPU=1" in script


def test_slurm_is_asked_for_only_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="sbatch"), engines.engine(slurm={"queue": "long"}):
        pass
    monkeypatch.setitem(sys.modules, "dask_jobqueue.slurm", None)
    with (
        pytest.raises(UserError, match="asbench\\[hpc\\]"),
        engines.engine(slurm={"queue": "long"}),
    ):
        pass
