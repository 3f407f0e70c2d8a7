"""Brush strokes of a Label Studio export, through the how-to's script; skipped without its SDK."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench.data.check import check
from asbench.datasets import open_dataset
from synth_store.types import Mask
from tests import trees

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of what the SDK imports
    pytest.mark.skipif(
        find_spec("label_studio_sdk") is None, reason="needs label-studio-sdk, see docs/howto"
    ),
]

SIZE = (12, 10)
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "formats.md"
WAYS = ("/data/upload/1/0a1b2c3d-{}", "/data/local-files/?d=line%203/{}", "s3://bucket/line/{}")


def stroke(label: str, mask: Mask, **changed: Any) -> dict[str, Any]:
    """Return a region as the editor stores it: the stroke's colour, alpha where it lies."""
    from label_studio_sdk.converter.brush import encode_rle

    painted = np.zeros((*mask.shape, 4), np.uint8)
    painted[mask] = (255, 0, 41, 255)
    code = encode_rle(painted.ravel())
    return {
        "id": "r1",
        "type": "brushlabels",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": code, "brushlabels": [label]},
    } | changed


def ring() -> Mask:
    """A mask with a hole and a pixel by itself, in the last corner."""
    mask = np.zeros(SIZE, np.bool_)
    mask[2:9, 1:7] = True
    mask[4:6, 3:5] = False
    mask[-1, -1] = True
    return mask


def converted(folder: Path, tasks: list[dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    """Write photographs and an export, and run the page's script on them."""
    for i in range(len(tasks)):
        trees.save(folder / "photos" / f"{i:02}.png", trees.picture(i, SIZE))
        tasks[i] |= {"id": i, "data": {"image": WAYS[i % 3].format(f"{i:02}.png")}}
    (folder / "export.json").write_text(json.dumps(tasks))
    (code,) = re.findall(
        r"<!-- test: file brushes.py -->\n```python\n(.*?)^```", PAGE.read_text(), re.M | re.S
    )
    (folder / "brushes.py").write_text(code)
    return subprocess.run(
        [sys.executable, "brushes.py", "export.json", "photos"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_strokes_are_masks_to_the_pixel(tmp_path: Path) -> None:
    empty: dict[str, Any] = {"annotations": [{"result": []}]}
    two = [stroke("scratch", ring()), stroke("hole", trees.block(SIZE) > 0)]
    tasks = [
        *[dict(empty) for _ in range(6)],
        {"annotations": [{"result": two[:1]}]},
        {"annotations": [{"result": two[:1]}, {"result": two[1:]}]},
        {"annotations": []},
        {"annotations": [{"result": two[1:], "was_cancelled": True}]},
    ]
    done = converted(tmp_path, tasks)
    assert done.returncode == 0, done.stderr
    data = open_dataset(tmp_path / "photos")
    (category,) = data.categories()
    marked = {i.id: i for i in data.items(category) if i.label}
    assert {id_: i.defect for id_, i in marked.items()} == {
        "06.png": "scratch",
        "07.png": "hole+scratch",
    }
    both = ring() | (trees.block(SIZE) > 0)
    for id_, mask in (("06.png", ring()), ("07.png", both)):
        read = data.mask(marked[id_])
        assert read is not None
        assert np.array_equal(read, mask)
    assert len([i for i in data.items(category) if not i.label]) == 6
    problems = check(tmp_path / "photos").problems
    assert sorted(Path(one.path).name for one in problems) == ["08.png", "09.png"]


@pytest.mark.parametrize("changed", [{"type": "polygonlabels"}, {"image_rotation": 90}])
def test_what_is_no_stroke_is_named(tmp_path: Path, changed: dict[str, Any]) -> None:
    tasks = [{"annotations": [{"result": [stroke("scratch", ring(), **changed)]}]}]
    done = converted(tmp_path, tasks)
    assert done.returncode == 1
    assert "region r1 is a " in done.stderr
    assert not (tmp_path / "photos" / "brushes.json").exists()
