"""What a container is built from is the whole wheel, and what its page says to run are commands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_docs import ROOT, blocks, commands, parse

PACKAGES = ("asbench", "cli", "synth_store")


def test_commands_of_the_page_exist() -> None:
    page = (ROOT / "docs" / "howto" / "container.md").read_text()
    runs = [words for block in blocks(page) for words in commands(block) if words[1] == "run"]
    assert len(runs) > 3
    for words in runs:
        parse(words[words.index("asbench") + 1 :] or ["demo"])


@pytest.mark.slow
def test_what_is_sent_to_the_engine_makes_the_whole_wheel(tmp_path: Path) -> None:
    kept = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for name in kept:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, tmp_path / "sent" / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, tmp_path / "sent" / name)
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", *offline, "-w", tmp_path, tmp_path / "sent"],
        check=True,
        timeout=200,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(PACKAGES)}
    ours = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.name[0] != "." and "__pycache__" not in path.parts
    }
    assert {name for name in held if ".dist-info" not in name} == ours
