"""Which photographs may choose: none that scores, and what is no defect is not taken for one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from asbench.advising.real_defects import RealDefects, read_defects
from asbench.datasets import open_dataset
from asbench.progress import quiet
from synth_store import Geometry, UserError

SMALL = Geometry(32, 32)


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def marking(path: Path, side: int = 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((40, 40), np.uint8)
    mask[5 : 5 + side, 5:25] = 255
    Image.fromarray(mask).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A data set of one category: nine dents, of which the first three are few-shot."""
    for i in range(4):
        picture(tmp_path / f"photos/train/good/{i}.png", i)
    picture(tmp_path / "photos/test/good/0.png", 90)
    for i in range(9):
        picture(tmp_path / f"photos/test/dent/{i}.png", 10 + i)
        marking(tmp_path / f"photos/ground_truth/dent/{i}_mask.png")
    return tmp_path / "photos"


def read(folder: Path, photos: Path, geometry: Geometry = SMALL) -> RealDefects:
    return read_defects(folder, open_dataset(photos), "photos", geometry, quiet)


def test_of_its_own_defects_only_the_few_shot_third_is_looked_at(photos: Path) -> None:
    for folder in (photos / "test", photos / "test/dent"):
        found = read(folder, photos)
        assert found.few_shot == tuple(f"test/dent/{i}.png" for i in range(3))
        assert found.scored == 6
        assert found.masked.all()  # of the data set, wherever its masks lie
        assert [image.shape for image in found.images] == [(32, 32, 3)] * 3
        said = " ".join(found.said("photos/photos"))
        assert "3 of them are of its own few-shot third" in said
        assert "6 more in that folder are what runs are scored on" in said


def test_a_copy_under_another_name_and_format_is_told(photos: Path, tmp_path: Path) -> None:
    for i in range(3, 6):
        (tmp_path / "copies").mkdir(exist_ok=True)
        with Image.open(photos / f"test/dent/{i}.png") as image:
            image.save(tmp_path / f"copies/other{i}.bmp")
    with pytest.raises(UserError, match=r"no defect to look at \(3 more are images that runs on"):
        read(tmp_path / "copies", photos)


def test_others_are_taken_with_the_masks_beside_them(photos: Path, tmp_path: Path) -> None:
    others = tmp_path / "others"
    for i in range(4):
        picture(others / f"crack/{i}.png", 50 + i)
    picture(others / "good/0.png", 70)
    shutil.copy(others / "crack/0.png", others / "crack/again.png")
    marking(others / "crack/0_mask.png", side=6)
    marking(others / "ground_truth/crack/1.png")
    found = read(others, photos)
    assert len(found) == 4
    assert found.masked.tolist() == [True, True, False, False]
    assert (found.few_shot, found.scored) == ((), 0)
    assert sorted(found.sizes.breadths) == [6, 10]
    assert len(found.said("photos/photos")) == 1


def test_what_cannot_choose_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such folder"):
        read(tmp_path / "nothing", photos)
    few = tmp_path / "few"
    picture(few / "a.png", 1000)
    with pytest.raises(UserError, match="has 1 defects to look at, and 3 at least are needed"):
        read(few, photos)
    tiles = Geometry(32, 32, "tile", 1.0, 4)
    with pytest.raises(UserError, match="has no mask, and of a photograph that is cut"):
        read(few, photos, tiles)
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(few / "a_mask.png")
    with pytest.raises(UserError, match="is 40x40 pixels and its mask 8x8"):
        read(few, photos)
