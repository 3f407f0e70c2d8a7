"""MTD: the authors' layout with its oddities on a small tree, and the real one where it is."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from asbench.datasets import mtd
from asbench.datasets.mtd import Mtd
from synth_store.types import UserError

LIST = Path(mtd.__file__).with_name("mtd_test_normals.txt")


def write(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The true layout: grey, sides differ, masks soft, one Uneven mask all zero, README beside."""
    rng = np.random.default_rng(0)
    for stem in [*LIST.read_text().split(), *(f"exp6_num_{i}" for i in range(7))]:
        tile = rng.integers(0, 256, (12, 10), dtype=np.uint8)
        write(tmp_path / "MT_Free" / "Imgs" / f"{stem}.jpg", tile)
        write(tmp_path / "MT_Free" / "Imgs" / f"{stem}.png", tile * 0)
    for defect in ("Blowhole", "Break", "Crack", "Fray", "Uneven"):
        for i in range(4):
            folder, stem = tmp_path / f"MT_{defect}" / "Imgs", f"exp{i}_num_{i}"
            write(folder / f"{stem}.jpg", rng.integers(0, 256, (12, 10 + i), dtype=np.uint8))
            soft = np.tile(np.linspace(0, 255, 10 + i).astype(np.uint8), (12, 1))
            write(folder / f"{stem}.png", soft * 0 if (defect, i) == ("Uneven", 3) else soft)
            (folder / f"._{stem}.png").write_bytes(b"left by another system")
    (tmp_path / "README.md").write_text("As the authors ship it.")
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
    ids = [i.id for i in data.items("tile")]
    assert ids == sorted(ids)
    few = [i.id for i in data.items("tile") if i.few_shot]
    assert few == [
        f"MT_{d}/Imgs/exp0_num_0.jpg" for d in ("Blowhole", "Break", "Crack", "Fray", "Uneven")
    ]
    assert pickle.loads(pickle.dumps(data)).items("tile") == data.items("tile")


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
    write(root / item.id.replace(".jpg", ".png"), np.zeros((3, 4), np.uint8))
    with pytest.raises(UserError, match=r"exp0_num_0\.png is 4 x 3 pixels, .* is 10 x 12"):
        data.mask(item)


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
