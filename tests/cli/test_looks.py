"""What commands print: help with examples that work, tables that fit, progress that keeps quiet."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from rich.console import Console

from cli import console
from cli.main import SECTIONS, asbench, main
from cli.stopping import LEFT, left_by
from tests.cli.conftest import PROGRAM, QUICK, ROOT, Run, complete, start

pytestmark = pytest.mark.slow


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every command and sub-command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        yield (*path, name)
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))


EVERY = [(), *commands(asbench)]


def command_at(path: tuple[str, ...]) -> click.Command:
    found: click.Command = asbench
    for name in path:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), name)
        assert inner is not None
        found = inner
    return found


def test_every_section_lists_commands_that_are_there() -> None:
    listed = {name for section in SECTIONS.values() for name in section}
    assert listed == {path[0] for path in EVERY if path}
    files = {path.stem for path in (ROOT / "cli").glob("*.py")}
    others = {"console", "imports", "options", "printable", "stopping", "verdicts"}
    assert listed | others | {"__init__", "main"} == files


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_ends_with_an_example_that_parses(path: tuple[str, ...], run: Run) -> None:
    shown = run(shlex.join([*path, "--help"]))
    assert shown.status == 0
    assert "..." not in re.sub(r"[A-Z\]]\.\.\.", "", shown.out)  # several of it
    assert max(map(len, shown.out.splitlines())) <= 96
    text = shown.out[shown.out.index("Example") :]
    examples = re.findall(r"^ +asbench (.+)$", text, re.MULTILINE)
    assert examples
    assert shown.out.rstrip().endswith(examples[-1])
    for example in examples:
        words, found = shlex.split(example), command_at(())
        while isinstance(found, click.Group):
            found = command_at((*([] if found is asbench else [found.name or ""]), words.pop(0)))
        found.make_context(
            found.name, words, **asbench.context_settings
        )  # raises for an option that is not there


def test_every_command_says_what_an_interruption_leaves() -> None:
    groups = {path[:-1] for path in EVERY if path}
    assert set(LEFT) == {" ".join(path) for path in EVERY if path not in groups}
    lines = {
        "predict RUN photos --out p": "the rows until now are kept",
        "--debug study run demo": "what was stored, trained and measured until now stays",
        "store --store x": "nothing was done",
        "evaluate predict": "nothing was written",
        "": "nothing was done",
    }
    for line, said in lines.items():
        assert left_by(line.split()).startswith(said), line


@pytest.mark.parametrize("names", [["[a]", "[/b]", "[red]x"], ["缺", "é"], ["\udce4", "\\[a]"]])
def test_cells_are_shown_as_they_are(
    names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["asbench"])
    with pytest.raises(SystemExit):
        main(["--version"])
    shown = console.table("name")
    for name in names:
        shown.add_row(name)
    console.out.print(shown)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[-len(names) :] == [n.encode("utf-8", "backslashreplace").decode() for n in names]


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_option_says_its_default(path: tuple[str, ...]) -> None:
    """In words where it has none of its own: `[all]`."""
    without = {"csv", "defects", "markdown", "latex", "variant", "settings", "help", "version"}
    for option in command_at(path).params:
        if isinstance(option, click.Option) and not option.is_flag and not option.required:
            assert option.help, option.name
            shown = option.show_default or option.help.endswith("]")
            assert shown or option.name in without, option.name


def test_help_imports_nothing_heavy() -> None:
    """Neither torch nor numpy nor zarr: the command line answers at once."""
    program = (
        "import sys\n"
        "from cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "heavy = {'torch', 'numpy', 'zarr', 'cv2', 'scipy', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for line in (["--help"], ["--version"], ["train", "--help"], ["store", "ls", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *line],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_tables_fit_eighty_columns(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut: numbers stay whole, and long addresses fold."""
    monkeypatch.setattr(console, "out", Console(highlight=False, width=80))
    name = "a_data_set_with_a_name_much_longer_than_anyone_would_think_of_typing_by_hand"
    assert run(f"generate --dataset photos --name {name} --method cutout --n 3").status == 0
    assert run(f"train --dataset photos --mix draem --untrained {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    shutil.rmtree("runs")
    for line in (
        f"store ls {name}",
        f"train --dataset photos --mix draem --untrained {QUICK}",
        f"evaluate {folder}",
        "data check photos",
        "data list",
        "methods list",
        "methods show draem",
    ):
        shown = run(line)
        assert shown.status == 0
        rows = [row for row in shown.out.partition("\nnext:")[0].splitlines() if "   " in row]
        assert rows
        assert max(len(row.rstrip()) for row in rows) <= 80
        assert "…" not in shown.out
        if line.startswith(("train", "evaluate")):
            assert all(head in shown.out for head in console.HEADS.values())
            scored = [row.split()[-5:] for row in rows if row.startswith(("full", folder.name))]
            assert all(re.fullmatch(r"\d\.\d{3}", value) for row in scored for value in row)
            assert scored


def test_columns_are_obeyed_in_a_pipe(place: Path) -> None:
    shown = complete(start("methods show cutpaste", place, COLUMNS="60"))
    rows = shown.out.partition("\nparameter")[2].partition("\n\n")[0].splitlines()
    assert 40 < max(map(len, rows)) <= 60


def test_a_pipe_gets_whole_lines(place: Path) -> None:
    """Programs read lines: nothing is folded where no terminal is."""
    shown = complete(start("store ls", place))
    assert [line.split()[1] for line in shown.out.splitlines() if line.startswith("photos/draem")]
    described = complete(start("methods show cutpaste", place))
    assert "Smallest area of the patch, as a share of the image." in described.out


def test_progress_into_a_pipe_is_a_line_in_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("cli.console.time.monotonic", lambda: now[0])
    with console.progress() as bars:
        for done in range(1, 251):
            now[0] += 0.125
            bars(f"task {done // 10}", done, 250)
    assert capsys.readouterr().err.splitlines() == [
        "task 8: 80 of 250",
        "task 16: 160 of 250",
        "task 24: 240 of 250",
    ]


def test_progress_into_a_pipe_says_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of what was done here: 1000 of these stood before."""
    now = [100.0]
    monkeypatch.setattr("cli.console.time.monotonic", lambda: now[0])
    with console.progress() as bars:
        for done in range(1000, 2001):
            bars("predicting", done, 2000)
            now[0] += 0.025
    assert capsys.readouterr().err.splitlines() == [
        "predicting: 1400 of 2000, 40/s, 0:00:15 left",
        "predicting: 1800 of 2000, 40/s, 0:00:05 left",
    ]


def test_progress_on_a_terminal(place: Path) -> None:
    """Bars on standard error; what is printed meanwhile stays in a redirected output."""
    line = "store verify photos/draem --recompute 2"
    main, follower = pty.openpty()
    log = place / "log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *shlex.split(line)],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "80"},
            stdout=out,
            stderr=follower,
        )
        os.close(follower)
        shown = b""
        with suppress(OSError):  # how Linux says that the other side is closed
            while piece := os.read(main, 65536):
                shown += piece
        os.close(main)
        assert process.wait(timeout=120) == 0
    assert b"photos/draem/0/bolt" in shown
    assert b"12/12" in shown
    assert b"/s" in shown
    assert "photos/draem/0/bolt: 2 of 2 equal" in log.read_text()
