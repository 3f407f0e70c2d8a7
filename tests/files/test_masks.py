"""What masks mark, however they are coded, and which names are masks'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest

from asbench.files.images import FileError
from asbench.files.mask_places import marked_stem
from asbench.files.masks import any_marked, read_marked

WHERE = np.zeros((40, 50), bool)
WHERE[5:15, 8:20] = WHERE[25:26, 3:44] = True
HALF = np.zeros((40, 50), bool)
HALF[:, :14] = True


def levels(low: int, high: int) -> np.ndarray[Any, Any]:
    return np.select([WHERE & HALF, WHERE], [low, high], 0).astype(np.uint8)


def colours(*of: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    made = np.full((40, 50, 3), of[0], np.uint8)
    made[WHERE] = of[1]
    made[WHERE & HALF] = of[-1]
    return made


def palette(*of: tuple[int, int, int]) -> PIL.Image.Image:
    image = PIL.Image.fromarray(levels(2, 1)).convert("L")
    indices = PIL.Image.frombytes("P", image.size, image.tobytes())
    indices.putpalette([part for colour in of for part in colour])
    return indices


CODED: dict[str, tuple[Any, str]] = {
    "plain": (levels(255, 255), "plain"),
    "bits": (PIL.Image.fromarray(WHERE), "plain"),
    "another level": (levels(236, 236), "plain"),
    "ones": (levels(1, 1), "dark"),
    "class numbers": (levels(1, 2), "classes"),
    "far levels": (levels(120, 200), "classes"),
    "a dark kind beside white": (levels(40, 255), "classes"),
    "red": (colours((0, 0, 0), (255, 0, 0)), "classes"),
    "blue and yellow": (colours((0, 0, 0), (0, 0, 255), (255, 255, 0)), "classes"),
    "black on white": (255 - levels(255, 255), "inverted"),
    "0 on 1": (1 - levels(1, 1), "inverted"),
    "red and blue on white": (colours((255,) * 3, (255, 0, 0), (0, 0, 255)), "inverted"),
    "palette": (palette((0, 0, 0), (128, 0, 0), (0, 128, 0)), "classes"),
    "palette of greys": (palette((0, 0, 0), (1, 1, 1), (1, 1, 1)), "dark"),
    "palette all black": (palette((0, 0, 0), (0, 0, 0), (0, 0, 0)), "classes"),
    "palette inverted": (palette((255, 255, 255), (0, 0, 0), (0, 0, 0)), "inverted"),
}


@pytest.mark.parametrize("case", CODED)
@pytest.mark.parametrize("ending", ["png", "bmp"])
def test_all_that_is_marked_is_anomalous(tmp_path: Path, case: str, ending: str) -> None:
    pixels, code = CODED[case]
    image = pixels if isinstance(pixels, PIL.Image.Image) else PIL.Image.fromarray(pixels)
    image.save(tmp_path / f"m.{ending}")
    read = read_marked(tmp_path / f"m.{ending}")
    assert read.code == code
    assert np.array_equal(read.mask, WHERE)


def _blurred(white: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return cv2.GaussianBlur(white, (0, 0), 2)


def _scaled(white: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return cv2.resize(white, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_LINEAR)


def _boxed(white: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return cv2.blur(white, (3, 3))


@pytest.mark.parametrize("soften", [_blurred, _scaled, _boxed])
@pytest.mark.parametrize("shape", ["box", "disc", "slant"])
def test_soft_edges_are_cut_above_127(tmp_path: Path, soften: Any, shape: str) -> None:
    white = np.zeros((60, 60), np.uint8)
    if shape == "box":
        white[20:40, 15:45] = 255
    elif shape == "disc":
        cv2.circle(white, (30, 30), 14, 255, -1)
    else:
        cv2.line(white, (5, 9), (55, 44), 255, 7)
    soft = soften(white)
    PIL.Image.fromarray(soft).save(tmp_path / "m.png")
    read = read_marked(tmp_path / "m.png")
    assert read.code == "soft"
    assert np.array_equal(read.mask, soft > 127)
    PIL.Image.fromarray(white).save(tmp_path / "m.jpg", quality=80)
    assert (read_marked(tmp_path / "m.jpg").mask != (white > 0)).mean() < 0.01


def test_soft_and_dark_is_refused_and_nothing_is_nothing(tmp_path: Path) -> None:
    white = np.zeros((60, 60), np.uint8)
    cv2.circle(white, (30, 30), 14, 120, -1)
    PIL.Image.fromarray(cv2.GaussianBlur(white, (0, 0), 5)).save(tmp_path / "dark.png")
    with pytest.raises(FileError, match=r"nothing above level 127 .* write anomalous pixels as 25"):
        read_marked(tmp_path / "dark.png")
    PIL.Image.fromarray(white * 0).save(tmp_path / "none.png")
    assert any_marked(tmp_path / "none.png") is None


@pytest.mark.parametrize(
    ("stem", "image"),
    [
        ("0_GT", "0"),
        ("a_gt", "a"),
        ("a b_label", "a b"),
        ("x_MASK", "x"),
        ("x-mask", "x"),
        ("mask_7", "7"),
        ("x_mask", "x"),
        ("x.mask", "x"),
        ("Mask-x_1", "x_1"),
        ("x_ground_truth", "x"),
        ("mask", None),
        ("unmasked", None),
        ("labelled_1", None),
        ("_mask", None),
    ],
)
def test_the_names_of_masks(stem: str, image: str | None) -> None:
    assert marked_stem(stem) == image
