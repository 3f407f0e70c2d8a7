"""Small trees of image files in the layouts of published data sets, and archives of files."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from scipy import ndimage

from asbench.datasets import mtd as mtd_plugin

MTD_LIST = Path(mtd_plugin.__file__).with_name("mtd_test_normals.txt")


def picture(seed: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> PIL.Image.Image:
    """Return noise of a size (height, width) in one of Pillow's modes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


def block(size: tuple[int, int] = (12, 10), level: int = 255) -> np.ndarray[Any, Any]:
    """Return a mask's levels: a block of 3 x 4 pixels at `level` on zeros."""
    levels = np.zeros(size, np.uint8)
    levels[2:5, 3:7] = level
    return levels


def save(path: Path, image: PIL.Image.Image | np.ndarray[Any, Any]) -> None:
    """Write an image in the format of its ending, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, np.ndarray):
        image = PIL.Image.fromarray(image)
    image.save(path)


def mvtec(folder: Path, defects: tuple[str, ...], *, mode: str = "RGB", count: int = 4) -> None:
    """Make a category as MVTec AD has it: three-digit PNG names, masks called NNN_mask."""
    for i in range(count):
        save(folder / "train" / "good" / f"{i:03}.png", picture(i, mode=mode))
    for i in range(2):
        save(folder / "test" / "good" / f"{i:03}.png", picture(100 + i, mode=mode))
    for d, defect in enumerate(defects):
        for i in range(count):
            save(folder / "test" / defect / f"{i:03}.png", picture(1000 * d + 200 + i, mode=mode))
            save(folder / "ground_truth" / defect / f"{i:03}_mask.png", block())
    (folder / "license.txt").write_text("as it came")
    (folder / "readme.txt").write_text("as it came")


def btad(root: Path) -> None:
    """Make the three products of BTAD: ok and ko, endings that differ, one that is not square."""
    endings = {"01": ("bmp", "png"), "02": ("png", "png"), "03": ("bmp", "bmp")}
    for number, (product, (image, mask)) in enumerate(endings.items()):
        size = (12, 16) if product == "03" else (12, 12)
        folder = root / product
        for split, kind, count in (("train", "ok", 5), ("test", "ok", 2), ("test", "ko", 4)):
            for i in range(count):
                seed = 1000 * number + 100 * len(split) + 10 * (kind == "ko") + i
                save(folder / split / kind / f"{i:04}.{image}", picture(seed, size))
                if kind == "ko":
                    levels = PIL.Image.fromarray(block(size))
                    if product == "03":
                        levels = levels.convert("RGB")  # three channels, as some copies have
                    save(folder / "ground_truth" / kind / f"{i:04}.{mask}", levels)


def visa(root: Path, products: tuple[str, ...], rows: bool = True) -> None:
    """Make products as VisA's authors lay them out, masks of class numbers, and their split."""
    lines = ["object,split,label,image,mask"]
    for number, product in enumerate(products):
        base = f"{product}/Data"
        for i in range(6):
            image = f"{base}/Images/Normal/{i:04}.JPG"
            save(root / image, picture(1000 * number + i))
            # the split is drawn, so that a test image comes before a train image
            lines.append(f"{product},{'test' if i in (0, 3) else 'train'},normal,{image},")
        for i in range(4):
            image, mask = f"{base}/Images/Anomaly/{i:03}.JPG", f"{base}/Masks/Anomaly/{i:03}.png"
            save(root / image, picture(1000 * number + 100 + i))
            save(root / mask, block(level=i + 1))
            lines.append(f"{product},test,anomaly,{image},{mask}")
        (root / product / "image_anno.csv").write_text("image,label,mask\n")
    if rows:
        (root / "split_csv").mkdir()
        (root / "split_csv" / "1cls.csv").write_text("\r\n".join(lines) + "\r\n", newline="")


def mtd(root: Path) -> None:
    """Make MTD's true layout: grey, sides differ, masks soft, one Uneven all zero, files beside."""
    rng = np.random.default_rng(0)
    for stem in [*MTD_LIST.read_text().split(), *(f"exp6_num_{i}" for i in range(7))]:
        tile = rng.integers(0, 256, (12, 10), dtype=np.uint8)
        save(root / "MT_Free" / "Imgs" / f"{stem}.jpg", tile)
        save(root / "MT_Free" / "Imgs" / f"{stem}.png", tile * 0)
    for defect in ("Blowhole", "Break", "Crack", "Fray", "Uneven"):
        for i in range(4):
            folder, stem = root / f"MT_{defect}" / "Imgs", f"exp{i}_num_{i}"
            save(folder / f"{stem}.jpg", rng.integers(0, 256, (12, 10 + i), dtype=np.uint8))
            soft = np.tile(np.linspace(0, 255, 10 + i).astype(np.uint8), (12, 1))
            save(folder / f"{stem}.png", soft * 0 if (defect, i) == ("Uneven", 3) else soft)
            (folder / f"._{stem}.png").write_bytes(b"left by another system")
    (root / "README.md").write_text("As the authors ship it.")


def dtd(root: Path) -> None:
    """Make two textures of DTD, of two sizes, with what other systems leave beside them."""
    for path, colour, size in (
        ("woven/woven_0002.jpg", (0, 0, 255), (24, 30)),
        ("banded/banded_0001.jpg", (255, 0, 0), (40, 20)),
        ("banded/._banded_0001.jpg", (0, 0, 0), (24, 30)),
        (".hidden/a.jpg", (0, 0, 0), (24, 30)),
        ("banded/thumb.png", (0, 0, 0), (24, 30)),
    ):
        save(root / "images" / path, np.full((*size, 3), colour, np.uint8))
    (root / "labels").mkdir()


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    """Write a ZIP archive of files by name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """Write a TAR archive of files by name, none of them writable, as MVTec AD's are."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o400
            archive.addfile(info, io.BytesIO(content))
    return path


def soft(seed: int, shape: tuple[int, int] = (37, 48)) -> np.ndarray:
    """A mask with soft edges: uint8, two blobs with all levels between."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 4)
    return (np.clip((field / np.abs(field).max() - 0.2) * 8, 0, 1) * 255).astype(np.uint8)
