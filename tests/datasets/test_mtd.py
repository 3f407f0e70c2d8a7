"""MTD: the authors' layout with its oddities on a small tree, and the real one where it is."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from asbench.datasets import mtd
from asbench.datasets.mtd import Mtd
from asbench.testing import DatasetContract
from asbench.types import Dataset
from synth_store.types import UserError
from tests import trees

pytestmark = pytest.mark.slow

LIST = Path(mtd.__file__).with_name("mtd_test_normals.txt")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    trees.mtd(tmp_path)
    return tmp_path


def test_the_split_labels_and_types_come_from_folders_and_the_list(root: Path) -> None:
    data = Mtd(root)
    assert data.name == "mtd"
    assert data.categories() == ("tile",)
    assert [i.id for i in data.train("tile")] == [
        f"MT_Free/Imgs/exp6_num_{i}.jpg" for i in range(7)
    ]
    assert {Path(i.id).stem for i in data.test("tile") if not i.label} == set(
        LIST.read_text().split()
    )
    types = Counter(i.defect for i in data.test("tile") if i.label)
    assert types == dict.fromkeys(["blowhole", "break", "crack", "fray", "uneven"], 4)
    few = [i.id for i in data.items("tile") if i.few_shot]
    assert few == [
        f"MT_{d}/Imgs/exp0_num_0.jpg" for d in ("Blowhole", "Break", "Crack", "Fray", "Uneven")
    ]


def test_masks_are_cut_above_127_and_an_unmarked_one_is_no_mask(root: Path) -> None:
    data = Mtd(root)
    for item in data.items("tile"):
        image, mask = data.image(item), data.mask(item)
        assert (image[..., 0] == image[..., 2]).all()
        if item.id == "MT_Uneven/Imgs/exp3_num_3.jpg":
            assert item.label == 1
            assert mask is None
        else:
            assert mask is not None
            assert mask.shape == image.shape[:2]
            levels = np.linspace(0, 255, image.shape[1]).astype(np.uint8)
            assert np.array_equal(mask, np.tile((levels > 127) & bool(item.label), (12, 1)))


def test_another_category_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match="'tiles' is not in mtd: its one category is tile"):
        Mtd(root).items("tiles")


def test_what_the_layout_lacks_is_named(root: Path) -> None:
    free, crack = (root / f"MT_{k}" / "Imgs" for k in ("Free", "Crack"))
    stem = LIST.read_text().split()[0]
    kept = (free / f"{stem}.jpg").read_bytes()
    (free / f"{stem}.jpg").unlink()
    with pytest.raises(UserError, match=rf"1 test normals of the .*: {stem}\.jpg\. Copy"):
        Mtd(root).items("tile")
    (free / f"{stem}.jpg").write_bytes(kept)

    (crack / "exp0_num_0.png").unlink()
    with pytest.raises(UserError, match=r"1 masks missing in .*Crack.*: exp0_num_0\.png\."):
        Mtd(root).items("tile")
    (crack / "exp0_num_0.jpg").unlink()
    (crack / "exp1_num_1.jpg").unlink()
    with pytest.raises(UserError, match=r"1 images missing in .*Crack.*: exp1_num_1\.jpg\."):
        Mtd(root).items("tile")
    for path in crack.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"no \.jpg image in .*Crack.* must hold .* MT_Uneven/Imgs"):
        Mtd(root).items("tile")


def test_a_mask_of_another_size_is_refused(root: Path) -> None:
    data = Mtd(root)
    item = next(i for i in data.items("tile") if i.defect == "fray")
    trees.save(root / item.id.replace(".jpg", ".png"), np.zeros((3, 4), np.uint8))
    with pytest.raises(UserError, match=r"exp0_num_0\.png is 4 x 3 pixels, .* is 10 x 12"):
        data.mask(item)


def test_groups_are_runs_of_numbers_and_pieces_taken_again() -> None:
    ids = [
        f"MT_Free/Imgs/exp{k}_num_{n}.jpg" for k, n in [(1, 900), (2, 1100), (3, 700), (1, 1301)]
    ]
    ids += ["MT_Crack/Imgs/exp4_num_1000.jpg", "a/exp1_num_37098.jpg", "b/exp2_num_40000.jpg"]
    ids += ["b/exp3_num_37556.jpg", "b/exp4_num_37560.jpg"]
    found = mtd.groups(ids)
    grouped: dict[int, set[int]] = {}
    for id_, group in found.items():
        grouped.setdefault(group, set()).add(int(Path(id_).stem.rpartition("_")[2]))
    assert [grouped[g] for g in sorted(grouped)] == [
        {700, 900, 1000, 1100},  # jumps of 200 and less, whatever the exposure and the class
        {1301},
        {37098, 37556, 37560},  # far apart, and known to be one piece
        {40000},
    ]
    assert mtd.groups(reversed(ids)) == found
    assert mtd.groups([]) == {}
    with pytest.raises(UserError, match=r"x/tile\.jpg is not named expK_num_N .* Use mtd\."):
        mtd.groups(["x/tile.jpg"])


@pytest.fixture
def tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fifty tiles of six exposures; every fifth has defects, its last two exposures being free."""
    monkeypatch.setattr(mtd, "_WHOLE", 300)
    pixels = np.zeros((4, 5), np.uint8)
    for tile in range(50):
        defect = mtd.DEFECTS[tile // 5 % 5] if tile % 5 == 0 else "Free"
        for k in range(1, 7):
            kind = defect if k < 5 else "Free"
            stem = f"exp{k}_num_{1000 * tile + 20 * k}"
            trees.save(tmp_path / f"MT_{kind}" / "Imgs" / f"{stem}.jpg", pixels)
            trees.save(tmp_path / f"MT_{kind}" / "Imgs" / f"{stem}.png", pixels)
    return tmp_path


class TestGroups(DatasetContract):
    lowest_third = False  # marks go to whole groups

    @pytest.fixture
    def dataset(self, tiles: Path) -> Dataset:
        return Mtd(tiles, grouped=True)


def test_the_grouped_split_puts_every_tile_on_one_side(tiles: Path) -> None:
    data = Mtd(tiles, grouped=True)
    assert data.name == "mtd@grouped"
    items = data.items("tile")
    assert [i.id for i in items] == sorted(i.id for i in items)
    tile = {i.id: int(Path(i.id).stem.rpartition("_")[2]) // 1000 for i in items}
    tested = {tile[i.id] for i in data.test("tile")}
    assert not tested & {tile[i.id] for i in data.train("tile")}
    # of the forty sound tiles 1, 2, 3, 4, 6, ... every twentieth, the first included
    assert tested == {*range(0, 50, 5), 1, 26}
    assert all(i.split == "test" for i in items if i.label)
    assert not any(i.few_shot for i in items), "a third of two tiles of a type is none"


def test_few_shot_marks_go_to_whole_groups(tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((4, 5), np.uint8)
    for tile in range(50, 54):
        for k in range(1, 7):
            for ending in ("jpg", "png"):
                stem = f"exp{k}_num_{1000 * tile + k}"
                trees.save(tiles / "MT_Crack" / "Imgs" / f"{stem}.{ending}", pixels)
    with pytest.raises(UserError, match=r"holds 324 images, not the 300 of the whole set"):
        Mtd(tiles, grouped=True).items("tile")
    monkeypatch.setattr(mtd, "_WHOLE", 324)
    data = Mtd(tiles, grouped=True)
    cracks = [i for i in data.items("tile") if i.defect == "crack"]
    few = [i for i in cracks if i.few_shot]
    assert len(cracks) == 4 + 4 + 24
    assert {int(Path(i.id).stem.rpartition("_")[2]) // 1000 for i in few} == {10, 35}
    assert len(few) == 8 <= 32 // 3
    assert not any(i.few_shot for i in data.items("tile") if i.defect != "crack")


@pytest.mark.data
def test_no_look_alikes_across_the_groups_of_the_real_set() -> None:
    where = os.environ.get("ASBENCH_DATA")
    if not where or not (Path(where) / "mtd").is_dir():
        pytest.skip("ASBENCH_DATA names no folder with mtd in it")
    data = Mtd(Path(where) / "mtd", grouped=True)
    items = data.items("tile")
    counts = Counter((i.split, i.label) for i in items)
    assert counts == {("train", 0): 785, ("test", 0): 167, ("test", 1): 392}
    found = mtd.groups(i.id for i in items)
    sizes = Counter(Counter(found.values()).values())
    assert sizes[6] == 163, "six exposures of one piece"
    thumbnails = []
    for item in items:
        file = PIL.Image.open(data.image_path(item))
        small = np.asarray(file.resize((48, 48), PIL.Image.Resampling.BOX), np.float64).ravel()
        centred = small - small.mean()
        thumbnails.append(centred / np.linalg.norm(centred))
    alike = np.array(thumbnails) @ np.array(thumbnails).T
    group = np.array([found[i.id] for i in items])
    assert alike[group[:, None] != group].max() < 0.98
    normal = np.array([not i.label for i in items])

    def nearest(data: Mtd) -> float:
        """Return the share of test normals that have a look-alike to train on."""
        train = np.array([i.split == "train" for i in data.items("tile")])
        return float((alike[np.ix_(normal & ~train, train)].max(1) > 0.97).mean())

    assert nearest(data) < 0.01
    assert nearest(Mtd(data.root)) > 0.6


@pytest.mark.data
def test_the_real_counts_and_the_four_unmarked_tiles() -> None:
    where = os.environ.get("ASBENCH_DATA")
    if not where or not (Path(where) / "mtd").is_dir():
        pytest.skip("ASBENCH_DATA names no folder with mtd in it")
    data = Mtd(Path(where) / "mtd")
    test = data.test("tile")
    assert len(data.train("tile")) == 902
    assert Counter(i.defect for i in test) == {
        "good": 50,
        "blowhole": 115,
        "break": 85,
        "crack": 57,
        "fray": 32,
        "uneven": 103,
    }
    free = sorted(Path(i.id).stem for i in data.items("tile") if not i.label)
    drawn = np.random.RandomState(0).permutation(len(free))[:50]
    assert LIST.read_text().split() == sorted(free[i] for i in drawn)
    unmarked = {Path(i.id).stem for i in test if i.label and data.mask(i) is None}
    assert unmarked == {
        "exp3_num_45042",
        "exp4_num_124690",
        "exp4_num_352527",
        "exp4_num_45057",
    }
