"""The walk: what is seen, in which order, and what never is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from asbench.datasets import open_textures
from asbench.files.walk import walk
from tests.trees import picture, save


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def below(root: Path) -> list[str]:
    return [p.relative_to(root).as_posix() for p in walk(root)]


def test_the_order_is_that_of_sorted_paths(tmp_path: Path) -> None:
    touch(
        tmp_path, "b.png", "a/z.JPG", "a.png", "a b/1.tif", "a/b/c.webp", "B/1.bmp", "a/readme.md"
    )
    assert below(tmp_path) == ["B/1.bmp", "a/b/c.webp", "a/z.JPG", "a b/1.tif", "a.png", "b.png"]
    assert [*walk(tmp_path)] == sorted(walk(tmp_path))


@pytest.mark.parametrize(
    "left",
    [
        *("__MACOSX/a.png", "x/__MACOSX/x/._a.png", ".ipynb_checkpoints/a-checkpoint.png"),
        *("._a.png", ".DS_Store", "Thumbs.db", "@eaDir/a.png", "$RECYCLE.BIN/a.png", ".git/a.png"),
    ],
)
def test_what_tools_leave_behind_is_passed_over(tmp_path: Path, left: str) -> None:
    touch(tmp_path, "a.png", left)
    assert below(tmp_path) == ["a.png"]


def test_a_hidden_folder_that_is_named_is_walked(tmp_path: Path) -> None:
    touch(tmp_path / ".cache", "a.png")
    assert below(tmp_path / ".cache") == ["a.png"]


def test_links_are_followed_but_never_round(tmp_path: Path) -> None:
    touch(tmp_path / "far", "l.png", "deep/m.png")
    root = tmp_path / "root"
    touch(root, "x/a.png")
    (root / "link").symlink_to("../far")
    (root / "x" / "self").symlink_to(".")
    (root / "x" / "up").symlink_to("../..")
    (tmp_path / "far" / "back").symlink_to("../root")
    (root / "gone.png").symlink_to("nowhere")
    (root / "round").symlink_to("round")
    assert below(root) == ["gone.png", "link/deep/m.png", "link/l.png", "x/a.png"]


@pytest.mark.skipif(
    os.name != "posix" or sys.platform == "darwin", reason="names are Unicode there"
)
def test_textures_are_walked_alike(tmp_path: Path) -> None:
    for name in ("x/a.png", "__MACOSX/m.png", os.fsdecode(b"x/\xe4.png"), "x/[b].png"):
        save(tmp_path / "tx" / name, picture(1))
    save(tmp_path / "far/l.png", picture(2))
    (tmp_path / "tx/link").symlink_to("../far")
    bank = open_textures(tmp_path / "tx")
    items = bank.items("all")
    assert {i.id for i in items} == {"link/l.png", "x/[b].png", "x/a.png", "x/\\xe4.png"}
    assert all(bank.image(i).shape == (12, 10, 3) for i in items)


@pytest.mark.parametrize(
    "left", ["@eaDir/a.png", "x/.ipynb_checkpoints/a.png", "._a.png", "x/__MACOSX/x/a.png"]
)
@pytest.mark.parametrize("link", ["to a folder", "to a link", "to a file"])
def test_textures_of_folders_as_they_come(tmp_path: Path, left: str, link: str) -> None:
    for name in ("tx/x/a.png", f"tx/{left}", "far/l.png"):
        save(tmp_path / name, picture(1))
    (tmp_path / "near").symlink_to("far")
    there = {"to a folder": "../far", "to a link": "../near", "to a file": "../far/l.png"}[link]
    (tmp_path / "tx/link.png").symlink_to(there)
    ids = {i.id for i in open_textures(tmp_path / "tx").items("all")}
    assert ids == {"x/a.png", "link.png" if link == "to a file" else "link.png/l.png"}
