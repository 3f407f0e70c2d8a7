"""The check: counts, sizes and one line for each file that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from asbench.data.check import Defects, check
from asbench.types import Dataset, Item
from synth_store.types import Image, Mask, UserError

pytestmark = pytest.mark.slow


def write(path: Path, seed: int = 0, size: tuple[int, int] = (9, 12), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).convert(mode).save(path)
    return path


def mask(path: Path, level: int, size: tuple[int, int] = (9, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    pixels[2:4, 2:4] = level
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two categories in the MVTec layout, nothing wrong with them."""
    for seed, category in ((0, "nut"), (100, "bolt")):
        part = tmp_path / "parts" / category
        for i in range(4):
            write(part / f"train/good/{i}.png", seed + i)
            write(part / f"test/dent/{i}.png", seed + 10 + i)
            mask(part / f"ground_truth/dent/{i}_mask.png", 255)
        write(part / "test/good/0.png", seed + 20, (11, 8), "L")
        write(part / "test/cut/0.jpg", seed + 21)
    return tmp_path / "parts"


def reasons(root: Path) -> dict[str, tuple[str, str]]:
    return {
        Path(p.path).relative_to(root).as_posix(): (p.severity, p.reason)
        for p in check(root).problems
    }


def test_a_sound_folder(root: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = check(root, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 20) for i in range(1, 21)]
    assert (report.dataset, report.root) == ("parts", str(root))
    assert report.recognised == "categories in sub-folders; bolt, nut: train and test folders"
    assert report.problems == ()
    assert report.usable
    bolt, nut = report.categories
    assert (bolt.category, nut.category) == ("bolt", "nut")
    assert (nut.train, nut.test_normal) == (4, 1)
    assert nut.defects == {
        "cut": Defects(images=1, masks=0, empty=0, missing=1, unusable=0),
        "dent": Defects(images=4, masks=4, empty=0, missing=0, unusable=0),
    }
    assert (nut.heights, nut.widths) == ((9, 11), (8, 12))
    assert nut.modes == {"L": 1, "RGB": 9}
    assert json.loads(json.dumps(asdict(report)))["categories"][1]["train"] == 4


def test_the_words_for_other_layouts(tmp_path: Path) -> None:
    write(tmp_path / "flat" / "a.png")
    assert check(tmp_path / "flat").recognised == (
        "one category; flat: images of good parts only, all for training"
    )
    for i in range(3):
        write(tmp_path / "pair" / f"ok/{i}.png", i)
    write(tmp_path / "pair" / "ko/0.png", 9)
    assert check(tmp_path / "pair", name="mine").recognised == (
        "one category; pair: normal and anomalous folders side by side, "
        "a fifth of the normals set aside for testing"
    )


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def _deepen(path: Path) -> None:
    PIL.Image.fromarray(np.zeros((9, 12), np.uint16)).save(path)


BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "unreadable": ("nut/train/good/1.png", lambda p: p.write_bytes(b"no"), "is not a readable im"),
    "empty": ("nut/train/good/1.png", lambda p: p.write_bytes(b""), "is empty (0 bytes)."),
    "truncated": ("nut/train/good/1.png", _truncate, "is truncated or damaged: "),
    "truncated jpeg": ("bolt/test/cut/0.jpg", _truncate, "is truncated or damaged: image file is"),
    "16 bits": ("nut/test/good/0.png", _deepen, "has more than 8 bits a channel (mode I;16): save"),
    "alpha": ("nut/test/dent/2.png", lambda p: write(p, mode="RGBA"), "has an alpha channel (mode"),
    "mask size": (
        "nut/ground_truth/dent/2_mask.png",
        lambda p: mask(p, 255, (12, 9)),
        "is 9 x 12 pixels, but its image 2.png is 12 x 9: a mask must",
    ),
    "damaged mask": ("nut/ground_truth/dent/2_mask.png", _truncate, "is truncated or damaged: "),
}


@pytest.mark.parametrize("case", BROKEN)
def test_each_unusable_file_is_named_with_its_reason(root: Path, case: str) -> None:
    name, spoil, reason = BROKEN[case]
    spoil(root / name)
    found = reasons(root)
    assert list(found) == [name]
    assert found[name][0] == "unusable"
    assert found[name][1].startswith(reason)
    report = check(root)
    assert not report.usable
    dent = next(c for c in report.categories if c.category == "nut").defects["dent"]
    assert (dent.images, dent.unusable) == (4, int("dent" in name))
    assert dent.masks == 4 - dent.unusable


def test_warnings(root: Path) -> None:
    mask(root / "nut/ground_truth/dent/2_mask.png", 0)
    mask(root / "nut/ground_truth/dent/9_mask.png", 255)
    write(root / "nut/train/bad/0.png", 50)
    write(root / "cover.png", 51)
    write(root / "nut/test/good/7.bmp", 2)
    report = check(root)
    assert report.usable
    assert reasons(root) == {
        "nut/ground_truth/dent/2_mask.png": (
            "warning",
            "marks nothing: its image counts as anomalous, its pixels are not scored.",
        ),
        "nut/ground_truth/dent/9_mask.png": ("warning", "is a mask without an image."),
        "nut/train/bad/0.png": (
            "warning",
            "lies in train, of which only a folder good, ok or normal is read.",
        ),
        "cover.png": ("warning", "lies outside every category."),
        "nut/test/good/7.bmp": (
            "warning",
            f"has the pixels of {root / 'nut/train/good/2.png'}: train leaks into test.",
        ),
    }
    nut = report.categories[1]
    assert nut.defects["dent"] == Defects(images=4, masks=3, empty=1, missing=0, unusable=0)


def test_equal_bytes_of_another_shape_are_no_leak(tmp_path: Path) -> None:
    for name, size in (("good/a.png", (8, 12)), ("good/b.png", (8, 12)), ("bad/c.png", (12, 8))):
        path = tmp_path / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)
    leaks = [Path(p.path).parent.name for p in check(tmp_path / "p").problems]
    assert leaks == ["good"], "one of the two equal normals was set aside for testing"


def test_nothing_readable_still_gives_a_report(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(b"")
    (category,) = check(tmp_path / "p").categories
    assert (category.train, category.heights, category.modes) == (1, None, {})


def test_what_is_no_data_set_raises(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with pytest.raises(UserError, match=r"holds no image that can be read; accepted layouts"):
        check(tmp_path / "p")


def test_a_plugin_is_checked_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asbench.datasets.mtd as mtd

    imgs = tmp_path / "mtd" / "MT_Free" / "Imgs"
    stems = Path(mtd.__file__).with_name("mtd_test_normals.txt").read_text().split()
    for i, stem in enumerate([*stems, "exp9_num_0"]):
        write(imgs / f"{stem}.jpg", i, mode="L")
    for i, defect in enumerate(mtd.DEFECTS):
        write(tmp_path / "mtd" / f"MT_{defect}" / "Imgs" / "exp0_num_0.jpg", 90 + i, mode="L")
        level = 0 if defect == "Uneven" else 255
        mask(tmp_path / "mtd" / f"MT_{defect}" / "Imgs" / "exp0_num_0.png", level)
    monkeypatch.setenv("ASBENCH_DATA", str(tmp_path))
    report = check("mtd")
    assert report.recognised.startswith("The magnetic tiles under `root`")
    (tile,) = report.categories
    assert (tile.train, tile.test_normal) == (1, 50)
    assert tile.defects["uneven"] == Defects(images=1, masks=0, empty=1, missing=0, unusable=0)
    assert tile.defects["crack"] == Defects(images=1, masks=1, empty=0, missing=0, unusable=0)
    assert [Path(p.path).parts[-3] for p in report.problems] == ["MT_Uneven"]
    assert report.usable
    assert report.differences is not None
    assert report.differences[:2] == (
        "in all: 1 train normals here, 902 printed",
        "in all: 5 test anomalies here, 392 printed",
    )
    assert report.differences[-1].startswith("sides of 9-12 pixels here, 113-491 printed; the aut")


def test_a_table_is_checked_alike(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.png", i)
    write(tmp_path / "damaged.png").write_bytes(b"no")
    mask(tmp_path / "dark.png", 1)
    rows = ["0.png,0,train,", "1.png,1,test,dark.png", "2.png,1,test,", "damaged.png,0,test,"]
    (tmp_path / "t.csv").write_text("image_path,label,split,mask_path\n" + "\n".join(rows))
    report = check(tmp_path / "t.csv", name="parts")
    assert report.recognised == "a table of 4 images"
    assert report.differences is None
    (category,) = report.categories
    assert category.defects == {"anomaly": Defects(2, masks=1, empty=0, missing=1, unusable=0)}
    assert {Path(p.path).name for p in report.problems} == {"damaged.png", "dark.png"}


@dataclass(frozen=True)
class Generated(Dataset):
    """A data set without files."""

    name = "generated"

    def categories(self) -> tuple[str, ...]:
        return ("a",)

    def items(self, category: str) -> tuple[Item, ...]:
        return (
            Item("0", "a", "train", 0),
            Item("1", "a", "test", 1, "dent"),
            Item("2", "a", "test", 1, "dent"),
            Item("3", "a", "test", 1, "dent"),
            Item("4", "a", "test", 0),
        )

    def image(self, item: Item) -> Image:
        if item.id == "4":
            raise UserError("this one cannot be drawn.")
        return np.full((8, 9, 3), 1 if item.id == "3" else int(item.id) + 1, np.uint8)

    def mask(self, item: Item) -> Mask | None:
        return None if item.id == "1" else np.full((8, 9), item.id == "3")


def test_a_data_set_without_files_is_checked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asbench.data.check.open_dataset", lambda *a, **k: Generated())
    report = check("generated")
    assert (report.root, report.recognised) == (None, "A data set without files.")
    (category,) = report.categories
    assert category.defects == {"dent": Defects(3, masks=1, empty=1, missing=1, unusable=0)}
    assert category.heights == (8, 8)
    assert [(p.path, p.reason) for p in report.problems] == [
        ("a/4", "this one cannot be drawn."),
        ("a/2", "marks nothing: its image counts as anomalous, its pixels are not scored."),
        ("a/3", "has the pixels of a/0: train leaks into test."),
    ]


def _spoil(root: Path, how: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> None:
    for path in (root / "nut/ground_truth/dent").iterdir():
        PIL.Image.fromarray(how(np.array(PIL.Image.open(path)))).save(path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda m: m // 255, "marks with one level of at most 127"),
        (lambda m: 255 - m, "is white around black: it is read inverted"),
        (lambda m: np.stack([m, m * 0, m * 0], 2), "codes kinds of defects by level or colour"),
        (
            lambda m: m // 3 + np.uint8(255) * (np.indices(m.shape).sum(0) == 19),
            "codes kinds of defects",
        ),
        (lambda m: m * 0 + 255, "marks the whole image."),
    ],
)
def test_how_masks_are_coded_is_said_once_with_three_examples(
    root: Path, how: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]], said: str
) -> None:
    _spoil(root, how)
    report = check(root)
    assert report.usable
    assert len(report.problems) == 4
    assert all(p.reason.startswith(said) for p in report.problems)
    *examples, count = report.folded
    assert [line.split(": ")[0] for line in examples] == ["warning"] * 3
    assert count.startswith("  ... 4 files in all: ")


def test_files_that_cannot_be_used_are_never_folded(root: Path) -> None:
    for path in (root / "nut/train/good").iterdir():
        path.write_bytes(b"")
    assert sum(line.startswith("unusable: ") for line in check(root).folded) == 4


def test_what_cannot_be_scored_is_said(tmp_path: Path) -> None:
    write(tmp_path / "flat/a.png")
    write(tmp_path / "one/train/good/a.png")
    write(tmp_path / "one/test/bad/a.png", 1)
    for folder in ("maskless", "normal", "sound"):
        write(tmp_path / folder / "train/good/a.png")
        write(tmp_path / folder / "test/good/a.png", 1)
    write(tmp_path / "maskless/test/bad/a.png", 2)
    write(tmp_path / "sound/test/bad/a.png", 2)
    mask(tmp_path / "sound/test/bad/a_mask.png", 255)
    said = {p.name: check(p).categories[0].unscored for p in tmp_path.iterdir()}
    assert said.pop("sound") == ""
    assert {name: words.split(":")[0] for name, words in said.items()} == {
        "flat": "has no test images",
        "one": "has no normal test images",
        "normal": "has no anomalous test images",
        "maskless": "has no usable masks",
    }


def test_turned_photographs_are_said(root: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    path = root / "nut/test/cut/0.jpg"
    PIL.Image.open(path).save(path, exif=exif)
    assert reasons(root) == {
        "nut/test/cut/0.jpg": (
            "warning",
            "is turned as its camera noted (EXIF), and its mask with it.",
        )
    }
