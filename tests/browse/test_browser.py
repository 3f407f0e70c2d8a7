"""The gallery in a real browser, from disk and served: found, sorted, looked at, marked."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asbench.browse.gallery import WrittenGallery
from asbench.browse.listing import BEGIN
from asbench.browse.serving import address_of, opened
from asbench.data.excluded import read_marks
from tests.browse.conftest import COUNT
from tests.browse.test_gallery import told
from tests.report.browser import NAMES, Browser, browser, program

FOUND = program()
pytestmark = pytest.mark.skipif(
    FOUND is None, reason=f"no browser on this machine: none of {', '.join(NAMES)}"
)
SIZES = {"a desk": (1400, 900), "a phone": (420, 860)}
ALL = 3 * COUNT


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert FOUND is not None
    with browser(FOUND, tmp_path_factory.mktemp("profile")) as running:
        yield running


def until(tab: Browser, script: str, wanted: Any = True) -> None:
    deadline = time.monotonic() + 60
    while (found := tab.run(script)) != wanted:
        assert time.monotonic() < deadline, (script, found)
        time.sleep(0.02)


def look(tab: Browser, at: Path | str, size: tuple[int, int], scheme: str = "light") -> None:
    """Open a gallery and wait until it is ready, its keys heard."""
    tab.open(at, *size, scheme)
    until(tab, "document.documentElement.dataset.ready", "yes")
    tab.run("document.getElementById('grid').focus({preventScroll: true})")


def choose(tab: Browser, control: str, value: str) -> None:
    tab.run(
        f"(e => {{ e.value = '{value}'; e.dispatchEvent(new Event('change')) }})"
        f"(document.getElementById('{control}'))"
    )


def labels(tab: Browser) -> list[str]:
    script = "[...document.querySelectorAll('.sample')].map(e => e.getAttribute('aria-label'))"
    found: list[str] = tab.run(script)
    return found


def status(tab: Browser) -> str:
    return str(tab.run("document.getElementById('status').textContent"))


def test_it_works_from_disk_at_two_sizes(tab: Browser, gallery: WrittenGallery) -> None:
    for size in SIZES.values():
        for scheme in ("light", "dark"):
            look(tab, gallery.page, size, scheme)
            assert status(tab) == f"{ALL} of {ALL} samples"
            wide = "document.documentElement.scrollWidth <= innerWidth"
            assert tab.run(wide), "it must not be scrolled sideways"
            assert labels(tab)[0].startswith("boxes, seed 0, sample 0 of toy tile; visible change")
    assert tab.errors == []
    assert {request.split(":")[0] for request in tab.requests} <= {"file", "data", "about"}


def test_it_filters_and_sorts(tab: Browser, gallery: WrittenGallery) -> None:
    known = {one["method"]: one for one in told(gallery.page.parent)["sets"]}
    look(tab, gallery.page, SIZES["a desk"])
    choose(tab, "method", "boxes@more")
    assert status(tab) == f"{COUNT} of {ALL} samples"
    assert all(label.startswith("boxes@more, seed 3") for label in labels(tab))
    choose(tab, "sort", "area")
    tab.run("document.getElementById('down').click()")
    area = known["boxes@more"]["area"]
    largest = max(range(COUNT), key=lambda i: (area[i], -i))
    assert labels(tab)[0].startswith(f"boxes@more, seed 3, sample {largest} ")
    # What is shown can be linked to.
    address = tab.run("location.href")
    assert address.endswith("#method=boxes%40more&sort=area&down=1")
    look(tab, address, SIZES["a phone"])
    assert labels(tab)[0].startswith(f"boxes@more, seed 3, sample {largest} ")


def background(tab: Browser, place: int) -> str:
    of = f"document.querySelector('#sample-{place} .picture').style"
    return str(tab.run(f"{of}.backgroundImage + ' ' + {of}.backgroundPosition"))


def test_one_key_shows_each_picture(tab: Browser, gallery: WrittenGallery) -> None:
    look(tab, gallery.page, SIZES["a desk"])
    first = told(gallery.page.parent)["sets"][0]
    strip = f'url("{first["folder"]}/0.webp")'
    source = f'url("{first["normals"]}/{first["source"][0]}.webp") 0px 0px'
    seen = {
        "m": f"{strip} 100% 0px",
        "d": f"{strip} 50% 0px",
        "c": source,
        "s": f"{strip}, {strip} 100% 0px, 0px 0px",
        "i": f"{strip} 0px 0px",
    }
    for key, wanted in seen.items():
        tab.key(key)
        assert background(tab, 0) == wanted
    # Every picture that the page names is there.
    missing = """Promise.all([...document.querySelectorAll('.sample .picture')].map(e =>
        new Promise(done => { const i = new Image(); i.onload = () => done(0);
        i.onerror = () => done(1); i.src = /url\\("(.*?)"\\)/.exec(e.style.backgroundImage)[1]; })))
        .then(all => all.reduce((a, b) => a + b, 0))"""
    for key in ("c", "i"):
        tab.key(key)
        assert tab.run(missing) == 0
    tab.key("ArrowRight")
    tab.key("Enter")
    assert tab.run("document.getElementById('title').textContent") == "boxes 1"
    assert tab.run("document.querySelectorAll('dialog[open] .picture').length") == 4
    tab.key("ArrowRight")
    assert tab.run("document.getElementById('title').textContent") == "boxes 2"
    tab.key("Escape")
    until(tab, "document.querySelectorAll('dialog[open]').length", 0)
    assert tab.run("document.querySelector('.active').id") == "sample-2"
    assert tab.run("document.activeElement.id") == "grid"
    assert tab.errors == []


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("part", [0.3, 0.6, 1.0])
def test_keys_act_on_a_sample_that_is_seen(
    tab: Browser, gallery: WrittenGallery, size: tuple[int, int], part: float
) -> None:
    look(tab, f"{gallery.page.as_uri()}#size=4", size)
    tab.run("localStorage.clear()")
    look(tab, f"{gallery.page.as_uri()}#size=4", size)
    tab.run(f"scrollTo(0, {part} * (document.documentElement.scrollHeight - innerHeight))")
    box = "document.querySelector('.active').getBoundingClientRect()"
    under = "document.getElementById('bar').getBoundingClientRect().bottom"
    middle = f"({box}.top + {box}.bottom) / 2"
    until(tab, f"{middle} >= {under} - 9 && {middle} <= innerHeight")
    tab.key("x")
    assert tab.run("document.querySelector('.active').getAttribute('aria-selected')") == "true"
    # Behind a sample that is looked at the page may move: the sample stays.
    tab.key("Enter")
    title = tab.run("document.getElementById('title').textContent")
    tab.run("scrollTo(0, 0)")
    tab.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    tab.key("x")
    assert tab.run("document.getElementById('title').textContent") == title
    assert tab.run("document.getElementById('marks').textContent") == "0 marked"
    tab.key("Escape")
    assert tab.errors == []


def test_marks_are_kept_by_the_browser_and_written_as_training_reads_them(
    tab: Browser, gallery: WrittenGallery, tmp_path: Path
) -> None:
    look(tab, gallery.page, SIZES["a phone"])
    tab.run("localStorage.clear()")
    look(tab, gallery.page, SIZES["a phone"])
    tab.key("x")
    for _ in range(3):
        tab.key("ArrowRight")
    tab.key("X")  # from the last one marked to here
    assert tab.run("document.getElementById('marks').textContent") == "4 marked"
    tab.key("x")
    assert tab.run("document.getElementById('sample-3').getAttribute('aria-selected')") == "false"
    look(tab, gallery.page, SIZES["a desk"])
    assert tab.run("document.getElementById('marks').textContent") == "3 marked"
    choose(tab, "show", "marked")
    assert status(tab) == f"3 of {ALL} samples"
    # What Save hands out, read as training reads it.
    tab.run("URL.createObjectURL = blob => { window.saved = blob; return 'data:,' }")
    tab.run("document.getElementById('save').click()")
    (tmp_path / "excluded.txt").write_text(tab.run("saved.text()"))
    digest = told(gallery.page.parent)["sets"][0]["digest"]
    marks = read_marks(tmp_path / "excluded.txt")
    assert marks == {"toy/boxes/0/tile": {i: digest[i] for i in range(3)}}
    tab.run("localStorage.clear()")
    assert tab.errors == []


def test_a_served_gallery_keeps_marks_in_its_folder(
    tab: Browser, gallery: WrittenGallery, tmp_path: Path
) -> None:
    shutil.copytree(gallery.page.parent, tmp_path / "gallery")
    before = f"toy/boxes/0/tile/4\nelse/where/0/x/1\n{'0' * 12}  toy/dreams/0/tile/2\n"
    file = tmp_path / "gallery" / "excluded.txt"
    file.write_text(before)
    server = opened(tmp_path / "gallery")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        look(tab, address_of(server), SIZES["a desk"])
        assert status(tab) == "1 marks of samples that are no longer there left out"
        tab.key("x")
        deadline = time.monotonic() + 30
        while (text := file.read_text()) == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        marks = read_marks(file)
        assert set(marks["toy/boxes/0/tile"]) == {0, 4}
        assert "else/where/0/x/1\n" in text  # of a set that this gallery does not show
        tab.open("about:blank#", *SIZES["a desk"])  # before the server goes
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert tab.errors == []


def test_twelve_thousand_samples_open_and_scroll(
    tab: Browser, gallery: WrittenGallery, tmp_path: Path
) -> None:
    import json

    shutil.copytree(gallery.page.parent, tmp_path / "gallery")
    known = told(tmp_path / "gallery")
    lists = ("source", "change", "unchanged", "area", "digest")
    known["sets"] = [
        {**known["sets"][0], "method": f"m{k}", **{n: known["sets"][0][n] * 50 for n in lists}}
        for k in range(12)
    ]
    (tmp_path / "gallery" / "data.js").write_text(f"{BEGIN}{json.dumps(known)};")
    page = tmp_path / "gallery" / "index.html"
    for size in SIZES.values():
        began = time.monotonic()
        look(tab, page, size)
        assert time.monotonic() - began < 10  # half a second where nothing else runs
        assert status(tab) == "12,000 of 12,000 samples"
        choose(tab, "sort", "change")
        tab.run("scrollTo(0, document.documentElement.scrollHeight / 2)")
        middle = "Number(document.querySelector('.sample').dataset.place)"
        until(tab, f"Math.abs({middle} - 6000) < 400")
        # Only what is on the screen is there, however far it was scrolled.
        assert tab.run("document.querySelectorAll('.sample').length") < 200
        rows = "document.getElementById('grid').getAttribute('aria-rowcount')"
        assert 1000 < int(tab.run(rows)) <= 12000
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert 200 < tab.run("document.querySelectorAll('.sample').length") <= 250
    tab.run("dispatchEvent(new Event('afterprint'))")
