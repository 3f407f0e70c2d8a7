"""Anomalies lie on the object that was found, and anywhere where none was or none is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from asbench.generation import generate as stage
from asbench.generation.generate import generate, samples_of
from asbench.generation.recompute import recompute
from asbench.imaging.placement import OVERLAP, kept_to, usual_place
from asbench.mend import regenerate_command
from asbench.synthesizers import hand_crafted, resolve
from asbench.types import Canvas, Item, PerSample
from synth_store import Sample, StoredSet, SynthStore, UserError
from synth_store.errors import OtherIdentity
from synth_store.reader import Foregrounds
from synth_store.types import Image, Mask
from tests.toyset import Toys

SIDE = 64


@dataclass(frozen=True)
class Discs(Toys):
    """A bright disc, a little elsewhere on each normal, on a dark plain ground."""

    name: str = "discs"
    radius: int = 17
    moves: int = 4

    def image(self, item: Item) -> Image:
        rng = np.random.default_rng(sum(item.id.encode()))
        row, column = rng.integers(32 - self.moves, 33 + self.moves, 2)
        rows, columns = np.mgrid[:SIDE, :SIDE]
        levels = np.where((rows - row) ** 2 + (columns - column) ** 2 < self.radius**2, 170.0, 40.0)
        levels = levels[..., None] + rng.normal(0, 2, (SIDE, SIDE, 3))
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Cloths(Toys):
    """Noise all over: no object."""

    name: str = "discs"

    def image(self, item: Item) -> Image:
        rng = np.random.default_rng(sum(item.id.encode()))
        return rng.integers(60, 200, (SIDE, SIDE, 3), dtype=np.uint8)


@dataclass(frozen=True)
class Squares(PerSample):
    """A black square anywhere."""

    title = "Squares"
    paper = "a test"
    url = "https://example.org"
    family = "patch augmentation"

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        image, mask = canvas.normal.copy(), np.zeros(canvas.normal.shape[:2], np.bool_)
        top, left = rng.integers(0, SIDE - 14, 2)
        mask[top : top + 14, left : left + 14] = True
        image[mask] = 5
        return Sample(image, mask)


@dataclass(frozen=True)
class Corners(Squares):
    """A square where no disc is."""

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        image, mask = canvas.normal.copy(), np.zeros(canvas.normal.shape[:2], np.bool_)
        mask[:5, :5], image[:5, :5] = True, 250
        return Sample(image, mask)


@dataclass(frozen=True)
class Painted(Squares):
    """A square anywhere on a picture of its own, in which more than the square changes."""

    generates = True
    local = False

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        drawn = super().__call__(canvas, rng)
        assert drawn is not None
        clean = np.full_like(canvas.normal, 90)
        image = np.where(drawn.mask[..., None], drawn.image, clean)
        image[0, 0] = 0
        return Sample(image, drawn.mask, clean)


def using(monkeypatch: pytest.MonkeyPatch, data: Toys, method: PerSample | None = None) -> None:
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: data)
    if method is not None:
        monkeypatch.setattr(stage, "resolve", lambda *_, **__: method)
        monkeypatch.setattr("asbench.generation.recompute.rebuild", lambda *_: method)


def rendered(store: Path, method: str = "cutpaste", **more: object) -> StoredSet:
    options = {"n": 24, "size": SIDE, "workers": 1, **more}
    (stored,) = generate("discs", method, category="a", store=store, **options)  # type: ignore[arg-type]
    return stored


def objects(stored: StoredSet) -> list[Mask]:
    found = Foregrounds(stored.normals)
    return [found[stored.source_of(i)] for i in range(len(stored))]


def test_what_lies_beside_the_object_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, Discs(), Squares())
    stored = rendered(tmp_path / "object")
    anywhere = rendered(tmp_path / "anywhere", where="as-published")
    for index, found in enumerate(objects(stored)):
        sample = stored[index]
        assert sample.clean is not None
        assert not (sample.mask & ~found).any()
        assert sample.mask.sum() >= OVERLAP * 14 * 14
        np.testing.assert_array_equal(sample.image[~sample.mask], sample.clean[~sample.mask])
    beside = [(anywhere[i].mask & ~f).mean() for i, f in enumerate(objects(anywhere))]
    assert np.count_nonzero(beside) > 12
    # What lay on the object from the start is what was drawn before.
    same = [i for i in range(24) if not beside[i]]
    assert same
    for index in same:
        np.testing.assert_array_equal(stored[index].image, anywhere[index].image)
    assert stored.attributes["on_object"] == {"overlap": OVERLAP}
    assert "on_object" not in anywhere.attributes


def test_what_makes_its_own_background_keeps_to_where_the_object_usually_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, Discs(moves=1), Painted())
    stored = rendered(tmp_path / "object")
    shown = np.mean([*Foregrounds(stored.normals)], axis=0)
    for index in range(len(stored)):
        sample = stored[index]
        assert sample.clean is not None
        assert (sample.clean == 90).all()
        assert shown[sample.mask].min() >= 0.5
        cut = sample.mask.sum() < 14 * 14
        assert (sample.image[0, 0] == (90 if cut else 0)).all()  # taken back, all of it is
    assert recompute(SynthStore.open(tmp_path / "object"), stored.key, "a", 24).different == ()
    anywhere = rendered(tmp_path / "anywhere", where="as-published")
    assert min(shown[anywhere[i].mask].min() for i in range(24)) == 0
    using(monkeypatch, Discs(moves=10), Painted())  # no usual place to be held to
    moving = rendered(tmp_path / "moving"), rendered(tmp_path / "moved", where="as-published")
    assert moving[0].digest == moving[1].digest


def test_the_usual_place_is_that_of_half_of_the_objects() -> None:
    masks = np.zeros((5, 8, 8), np.bool_)
    masks[0], masks[1:3, :4], masks[3:, :5] = True, True, True  # the first shows none
    expected = np.zeros((8, 8), np.bool_)
    expected[:5] = True
    np.testing.assert_array_equal(usual_place(masks), expected)
    assert usual_place(masks[:1]).all()
    masks[1:3] = masks[1:3].swapaxes(1, 2)  # across each other: they share a third with both
    assert usual_place(masks).all()
    corners = np.stack([np.roll(np.eye(8, dtype=np.bool_), k, axis=0) for k in range(8)])
    assert usual_place(corners).all()  # no usual place


def test_workers_growth_pictures_and_recomputing_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, Discs(), Squares())
    rendered(tmp_path, n=7)
    grown, whole = rendered(tmp_path), rendered(tmp_path / "whole")
    assert grown.digest == whole.digest
    assert recompute(SynthStore.open(tmp_path), grown.key, "a", 24).different == ()
    drawn = samples_of(tmp_path, Discs(), "cutpaste", "a", range(30))
    assert not drawn.stored
    for index in range(24):
        np.testing.assert_array_equal(drawn.samples[index].image, grown[index].image)


def all_of(store: Path, methods: list[str], **more: object) -> list[StoredSet]:
    options = {"n": 4, "size": SIDE, "workers": 1, **more}
    return generate("discs", methods, category="a", store=store, **options)  # type: ignore[arg-type]


def test_where_no_object_is_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, Cloths())
    methods = ["cutout", "fpi", "fractal", "nsa", "compose@rectangle-self-paste"]
    now = all_of(tmp_path, methods)
    for new, before in zip(
        now, all_of(tmp_path / "before", methods, where="as-published"), strict=True
    ):
        assert new.digest == before.digest
        identity = new.attributes["identity"]
        assert identity == before.attributes["identity"]
        assert [new.attributes[n] for n in identity] == [before.attributes[n] for n in identity]


def test_every_method_keeps_to_the_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    using(monkeypatch, Discs())
    for stored in all_of(tmp_path, [m for m in hand_crafted() if m != "nsa"]):
        beside = 0.1 if stored.key.method == "croppaste" else 0.0  # a defect at an edge, as it was
        for index, found in enumerate(objects(stored)):
            mask = stored[index].mask
            assert (mask & ~found).sum() <= beside * mask.sum(), stored.key


def test_methods_that_see_to_it_themselves_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nsa's patches may outgrow the object; memseg's own rule may be another than the store's."""
    using(monkeypatch, Discs())
    settings = {"texture_share": 0.0}
    for method, more in (("nsa", {}), ("memseg@own", {"settings": settings})):
        new = rendered(tmp_path, method, n=6, **more)
        before = rendered(tmp_path / "before", method, n=6, where="as-published", **more)
        assert new.digest == before.digest
        assert "on_object" not in new.attributes
    said = {
        name: resolve(name, dataset="discs", category="a", settings=settings).keeps_to_object
        for name, settings in {
            "nsa@asbench": None,
            "draem@half": {"foreground": 0.5},
            "memseg@dark": {"object_rule": "dark"},
            "fractal@mode": {"object_mode": True},
            "fractal": None,
            "draem": None,
        }.items()
    }
    assert said == {
        "nsa@asbench": False,
        "draem@half": True,
        "memseg@dark": True,
        "fractal@mode": True,
        "fractal": False,
        "draem": False,
    }


def test_a_set_of_before_grows_by_its_own_rule_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, Discs())
    old = rendered(tmp_path, "cutout", n=6, where="as-published")
    store = SynthStore.open(tmp_path)
    assert "--where as-published" in regenerate_command(store, old.key, "a")
    with pytest.raises(OtherIdentity, match=r"begun with, --where as-published, or render all"):
        rendered(tmp_path, "cutout", n=12)
    assert len(rendered(tmp_path, "cutout", n=12, where="as-published")) == 12
    with pytest.raises(OtherIdentity, match=r"--visible 3 --where as-published, or render"):
        rendered(tmp_path, "cutout", n=14, visible=0)
    rendered(tmp_path, "cutout", n=6, replace=True)
    assert "--where" not in regenerate_command(store, old.key, "a")
    with pytest.raises(OtherIdentity, match=r"begun with, --where object, or render all"):
        rendered(tmp_path, "cutout", n=12, where="as-published")


def test_what_never_meets_the_object_fails_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, Discs(), Corners())
    with pytest.raises(UserError, match=r"2\d\d of them beside the object.*--where as-published"):
        rendered(tmp_path)


def test_an_unknown_place_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"where 'corner' is unknown"):
        rendered(tmp_path / "store", where="corner")
    assert not (tmp_path / "store").exists()


def test_the_smaller_of_mask_and_object_counts() -> None:
    clean = np.zeros((20, 20, 3), np.uint8)
    found = np.zeros((20, 20), np.bool_)
    found[4:14, 4:14] = True

    def left(rows: slice, columns: slice) -> Sample | None:
        mask = np.zeros((20, 20), np.bool_)
        mask[rows, columns] = True
        image = clean.copy()
        image[mask] = 200
        return kept_to(found, Sample(image, mask), clean)

    small = left(slice(2, 6), slice(2, 6))  # 4 of its 16 pixels
    assert small is not None
    assert small.mask.sum() == 4
    assert small.image.any(axis=2).sum() == 4
    assert left(slice(1, 6), slice(2, 6)) is None  # 4 of 20
    large = left(slice(0, 20), slice(0, 7))  # 30 of 140 pixels, but of 100 of the object
    assert large is not None
    assert large.mask.sum() == 30
    assert left(slice(0, 20), slice(0, 6)) is None  # 20 of the object's 100
    within = Sample(clean + np.uint8(9), found.copy())
    assert kept_to(found, within, clean) is within


@dataclass(frozen=True)
class SomeDiscs(Discs):
    """Category a has its disc on every normal, b on every other one."""

    def image(self, item: Item) -> Image:
        if item.category == "b" and sum(item.id.encode()) % 2:
            return Cloths.image(Cloths(), item)
        return super().image(item)


def test_an_object_that_is_missing_in_one_category_is_told_before_any_normal_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    using(monkeypatch, SomeDiscs())
    told: list[str] = []
    options = {"n": 2, "size": SIDE, "workers": 1, "store": tmp_path}
    with pytest.raises(UserError, match=r"discs/b: an object stands out on . of 9 .* nsa needs it"):
        generate("discs", ["cutout", "nsa"], progress=lambda what, *_: told.append(what), **options)  # type: ignore[arg-type]
    assert not told
    assert not SynthStore.open(tmp_path).has_normals("discs", "a")
    # What does not go by the object is rendered, fractal too unless it is in its object mode.
    assert len(generate("discs", ["cutout", "fractal"], **options)) == 4  # type: ignore[arg-type]
    mode = {"settings": {"object_mode": True}, "variant": "mode"}
    with pytest.raises(UserError, match=r"fractal@mode needs it"):
        generate("discs", "fractal", **mode, **options)  # type: ignore[arg-type]
