"""What a command imports is not searched for garbage; the collector is left as it was."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli.imports import unsearched

ENDED = """
import gc, sys
from cli.main import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code, end.code
print(gc.isenabled(), gc.get_freeze_count() > 10_000)
"""


@pytest.fixture(params=[True, False])
def running(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Whether the collector runs, in a process that has not imported torch."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    gc.unfreeze()  # what an earlier test's command froze
    before, wanted = gc.isenabled(), bool(request.param)
    (gc.enable if wanted else gc.disable)()
    yield wanted
    gc.unfreeze()
    (gc.enable if before else gc.disable)()


def test_the_collector_rests_and_is_left_as_it_was(running: bool) -> None:
    with unsearched():
        assert not gc.isenabled()
        kept = [[]]
    assert gc.isenabled() is running
    assert gc.get_freeze_count() > 0
    assert not any(kept is one for one in gc.get_objects())


def test_a_failed_import_freezes_nothing(running: bool) -> None:
    with pytest.raises(ImportError), unsearched():
        raise ImportError
    assert gc.isenabled() is running
    assert gc.get_freeze_count() == 0


def test_where_torch_is_nothing_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    running, frozen = gc.isenabled(), gc.get_freeze_count()
    with unsearched():
        assert gc.isenabled() is running
    assert gc.get_freeze_count() == frozen


def test_a_command_runs_with_the_collector_on_and_its_imports_frozen() -> None:
    program = ENDED.format(arguments=["methods", "list"])
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1:] == ["True True"], ran.stderr
