"""Small trees in the layouts of data sets of 2021 to 2026, with the oddities that they have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from tests.trees import block, picture, save


def loco(root: Path) -> None:
    """Masks in folders, several of one image, marked with the level of their kind of defect."""
    folder = root / "juice_bottle"
    for split, count in (("train", 5), ("validation", 2), ("test", 2)):
        for i in range(count):
            save(folder / split / "good" / f"{i:03}.png", picture(len(split) * 100 + i))
    for d, defect in enumerate(("logical_anomalies", "structural_anomalies")):
        for i in range(4):
            save(folder / "test" / defect / f"{i:03}.png", picture(900 + 10 * d + i))
            truth = folder / "ground_truth" / defect / f"{i:03}"
            save(truth / "000.png", block(level=255 - d))
            if i == 2:
                save(truth / "001.png", np.roll(block(level=254), 5, axis=0))
    kinds = [
        dict(defect_name="missing", pixel_value=255, saturation_threshold=6,
             relative_saturation=False),
        dict(defect_name="scratch", pixel_value=254, saturation_threshold=1,
             relative_saturation=True),
    ]  # fmt: skip
    (folder / "defects_config.json").write_text(json.dumps(kinds))
    (folder / "license.txt").write_text("as it came")


def ad2(root: Path) -> None:
    """Names carry their light; private test sets have no labels."""
    folder = root / "mvtec_ad_2" / "vial"
    for place, count in (
        ("train/good", 5),
        ("validation/good", 2),
        ("test_public/good", 2),
        ("test_public/bad", 4),
        ("test_private", 2),
        ("test_private_mixed", 2),
    ):
        for i in range(count):
            light = ("regular", "overexposed", "shift_1")[i % 3]
            save(folder / place / f"{i:03}_{light}.png", picture(len(place) * 100 + i))
            if place == "test_public/bad":
                truth = folder / "test_public" / "ground_truth" / "bad"
                save(truth / f"{i:03}_{light}_mask.png", block())


def three_d(root: Path) -> None:
    """Photographs, masks and scans beside each other, masks for good ones too."""
    folder = root / "tire"
    for place, count in (
        ("train/good", 5),
        ("validation/good", 2),
        ("test/good", 2),
        ("test/cut", 4),
        ("test/combined", 3),
    ):
        for i in range(count):
            save(folder / place / "rgb" / f"{i:03}.png", picture(len(place) * 100 + i))
            (folder / place / "xyz").mkdir(exist_ok=True)
            (folder / place / "xyz" / f"{i:03}.tiff").write_bytes(b"II*\0 of floats")
            if place.startswith("test"):
                level = 0 if place == "test/good" else 253
                save(folder / place / "gt" / f"{i:03}.png", block(level=level))
    (folder / "calibration").mkdir()
    (folder / "calibration" / "camera_parameters.json").write_text("{}")


def kolektor(root: Path) -> None:
    """Masks beside images tell defects; two stray copies as in the archive."""
    for split, first in (("train", 10000), ("test", 20000)):
        for i in range(9):
            save(root / split / f"{first + i}.png", picture(first + i, (14, 8)))
            save(root / split / f"{first + i}_GT.png", block((14, 8), 255 * (i % 3 == 0)))
    for name in ("10001", "10001_GT"):
        source = root / "train" / f"{name}.png"
        (root / "train" / f"{name} (copy).png").write_bytes(source.read_bytes())


def elpv(root: Path) -> None:
    """Cells as the package holds them: ten normal, two defective and one unsure of each kind."""
    base = root / "elpv_dataset" / "data"
    chances = [0.0] * 10 + [1.0, 1.0, 0.3333333333333333]
    lines = []
    for i, kind in enumerate(["mono"] * 13 + ["poly"] * 13):
        name = f"images/cell{i + 1:04}.png"
        save(base / name, picture(i, mode="L"))
        lines.append(f"{name}  {chances[i % 13]:<19} {kind}")
    (base / "labels.csv").write_text("\n".join(lines) + "\n")


def real_iad(root: Path) -> None:
    """Five views of each part; of a faulty one a view shows nothing and is listed as OK."""
    folder = root / "realiad_1024" / "toy_brick"

    def part(number: int, kind: str) -> list[dict[str, Any]]:
        rows = []
        for view in range(1, 6):
            fault = "" if kind == "OK" else f"NG/{kind}/"
            stem = f"toy_brick_{number:04}_{'OK' if kind == 'OK' else f'NG_{kind}'}_C{view}_2023"
            where = f"{fault or 'OK/'}S{number:04}/{stem}"
            save(folder / f"{where}.jpg", picture(10 * number + view))
            seen = kind != "OK" and view < 5
            if seen:
                save(folder / f"{where}.png", PIL.Image.fromarray(block()))
            rows.append(
                dict(
                    category="toy_brick",
                    anomaly_class=kind if seen else "OK",
                    image_path=f"{where}.jpg",
                    mask_path=f"{where}.png" if seen else None,
                )
            )
        return rows

    train = [row for number in range(2) for row in part(number, "OK")]
    test = [*part(10, "OK"), *part(11, "HS"), *part(12, "ZW")]
    meta = {"normal_class": "OK", "prefix": "toy_brick/", "pre_transform": None}
    for name, views in (("realiad_jsons", "C"), ("realiad_jsons_sv", "C1")):
        lists = {
            split: [row for row in rows if f"_{views}" in row["image_path"]]
            for split, rows in (("train", train), ("test", test))
        }
        path = root / "realiad_jsons" / name / "toy_brick.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"meta": meta, **lists}))
