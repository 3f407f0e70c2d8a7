"""One walk for all who read a folder: what it passes over, and what it follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench.files.walk import walk


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_images_below_a_folder_are_sorted(tmp_path: Path) -> None:
    names = ["b.PNG", "a/2.jpg", "a/1.tiff", "c/d/e.webp", "a.jpeg", "z.Bmp"]
    wanted = sorted(touch(tmp_path / name) for name in names)
    touch(tmp_path / "notes.txt")
    touch(tmp_path / "a.png/inside.png")  # a folder that is called like an image
    assert list(walk(tmp_path)) == sorted([*wanted, tmp_path / "a.png/inside.png"])


@pytest.mark.parametrize(
    "hidden",
    [
        ".a.png",
        "._a.png",
        ".ipynb_checkpoints/a-checkpoint.png",
        "__MACOSX/a.png",
        "part/__MACOSX/sub/a.png",
        ".Trash/deep/er/a.png",
        ".thumbnails/a.jpg",
    ],
)
def test_hidden_and_tool_folders_are_passed_over(hidden: str, tmp_path: Path) -> None:
    touch(tmp_path / "root" / hidden)
    shown = touch(tmp_path / "root" / "a.png")
    assert list(walk(tmp_path / "root")) == [shown]


def test_a_hidden_folder_that_is_named_is_read(tmp_path: Path) -> None:
    photo = touch(tmp_path / ".cache" / "a.png")
    assert list(walk(tmp_path / ".cache")) == [photo]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere" / "line" / "1.png")
    own = touch(tmp_path / "root" / "own" / "2.png")
    (tmp_path / "root" / "a").symlink_to("../elsewhere")
    (tmp_path / "root" / "b").symlink_to("../elsewhere/line")
    (tmp_path / "root" / "again").symlink_to("own")
    (tmp_path / "root" / "own" / "up").symlink_to("..")
    assert list(walk(tmp_path / "root")) == [tmp_path / "root" / "a" / "line" / "1.png", own]


def test_a_link_to_a_file_that_is_gone_is_yielded(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    assert list(walk(tmp_path)) == [tmp_path / "gone.png"]
