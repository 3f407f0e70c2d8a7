"""The built-in data set: what it promises about items, determinism, masks and visibility."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from asbench.datasets.demo import Demo
from asbench.imaging.scenes import board, capsule, weave
from asbench.plugins import load
from asbench.types import Dataset, Item
from synth_store.rng import address_rng
from synth_store.types import UserError

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden" / "demo.json"
DEMO = Demo()
SCENES = {"board": board, "capsule": capsule, "weave": weave}
KINDS = [(category, defect) for category, scene in SCENES.items() for defect in scene.DEFECTS]
FEATURED = [
    (category, id_)
    for category, scene in SCENES.items()
    for id_ in ("train/good/000", f"test/{scene.DEFECTS[0]}/000")
]


def item(category: str, id_: str) -> Item:
    return next(i for i in DEMO.items(category) if i.id == id_)


def digest(category: str, id_: str) -> str:
    drawn = item(category, id_)
    return hashlib.blake2b(
        DEMO.image(drawn).tobytes() + DEMO.mask(drawn).tobytes(), digest_size=16
    ).hexdigest()


def thumbnail(category: str, id_: str) -> list[int]:
    """Return the image's 8x8 block means, red, green and blue in turn."""
    blocks = DEMO.image(item(category, id_)).reshape(8, 40, 8, 40, 3).mean((1, 3))
    return np.round(blocks).astype(int).ravel().tolist()


def makers() -> dict[str, str]:
    """Return what decides an image's last bits beside this code."""
    return {
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "machine": platform.machine(),
        "cpu": cv2.getCPUFeaturesLine(),
    }


def golden() -> dict[str, object]:
    """Return what GOLDEN should hold: `python -m tests.datasets.test_demo` rewrites it."""
    images = {
        f"{category}/{id_}": {
            "digest": digest(category, id_),
            "thumbnail": thumbnail(category, id_),
        }
        for category, id_ in FEATURED
    }
    return {"made_with": makers(), "images": images}


def test_is_the_plugin_demo() -> None:
    assert load("asbench.datasets", "demo", Dataset) is Demo  # type: ignore[type-abstract]
    assert DEMO.name == "demo"
    assert DEMO.categories() == tuple(SCENES)


@pytest.mark.parametrize("category", SCENES)
def test_items_are_counted_sorted_and_marked(category: str) -> None:
    items = DEMO.items(category)
    ids = [i.id for i in items]
    assert ids == sorted(set(ids))
    assert {i.category for i in items} == {category}
    assert all(i.id.startswith(f"{i.split}/{i.defect}/") for i in items)
    assert all(i.label == (i.defect != "good") for i in items)
    counts = Counter((i.split, i.defect) for i in items)
    defects = {("test", defect): 9 for defect in SCENES[category].DEFECTS}
    assert len(defects) == 4
    assert counts == {("train", "good"): 60, ("test", "good"): 20} | defects
    few = [i.id for i in items if i.few_shot]
    assert few == [f"test/{d}/{n:03d}" for d in SCENES[category].DEFECTS for n in range(3)]


def test_same_bytes_twice_in_another_process_and_with_more_threads() -> None:
    here = [digest(*featured) for featured in FEATURED[:2]]
    code = (
        "import cv2, test_demo as t; cv2.setNumThreads(2);"
        "print(*[t.digest(*f) for f in t.FEATURED[:2]])"
    )
    env_path = [str(Path(__file__).parent), *sys.path]
    fresh = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {env_path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        single = [digest(*featured) for featured in FEATURED[:2]]
    finally:
        cv2.setNumThreads(threads)
    assert here == single == fresh.stdout.split()


@pytest.mark.parametrize(("category", "id_"), FEATURED)
def test_images_are_the_published_ones(category: str, id_: str) -> None:
    stored = json.loads(GOLDEN.read_text())
    published = stored["images"][f"{category}/{id_}"]
    # Other hardware or versions may round differently: there the picture must agree, not its bits.
    change = np.abs(np.subtract(thumbnail(category, id_), published["thumbnail"]))
    assert change.max() <= 1
    if stored["made_with"] == makers():
        assert digest(category, id_) == published["digest"], (
            "the demo's pixels changed: run `python -m tests.datasets.test_demo`, look at the "
            "images, and say why in the commit"
        )


@pytest.mark.parametrize("category", SCENES)
def test_normals_differ_and_have_empty_masks(category: str) -> None:
    first, second = DEMO.train(category)[:2]
    for normal in (first, second):
        image, mask = DEMO.image(normal), DEMO.mask(normal)
        assert image.shape == (320, 320, 3)
        assert image.dtype == np.uint8
        assert mask.shape == (320, 320)
        assert mask.dtype == np.bool_
        assert not mask.any()
        assert (image == 255).mean() < 0.05  # exposed so that little burns out
        assert (image == 0).mean() < 0.05
    assert np.abs(DEMO.image(first).astype(int) - DEMO.image(second)).mean() > 2


@pytest.mark.parametrize(("category", "defect"), KINDS)
@pytest.mark.parametrize("number", [0, 4, 8])
def test_a_defect_shows_inside_its_mask_and_nowhere_else(
    category: str, defect: str, number: int
) -> None:
    drawn = item(category, f"test/{defect}/{number:03d}")
    image, mask = DEMO.image(drawn), DEMO.mask(drawn)
    assert mask.dtype == np.bool_
    assert 0.0002 < mask.mean() < 0.30
    scene_rng = address_rng("demo", category, "test", defect, number)
    flawless, nothing = SCENES[category].draw(scene_rng)
    assert not nothing.any()
    change = np.abs(image.astype(int) - flawless).max(2)
    assert change[mask].mean() > 12
    around = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    outside = change[~around]
    assert outside.mean() < 0.05
    assert (outside > 10).mean() < 0.0001
    # A defect is one event at one place: its marks keep together.
    rows, columns = np.nonzero(mask)
    assert max(np.ptp(rows), np.ptp(columns)) < 260


def test_no_defect_is_invisible_whoever_draws_it() -> None:
    for seed, (category, defect) in enumerate(KINDS):
        scene_rng, defect_rng = address_rng("other", seed), address_rng("flaw", seed)
        _, mask = SCENES[category].draw(scene_rng, defect, defect_rng)
        assert mask.any()


@pytest.mark.parametrize("id_", ["train/good/060", "test/rust/000", "test/good", "../secret"])
def test_an_unknown_id_is_refused(id_: str) -> None:
    unknown = Item(id_, "weave", "test", 0)
    with pytest.raises(UserError, match="is not in category weave of demo"):
        DEMO.image(unknown)
    with pytest.raises(UserError, match="ids are train/good/000"):
        DEMO.mask(unknown)


def test_an_unknown_category_is_refused() -> None:
    with pytest.raises(UserError, match="board, capsule, weave"):
        DEMO.items("bottle")


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(golden(), indent=1) + "\n")
