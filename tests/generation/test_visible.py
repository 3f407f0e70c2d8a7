"""Stored samples show a change that the camera's noise does not hide; sets of before read on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from asbench.generation import generate as stage
from asbench.generation.generate import generate, samples_of
from asbench.generation.plan import identity
from asbench.generation.recompute import recompute
from asbench.imaging.visibility import HELD, WIDER, Visibility, change
from asbench.mend import regenerate_command
from asbench.parameters import parameter
from asbench.settings import VISIBLE
from asbench.synthesizers import resolve
from asbench.types import Canvas, Item, PerSample
from synth_store import Sample, StoredSet, StoreKey, SynthStore, UserError
from synth_store.errors import OtherIdentity
from synth_store.types import Image
from tests.toyset import Toys


@dataclass(frozen=True)
class Noisy(Toys):
    """Toys under a camera with noise of 5 levels."""

    name: str = "toys"

    def image(self, item: Item) -> Image:
        grain = np.random.default_rng(sum(item.id.encode())).normal(0, 5, (40, 40, 3))
        return np.clip(np.rint(110 + grain), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Steps(PerSample):
    """A square that is brighter by 0..40 levels, in a mask that is wider than it by 0..40 %."""

    title = "Steps"
    paper = "a test"
    url = "https://example.org"
    family = "patch augmentation"
    published: ClassVar[bool] = False
    highest: int = parameter(40, "Most levels.")
    beyond: float = parameter(0.4, "Share of the mask that is unchanged, at most.")

    @property
    def wide_masks(self) -> bool:
        return self.published

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        image, mask = canvas.normal.copy(), np.zeros(canvas.normal.shape[:2], np.bool_)
        mask[4:14, 4:24] = True
        columns = 20 - round(20 * rng.uniform(0, self.beyond))
        image[4:14, 4 : 4 + columns] += np.uint8(rng.integers(self.highest + 1))
        return Sample(image, mask)


@dataclass(frozen=True)
class WideSteps(Steps):
    """The same, of which the mask's width is the method."""

    published: ClassVar[bool] = True


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: Noisy())


def drawing(monkeypatch: pytest.MonkeyPatch, method: PerSample) -> None:
    monkeypatch.setattr(stage, "resolve", lambda *_, **__: method)
    monkeypatch.setattr("asbench.generation.recompute.rebuild", lambda *_: method)


def rendered(store: Path, method: str = "cutpaste", **more: object) -> StoredSet:
    options = {"n": 30, "size": 40, "workers": 1, **more}
    (stored,) = generate("toys", method, category="a", store=store, **options)  # type: ignore[arg-type]
    return stored


def changes(stored: StoredSet) -> list[tuple[float, float]]:
    found = []
    for sample in (stored[i] for i in range(len(stored))):
        assert sample.clean is not None
        found.append(change(sample.image, sample.clean, sample.mask))
    return found


def test_every_stored_sample_passes_the_rule_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, Steps())
    stored = rendered(tmp_path)
    rule = Visibility(**stored.attributes["visible"])
    assert asdict(rule) == {
        "times": VISIBLE,
        "noise": pytest.approx(5, rel=0.2),
        "unchanged": WIDER,
        "held": 0.0,
    }
    assert "held" not in stored.attributes["visible"]  # of methods that change their mask alone
    for index in range(len(stored)):
        sample = stored[index]
        assert sample.clean is not None
        assert rule.shows(sample.image, sample.clean, sample.mask)
    assert max(unchanged for _, unchanged in changes(stored)) <= WIDER
    any_change = rendered(tmp_path / "published", visible=0)
    assert "visible" not in any_change.attributes
    assert min(changes(any_change))[0] < rule.levels / 2
    assert max(unchanged for _, unchanged in changes(any_change)) > WIDER


def test_what_passes_at_once_is_what_was_drawn_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, Steps())
    kept, before = rendered(tmp_path), rendered(tmp_path / "published", visible=0)
    rule = Visibility(**kept.attributes["visible"])
    same = 0
    for mine, theirs in zip(*([s[i] for i in range(30)] for s in (kept, before)), strict=True):
        assert theirs.clean is not None
        if rule.shows(theirs.image, theirs.clean, theirs.mask):
            np.testing.assert_array_equal(mine.image, theirs.image)
            same += 1
    assert 5 < same < 25


def test_workers_growth_pictures_and_recomputing_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, Steps())
    rendered(tmp_path, n=7)
    grown, whole = rendered(tmp_path), rendered(tmp_path / "whole")
    assert grown.digest == whole.digest
    assert recompute(SynthStore.open(tmp_path), grown.key, "a", 30).different == ()
    drawn, from_store, _ = samples_of(tmp_path / "nowhere", Noisy(), "cutpaste", "a", range(4))
    assert not from_store
    assert len(drawn) == 4
    for sample in drawn:
        assert sample.clean is not None
        assert change(sample.image, sample.clean, sample.mask).unchanged <= WIDER


def test_a_method_with_published_masks_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, WideSteps())
    stored = rendered(tmp_path)
    assert stored.attributes["visible"]["unchanged"] == 1
    assert max(unchanged for _, unchanged in changes(stored)) > WIDER


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (Steps(highest=5), r"changed too little.* by \d+ grey levels; it takes 1\d\.\d, 3 times"),
        (Steps(beyond=0.0, highest=0), r"changed nothing that could be seen"),
    ],
)
def test_what_cannot_be_visible_fails_with_figures_and_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Steps, told: str
) -> None:
    drawing(monkeypatch, method)
    with pytest.raises(UserError, match=told) as raised:
        rendered(tmp_path)
    if method.highest:
        assert "--visible 0" in str(raised.value)
        assert "--set" in str(raised.value)


def test_masks_that_are_always_too_wide_fail_with_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class Half(Steps):
        def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
            image, mask = canvas.normal.copy(), np.zeros(canvas.normal.shape[:2], np.bool_)
            mask[4:14, 4:24], image[4:14, 4:14] = True, 250
            return Sample(image, mask)

    drawing(monkeypatch, Half())
    with pytest.raises(UserError, match=r"left too much of their masks as it was: 50% at best"):
        rendered(tmp_path)


@dataclass(frozen=True)
class Spilling(PerSample):
    """A bright square that is marked, and at times another that is not."""

    title = "Spilling"
    paper = "a test"
    url = "https://example.org"
    family = "patch augmentation"
    local = False
    share: float = parameter(0.5, "Share of samples with another.")

    def __call__(self, canvas: Canvas, rng: np.random.Generator) -> Sample | None:
        image, mask = canvas.normal.copy(), np.zeros(canvas.normal.shape[:2], np.bool_)
        mask[4:14, 4:14], image[4:14, 4:14] = True, 250
        if rng.random() < self.share:
            image[20:30, 20:30] = 250
        return Sample(image, mask)


def test_masks_of_methods_that_may_change_more_hold_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing(monkeypatch, Spilling())
    kept, published = rendered(tmp_path), rendered(tmp_path / "published", visible=0)
    assert kept.attributes["visible"]["held"] == HELD
    spilled = [
        sum(bool((s[i].image[20:30, 20:30] == 250).all()) for i in range(30))
        for s in (kept, published)
    ]
    assert spilled[0] == 0
    assert 5 < spilled[1] < 25
    drawing(monkeypatch, Spilling(share=1.0))
    with pytest.raises(UserError, match="changed as much beside their masks as inside: less than"):
        rendered(tmp_path / "always")


@pytest.mark.parametrize("visible", [-1, float("nan"), float("inf")])
def test_an_impossible_rule_is_refused_before_anything_is_written(
    tmp_path: Path, visible: float
) -> None:
    with pytest.raises(UserError, match=r"visible=.* is impossible"):
        rendered(tmp_path / "store", visible=visible)
    assert not (tmp_path / "store").exists()


def test_a_set_of_before_is_grown_by_its_own_rule_or_made_anew(tmp_path: Path) -> None:
    old = rendered(tmp_path, "draem", visible=0, n=6)
    with pytest.raises(OtherIdentity, match=r"visible: stored None.*--visible 0.*--replace"):
        rendered(tmp_path, "draem", n=12)
    longer = rendered(tmp_path, "draem", visible=0, n=12)
    assert len(longer) == 12
    assert [longer[i].mask.sum() for i in range(6)] == [old[i].mask.sum() for i in range(6)]
    assert recompute(SynthStore.open(tmp_path), longer.key, "a", 12).different == ()
    anew = rendered(tmp_path, "draem", n=12, replace=True)
    assert anew.attributes["visible"]["times"] == VISIBLE
    with pytest.raises(OtherIdentity, match=r"--visible 3, or render"):
        rendered(tmp_path, "draem", n=12, visible=5)


def test_the_command_that_continues_a_set_names_its_rule(tmp_path: Path) -> None:
    key = rendered(tmp_path, "cutout", visible=0).key
    store = SynthStore.open(tmp_path)
    assert "--visible 0 " in regenerate_command(store, key, "a")
    rendered(tmp_path, "cutout", replace=True)
    assert "--visible" not in regenerate_command(store, key, "a")
    rendered(tmp_path, "cutout", visible=4.5, replace=True)
    assert "--visible 4.5 " in regenerate_command(store, key, "a")
    assert "--visible" not in regenerate_command(store, StoreKey("toys", "nsa", 0), "a")


def test_fractal_sets_of_before_are_refused_and_rendered_anew_to_their_own_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(*given: Any) -> dict[str, Any]:
        """Return what a release wrote that had no such parameter."""
        made = dict(identity(*given))
        kept = {name: v for name, v in made["parameters"].items() if name != "masks"}
        return made | {"parameters": kept, "pixel_version": 1}

    published = rendered(tmp_path, "fractal@published-masks", visible=0, n=8)
    method = resolve("fractal@published-masks", dataset="toys", category="a")
    with monkeypatch.context() as patch:
        patch.setattr("asbench.generation.plan.identity", before)
        patch.setattr(stage, "resolve", lambda *_, **__: method)
        old = rendered(tmp_path, "fractal", visible=0, n=8)
    assert "masks" not in old.attributes["parameters"]
    with pytest.raises(OtherIdentity, match=r"as-changed.*pixel_version: stored 1, here 2"):
        rendered(tmp_path, "fractal", visible=0, n=9)
    store = SynthStore.open(tmp_path)
    assert recompute(store, old.key, "a", 8).different == ()
    assert recompute(store, published.key, "a", 8).different == ()
