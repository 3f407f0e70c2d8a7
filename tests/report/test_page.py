"""The page, its figures and its pictures."""

from __future__ import annotations

import base64
import dataclasses
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from asbench import results
from asbench.report import tables
from asbench.report.page import figures, html, overlays
from asbench.results import METRICS, Run
from synth_store.types import UserError

pytestmark = pytest.mark.slow

Make = Callable[..., Run]
Put = Callable[[Path, Run], Path]
VOID = {"meta", "link", "img", "col", "br", "input"}


class Page(HTMLParser):
    """Checks that elements nest and close; keeps every start tag, and the text of the body."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def written(root: Path, tmp_path: Path, **given: Any) -> str:
    return html.write(root, tmp_path / "out" / "report.html", **given).read_text(encoding="utf-8")


@pytest.fixture
def text(root: Path, tmp_path: Path, made_up: Make, put: Put) -> str:
    """A page with everything on it: few-shot and undefined rows, and a row selected on test."""
    few = made_up(mix={"real": 1.0})
    metrics: Any = {s: {**scores, "pro": math.nan} for s, scores in few.metrics.items()}
    reasons: Any = {s: {"pro": "no <masks> on record"} for s in few.metrics}
    put(root, dataclasses.replace(few, metrics=metrics, reasons=reasons, saw_defects=9))
    put(root, made_up(select="best-on-test"))
    (root / "0123456789ab").mkdir()
    sheet = overlays.encode(np.zeros((8, 16, 3), np.uint8))
    return written(root, tmp_path, sheets={"demo/draem/0": sheet})


def test_nothing_is_fetched_from_elsewhere(text: str) -> None:
    for tag, attrs in Page(text).tags:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert all(u.startswith(('"data:', "#")) for u in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)


def test_every_run_has_its_place_and_every_link_its_target(text: str, root: Path) -> None:
    page = Page(text)
    ids = Counter(attrs["id"] for _, attrs in page.tags if attrs.get("id"))
    assert max(ids.values()) == 1
    for run in results.runs(root):
        assert f"run-{run.id}" in ids
    targets = {attrs["href"] for attrs in page.all("a")}
    assert {f"#run-{run.id}" for run in results.runs(root)} <= targets
    assert all(str(target)[1:] in ids for target in targets)
    for _, attrs in page.tags:
        for name in (attrs.get("aria-labelledby") or "").split():
            assert name in ids


def test_it_reads_without_eyes(text: str) -> None:
    page = Page(text)
    names = [tag for tag, _ in page.tags]
    assert [names.count(tag) for tag in ("main", "header", "footer", "nav", "h1")] == [1] * 5
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("a")[0]["href"] == "#main"
    assert all(attrs.get("alt") for attrs in page.all("img"))
    assert all(attrs.get("width") and attrs.get("height") for attrs in page.all("img"))
    figures_ = [attrs for attrs in page.all("svg") if "role" in attrs]
    assert figures_
    assert all(attrs["role"] == "img" for attrs in figures_)
    assert names.count("caption") == names.count("table")
    assert all("scope" in attrs for attrs in page.all("th"))
    levels = [int(n[1]) for n in names if re.fullmatch(r"h[1-6]", n)]
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_the_table_shows_the_numbers_of_the_rows(text: str, root: Path) -> None:
    table = tables.results_table(results.runs(root))
    body = text[text.index("<table class=") : text.index("</table>")]
    shown = [
        re.findall(r'<td class="num[^>]*data-value="([^"]*)"', line)
        for line in body.split("<tr")
        if 'scope="row"' in line
    ]
    wanted = [
        [str(row.ratio)]
        + ["" if math.isnan(c.mean) else str(c.mean) for c in row.cells.values()]
        + [str(len(row.seeds))]
        for row in table.rows
    ]
    assert shown == wanted


def test_it_says_what_a_reader_must_know(text: str) -> None:
    said = " ".join(Page(text).text.split())
    for phrase in (
        "reduced network: do not compare with printed numbers",
        "selected on test",
        "saw 9 defects",
        "held-out test set",
        "no spread",
        "undefined: no <masks> on record",
        "A dash under PRO: no <masks> on record.",
        "1 unfinished run is left out: 0123456789ab.",
        "the highest image AUROC of 11 settings compared is",
        "no <masks>",
        "0.995 quantile of the training normals' scores",
    ):
        assert phrase in said, phrase
    assert 'title="no &lt;masks&gt; on record"' in text


def test_the_lead_never_compares_categories(made_up: Make, put: Put, tmp_path: Path) -> None:
    for category in ("a", "b"):
        put(tmp_path, made_up(category=category, mix={f"only_{category}": 1.0}))
        put(tmp_path, made_up(category=category, mix={f"also_{category}": 1.0}))
    lead = written(tmp_path, tmp_path).split('<p class="lead">')[1].split("</p>")[0]
    assert re.findall(r"On (\S+), the highest image AUROC of (\d)", lead) == [
        ("demo/a", "2"),
        ("demo/b", "2"),
    ]
    for run in results.runs(tmp_path):
        put(tmp_path, made_up(**{**run.decides, "mix": {"nsa": 1.0}, "sets": {}}))
    lead = written(tmp_path, tmp_path).split('<p class="lead">')[1].split("</p>")[0]
    assert "On demo (mean of 2 categories), the highest image AUROC is" in lead


def test_equal_runs_give_equal_bytes(root: Path, tmp_path: Path) -> None:
    assert written(root, tmp_path / "a") == written(root, tmp_path / "b")


def test_sections_come_only_with_something_in_them(tmp_path: Path, made_up: Make) -> None:
    run = dataclasses.replace(made_up(), losses=(), untrained=None, threshold=None)
    results.save(run, tmp_path / "runs" / run.id)
    page = Page(written(tmp_path / "runs", tmp_path))
    ids = {attrs.get("id") for attrs in page.all("section")}
    assert ids == {"questions", "results", "runs"}
    assert page.all("svg") == []


def test_no_runs_name_the_command_that_makes_one(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match="asbench train"):
            html.write(root, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_gallery_leaves_no_half_page(root: Path, tmp_path: Path) -> None:
    next(root.glob("*/gallery.npz")).write_bytes(b"PK")
    with pytest.raises(UserError, match=r"gallery\.npz"):
        written(root, tmp_path)
    assert not (tmp_path / "out").exists()


def test_figures_are_alike_and_parse(plain: list[Run]) -> None:
    rows = tables.results_table(plain).rows

    def draw() -> list[str]:
        return [
            figures.ratio_curve(figures.with_ratios(rows), "pixel_ap", "one"),
            figures.mixture_plot(figures.mixtures(rows), "pixel_ap", "two"),
            figures.loss_curve(plain[0], "three"),
        ]

    drawn = draw()
    assert draw() == drawn
    ids: list[str] = []
    for svg in drawn:
        tree = ET.fromstring(svg)
        own = [e.attrib["id"] for e in tree.iter() if "id" in e.attrib]
        links = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', svg)
        assert {a or b for a, b in links} <= set(own)
        ids += own
        title = tree.find("{http://www.w3.org/2000/svg}title")
        assert title is not None
        assert "currentColor" in svg
        assert "#01" not in svg
    assert len(ids) == len(set(ids))
    mean = next(r for r in rows if str(r.mix) == "fractal:1" and r.ratio == 0.25).cells["pixel_ap"]
    assert f"fractal {100 * mean.mean:.1f}; mean of singles" in drawn[1]


def test_an_undefined_metric_is_not_drawn(made_up: Make, tmp_path: Path) -> None:
    for mix in ({"draem": 1.0}, {"fractal": 1.0}, {"draem": 0.5, "fractal": 0.5}):
        for ratio in (0.2, 0.4):
            run = made_up(mix=mix, ratio=ratio)
            metrics: Any = {s: dict.fromkeys(METRICS, math.nan) for s in run.metrics}
            run = dataclasses.replace(run, metrics=metrics, losses=((0, math.nan), (1, math.nan)))
            results.save(run, tmp_path / "runs" / run.id)
    page = Page(written(tmp_path / "runs", tmp_path))
    assert page.all("svg") == []
    assert "no reason on record" in page.text


def _decoded(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 33)])
def test_opencv_reads_our_png(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    np.testing.assert_array_equal(_decoded(overlays.encode(image))[..., ::-1], image)
    palette = rng.integers(0, 256, (9, 4)).astype(np.uint8)
    indices = rng.integers(0, 9, shape).astype(np.uint8)
    data = overlays.encode_indexed(indices, palette)
    np.testing.assert_array_equal(_decoded(data)[..., [2, 1, 0, 3]], palette[indices])
    assert overlays.size(data) == shape[::-1]


def test_outlines_are_the_masks_border() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 0:5] = True
    inner = cv2.erode(
        mask.astype(np.uint8),
        cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    ).astype(bool)
    np.testing.assert_array_equal(overlays.outline(mask), mask & ~inner)
    layer = _decoded(overlays.outline_layer(mask))
    assert (layer[overlays.outline(mask)] == 255).all()
    assert layer[8, 8, 3] == 0


def test_heat_runs_from_dark_to_bright_and_bears_nan() -> None:
    map_ = np.array([[-9.0, 0.0, 0.5, 1.0, 9.0, np.nan]], np.float16)
    layer = _decoded(overlays.heat_layer(map_, 0.0, 1.0, np.zeros((1, 6), bool)))
    light = layer[0, :, :3].astype(int).sum(axis=1)
    assert light[0] == light[1] == light[5] < light[2] < light[3] == light[4]
    flat = overlays.heat_layer(np.zeros((3, 3), np.float16), 0.0, 0.0, np.zeros((3, 3), bool))
    assert len(np.unique(_decoded(flat))) <= 4


def test_galleries_carry_the_runs_own_pictures(text: str, root: Path) -> None:
    run = results.runs(root)[0]
    gallery = results.read_gallery(root / run.id)
    wanted = base64.b64encode(overlays.encode(gallery.images[1])).decode()
    assert text.count(wanted) == 1, "one copy serves every run's heat map of the image"
    for line in results.read_table(root / run.id):
        assert line.id in text
        assert f"{line.score:.4g}" in text
    assert "flagged" in text
