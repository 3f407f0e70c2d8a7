"""Objects of a data set: the same whether they are stored or looked at, and in words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from asbench import generate
from asbench.data.ingest import ensure_normals
from asbench.data.objects import asked_of, objects, said
from asbench.datasets import open_dataset
from asbench.datasets.folder import Folder
from asbench.files.images import write_png
from asbench.imaging.foreground import foreground
from synth_store import Geometry, SynthStore, UserError
from synth_store.reader import Foregrounds
from synth_store.types import Mask
from synth_store.verify import verify_normals
from tests.imaging.photographs import Scene, surface
from tests.toyset import Toys

pytestmark = pytest.mark.slow


def test_foregrounds_are_estimated_as_they_would_be_stored(tmp_path: Path) -> None:
    data, root = open_dataset("demo"), tmp_path / "store"
    fresh, stored = objects(root, data, "capsule", 2)
    assert not stored
    assert not root.exists(), "looking made a store"
    assert fresh[0].mask.shape == (256, 256)
    assert [s.mask.all() for s in fresh] == [False, False]
    assert all(np.array_equal(s.mask, foreground(s.image).mask) for s in fresh)


def test_stored_foregrounds_are_shown_as_they_are(tmp_path: Path) -> None:
    store, data = SynthStore.create(tmp_path / "store", Geometry(40, 48)), Toys()
    estimated, stored = objects(tmp_path / "store", data, "a", 20)
    assert (len(estimated), stored) == (9, False)
    ensure_normals(store, data, "a")
    kept, stored = objects(tmp_path / "store", data, "a", 20)
    assert (len(kept), stored) == (9, True)
    for one, other in zip(estimated, kept, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)


@pytest.fixture
def parts(tmp_path: Path) -> Folder:
    """A dark part on a ground that grows dark to one side; masks of it in a folder of their own."""
    for seed in range(5):
        image, truth = Scene("disc", slope=50, size=(96, 128)).draw(seed)
        write_png(tmp_path / "parts" / "train" / "good" / f"{seed}.png", image)
        drawn = np.repeat(truth[..., None], 3, axis=2).astype(np.uint8) * 255
        write_png(tmp_path / "masks" / f"{seed}_mask.png", drawn)
    write_png(tmp_path / "parts" / "test" / "bad" / "0.png", image)
    return Folder(tmp_path / "parts", "parts")


@pytest.fixture
def store(tmp_path: Path) -> SynthStore:
    return SynthStore.create(tmp_path / "store", Geometry(96, 128))


def masks(store: SynthStore, data: Folder, rule: str | None) -> list[Mask]:
    (category,) = data.categories()
    return list(Foregrounds(ensure_normals(store, data, category, object=rule)))


@pytest.mark.parametrize("rule", ["auto", "dark", "masks"])
def test_the_rule_that_is_asked_for_finds_the_object(
    store: SynthStore, parts: Folder, rule: str
) -> None:
    asked = str(parts.root.parent / "masks") if rule == "masks" else rule
    for seed, mask in enumerate(masks(store, parts, asked)):
        truth = Scene("disc", slope=50, size=(96, 128)).draw(seed)[1]
        assert (mask & truth).sum() / (mask | truth).sum() > 0.9
    normals = store.normals("parts", parts.categories()[0])
    assert asked_of(normals) == asked
    assert re.fullmatch(
        r"object found on 5 of 5 normals, covering 1[89]% of the image", said(normals)
    )


def test_the_whole_image_may_be_asked_for(store: SynthStore, parts: Folder) -> None:
    assert all(mask.all() for mask in masks(store, parts, "whole"))
    assert "the whole image" in said(store.normals("parts", parts.categories()[0]))


def test_a_tone_that_is_not_there_is_refused_before_anything_is_stored(
    store: SynthStore, parts: Folder
) -> None:
    with pytest.raises(UserError, match=r"a bright object stands out on 0 of 5 .*--object whole"):
        masks(store, parts, "bright")
    assert not store.has_normals("parts", parts.categories()[0])


def test_a_rule_that_is_none_and_a_missing_mask_are_named(store: SynthStore, parts: Folder) -> None:
    with pytest.raises(UserError, match="object 'dork' is unknown: choose auto, whole, dark, brig"):
        masks(store, parts, "dork")
    folder = parts.root.parent / "masks"
    (folder / "3_mask.png").unlink()
    with pytest.raises(UserError, match=r"has no mask of parts/.*3.*Every normal needs one"):
        masks(store, parts, str(folder))
    write_png(folder / "3.png", np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(UserError, match=r"3.png is 10 x 10 pixels"):
        masks(store, parts, str(folder))
    write_png(folder / "3.png", np.zeros((96, 128, 3), np.uint8))
    with pytest.raises(UserError, match=r"3.png marks no object"):
        masks(store, parts, str(folder))


def test_another_rule_finds_anew_until_a_set_stands_on_the_first(
    store: SynthStore, parts: Folder
) -> None:
    found = masks(store, parts, None)
    digest = store.normals("parts", parts.categories()[0]).digest
    assert all(mask.all() for mask in masks(store, parts, "whole"))
    np.testing.assert_array_equal(masks(store, parts, "auto"), found)
    assert store.normals("parts", parts.categories()[0]).digest == digest
    assert not list(verify_normals(store, "parts", parts.categories()[0]))
    shared = {"store": str(store.root), "n": 2, "workers": 1, "name": "parts"}
    generate(str(parts.root), "cutpaste", object="whole", **shared)
    generate(str(parts.root), "fractal", object="dark", **shared)
    with pytest.raises(UserError, match=r"found by dark, on which parts/fractal/0 were rendered"):
        generate(str(parts.root), "fractal", object="auto", **shared)
    generate(str(parts.root), "fractal", **shared)  # as the store has it


def test_an_object_on_some_normals_alone_is_refused_by_what_needs_it(
    store: SynthStore, parts: Folder
) -> None:
    for seed in (0, 1, 2):
        write_png(parts.root / "train/good" / f"{seed}.png", surface("shaded", seed, 96, 128))
    shared = {"store": str(store.root), "n": 2, "workers": 1, "name": "parts"}
    generate(str(parts.root), "cutpaste", **shared)
    with pytest.raises(UserError, match=r"stands out on 2 of 5 .* memseg needs it.*--object whole"):
        generate(str(parts.root), ["cutpaste", "memseg"], **shared)
    generate(str(parts.root), "memseg", object="whole", **shared)
