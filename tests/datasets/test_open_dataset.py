"""Which data set a name or a path means, and what is said where it means none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import asbench.datasets
from asbench import plugins
from asbench.datasets import open_dataset, open_textures
from asbench.datasets.dtd import Dtd
from asbench.datasets.folder import Folder
from asbench.datasets.mtd import Mtd
from asbench.datasets.table import Table
from synth_store.types import UserError

PLUGIN = """
from dataclasses import dataclass
from asbench.types import Dataset

VARIANTS = {"two": {"parts": 2}, "liar": {"parts": 9}}

@dataclass(frozen=True)
class Generated(Dataset):
    parts: int = 1

    @property
    def name(self):
        return {1: "generated_here", 2: "generated_here@two", 9: "other"}[self.parts]

    def categories(self): return ("a", "b")[: self.parts]
    def items(self, category): return ()
    def image(self, item): raise NotImplementedError
    def mask(self, item): raise NotImplementedError
"""


@pytest.fixture
def generated(tmp_path: Path) -> Iterator[str]:
    """A plugin without files, found as any other by the name of its file."""
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "generated_here.py").write_text(PLUGIN)
    asbench.datasets.__path__.append(str(tmp_path / "plugin"))
    yield "generated_here"
    asbench.datasets.__path__.pop()
    sys.modules.pop("asbench.datasets.generated_here", None)


def good(root: Path) -> Path:
    root.mkdir(parents=True)
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "a.png")
    return root


def test_a_plugin_without_files_opens_by_its_name(
    generated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASBENCH_DATA", raising=False)
    assert open_dataset(generated).categories() == ("a",)
    assert open_dataset(f"{generated}@two").categories() == ("a", "b")
    with pytest.raises(
        UserError, match="no variant 'three': choose from generated_here, generated_here@liar, gen"
    ):
        open_dataset(f"{generated}@three")
    with pytest.raises(TypeError, match="calls itself 'other'"):
        open_dataset(f"{generated}@liar")


def test_a_plugin_with_files_finds_them_under_asbench_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASBENCH_DATA", raising=False)
    with pytest.raises(UserError, match=r"'mtd' are not here: set ASBENCH_DATA .* --dataset PATH"):
        open_dataset("mtd")
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path))
    with pytest.raises(UserError) as caught:
        open_dataset("mtd")
    assert str(tmp_path / "mtd") in str(caught.value)
    assert "ASBENCH_DATA" in str(caught.value)
    assert "--dataset PATH" in str(caught.value)
    (tmp_path / "mtd").mkdir()
    assert open_dataset("mtd") == Mtd(tmp_path / "mtd")


def test_a_path_is_a_folder_keyed_by_its_slug_or_the_name_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = good(tmp_path / "My Bolts")
    assert open_dataset(root) == open_dataset(str(root)) == Folder(root, "my_bolts")
    assert open_dataset(root, name="bolts@2024") == Folder(root, "bolts@2024")
    monkeypatch.chdir(root)
    assert open_dataset(".") == Folder(root, "my_bolts")
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path))
    assert open_dataset("My Bolts") == Folder(root, "my_bolts")
    assert open_dataset(root).categories() == ("my_bolts",)


def test_names_that_cannot_be(tmp_path: Path) -> None:
    root = good(tmp_path / "螺丝")
    with pytest.raises(UserError, match=r"no name can be made from .*螺丝: .* --name NAME"):
        open_dataset(root)
    assert open_dataset(root, name="screws").categories() == ("screws",)
    with pytest.raises(UserError, match="data set 'My Screws' is not a name"):
        open_dataset(root, name="My Screws")


def test_a_folder_called_like_a_plugin_needs_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = good(tmp_path / "MTD")
    with pytest.raises(UserError, match=r"called 'mtd', .* --name NAME, .* --dataset mtd\.") as e:
        open_dataset(root)
    assert f"ASBENCH_DATA={tmp_path}" in str(e.value)
    with pytest.raises(UserError, match="called 'mtd@mine'"):
        open_dataset(root, name="mtd@mine")
    assert open_dataset(root, name="tiles").name == "tiles"
    good(tmp_path / "mtd" / "x")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("mtd", name="tiles") == Folder(tmp_path / "mtd", "tiles")
    monkeypatch.chdir(root)
    with pytest.raises(UserError, match="--name is for folders and tables: data set 'mtd' keeps"):
        open_dataset("mtd", name="tiles")


def test_what_is_neither_name_nor_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"'mtdd' is neither .* did you mean mtd or mpdd or dtd\?"
    ) as caught:
        open_dataset("mtdd")
    assert str(tmp_path / "mtdd") in str(caught.value)
    assert str(tmp_path / "data" / "mtdd") in str(caught.value)
    with pytest.raises(
        UserError, match=r"'folder' is neither a name nor a folder .*names are .*mtd"
    ):
        open_dataset("folder")
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"'archive\.zip' is neither a name nor a folder"):
        open_dataset("archive.zip")


def test_every_plugin_but_the_readers_of_paths_is_a_name() -> None:
    names = set(plugins.names("asbench.datasets"))
    assert names - set(asbench.datasets._names()) == {"annotated", "folder", "table"}


def test_a_variant_of_a_plugin_with_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"get them with `asbench data fetch mtd`"):
        open_dataset("mtd@grouped")
    (tmp_path / "mtd").mkdir()
    assert open_dataset("mtd@grouped") == Mtd(tmp_path / "mtd", grouped=True)
    with pytest.raises(UserError, match="no variant 'else': choose from mtd, mtd@grouped"):
        open_dataset("mtd@else")


def test_a_table_is_keyed_by_its_name_or_by_its_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Line 3"
    folder.mkdir()
    for file in ("My Parts.csv", "all.JSONL", "meta.json", "mtd.csv"):
        (folder / file).write_text("")
    assert open_dataset(folder / "My Parts.csv") == Table(folder, "My Parts.csv", "my_parts")
    assert open_dataset(str(folder / "all.JSONL")).name == "all"
    assert open_dataset(folder / "meta.json") == Table(folder, "meta.json", "line_3")
    assert open_dataset(folder / "meta.json", name="parts@v2").name == "parts@v2"
    with pytest.raises(UserError, match=r"called 'mtd', .* another with --name NAME\.$"):
        open_dataset(folder / "mtd.csv")
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path))
    assert open_dataset("Line 3/all.JSONL") == Table(folder, "all.JSONL", "all")


def texture(path: Path, level: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((6, 8, 3), level, np.uint8)).save(path)


def test_textures_lie_in_any_arrangement_of_folders(tmp_path: Path) -> None:
    for number, name in enumerate(("rust/b.png", "rust/deep/a.jpg", "linen/c.bmp", ".trash/d.png")):
        texture(tmp_path / "My Bank" / name, 60 + 20 * number)
    bank = open_textures(str(tmp_path / "My Bank"))
    assert (bank.name, bank.categories()) == ("my_bank", ("all",))
    items = bank.train("all")
    assert [i.id for i in items] == ["linen/c.bmp", "rust/b.png", "rust/deep/a.jpg"]
    assert [int(bank.image(i)[0, 0, 0]) for i in items] == [100, 60, 80]
    assert not bank.mask(items[0]).any()
    with pytest.raises(UserError, match="choose all"):
        bank.items("rust")


def test_a_category_of_normals_serves_as_textures(tmp_path: Path) -> None:
    texture(tmp_path / "tile/train/good/0.png")
    texture(tmp_path / "tile/test/crack/0.png")
    bank = open_textures(tmp_path / "tile")
    assert isinstance(bank, Folder)
    assert [i.id for c in bank.categories() for i in bank.train(c)] == ["train/good/0.png"]


def test_textures_in_dtds_layout_are_dtd_wherever_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ASBENCH_DATA", raising=False)
    texture(tmp_path / "dtd/images/banded/banded_0001.jpg")
    bank = open_textures(str(tmp_path / "dtd"))
    assert isinstance(bank, Dtd)
    assert [i.id for i in bank.train("all")] == ["banded/banded_0001.jpg"]


def test_textures_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images in"):
        open_textures(tmp_path / "empty")
    with pytest.raises(UserError, match="did you mean procedural"):
        open_textures("procedual")
