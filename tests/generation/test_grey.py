"""Sets on grey photographs: grey in the store, told apart from coloured ones, rendered anew."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from asbench.generation import generate as stage
from asbench.generation.generate import generate, samples_of
from asbench.generation.recompute import recompute
from asbench.synthesizers import resolve
from asbench.types import Item
from synth_store import StoredSet, StoreError, SynthStore
from synth_store.errors import OtherIdentity
from synth_store.types import Image
from tests.toyset import Toys

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mixed(Toys):
    """Toys of which category a is grey: all of it, or all but its last normal."""

    name: str = "toys"
    spared: tuple[str, ...] = ()

    def image(self, item: Item) -> Image:
        image = super().image(item)
        if item.category == "a" and item.id not in self.spared:
            image = np.repeat(image[..., :1], 3, axis=2)
        return image


def show(monkeypatch: pytest.MonkeyPatch, data: Toys) -> None:
    monkeypatch.setattr(stage, "open_dataset", lambda dataset, **_: data)


@pytest.fixture(autouse=True)
def mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, Mixed())


def rendered(store: Path, method: str, category: str = "a", **more: object) -> StoredSet:
    options = {"n": 12, "size": 32, "workers": 1, "textures": "procedural", **more}
    (stored,) = generate("toys", method, category=category, store=store, **options)  # type: ignore[arg-type]
    return stored


def coloured(stored: StoredSet) -> int:
    return sum(bool(np.ptp(stored[i].image, axis=2).any()) for i in range(len(stored)))


def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stage render and record as releases before `colour` did."""
    for place in ("plan", "generate"):
        monkeypatch.setattr(f"asbench.generation.{place}.stays_grey", lambda *_: False)


@pytest.mark.parametrize("method", ["draem", "destseg", "memseg", "fractal"])
def test_sets_on_grey_normals_are_grey_and_coloured_on_request(tmp_path: Path, method: str) -> None:
    kept, published = rendered(tmp_path, method), rendered(tmp_path, f"{method}@coloured")
    assert coloured(kept) == 0
    assert coloured(published) > 0
    assert kept.attributes["parameters"]["colour"] == "as-normals"
    assert "colour" not in published.attributes["parameters"]
    for stored in (kept, published):
        assert recompute(SynthStore.open(tmp_path), stored.key, "a", 12).different == ()


def test_workers_and_pictures_show_what_is_stored(tmp_path: Path) -> None:
    drawn, from_store, _ = samples_of(
        tmp_path / "nowhere", Mixed(), "draem", "a", range(4), textures="procedural"
    )
    assert not from_store
    assert not any(np.ptp(s.image, axis=2).any() for s in drawn)
    one, two = (rendered(tmp_path / str(n), "draem", n=300, workers=n) for n in (1, 2))
    assert one.digest == two.digest
    assert coloured(one) == 0


def test_one_coloured_normal_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, Mixed(spared=("train/08",)))
    stored = rendered(tmp_path, "draem")
    assert not stored.normals.grey
    assert "colour" not in stored.attributes["parameters"]
    assert coloured(stored) > 1


@pytest.mark.parametrize("method", ["draem", "memseg", "cutout"])
def test_sets_of_before_on_coloured_normals_serve_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    with monkeypatch.context() as patch:
        as_before(patch)
        old = rendered(tmp_path, method, "b", n=6)
    plain = asdict(resolve(method, dataset="toys", category="b"))
    assert plain.keys() - old.attributes["parameters"].keys() == {"colour"}
    longer = rendered(tmp_path, method, "b", n=12)
    assert len(longer) == 12
    fresh = rendered(tmp_path / "fresh", method, "b", n=12)
    assert longer.digest == fresh.digest


def test_sets_of_before_on_grey_normals_are_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        as_before(patch)
        old = {m: rendered(tmp_path, m) for m in ("draem", "fractal", "cutout", "nsa")}
    assert coloured(old["draem"]) > 0
    for method in ("draem", "fractal"):
        with pytest.raises(OtherIdentity, match=r"colour.*--replace") as raised:
            rendered(tmp_path, method)
        assert raised.value.differences == {
            "parameters": ({"colour": None}, {"colour": "as-normals"})
        }
        # What stands is still read, and rendered anew to its own pixels.
        assert recompute(SynthStore.open(tmp_path), old[method].key, "a", 12).different == ()
    for method in ("cutout", "nsa"):  # these have no colours to lose
        assert rendered(tmp_path, method).digest == old[method].digest
    assert coloured(rendered(tmp_path, "draem", replace=True)) == 0


def test_a_set_of_ones_own_keeps_its_colours(tmp_path: Path) -> None:
    mine = {"settings": {"colour": "as-published"}, "variant": "mine"}
    assert coloured(rendered(tmp_path, "draem", **mine)) > 0  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"stored \{'colour': None\}, here"):
        rendered(tmp_path, "draem", settings={"colour": "as-normals"}, variant="mine")
