"""What the documents say is run: their Python, their commands, their links, their generated pages.

Every fenced `python` block of README.md and docs/ runs, top to bottom of its page, in one namespace
and an empty folder. What runs here runs small, whatever the page says: images of 32x32 pixels, at
most 16 samples of a set and two training steps, a demo data set of few images. Every `asbench`
command in a `bash` or `console` block must parse. HTML comments, which no reader sees, say more:

    <!-- test: setup CODE -->     Python that runs at this place of the page
    <!-- test: file NAME -->      the block below is written to a file, of any language
    <!-- test: install -->        the package of the `pyproject.toml` here is found from here on
    <!-- test: run -->            the commands of the shell block below run
    <!-- not run: REASON -->      the Python block below does not run
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import click
import pytest

import asbench
import asbench.demo
from asbench.datasets import demo, procedural
from asbench.detectors import protocol_of
from asbench.generation import generate as generation
from asbench.generation.generate import render_sets
from asbench.grid import engines
from asbench.parameters import takes
from asbench.settings import GenerateSettings, TrainSettings
from asbench.training.train import train
from cli.main import asbench as command_line
from cli.main import main
from docs import build
from synth_store import Geometry, SynthStore

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "docs" / "reference"
WRITTEN = [ROOT / "README.md", *(p for p in ROOT.glob("docs/**/*.md") if p.parent != GENERATED)]
PAGES = [*WRITTEN, *GENERATED.glob("*.md"), ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
SHELLS = ("bash", "sh", "console")
DIRECTIVES = ("test: setup", "test: file", "test: install", "test: run", "not run:")
SCANNED = re.compile(
    r"<!--(?P<comment>.*?)-->|^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^ *```\s*?$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block, or a hidden one; `directive` and `argument` as its comment says."""

    line: int
    language: str
    code: str
    directive: str
    argument: str


def blocks(text: str) -> Iterator[Block]:
    """Yield a page's blocks in order."""
    directive, argument, end = "", "", 0
    for found in SCANNED.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if text[end : found.start()].strip():
            assert not directive, f"line {line}: no block follows the comment {directive!r}"
            directive = ""
        end = found.end()
        if found["comment"] is None:
            code = textwrap.dedent(found["code"])
            yield Block(line, found["language"], code, directive, argument)
            directive = argument = ""
            continue
        comment = found["comment"].strip()
        known = next((d for d in DIRECTIVES if comment.startswith(d)), "")
        told = comment[len(known) :].strip("\n")
        if known == "test: setup":
            yield Block(line, "python", textwrap.dedent(told).strip(), known, "")
        elif known == "test: install":
            yield Block(line, "", "", known, "")
        elif known:
            directive, argument = known, told.strip()
        else:
            assert not comment.startswith(("test", "not run")), f"line {line}: {comment!r}"
    assert not directive, f"no block follows the comment {directive!r}"


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the commands of a shell block, as words; a console's output is left out."""
    for line in block.code.replace("\\\n", " ").splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        words = shlex.split(line, comments=True)
        for separator, part in itertools.groupby(words, lambda w: w in ("&&", "|", ";", "||")):
            told = list(itertools.dropwhile(lambda w: re.match(r"[A-Z_]+=", w), part))
            if told and not separator:
                yield told


def parse(words: list[str], *, whole: bool = True) -> None:
    """Raise click's error unless the words after `asbench` are a command with options it has.

    whole: what is required must be there too.
    """
    rest = list(words)
    command: click.Command = command_line
    context = click.Context(command, info_name="asbench", **command.context_settings)
    while isinstance(command, click.Group):
        rest = [w for w in rest if w != "--debug"]
        if not rest or rest[0] in ("--help", "-h", "--version"):
            return
        name = rest.pop(0)
        if name == "..." and not whole:
            return
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name!r} in {' '.join(words)}")
        command, context = found, click.Context(found, info_name=name, parent=context)
    if whole and "--help" not in rest:
        command.make_context(context.info_name, rest, parent=context.parent)
        return
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    for word in rest:
        option = word.partition("=")[0]
        if option.startswith("-") and option not in known:
            raise click.UsageError(f"no option {option} in {' '.join(words)}")


def small_render(asked: GenerateSettings) -> Any:
    return render_sets(replace(asked, n=min(asked.n, 16), size=32, workers=1))


@takes(TrainSettings)
def small_train(training: TrainSettings) -> Any:
    steps = None if protocol_of(training.detector).steps == 0 else 2  # what never trains takes none
    return train.of(replace(training, steps=steps, batch=2))


drawn = cache(demo.Demo._draw)
"""Drawing takes most of the time here; the images are the same whatever the page."""


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, where everything is small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # `main` sets it: gone again with this
    monkeypatch.setenv(
        "ASBENCH_DATA", ""
    )  # so that it is given back as it was, whatever a page sets
    monkeypatch.delenv("ASBENCH_DATA")
    monkeypatch.setattr(generation, "render_sets", small_render)
    for module in (asbench, asbench.demo):
        monkeypatch.setattr(module, "train", small_train)
    SynthStore.create("asbench-store", Geometry(32, 32))  # before a page's first command makes it
    monkeypatch.setattr(engines, "cores", lambda: 1)
    monkeypatch.setattr(demo.Demo, "_draw", drawn)
    monkeypatch.setattr(procedural, "COUNT", 6)
    for name, few in (("TRAIN_NORMALS", 6), ("TEST_NORMALS", 2), ("TEST_DEFECTS", 3)):
        monkeypatch.setattr(demo, name, few)
    demo._items.cache_clear()
    yield tmp_path
    demo._items.cache_clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def run_command(words: list[str], folder: Path) -> None:
    """Run one command of a shell block, in this process where it is ours."""
    if words[0] == "asbench":
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        assert not ended.value.code, f"{' '.join(words)} ended with {ended.value.code}"
        return
    assert words[0] == "pytest", f"only asbench and pytest are run, not {words[0]}"
    # In this process, where torch is there already; the outer run keeps its time and its crashes.
    left = [f"-pno:{plugin}" for plugin in ("cacheprovider", "timeout", "faulthandler")]
    assert pytest.main(["-q", *left, f"-c{os.devnull}", f"--rootdir={folder}", *words[1:]]) == 0


def install(folder: Path) -> None:
    """Write what `pip install` would: importlib.metadata finds it on the path."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(told)
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{entry} = {where}" for entry, where in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = partial(pytest.mark.parametrize, "page", ids=name_of)


@each_page(
    [
        p
        for p in WRITTEN
        if any(b.language == "python" or b.directive for b in blocks(p.read_text()))
    ]
)
def test_code_on_the_page_runs(page: Path, sandbox: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(page.read_text()):
        if block.directive == "test: file":
            path = sandbox / block.argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code)
        elif block.directive == "test: install":
            install(sandbox)
        elif block.directive == "not run:":
            assert block.argument, f"{page}, line {block.line}: say why it is not run"
        elif block.language == "python":
            # Empty lines before the code: a traceback names the line of the page.
            code = "\n" * block.line + block.code
            exec(compile(code, str(page), "exec"), namespace)
        elif block.directive == "test: run":
            assert block.language in SHELLS
            for words in commands(block):
                run_command(words, sandbox)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nassert False, 'seen'\n```", "seen"),
        ("<!-- test: setup\nassert False, 'seen'\n-->", "seen"),
        ("<!-- test: run -->\n```bash\nasbench store ls --store nowhere\n```", "ended with 1"),
        ("<!-- test: run -->\n```bash\nasbench data list\nrm -r photos\n```", "not rm"),
        ("<!-- not run: -->\n```python\n1 / 0\n```", "say why"),
        ("<!-- test: rnu -->\n```bash\nasbench demo\n```", "rnu"),
        ("<!-- not run: slow -->\nProse.\n```python\n```", "no block follows"),
        ("<!-- test: run -->\nProse.", "no block follows"),
    ],
)
def test_a_wrong_page_is_found(text: str, complaint: str, sandbox: Path) -> None:
    page = sandbox / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=complaint):
        test_code_on_the_page_runs(page, sandbox)


@each_page(PAGES)
def test_commands_on_the_page_exist(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in blocks(text):
        if block.language in SHELLS:
            for words in commands(block):
                if words[0] == "asbench":
                    parse(words[1:])
                elif words[0] == "make":
                    assert {w for w in words[1:] if "=" not in w} <= targets, words
    prose = SCANNED.sub("", text)
    for span in re.findall(r"`(asbench [^`]+)`", prose):
        parse(shlex.split(span)[1:], whole=False)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["genrate", "--method", "draem"], "no command"),
        (["generate", "--metod", "draem"], "No such option"),
        (["generate"], "Missing parameter: method"),
        (["store", "export", "demo/draem/0", "--format", "tar", "--out", "x"], "not one of"),
        (["train", "--steps", "many"], "not a valid integer"),
    ],
)
def test_a_wrong_command_is_found(words: list[str], complaint: str) -> None:
    with pytest.raises(click.UsageError, match=complaint):
        parse(words)


def slugs(text: str) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", SCANNED.sub("", text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


@each_page(PAGES)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", SCANNED.sub("", page.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{target} is not there"
        if anchor:
            assert anchor in slugs(path.read_text()), f"{target}: no such heading"


def test_reference_pages_say_what_the_code_says() -> None:
    found = [p.name for p in build.stale()]
    assert not found, f"run `make docs`: {', '.join(found)}"


def test_check_fails_until_the_pages_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["build", *arguments])
        build.main()

    one: dict[str, Callable[[], str]] = {"methods": build.methods}
    monkeypatch.setattr(build, "PAGES", one)
    monkeypatch.setattr(build, "FOLDER", tmp_path / "reference")
    with pytest.raises(SystemExit, match=r"methods\.md.*make docs"):
        run("--check")
    assert not list(tmp_path.iterdir())
    run()
    run("--check")
    (tmp_path / "reference" / "methods.md").write_text("another")
    with pytest.raises(SystemExit):
        run("--check")


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / t).resolve() for t in re.findall(r"\]\(([^)#\s]+)", index.read_text())
    }
    assert linked >= set(ROOT.glob("docs/**/*.md")) - {index}
