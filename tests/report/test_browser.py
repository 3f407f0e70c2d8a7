"""The page in a real browser, opened from disk: it sorts, switches, fits, and asks for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asbench import results
from asbench.report.page import html
from asbench.results import Run
from tests.report.browser import NAMES, Browser, browser, program
from tests.report.full_grid import quality

FOUND = program()
pytestmark = pytest.mark.skipif(
    FOUND is None, reason=f"no browser on this machine: none of {', '.join(NAMES)}"
)
SIZES = {"a desk": (1280, 900), "80 columns, enlarged": (640, 450), "a phone": (390, 844)}
Make = Callable[..., Run]


def study(make: Make) -> list[Run]:
    """Two detectors, four methods, ratios, no anomalies, a mixture; of one run nothing is there."""
    found = [
        make(dataset="btad", category=c, detector=t, mix={m: 1.0}, ratio=r)
        for c in ("01", "02", "03")
        for t in ("draem@tiny", "unet@tiny")
        for m in ("draem", "memseg", "fractal", "dfmgan")
        for r in ((0.5, 1.0) if m == "draem" else (0.5,))
    ]
    found += [
        make(dataset="btad", category=c, mix=mix, ratio=0.5 if mix else 0.0)
        for c in ("01", "02", "03")
        for mix in ({}, {"draem": 0.5, "fractal": 0.5})
    ]
    return found[1:]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert FOUND is not None
    with browser(FOUND, tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(made_up: Make, put: Callable[[Path, Run], Path], tmp_path: Path) -> Path:
    runs = study(made_up)
    for run in runs:
        results.save(run, tmp_path / "runs" / run.id)
    put(tmp_path / "runs", made_up(dataset="btad", category="01", mix={"fractal": 1.0}))
    of_btad = {key: values for key, values in quality().items() if key[0] == "btad"}
    return html.write(tmp_path / "runs", tmp_path / "report.html", quality=of_btad)


def test_it_works_where_people_open_it(tab: Browser, page: Path) -> None:
    for where, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            tab.open(page, width, height, scheme)
            wide = tab.run("document.documentElement.scrollWidth")
            assert wide <= width, f"on {where} the page itself must not scroll sideways"
    outside = [url for url in tab.requests if not url.startswith(("data:", "file:"))]
    assert outside == []
    assert {url for url in tab.requests if url.startswith("file:")} == {page.as_uri()}
    _sorts(tab)
    _switches(tab)
    _reads_by_keyboard(tab)
    _opens_what_a_link_points_to(tab)
    assert tab.errors == []


def _sorts(tab: Browser) -> None:
    column = """[...document.querySelectorAll("#table4-best tbody td:nth-child(2)")]
        .map((cell) => cell.dataset.value).filter(Boolean).map(Number)"""
    press = 'document.querySelector("#table4-best thead th:nth-child(2) button").click()'
    head = 'document.querySelector("#table4-best thead th:nth-child(2)").getAttribute("aria-sort")'
    before = tab.run(column)
    assert len(before) == 4
    tab.run(press)
    assert tab.run(head) == "descending"
    assert tab.run(column) == sorted(before, reverse=True)
    tab.run(press)
    assert tab.run(head) == "ascending"
    assert tab.run(column) == sorted(before)
    groups = """[...document.querySelectorAll("table.results tbody")]
        .map((body) => body.rows[0].className)"""
    tab.run('document.querySelector("table.results thead th:nth-child(3) button").click()')
    assert set(tab.run(groups)) == {"group"}, "a group keeps its name on top"


def _switches(tab: Browser) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    line = 'getComputedStyle(document.querySelector(".plot svg path[style*=series]")).stroke'
    press = 'document.querySelector("button.theme").click()'
    dark = tab.run(ground), tab.run(line)
    assert tab.run('document.querySelector("button.theme").textContent') == "Light"
    tab.run(press)
    light = tab.run(ground), tab.run(line)
    assert light[0] != dark[0]
    assert light[1] != dark[1], "figures change with the page"
    tab.run(press)
    assert (tab.run(ground), tab.run(line)) == dark


def _reads_by_keyboard(tab: Browser) -> None:
    tab.run("document.activeElement.blur(), scrollTo(0, 0)")
    tab.key("Tab")
    assert tab.run("document.activeElement.className") == "skip"
    tab.run('document.querySelector("#table4-best thead button").focus()')
    tab.key("Enter")
    head = 'document.querySelector("#table4-best thead th").getAttribute("aria-sort")'
    assert tab.run(head) == "ascending"
    names = """[...document.querySelectorAll("svg[role=img]")]
        .every((svg) => document.getElementById(svg.getAttribute("aria-labelledby"))
        .textContent.length > 20)"""
    assert tab.run(names)
    assert tab.run('document.querySelectorAll("svg[role=img]").length') > 20


def _opens_what_a_link_points_to(tab: Browser) -> None:
    run = tab.run('document.querySelector("details.run").id')
    assert tab.run(f'document.getElementById("{run}").open') is False
    tab.run(f'location.hash = "{run}", new Promise((then) => setTimeout(then, 100))')
    assert tab.run(f'document.getElementById("{run}").open') is True
