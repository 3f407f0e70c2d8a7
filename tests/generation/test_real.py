"""Real defects: the few-shot third alone, as a stored set, as masks, and counted in every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench import open_dataset
from asbench.data.stored_defects import StoredDefects
from asbench.generation import generate as stage
from asbench.generation.generate import generate, samples_of
from asbench.generation.real import few_shot
from asbench.generation.recompute import recompute
from asbench.generation.verify import verify
from asbench.imaging.geometry import fit_mask, resize
from asbench.training import plan as planning
from asbench.training.train import train
from asbench.types import REAL, Dataset, Item
from synth_store import StoreError, StoreKey, SynthStore, UserError
from synth_store.reader import Masks
from synth_store.types import Image, Mask
from tests.cli.conftest import photograph
from tests.toyset import Toys

pytestmark = pytest.mark.slow

FEW = {"test/disc/0", "test/disc/1"}
MASKED = {"settings": {"mask": "real", "source": "noise"}, "variant": "masked"}


@dataclass(frozen=True)
class Guarded(Toys):
    """Refuses to show any test image, or its mask, that is not few-shot."""

    def image(self, item: Item) -> Image:
        assert item.split == "train" or item.id in FEW, f"{item.id} was touched"
        return super().image(item)

    def mask(self, item: Item) -> Mask | None:
        assert item.split == "train" or item.id in FEW, f"{item.id} was touched"
        return super().mask(item)


@dataclass(frozen=True)
class Masked(Toys):
    """Has masks for some of the defects only."""

    known: tuple[str, ...] = ("test/disc/1",)

    def mask(self, item: Item) -> Mask | None:
        found = super().mask(item)
        return found if not item.label or item.id in self.known else None

    def image(self, item: Item) -> Image:
        return Toys().image(item)


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts a data set in the stages' way."""

    def offer(data: Dataset) -> None:
        for module in (stage, planning):
            monkeypatch.setattr(
                module,
                "open_dataset",
                lambda dataset, **_: data if dataset == "toys" else open_dataset(dataset),
            )

    offer(Toys())
    return offer


def make(store: Path, method: str = REAL, **options: Any) -> Any:
    chosen = {"category": "a", "n": 12, "store": store, "size": 32, "workers": 1, **options}
    return generate("toys", method, **chosen)[-1]


def test_the_set_holds_the_few_shot_third_with_its_masks(tmp_path: Path, offer: Any) -> None:
    stored = make(tmp_path)
    assert stored.key == StoreKey("toys", "real", 0)
    assert stored.attributes["record"]["saw_defects"] == [i.id for i in few_shot(Toys(), "a").items]
    assert set(stored.attributes["record"]["saw_defects"]) == FEW
    items = {item.id: item for item in Toys().test("a")}
    for name, sample in zip(stored.attributes["record"]["saw_defects"], stored, strict=True):
        geometry = stored.normals.geometry
        mask = fit_mask(Toys().mask(items[name]), geometry)  # type: ignore[arg-type]
        assert np.array_equal(sample.image, resize(Toys().image(items[name]), geometry))
        assert np.array_equal(sample.mask, mask)
        # The clean image shows no bright disc where the mask is.
        assert sample.clean is not None
        assert sample.clean[mask].max() < 200 < sample.image[mask].max()


@pytest.mark.parametrize("method", [REAL, "compose"])
def test_no_other_test_image_is_touched(tmp_path: Path, offer: Any, method: str) -> None:
    offer(Guarded())
    made = make(tmp_path, method, **(MASKED if method == "compose" else {}))
    assert set(made.attributes["record"]["saw_defects"]) == FEW
    opened = SynthStore.open(tmp_path)
    assert len(Masks(opened.read(StoreKey("toys", REAL, 0), "a"))) == len(FEW)


def test_it_is_written_once_and_verified_like_any_set(
    tmp_path: Path, offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("asbench.generation.real.restored", None)  # calling it would fail
        assert make(tmp_path, n=3, seed=5).digest == first.digest
    found = verify(SynthStore.open(tmp_path), count=2)
    assert (found.sets, found.faults) == (1, [])
    assert make(tmp_path / "other").digest == first.digest


def test_masks_drawn_from_it_are_recorded_and_rendered_anew(tmp_path: Path, offer: Any) -> None:
    made = make(tmp_path, "compose", **MASKED)
    opened = SynthStore.open(tmp_path)
    assert made.attributes["defects"]["count"] == 2
    assert recompute(opened, made.key, "a", 12).different == ()
    assert "defects" not in make(tmp_path, "cutout").attributes
    drawn, stored, _ = samples_of(tmp_path, Toys(), "compose@real-another-poisson", "a", range(2))
    assert (len(drawn), stored) == (2, False)


def test_another_bank_is_another_set(tmp_path: Path, offer: Any) -> None:
    before = make(tmp_path, "compose", **MASKED)
    offer(Masked())
    with pytest.raises(StoreError, match=r"toys/real/0/a .* other defects .*(\n.*)*--replace"):
        make(tmp_path, "compose", **MASKED)
    again = make(tmp_path, REAL, replace=True)
    assert again.attributes["record"]["saw_defects"] == ["test/disc/1"]
    assert again.attributes["record"]["without_mask"] == ["test/disc/0"]
    with pytest.raises(StoreError, match=r"compose@masked/0/a .*identity \(defects: stored .*2"):
        make(tmp_path, "compose", **MASKED)
    told = recompute(SynthStore.open(tmp_path), before.key, "a", 2).versions
    assert told == ("masks of real defects: others now than then",)
    after = make(tmp_path, "compose", replace=True, **MASKED)
    assert after.digest != before.digest


def test_defects_that_cannot_serve_are_refused_naming_the_place(tmp_path: Path, offer: Any) -> None:
    offer(Masked(known=()))
    with pytest.raises(
        UserError, match=r"none of the 2 few-shot defects of toys/a has a mask.*STEM"
    ):
        make(tmp_path / "store")
    offer(open_dataset("procedural"))
    with pytest.raises(UserError, match=r"no few-shot defects.*a type needs three"):
        generate("toys", REAL, store=tmp_path / "store")
    offer(Toys())
    for method, options in (("real@v", {}), (REAL, {"settings": {"a": 1}, "variant": "v"})):
        with pytest.raises(UserError, match="real defects are what they are"):
            make(tmp_path / "store", method, **options)
    assert not (tmp_path / "store").exists()


QUICK: dict[str, Any] = {
    "category": "a",
    "detector": "draem@tiny",
    "settings": {"width": 2, "seg_width": 2},
    "steps": 4,
    "batch": 4,
    "device": "cpu",
}


def test_a_run_counts_every_defect_once_and_is_scored_without_them(
    tmp_path: Path, offer: Any
) -> None:
    make(tmp_path / "store", ["compose@real-another-poisson", "cutout", REAL])
    here = {"store": tmp_path / "store", "runs": tmp_path / "runs", **QUICK}
    mix = "compose:1,real:1"
    both = train("toys", mix, synth_seed=0, **here).run
    assert both.saw_defects == 2
    assert both.decides["mix"] == {"compose@real-another-poisson": 0.5, "real": 0.5}
    stored = SynthStore.open(tmp_path / "store").read(StoreKey("toys", REAL, 0), "a")
    assert both.decides["sets"]["real"] == stored.digest
    assert both.counts["held_out"]["anomalous"] == 4
    assert train("toys", "cutout", **here).run.saw_defects == 0
    assert train("toys", "real", synth_seed=7, **here).run.saw_defects == 2
    assert train("toys", ratio=0, **here).run.saw_defects == 0


def test_a_mix_that_cannot_have_them_says_what_to_type(tmp_path: Path, offer: Any) -> None:
    make(tmp_path, "cutout")
    here = {"store": tmp_path, "runs": tmp_path / "runs", **QUICK}
    with pytest.raises(StoreError, match=r"--category a --method real --seed 0$"):
        train("toys", "cutout:0.5,real:0.5", synth_seed=0, **here)
    make(tmp_path)
    with pytest.raises(UserError, match=r"pool 3 .* 2 few-shot defects .* pool of 2 or less"):
        train("toys", "real", pool=3, **here)


def test_defects_that_are_few_shot_no_more_are_not_trained_on(tmp_path: Path, offer: Any) -> None:
    """A photograph added to the folder shifts its lowest third."""
    make(tmp_path, "compose", **MASKED)

    class Grown(Toys):
        def items(self, category: str) -> tuple[Item, ...]:
            found = super().items(category)
            return tuple(
                Item(i.id, i.category, i.split, i.label, i.defect, i.few_shot and i.id[-1] == "0")
                for i in found
            )

    offer(Grown())
    here = {"store": tmp_path, "runs": tmp_path / "runs", **QUICK}
    with pytest.raises(
        UserError, match=r"made from 1 real defects .*\(test/disc/1\).*\n.*--replace$"
    ):
        train("toys", "compose", **here)


def test_a_folder_of_photographs_gives_its_own(tmp_path: Path) -> None:
    photograph(tmp_path / "photos", ("bolt",))
    made = generate(
        str(tmp_path / "photos"),
        [REAL, "compose@real-another-poisson"],
        n=5,
        size=32,
        workers=1,
        store=tmp_path / "store",
    )
    assert [len(stored) for stored in made] == [2, 5]
    assert made[0].attributes["record"]["types"] == ["disc", "disc"]


@pytest.mark.parametrize("method", ["croppaste", "compose@real-defect-paste"])
def test_pixels_of_real_defects_are_counted_and_guarded(
    tmp_path: Path, offer: Any, method: str
) -> None:
    """No other test image is touched, what was seen is recorded, and all is rendered anew alike."""
    offer(Guarded())
    made = make(tmp_path, method)
    assert set(made.attributes["record"]["saw_defects"]) == FEW
    assert made.attributes["defect_images"]["count"] == len(FEW)
    assert ("defects" in made.attributes) == method.startswith("compose")
    opened = SynthStore.open(tmp_path)
    assert recompute(opened, made.key, "a", 12).different == ()
    drawn, stored, _ = samples_of(tmp_path / "none", Toys(), method, "a", range(2))
    assert (len(drawn), stored) == (2, False)


def test_a_pasted_defect_is_one_of_the_few_shot_third(tmp_path: Path, offer: Any) -> None:
    """The discs are bright, and pasted as they are."""
    here = {"settings": {"jitter": 0, "scale": (1.0, 1.0)}, "variant": "plain"}
    made = make(tmp_path, "croppaste", **here)
    bank = StoredDefects(SynthStore.open(tmp_path).read(StoreKey("toys", REAL, 0), "a"))
    assert {defect.id for defect in bank} == FEW
    assert {defect.kind for defect in bank} == {"disc"}
    brightest = {int(defect.image[defect.mask].max()) for defect in bank}
    assert {int(sample.image[sample.mask].max()) for sample in made} <= brightest


def test_other_pixels_of_a_defect_make_another_set(tmp_path: Path, offer: Any) -> None:
    """Masks alone would not tell."""
    before = make(tmp_path, "croppaste")
    masked = make(tmp_path, "compose", **MASKED)

    class Brighter(Toys):
        def image(self, item: Item) -> Image:
            image = super().image(item)
            return np.maximum(image, 250) * (image > 200) + image * (image <= 200)

    offer(Brighter())
    make(tmp_path, REAL, replace=True)
    with pytest.raises(StoreError, match=r"croppaste/0/a .*identity \(defect_images: stored"):
        make(tmp_path, "croppaste")
    told = recompute(SynthStore.open(tmp_path), before.key, "a", 2).versions
    assert told == ("real defects: others now than then",)
    assert make(tmp_path, "compose", **MASKED).digest == masked.digest


def test_a_run_on_pasted_defects_is_scored_without_them(tmp_path: Path, offer: Any) -> None:
    make(tmp_path / "store", ["croppaste", "cutout"])
    here = {"store": tmp_path / "store", "runs": tmp_path / "runs", **QUICK}
    run = train("toys", "croppaste:0.5,cutout:0.5", synth_seed=0, **here).run
    assert run.saw_defects == 2
    assert run.counts["held_out"]["anomalous"] == 4
