"""A package of somebody else, installed by pip without a network, has plugins like any others."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, ROOT, photograph

pytestmark = pytest.mark.slow

SOURCES = Path(__file__).parent / "third_party"
Ran = subprocess.CompletedProcess[str]


def install(sources: Path, target: Path) -> None:
    """Build and install a package into a folder of its own: nothing is fetched."""
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", target, sources],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, and the package installed beside them in `site`."""
    folder = tmp_path_factory.mktemp("third")
    shutil.copytree(SOURCES, folder / "sources")  # building writes there
    install(folder / "sources", folder / "site")
    photograph(folder / "photos")
    return folder


@pytest.fixture
def run(place: Path) -> Callable[..., Ran]:
    """Return a function that runs Python where the package is, with more folders before it."""

    def run(*arguments: str, before: tuple[Path, ...] = ()) -> Ran:
        path = os.pathsep.join(map(str, (*before, ROOT, place / "site")))
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=place,
            env=os.environ | {"PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def asbench(line: str) -> tuple[str, ...]:
    return ("-c", PROGRAM, *shlex.split(line))


def test_it_is_listed_and_shown(run: Callable[..., Ran]) -> None:
    listed = run(*asbench("methods list"))
    assert listed.returncode == 0, listed.stderr
    (row,) = (line for line in listed.stdout.splitlines() if line.strip().startswith("dash"))
    assert row.split() == ["dash", "normals", "only", "@long"]
    shown = run(*asbench("methods show dash"))
    assert shown.returncode == 0, shown.stderr
    for text in ("Dash (hand-crafted", "Length of the bar", "dash@long: length = 0.6", "cost: "):
        assert text in shown.stdout


def test_it_is_rendered_by_workers_and_read_back(run: Callable[..., Ran], place: Path) -> None:
    line = "generate --dataset photos --method dash,dash@long --n 8 --size 32 --workers 2"
    made = run(*asbench(line))
    assert made.returncode == 0, made.stderr
    # Reading needs the store alone: the package is not on this process's path.
    from synth_store import StoreKey, SynthStore

    store = SynthStore.open(place / "asbench-store")
    for method, width in (("dash", 10), ("dash@long", 19)):
        stored = store.read(StoreKey("photos", method, 0), "bolt")
        assert [int(stored[i].mask.sum()) for i in range(8)] == [2 * width] * 8


def test_the_contracts_run_on_it_and_its_plugins_have_names(
    run: Callable[..., Ran], place: Path
) -> None:
    contract = str(place / "sources" / "contract.py")
    ran = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, contract)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


@pytest.mark.parametrize("taken", ["cutout", "dash"])
def test_a_name_that_is_taken_is_refused(
    taken: str, run: Callable[..., Ran], place: Path, tmp_path: Path
) -> None:
    """Whether it ships with ASBench or came with another package; other methods go on."""
    sources = tmp_path / "sources"
    sources.mkdir()
    project = (SOURCES / "pyproject.toml").read_text()
    project = project.replace('name = "dash-anomaly"', 'name = "rival-anomaly"')
    project = project.replace("dash = ", f"{taken} = ").replace("dash_anomaly", "rival_anomaly")
    project = project.replace(', "dash_dataset", "dash_detector"', "")
    (sources / "pyproject.toml").write_text(project)
    shutil.copy(SOURCES / "dash_anomaly.py", sources / "rival_anomaly.py")
    install(sources, tmp_path / "site")
    before = (tmp_path / "site",)
    refused = run(*asbench(f"methods show {taken}"), before=before)
    assert refused.returncode == 1
    assert "rival-anomaly" in refused.stderr
    assert ("ships with ASBench" if taken == "cutout" else "dash-anomaly") in refused.stderr
    assert "Traceback" not in refused.stderr
    assert run(*asbench("methods show draem"), before=before).returncode == 0
