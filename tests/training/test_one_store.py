"""One store, rendered once, for every detector, any mixture and any batch: its bytes never move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest

from asbench.generation import generate as generation
from asbench.generation.generate import generate
from asbench.settings import TrainSettings
from asbench.training import plan as planning
from asbench.training.plan import plan_run
from asbench.training.train import train
from synth_store import StoreKey, SynthStore
from tests.benchmarks.learns import bytes_digest
from tests.toyset import Toys

pytestmark = pytest.mark.slow

SMALL = {
    "destseg": ("destseg@tiny-scratch", {"width": 2}),
    "draem": ("draem@tiny", {"width": 2, "seg_width": 2}),
    "memseg": ("memseg@tiny-scratch", {"width": 2}),
    "unet": ("unet@tiny", {"width": 2}),
}
METHODS = (
    "cutout",
    "cutpaste",
    "cutpaste@asbench",
    "cutpaste_scar",
    "destseg",
    "draem",
    "fpi",
    "fractal",
    "memseg",
    "nsa",
    "pii",
    "riad",
)
BATCH = 5
"""Divides neither the 9 normals nor the 9 samples of a set that may train."""


@dataclass(frozen=True)
class Textures(Toys):
    """A texture bank: toys of one category."""

    name: str = "textures"

    def categories(self) -> tuple[str, ...]:
        return ("a",)


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    """Let both stages find the toy data set, and the generation its textures."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (generation, planning):
            patch.setattr(module, "open_dataset", lambda text, **_: Toys())
        patch.setattr(generation, "open_textures", lambda text: Textures())
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sets of 10 samples at 32x32."""
    root = tmp_path_factory.mktemp("one") / "store"
    sets = generate(
        "toys", METHODS, category="a", n=10, store=root, size=32, textures="textures", workers=1
    )
    assert len(sets) == 12
    return root


def test_all_four_train_from_one_store_and_name_its_digests(store: Path, tmp_path: Path) -> None:
    before = bytes_digest(store)
    opened = SynthStore.open(store)
    digests = {m: opened.read(StoreKey("toys", m, 0), "a").digest for m in ("draem", "nsa")}
    for detector, settings in SMALL.values():
        run = train(
            "toys",
            "draem:0.5,nsa:0.5",
            detector=detector,
            settings=settings,
            category="a",
            steps=5,  # DeSTSeg's first leg has one of them
            batch=BATCH,
            store=store,
            runs=tmp_path / "runs",
            device="cpu",
        ).run
        assert run.decides["sets"] == digests
        assert run.decides["normals"] == opened.normals("toys", "a").digest
    assert bytes_digest(store) == before
    assert len(list((tmp_path / "runs").iterdir())) == 4


def test_all_four_train_at_ratio_0_from_a_store_without_sets(tmp_path: Path) -> None:
    for detector, settings in SMALL.values():
        run = train(
            "toys",
            ratio=0,
            detector=detector,
            settings=settings,
            category="a",
            steps=5,
            batch=BATCH,
            store=tmp_path / "store",
            runs=tmp_path / "runs",
            device="cpu",
        ).run
        assert run.realised == {"normal": 25}
        assert run.decides["sets"] == {}
    assert list(SynthStore.open(tmp_path / "store").sets()) == []


@pytest.mark.parametrize("count", range(1, 13))
def test_mixtures_of_1_to_12_sets(count: int, store: Path, tmp_path: Path) -> None:
    mix = ",".join(f"{method}:{place + 1}" for place, method in enumerate(METHODS[:count]))
    whole = plan_run(
        TrainSettings(
            "toys",
            mix,
            kept_out=0,
            ratio=0.75,
            detector="unet@tiny",
            settings={"width": 1},
            category="a",
            steps=2,
            batch=BATCH,
            store=store,
            runs=tmp_path / "runs",
            device="cpu",
        )
    )
    assert len(whole.sources.sets) == count
    # At the end of every block of 9 items each count is within one item of its share.
    for blocks in (1, 7, 50):
        counts = whole.schedule.counts(9 * blocks)
        assert sum(counts) == 9 * blocks
        shares = (Fraction(1, 4), *(Fraction(3, 4) * s for _, s in whole.sources.mix.shares))
        assert all(abs(n - s * 9 * blocks) < 1 for n, s in zip(counts, shares, strict=True))
    run = train(
        "toys",
        mix,
        kept_out=0,
        ratio=0.75,
        detector="unet@tiny",
        settings={"width": 1},
        category="a",
        steps=2,
        batch=BATCH,
        store=store,
        runs=tmp_path / "runs",
        device="cpu",
    ).run
    assert run.id == whole.id
    assert sum(run.realised.values()) == 10
    assert set(run.decides["sets"]) == set(METHODS[:count])
