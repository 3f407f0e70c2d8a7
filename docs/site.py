"""The documentation as a site with search: `make site`, or `python -m docs.site build/site`.

Nothing is written twice: the pages are those of docs/, and what the index names under its headings
is the navigation. A warning, such as a link to nowhere, fails the build. The site carries the
version's number; each release's is kept in a folder of that name.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
BESIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "CITATION.cff")
"""Files that pages link to, beside docs/."""
KINDS = (".md", ".ipynb", ".jpg", ".png", ".svg", ".html")
INDEX = Path("docs/README.md")
_PART = re.compile(r"^\*\*(\w[\w ]*)\*\*", re.MULTILINE)
_LINK = re.compile(r"^- \[.*?\]\(([\w/-]+)\.md\)", re.MULTILINE | re.DOTALL)
SETTINGS = {
    "project": "ASBench",
    "copyright": "the ASBench developers, Apache-2.0",
    "extensions": ["myst_parser"],
    "root_doc": "docs/README",
    "html_theme": "furo",
    "html_title": f"ASBench {version('asbench')}",
    "myst_heading_anchors": 4,
    "suppress_warnings": ["myst.header", "toc.not_included", "misc.highlighting_failure"],
    "html_show_sphinx": False,
}


def navigation(index: str) -> str:
    """Return the index with a hidden table of contents for each of its parts."""
    heads = list(_PART.finditer(index))
    told = []
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        part = index[head.end() : after.start() if after else len(index)]
        pages = "\n".join(_LINK.findall(part))
        told.append(f"```{{toctree}}\n:caption: {head[1]}\n:hidden:\n\n{pages}\n```\n")
    return index + "\n" + "\n".join(told)


def prepare(source: Path) -> None:
    """Copy what the site is made of into an empty folder, and write its settings."""
    for path in (ROOT / "docs").rglob("*"):
        if path.suffix in KINDS:
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    for name in BESIDE:
        shutil.copyfile(ROOT / name, source / name)
    index = (source / INDEX).read_text(encoding="utf-8")
    (source / INDEX).write_text(navigation(index), encoding="utf-8")
    lines = [f"{name} = {value!r}\n" for name, value in SETTINGS.items()]
    (source / "conf.py").write_text("".join(lines), encoding="utf-8")
    page = '<meta http-equiv="refresh" content="0; url=docs/README.html">\n'
    (source / "index.html").write_text(page, encoding="utf-8")


def build(out: Path) -> int:
    """Build the site into a folder; returns Sphinx's exit status, 1 for any warning."""
    from sphinx.cmd.build import main as sphinx

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        prepare(source)
        status = sphinx(["-W", "--keep-going", "-q", "-b", "html", folder, str(out)])
        shutil.copyfile(source / "index.html", out / "index.html")
    return status


def main() -> None:
    parser = argparse.ArgumentParser(description="build the documentation site")
    parser.add_argument("out", type=Path, help="a folder, as build/site")
    out = parser.parse_args().out
    status = build(out)
    if not status:
        sys.stdout.write(f"{out / 'index.html'}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
