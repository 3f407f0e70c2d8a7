"""`asbench browse` to `train --exclude` to `report`, as typed."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path

import pytest

from asbench.browse.listing import BEGIN
from tests.cli.conftest import QUICK, Run, complete, start

pytestmark = pytest.mark.slow


def test_from_looking_to_training_without_and_back(run: Run, place: Path) -> None:
    made = run("browse photos/draem")
    assert made.status == 0, made.err
    assert "gallery: 24 samples of 2 sets" in made.out
    assert made.next == [
        "open gallery/index.html in a browser",
        "asbench train --mix NAME --exclude gallery/excluded.txt",
    ]
    text = (place / "gallery" / "data.js").read_text()
    first = json.loads(text.removeprefix(BEGIN).rstrip(";\n"))["sets"][0]
    mark = f"{first['digest'][1]}  photos/draem/0/bolt/1\n"
    (place / "gallery" / "excluded.txt").write_text(mark)
    train = f"train --dataset photos --mix draem --kept-out 0 {QUICK}"
    marked = run(f"{train} --exclude gallery/excluded.txt")
    assert marked.status == 0, marked.err
    assert "photos/bolt: 1 draem left out, as gallery/excluded.txt says" in marked.out
    assert "stands already" not in run(train).out
    # A run's detector scores what is stored.
    folder = sorted((place / "runs").iterdir())[0]
    assert run(f"browse --run {folder} --device cpu").status == 0
    told = run("report")
    assert told.status == 0, told.err
    page = (place / "report.html").read_text()
    link = "gallery/index.html#dataset=photos&amp;method=draem&amp;seed=0&amp;category=bolt"
    assert f'<a href="{link}">all samples</a>' in page
    assert "Left out by hand of draem</dt><dd>1 samples: 1</dd>" in page
    assert '"/home' not in page


def test_it_serves_until_it_is_interrupted(place: Path) -> None:
    process = start("browse --serve", place)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(2)]
    address = said[1].removesuffix(" until Ctrl-C\n")
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert b"asbench browse" in answer.read()
    process.send_signal(signal.SIGINT)
    ended = complete(process)
    assert ended.status == 0, ended.err
    assert ended.next == ["asbench train --mix NAME --exclude gallery/excluded.txt"]
    assert (place / "gallery" / "index.html").is_file()


def test_refusals_say_what_to_do(run: Run, place: Path) -> None:
    assert "holds 'bolt', which is no gallery's: name another" in run("browse --out photos").err
    assert "no gallery" not in run("browse --port x").err
    missing = run("train --dataset photos --mix draem --exclude none.txt")
    assert (missing.status, "none.txt cannot be read" in missing.err) == (1, True)
