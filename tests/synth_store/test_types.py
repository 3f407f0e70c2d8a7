"""Names, keys, geometry, samples: what is taken, what is refused, and with which words."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_store import Geometry, Sample, StoreKey, UserError
from synth_store.types import check_category, check_name

NAMES = st.from_regex(r"[a-z0-9_]{1,12}(@[a-z0-9_-]{1,12})?", fullmatch=True)


@given(NAMES, NAMES.filter(lambda n: n != "normal"), st.integers(0, 10**9))
def test_a_key_reads_back_from_its_path(dataset: str, method: str, seed: int) -> None:
    key = StoreKey(dataset, method, seed)
    assert StoreKey.parse(str(key)) == key
    assert str(key) == f"{dataset}/{method}/{seed}"


@pytest.mark.parametrize(
    "name", ["", "Draem", "a b", "a@", "@a", "a@B", "a/b", "a@b@c", "a-b", "ä", "a\n", "a.b"]
)
def test_a_wrong_name_is_named(name: str) -> None:
    with pytest.raises(UserError, match=f"^method {re.escape(repr(name))} is not a name: use low"):
        check_name(name, "method")


@pytest.mark.parametrize("text", ["toy/boxes", "toy/boxes/0/1", "toy/boxes/x", "toy/boxes/-1", ""])
def test_a_wrong_key_is_named(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"{text!r} is not a store key: write dataset/")):
        StoreKey.parse(text)


def test_the_stores_own_name_is_reserved() -> None:
    with pytest.raises(UserError, match=r"^method 'normal' is reserved"):
        StoreKey("toy", "normal", 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UserError, match=r"^seed -1 is negative: use 0, 1, 2"):
        StoreKey("toy", "boxes", -1)


@pytest.mark.parametrize("category", ["metal_nut", "MT_Free", "a.b-c", "01", "_"])
def test_categories_may_be_named_as_data_sets_name_them(category: str) -> None:
    assert check_category(category) == category


@pytest.mark.parametrize("category", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n", "é"])
def test_a_category_that_is_no_folder_is_named(category: str) -> None:
    text = f"category {category!r} cannot be a folder of the store"
    with pytest.raises(UserError, match=re.escape(text)):
        check_category(category)


def test_geometry_says_what_it_is_and_refuses_what_it_cannot_be() -> None:
    assert str(Geometry()) == "256x256 (stretch)"
    with pytest.raises(UserError, match="each side must be at least 8 pixels"):
        Geometry(7, 256)
    with pytest.raises(UserError, match=r"^resize rule 'crop' is unknown: choose stretch, pad or"):
        Geometry(256, 256, "crop")  # type: ignore[arg-type]
    for scale in (0, -1, 1.5, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"^scale .* is impossible"):
            Geometry(256, 256, "tile", scale)
    for overlap in (-1, 33):
        with pytest.raises(UserError, match=rf"^an overlap of {overlap} pixels is impossible.*32"):
            Geometry(64, 128, "tile", 1, overlap)
    with pytest.raises(UserError, match=r"^pad images have neither scale nor overlap"):
        Geometry(64, 64, "pad", 0.5)


@pytest.mark.parametrize(
    ("geometry", "text", "attributes"),
    [
        (Geometry(64, 96), "64x96 (stretch)", {"height": 64, "width": 96, "resize": "stretch"}),
        (Geometry(64, 96, "pad"), "64x96 (pad)", {"height": 64, "width": 96, "resize": "pad"}),
        (
            Geometry(64, 96, "tile", 0.5, 16),
            "64x96 (tile, scale 0.5, overlap 16)",
            {"height": 64, "width": 96, "resize": "tile", "scale": 0.5, "overlap": 16},
        ),
        (
            Geometry(64, 96, "tile", 1),
            "64x96 (tile, scale 1, overlap 0)",
            {"height": 64, "width": 96, "resize": "tile", "scale": 1.0, "overlap": 0},
        ),
    ],
)
def test_what_a_geometry_is_called_and_how_it_is_stored(
    geometry: Geometry, text: str, attributes: dict[str, object]
) -> None:
    assert str(geometry) == text
    assert Geometry.parse(text) == geometry
    assert geometry.attributes() == attributes
    assert Geometry(**geometry.attributes()) == geometry


@given(st.floats(1e-6, 1), st.integers(0, 32))
def test_a_tile_geometry_reads_back(scale: float, overlap: int) -> None:
    geometry = Geometry(64, 96, "tile", scale, overlap)
    assert Geometry.parse(str(geometry)) == geometry


@pytest.mark.parametrize(
    "text", ["256 (stretch)", "256x256 (tile)", "256x256 (pad, scale 1, overlap 0)", "256x256", ""]
)
def test_what_is_no_geometry_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a geometry such as"):
        Geometry.parse(text)


def test_keys_and_geometry_pickle() -> None:
    for thing in (StoreKey("toy", "nsa@asbench", 3), Geometry(64, 96, "pad")):
        assert pickle.loads(pickle.dumps(thing)) == thing


@pytest.mark.parametrize(
    ("image", "mask", "clean", "text"),
    [
        ((8, 8, 4), (8, 8), None, r"image must be uint8 (H, W, 3), not uint8 (8, 8, 4)"),
        ((8, 8), (8, 8), None, r"image must be uint8 (H, W, 3), not uint8 (8, 8)"),
        ((8, 8, 3), (8, 9), None, r"mask must be bool (8, 8) like its image, not bool (8, 9)"),
        ((8, 8, 3), (8, 8), (8, 9, 3), r"clean must be uint8 (8, 8, 3) like its image, not"),
    ],
)
def test_a_sample_of_another_shape_is_refused(
    image: tuple[int, ...], mask: tuple[int, ...], clean: tuple[int, ...] | None, text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Sample(
            np.zeros(image, np.uint8),
            np.zeros(mask, np.bool_),
            None if clean is None else np.zeros(clean, np.uint8),
        )


def test_a_sample_of_another_type_is_refused() -> None:
    image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.bool_)
    with pytest.raises(ValueError, match="image must be uint8"):
        Sample(image.astype(np.float32), mask)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mask must be bool"):
        Sample(image, mask.astype(np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="clean must be uint8"):
        Sample(image, mask, image.astype(np.int16))  # type: ignore[arg-type]
