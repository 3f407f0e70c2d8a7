"""The contract, over every data set that ships: those of files on small trees in their layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from asbench import plugins
from asbench.datasets import open_dataset
from asbench.datasets._bank import Bank
from asbench.datasets.annotated import Annotated
from asbench.datasets.btad import Btad
from asbench.datasets.dtd import Dtd
from asbench.datasets.elpv import Elpv
from asbench.datasets.folder import Folder
from asbench.datasets.kolektorsdd2 import Kolektorsdd2
from asbench.datasets.mpdd import Mpdd
from asbench.datasets.mtd import Mtd
from asbench.datasets.mvtec import Mvtec
from asbench.datasets.mvtec_3d import Mvtec3d
from asbench.datasets.mvtec_ad2 import MvtecAd2
from asbench.datasets.mvtec_loco import MvtecLoco
from asbench.datasets.real_iad import RealIad
from asbench.datasets.table import Table
from asbench.datasets.visa import Visa
from asbench.testing import DatasetContract
from asbench.types import Dataset
from tests import newer_trees, trees

pytestmark = pytest.mark.slow

PACKAGE = "asbench.datasets"


def of_categories(root: Path) -> None:
    trees.mvtec(root / "bottle", ("broken_large", "contamination"))
    trees.mvtec(root / "grid", ("bent",), mode="L")


def of_metal(root: Path) -> None:
    trees.mvtec(root / "tubes", ("anomalous",))


def of_products(root: Path) -> None:
    trees.visa(root, ("candle", "pcb1"))


def of_rows(root: Path) -> None:
    lines = ["image_path,label,split,mask_path"]
    for i in range(8):
        label, split = int(i > 4), "train" if i < 3 else "test"
        trees.save(root / f"{i}.png", trees.picture(i))
        trees.save(root / f"m{i}.png", trees.block())
        lines.append(f"{i}.png,{label},{split},{f'm{i}.png' if i > 5 else ''}")
    (root / "t.csv").write_text("\n".join(lines))


def of_outlines(root: Path) -> None:
    """Half of six photographs with a polygon, as Label Studio writes YOLO."""
    for i in range(6):
        trees.save(root / "images" / f"{i}.png", trees.picture(i))
        label = root / "labels" / f"{i}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 .2 .2 .6 .2 .6 .6\n" * (i % 2))
    (root / "classes.txt").write_text("scratch\n")


SHIPPED: dict[str, tuple[Callable[[Path], None], Callable[[Path], Dataset]]] = {
    "annotated": (of_outlines, lambda root: Annotated(root, "mine")),
    "btad": (trees.btad, Btad),
    "elpv": (newer_trees.elpv, Elpv),
    "kolektorsdd2": (newer_trees.kolektor, Kolektorsdd2),
    "mvtec_3d": (newer_trees.three_d, Mvtec3d),
    "mvtec_ad2": (newer_trees.ad2, MvtecAd2),
    "mvtec_loco": (newer_trees.loco, MvtecLoco),
    "real_iad": (newer_trees.real_iad, RealIad),
    "dtd": (trees.dtd, Dtd),
    "folder": (of_categories, lambda root: Folder(root, "mine")),
    "mpdd": (of_metal, Mpdd),
    "mtd": (trees.mtd, Mtd),
    "mvtec": (of_categories, Mvtec),
    "table": (of_rows, lambda root: Table(root, "t.csv", "rows")),
    "visa": (of_products, Visa),
}
"""What makes a tree, and what reads it."""


def drawn() -> list[str]:
    """Return the data sets without files."""
    classes = {n: plugins.load(PACKAGE, n, Dataset) for n in plugins.names(PACKAGE)}
    return [n for n, cls in classes.items() if "root" not in cls.__dataclass_fields__]


def test_every_other_data_set_of_files_is_held_to_it_beside_its_own_tests() -> None:
    for name in {*plugins.names(PACKAGE)} - {*drawn(), *SHIPPED}:
        tests = Path(__file__).with_name(f"test_{name}.py")
        assert "(DatasetContract)" in tests.read_text(), f"hold {name} to the contract in {tests}"


@pytest.fixture(scope="module", params=[*drawn(), *SHIPPED])
def shipped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    if request.param not in SHIPPED:
        return open_dataset(request.param)
    make, read = SHIPPED[request.param]
    root = tmp_path_factory.mktemp(request.param)
    make(root)
    return read(root)


class TestShipped(DatasetContract):
    @pytest.fixture
    def dataset(self, shipped: Dataset) -> Dataset:
        return shipped


class TestBank(DatasetContract):
    @pytest.fixture
    def dataset(self, tmp_path: Path) -> Dataset:
        of_categories(tmp_path)
        return Bank(tmp_path, "bank")
