"""What is visible on tiles: noise is that of the object, nothing is drawn beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from asbench.data import tiling
from asbench.generation import generate as stage
from asbench.generation.generate import generate, samples_of
from asbench.generation.recompute import recompute
from asbench.imaging.noise import noise_of
from asbench.imaging.visibility import Visibility
from asbench.types import Canvas, Item, PerSample
from synth_store import Sample, StoredSet, SynthStore, UserError
from synth_store.rng import address_rng
from synth_store.types import Image, Mask
from tests.toyset import Toys


class OnSteel(Toys):
    """A part under noise of 5 levels, on a table so bright that it shows none; 9 of 30 tiles."""

    def image(self, item: Item) -> Image:
        grain = address_rng("steel", item.id).normal(0, 5, (96, 96, 3))
        image = np.full((192, 160, 3), 255, np.uint8)
        image[32:128, 32:128] = np.clip(np.rint(110 + grain), 0, 255)
        return image

    def mask(self, item: Item) -> Mask | None:
        mask = np.zeros((192, 160), np.bool_)
        mask[40:44, 40:44] = bool(item.label)
        return mask


@dataclass(frozen=True)
class Brighter(PerSample):
    """A square that is brighter by 0..`most` levels."""

    title = "Brighter"
    paper = "a test"
    url = "https://example.org"
    family = "patch augmentation"
    most: int = 40

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        levels = canvas.normal.astype(np.int_)
        mask = np.zeros(levels.shape[:2], np.bool_)
        mask[8:24, 8:24] = True
        levels[mask] += int(rng.integers(self.most + 1)) * np.where(levels[mask] > 200, -1, 1)
        return Sample(np.clip(levels, 0, 255).astype(np.uint8), mask)


@pytest.fixture(autouse=True)
def steel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: OnSteel())


def drawing(monkeypatch: pytest.MonkeyPatch, method: PerSample) -> None:
    monkeypatch.setattr(stage, "resolve", lambda *_, **__: method)
    monkeypatch.setattr("asbench.generation.recompute.rebuild", lambda *_: method)


def rendered(store: Path, **more: float) -> StoredSet:
    tiles = {"size": 32, "resize": "tile", "overlap": 0, "workers": 1, "n": 30, **more}
    (stored,) = generate("toys", "cutpaste", category="a", store=store, **tiles)  # type: ignore[arg-type]
    return stored


def test_the_noise_to_exceed_is_that_of_tiles_which_show_the_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, Brighter())
    stored = rendered(tmp_path)
    normals, shown = stored.normals, tiling.sources(stored.normals)
    assert (len(shown), len(normals)) == (9 * 9, 9 * 30)
    rule = Visibility(**stored.attributes["visible"])
    assert rule.noise == noise_of(normals, "toys", "a", among=shown)
    assert rule.noise > 1 > noise_of(normals, "toys", "a")  # most tiles are table
    for index in range(len(stored)):
        sample = stored[index]
        assert stored.source_of(index) in shown
        assert sample.clean is not None
        assert rule.shows(sample.image, sample.clean, sample.mask)
    assert recompute(SynthStore.open(tmp_path), stored.key, "a", 30).different == ()
    drawn = samples_of(tmp_path, OnSteel(), "cutpaste", "a", range(4))
    again = samples_of(
        tmp_path, OnSteel(), "cutpaste@loud", "a", range(4), settings={"jitter": 0.5}, visible=4
    )
    assert (drawn.stored, again.stored) == (True, False)
    assert drawn.noise == again.noise == rule.noise


def test_what_is_never_visible_on_tiles_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, Brighter(most=4))
    with pytest.raises(UserError, match=r"cutpaste shows nothing on toys/a: .* changed too little"):
        rendered(tmp_path)
    assert len(rendered(tmp_path / "published", visible=0)) == 30


def test_of_images_all_are_looked_at() -> None:
    images = [np.full((16, 16, 3), 9, np.uint8)] * 20
    assert noise_of(images, "a", "b") == noise_of(images, "a", "b", among=range(20)) == 0
