"""The documentation's site: its navigation is the index, it builds, and its notebooks run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from docs import site

NOTEBOOKS = sorted((site.ROOT / "docs" / "notebooks").glob("*.ipynb"))
NEEDED = ("furo", "myst_parser", "sphinx")


def test_every_page_of_the_index_is_in_the_navigation_once() -> None:
    index = (site.ROOT / site.INDEX).read_text()
    added = site.navigation(index).removeprefix(index)
    listed = [line for line in added.splitlines() if (site.ROOT / "docs" / f"{line}.md").is_file()]
    pages = {
        str(p.relative_to(site.ROOT / "docs").with_suffix(""))
        for p in (site.ROOT / "docs").rglob("*.md")
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == pages - {"README"}
    captions = [line for line in added.splitlines() if line.startswith(":caption:")]
    assert captions == [f":caption: {name}" for name in ("Learn", "Do", "Look up", "Understand")]


def test_it_is_made_of_what_is_there(tmp_path: Path) -> None:
    site.prepare(tmp_path)
    assert (tmp_path / "docs" / "images" / "few.jpg").is_file()
    assert "root_doc = 'docs/README'" in (tmp_path / "conf.py").read_text()
    assert not list(tmp_path.rglob("*.py"))[1:]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED),
    reason=f"the site needs {', '.join(NEEDED)}, of the extra `site`",
)
def test_it_builds_without_a_warning(tmp_path: Path) -> None:
    assert site.build(tmp_path / "site") == 0
    assert "Tutorial" in (tmp_path / "site" / "docs" / "README.html").read_text()
    assert (tmp_path / "site" / "searchindex.js").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("book", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASBENCH_DATA", raising=False)
    known = json.loads(book.read_text())
    assert known["nbformat"] == 4
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in known["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), f"{book.name}:{cell['id']}", "exec"), names)
