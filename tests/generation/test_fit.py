"""Learned methods through the stage: fitted once, then the same bytes whatever comes between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asbench.generation import fit as fitting
from asbench.generation import fitted as loading
from asbench.generation import generate as stage
from asbench.generation.fit import Interrupted
from asbench.generation.fitted import fitted_methods, read_fit
from asbench.generation.generate import Drawn, samples_of
from asbench.generation.recompute import recompute
from asbench.nets.weights import load_tensors, save_tensors
from asbench.synthesizers import realnet as plugin
from asbench.synthesizers import resolve
from asbench.synthesizers.realnet.networks import RealnetModel
from asbench.testing import material
from asbench.types import Canvas, Item, Synthesizer
from synth_store import Sample, StoreError, SynthStore, UserError
from synth_store.types import Image
from tests.generation.toyfits import METHOD, Guarded, fit_toys, render, shut_away
from tests.toynets import REALNET as SETTINGS

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    shut_away(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit of both categories, made once."""
    place = tmp_path_factory.mktemp("fit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "open_dataset", lambda dataset, **_: Guarded(none=True))
        fit_toys(place)
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "here")
    return tmp_path / "here"


def folder_of(place: Path, label: str = "all") -> Path:
    return place / "fits/toys" / METHOD / "0" / label


def test_a_fit_says_what_it_is(made: Path) -> None:
    assert sorted(p.name for p in folder_of(made).iterdir()) == [
        "fit.json",
        "losses.png",
        "samples.png",
        "weights.safetensors",
    ]
    record = json.loads((folder_of(made) / "fit.json").read_text())
    assert record["identity"]["method"] == METHOD
    assert record["identity"]["kinds"] == {"a": [], "b": []}
    assert record["identity"]["defects"] == {"a": [], "b": []}
    assert set(record["identity"]["normals"]) == {"a", "b"}
    assert "strength_low" not in record["identity"]["parameters"]
    assert {"torch", "diffusers"} <= set(record["versions"])
    steps = [step for step, _ in record["losses"]["denoise/noise"]]
    assert steps == list(range(SETTINGS["steps"]))
    assert fitted_methods(made / "fits", "toys", "b") == [METHOD]


@pytest.mark.parametrize("colour", ["as-normals", "as-published"])
def test_the_sheet_of_a_fit_is_grey_where_its_samples_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, colour: str
) -> None:
    @dataclass(frozen=True)
    class Grey(Guarded):
        def image(self, item: Item) -> Image:
            return np.repeat(super().image(item)[..., :1], 3, axis=2)

    drawn: list[Sample] = []
    monkeypatch.setattr(fitting, "open_dataset", lambda dataset, **_: Grey(none=True))
    sheet = fitting.contact_sheet
    monkeypatch.setattr(
        fitting,
        "contact_sheet",
        lambda bands, **how: sheet(
            [drawn.extend(b.samples) or b for b in bands],  # type: ignore[func-returns-value]
            **how,
        ),
    )
    fit_toys(tmp_path, category="a", settings={"colour": colour})
    assert any(np.ptp(s.image, axis=2).any() for s in drawn) == (colour == "as-published")


def test_a_fit_that_stands_is_not_made_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(fitting, "networks", None)  # calling it would fail
    (again,) = fit_toys(place, notify=told.append)
    assert again.digest == read_fit(folder_of(place)).digest
    assert "stands already" in told[0]


def test_a_stopped_fit_goes_on_to_the_same_weights(made: Path, tmp_path: Path) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Interrupted, match="stopped at step 2, saved in"):
        fit_toys(tmp_path, stop=lambda: next(asked))
    assert not (folder_of(tmp_path) / "fit.json").exists()
    with pytest.raises(UserError, match=r"holds another fit: its parameters is"):
        fit_toys(tmp_path, settings={"lr": 0.5})
    told: list[str] = []
    (done,) = fit_toys(tmp_path, notify=told.append)
    assert "continues from step 2 of" in told[0]
    assert done.digest == read_fit(folder_of(made)).digest
    assert sorted(p.name for p in done.folder.iterdir()) == [
        "fit.json",
        "losses.png",
        "samples.png",
        "weights.safetensors",
    ]


class Seldom:
    """A renderer that shows something on every n-th canvas."""

    def __init__(self, every: int) -> None:
        self.every, self.asked = every, 0

    def render(self, canvases: Sequence[Canvas], rngs: Any) -> list[Sample | None]:
        samples: list[Sample | None] = []
        for canvas in canvases:
            self.asked += 1
            mask = np.ones(canvas.normal.shape[:2], np.bool_)
            shows = not self.asked % self.every
            samples.append(Sample(255 - canvas.normal, mask) if shows else None)
        return samples


@pytest.mark.parametrize(
    ("every", "shown", "draws"), [(1, 8, 8), (2, 8, 16), (6, 6, 40), (40, 1, 40), (41, 0, 40)]
)
def test_the_sheet_of_a_fit_draws_again_what_shows_nothing(
    every: int, shown: int, draws: int
) -> None:
    """One draw in six is enough for `generate`, so a fit that gives it is not refused."""
    given = material(16, 16, "texture")
    samples, asked = fitting._shown(Seldom(every), 8, given)
    assert (len(samples), asked) == (shown, draws)
    for sample in samples:
        assert sample.clean is not None
        assert np.array_equal(sample.image, 255 - sample.clean)


def test_seed_and_category_make_other_fits(made: Path, tmp_path: Path) -> None:
    first = read_fit(folder_of(made))
    (seeded,) = fit_toys(tmp_path, seed=1)
    (alone,) = fit_toys(tmp_path, category="a")
    assert len({first.digest, seeded.digest, alone.digest}) == 3
    assert alone.folder == folder_of(tmp_path, "a")
    assert alone.kinds == {"a": ()}
    with pytest.raises(UserError, match=r"is not fitted for toys/b .*--category b"):
        render(tmp_path, category="b")
    with pytest.raises(UserError, match="one model for all categories of toys, or for one"):
        fit_toys(tmp_path, category=["a", "b"])


def test_another_fit_at_the_same_place_is_refused(place: Path) -> None:
    with pytest.raises(
        UserError, match=r"holds another fit: its parameters .*--variant.*--replace"
    ):
        fit_toys(place, settings={"lr": 0.5})
    (again,) = fit_toys(place, settings={"lr": 0.5}, replace=True)
    assert again.record.identity["parameters"]["lr"] == 0.5


def test_workers_play_no_part(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "fits", tmp_path / "other" / "fits")
    assert render(place) == render(tmp_path / "other", workers=2)


def test_shards_order_growth_and_redraws_play_no_part(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = render(place)

    def elsewhere(name: str) -> Path:
        shutil.copytree(place / "fits", tmp_path / name / "fits")
        return tmp_path / name

    grown = elsewhere("grown")
    for n in (1, 6, 13):
        found = render(grown, n=n)
    assert found == whole

    def backwards(function, jobs, workers):  # type: ignore[no-untyped-def]
        return [(job, function(job)) for job in reversed(jobs)]

    with monkeypatch.context() as patch:
        patch.setattr("asbench.grid.engines.run", backwards)
        assert render(elsewhere("backwards")) == whole
    with monkeypatch.context() as patch:
        patch.setattr(plugin.Realnet, "shard", 4)
        small = elsewhere("shards")
        render(small)
    pixels = [_pixels(root, c) for root in (place, small) for c in "ab"]
    assert pixels[:2] == pixels[2:]

    kept = RealnetModel.render

    def forgetful(self: RealnetModel, canvases: Any, rngs: Any) -> list[Sample | None]:
        """Show nothing on every third draw, decided by the sample's own chance."""
        drawn = kept(self, canvases, rngs)
        return [None if s and int(s.image.sum()) % 3 == 0 else s for s in drawn]

    with monkeypatch.context() as patch:
        patch.setattr(RealnetModel, "render", forgetful)
        at_once = elsewhere("redrawn")
        again = render(at_once)
        grown = elsewhere("redrawn-grown")
        render(grown, n=5)
        assert render(grown) == again
    assert again != whole


def _pixels(place: Path, category: str) -> list[bytes]:
    """Return the images of a set, absolute, in order."""
    opened = SynthStore.open(place / "store")
    ((key, _),) = [(k, c) for k, c in opened.sets() if c == category]
    stored = opened.read(key, category)
    return [stored[i].image.tobytes() + stored[i].mask.tobytes() for i in range(len(stored))]


def test_samples_are_rendered_anew_and_previewed_to_the_same_pixels(place: Path) -> None:
    drawn, from_store, _ = _previewed(place)
    assert not from_store
    render(place)
    stored, from_store, _ = _previewed(place)
    assert from_store
    for one, other in zip(drawn, stored, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.mask, other.mask)
    opened = SynthStore.open(place / "store")
    for key, category in opened.sets():
        found = recompute(opened, key, category, 4, fits=place / "fits")
        assert len(found.indices) == 4
        assert found.different == ()
    shutil.rmtree(place / "fits")
    with pytest.raises(UserError, match=f"{METHOD} is not fitted for toys/a"):
        recompute(opened, key, "a", 1, fits=place / "fits")


def _previewed(place: Path) -> Drawn:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "resolve", _resolved)
        return samples_of(place / "store", Guarded(), METHOD, "a", range(6), fits=place / "fits")


def _resolved(name: str, **options: Any) -> Synthesizer:
    """Resolve the user's own variant, which a preview knows by the store alone."""
    return resolve(name, **{**options, "settings": SETTINGS})


def test_nothing_is_rendered_without_a_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not fitted for toys/a .*`asbench fit --method"):
        render(tmp_path)
    assert not (tmp_path / "store").exists()


def test_a_set_does_not_grow_by_another_fit_or_another_kind_of_device(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render(place, n=5)
    with monkeypatch.context() as patch:
        patch.setattr(
            stage,
            "loading_of",
            lambda *a: loading.Loading(folder_of(place), "0" * 64, "cuda:0", ()),
        )
        with pytest.raises(StoreError, match=r"device.*cuda"):
            render(place)
    fit_toys(place, settings={"lr": 0.5}, replace=True)
    with pytest.raises(UserError, match=r"was fitted with lr=0\.5, not 0\.001"):
        render(place)
    with pytest.raises(StoreError, match="fit"):
        render(place, settings={"lr": 0.5})


def test_what_fitting_does_not_see_renders_from_the_same_fit(place: Path) -> None:
    """Another strength is another set, of the same weights."""
    weak = render(place)
    strong = render(place, settings={"strength_low": 2.0, "strength_high": 2.0}, variant="strong")
    assert weak != strong
    opened = SynthStore.open(place / "store")
    fits = {opened.read(key, c).attributes["fit"]["digest"] for key, c in opened.sets() if c == "a"}
    assert fits == {read_fit(folder_of(place)).digest}
    with pytest.raises(UserError, match="realnet@wide is not fitted"):
        render(place, settings={"width": 16}, variant="wide")


@pytest.mark.parametrize("damage", ["gone", "cut", "other", "record"])
def test_damaged_weights_are_refused_before_any_work(place: Path, damage: str) -> None:
    weights = folder_of(place) / "weights.safetensors"
    if damage == "gone":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "other":
        changed = {name: t + 1 for name, t in load_tensors(weights).items()}
        save_tensors(changed, weights)
    else:
        (folder_of(place) / "fit.json").write_text("{")
    with pytest.raises(UserError, match=r"fit again with|asbench fit --replace"):
        render(place)
    images = list((place / "store").glob(f"toys/{METHOD}/0/*/image/c/*/*/*/*"))
    assert images == []
