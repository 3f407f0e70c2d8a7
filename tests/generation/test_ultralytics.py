"""What leaves the store as YOLO is read by ultralytics' own dataset; skipped where it is not.

ultralytics is AGPL-3.0, so no extra of ours brings it: `pip install ultralytics --no-deps` beside
what is here, for it would bring a second OpenCV. It runs in a process of its own: importing it
changes how torch, NumPy and OpenCV behave, and it writes settings to the user's home.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import asbench
from asbench.generation.export_set import export_set
from synth_store import Geometry, StoreKey, SynthStore
from tests.synth_store.making import CATEGORY, generate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ultralytics") is None,
        reason="needs ultralytics: pip install ultralytics --no-deps",
    ),
]

READER = """
import sys
from pathlib import Path
import numpy as np
from ultralytics.cfg import get_cfg
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset, polygons2masks

described = check_det_dataset(sys.argv[1], autodownload=False)
full_size = get_cfg(overrides={"mask_ratio": 1, "overlap_mask": False})
longest = int(sys.argv[3])
read = YOLODataset(
    img_path=described["train"], imgsz=longest, data=described, task="segment", augment=False,
    hyp=full_size,
)
held = {}
for i, (file, label) in enumerate(zip(read.im_files, read.labels, strict=True)):
    name, (height, width) = Path(file).stem, label["shape"]
    outlines = [shares * np.float32([width, height]) for shares in label["segments"]]
    filled = [mask > 0 for mask in polygons2masks((height, width), outlines, 1)]
    batch = read[i]
    (left, top) = batch["ratio_pad"][1]
    part = np.s_[..., top : top + height, left : left + width]
    trained = batch["masks"].numpy()[part] > 0
    nothing = np.zeros((1, height, width), bool)
    held[name + "/image"] = batch["img"].numpy()[part].transpose(1, 2, 0)
    held[name + "/filled"] = np.any([*nothing, *filled], 0)
    held[name + "/trained"] = trained.any(0) if filled else nothing[0]
    held[name + "/classes"] = np.array([described["names"][int(c)] for c in label["cls"].ravel()])
np.savez(sys.argv[2], **held)
"""


def as_read(place: Path, home: Path, longest: int) -> dict[str, np.ndarray]:
    """Let ultralytics read an export: image, filled, trained and classes of each `<name>/`."""
    home.mkdir()
    arguments = [place / "data.yaml", home / "read.npz", str(longest)]
    here = {"YOLO_CONFIG_DIR": str(home), "YOLO_OFFLINE": "true", "HOME": str(home)}
    subprocess.run(
        [sys.executable, "-c", READER, *arguments], check=True, env=os.environ | here, timeout=240
    )
    with np.load(home / "read.npz") as read:
        return dict(read)


def test_images_masks_and_classes_are_the_stored_ones(tmp_path: Path) -> None:
    """Wider than tall, odd in both, two methods: what it pads is not looked at."""
    store = SynthStore.create(tmp_path / "store", Geometry(33, 47))
    keys = ("toy/boxes/0", "toy/others@wide/1")
    for key, count in zip(keys, (5, 3), strict=True):
        generate(store, count, key=StoreKey.parse(key))
    (one,) = export_set(store, keys, tmp_path / "out", form="yolo")
    read = as_read(one.place, tmp_path / "home", 47)
    assert len(read) == 4 * (5 + 3 + 6)
    for i, normal in enumerate(store.read(StoreKey.parse(keys[0]), CATEGORY).normals):
        assert np.array_equal(read[f"good_{i:04d}/image"], normal)
        assert not read[f"good_{i:04d}/filled"].any()
        assert not read[f"good_{i:04d}/classes"].size
    for key in map(StoreKey.parse, keys):
        for i, sample in enumerate(store.read(key, CATEGORY)):
            name = f"{key.method}_{key.seed}_{i:04d}"
            assert np.array_equal(read[f"{name}/image"], sample.image)
            assert np.array_equal(read[f"{name}/filled"], sample.mask)
            assert np.array_equal(read[f"{name}/trained"], sample.mask)
            assert set(read[f"{name}/classes"]) == {key.method}
    (again,) = export_set(store, keys, tmp_path / "out", form="yolo")
    assert again.notes == ("stands there already",)  # beside the cache that reading left


def test_ragged_masks_with_holes_are_trained_on_but_for_pixels_of_their_rims(
    tmp_path: Path,
) -> None:
    """It sets points between a polygon's own: on a slope, one may be cut to the pixel beside."""
    asbench.generate("demo", ["draem", "fractal"], category="weave", n=8, store=tmp_path / "store")
    store = SynthStore.open(tmp_path / "store")
    keys = ("demo/draem/0", "demo/fractal/0")
    (one,) = export_set(store, keys, tmp_path / "out", form="yolo")
    read = as_read(one.place, tmp_path / "home", 256)
    shared = either = 0
    for key in map(StoreKey.parse, keys):
        for i, sample in enumerate(store.read(key, "weave")):
            name = f"{key.method}_{key.seed}_{i:04d}"
            assert np.array_equal(read[f"{name}/image"], sample.image)
            assert np.array_equal(read[f"{name}/filled"], sample.mask)
            trained = read[f"{name}/trained"]
            shared += int((trained & sample.mask).sum())
            either += int((trained | sample.mask).sum())
            assert not (sample.mask & ~trained).any()
    assert shared / either > 0.999
