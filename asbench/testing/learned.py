"""The contract of learned synthesizers: fitted a handful of times, on images of 32 pixels.

What the stage and the commands make of a method is tested beside them, once for all.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from asbench.fitting import loop
from asbench.fitting.contract import LearnedModel, load_kept, save_kept
from asbench.generation.fitted import Evaluated, networks
from asbench.generation.render import in_batches
from asbench.nets.seeds import address_seed, private_rng, seed_rng
from asbench.testing.generated import Kind, digest, every_array, global_chance, material
from asbench.testing.synthesizers import check_description, check_sample
from asbench.types import Canvas, Defect, LearnedSynthesizer, Material, Subject
from synth_store.rng import address_rng
from synth_store.types import Sample

SIDE = 32
CPU = torch.device("cpu")
KINDS: tuple[Kind, ...] = ("texture", "object")
"""The categories that a joint model is fitted on; another one, on the first alone."""


def defects(given: Material, count: int = 4) -> tuple[Defect, ...]:
    """Return generated defects of two kinds: bright and dark discs on the material's normals."""
    drawn = []
    for index in range(count):
        rng = address_rng("testing", "defect", given.category, index)
        image = given.normals[index % len(given.normals)].copy()
        disc = np.zeros(image.shape[:2], np.uint8)
        x, y = (int(c) for c in rng.integers(SIDE // 4, SIDE - SIDE // 4, 2))
        cv2.circle(disc, (x, y), int(rng.integers(3, 7)), 1, -1)
        mask = disc.astype(np.bool_)
        kind = ("bright", "dark")[index % 2]
        image[mask] = 235 if kind == "bright" else 20
        drawn.append(Defect(f"{kind}/{index}", kind, image, mask))
    return tuple(drawn)


def subjects_of(synthesizer: LearnedSynthesizer) -> tuple[Subject, ...]:
    """Return what a method may be fitted on: generated, at 32x32."""
    subjects = []
    for kind in KINDS if synthesizer.joint else KINDS[:1]:
        given = material(SIDE, SIDE, kind)
        few = defects(given) if synthesizer.learns_from == "few-shot defects" else ()
        subjects.append(Subject(kind, given.normals, given.foregrounds, few))
    return tuple(subjects)


def fit_model(
    synthesizer: LearnedSynthesizer,
    subjects: tuple[Subject, ...],
    folder: Path,
    *,
    seed: int = 0,
    stop: Callable[[], bool] | None = None,
) -> tuple[LearnedModel, loop.Fitting]:
    """Build and fit a method's networks as `asbench fit` does, from no pretrained weights."""
    kinds = {s.category: tuple(sorted({d.kind for d in s.defects})) for s in subjects}
    with private_rng():
        seed_rng(address_seed("build", "testing", seed))
        model = networks(synthesizer, kinds, {})
        stages = model.stages(subjects)
    fitting = loop.fit(
        model,
        stages,
        seed=seed,
        device=CPU,
        folder=folder,
        progress=lambda stage, done, total: None,
        notify=lambda sentence: None,
        stop=stop,
    )
    return model.eval(), fitting


def draw_learned(
    model: LearnedModel, batch: int, indices: list[int], given: Material
) -> list[Sample | None]:
    """Return the samples at these indices, each from its own generator, on the normals in turn."""
    canvases = [Canvas(given, i % len(given.normals)) for i in indices]
    rngs = [address_rng("testing", "draw", i) for i in indices]
    return in_batches(Evaluated(model), batch, indices, canvases, rngs)


def _kept(model: LearnedModel) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.kept().items()}


def _equal(first: LearnedModel, second: LearnedModel) -> bool:
    one, other = _kept(first), _kept(second)
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class LearnedContract:
    """Tests of what every learned method promises; give it a `synthesizer`, as small as it can be.

    class TestMine(LearnedContract):
        synthesizer = Mine(side=32, steps=6)
    """

    synthesizer: LearnedSynthesizer
    _fitted: tuple[LearnedModel, loop.Fitting]

    @pytest.fixture
    def fitted(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[LearnedModel, loop.Fitting]:
        """Fit once for all tests of a class."""
        cls = type(self)
        if "_fitted" not in vars(cls):
            folder = tmp_path_factory.mktemp("fit")
            cls._fitted = fit_model(self.synthesizer, subjects_of(self.synthesizer), folder)
        return cls._fitted

    def test_says_what_it_is_and_what_its_parameters_mean(self) -> None:
        check_description(self.synthesizer)
        assert pickle.loads(pickle.dumps(self.synthesizer)) == self.synthesizer

    def test_every_stage_records_its_losses(
        self, fitted: tuple[LearnedModel, loop.Fitting]
    ) -> None:
        model, fitting = fitted
        assert fitting.done
        with private_rng():
            stages = model.stages(subjects_of(self.synthesizer))
        assert fitting.steps == sum(stage.steps for stage in stages)
        assert {name.partition("/")[0] for name in fitting.curves} == {s.name for s in stages}

    def test_a_fit_is_a_function_of_its_seed(
        self,
        fitted: tuple[LearnedModel, loop.Fitting],
        tmp_path: Path,
    ) -> None:
        chance = global_chance()
        again, _ = fit_model(self.synthesizer, subjects_of(self.synthesizer), tmp_path / "again")
        assert global_chance() == chance, "fitting drew from a global generator"
        assert _equal(fitted[0], again)
        other, _ = fit_model(
            self.synthesizer, subjects_of(self.synthesizer), tmp_path / "other", seed=1
        )
        assert not _equal(fitted[0], other)

    def test_a_fit_that_is_stopped_at_every_step_ends_in_the_same_weights(
        self,
        fitted: tuple[LearnedModel, loop.Fitting],
        tmp_path: Path,
    ) -> None:
        """A step, a stop, fresh networks from the checkpoint, and so on through all stages."""
        subjects = subjects_of(self.synthesizer)
        for done in range(fitted[1].steps):
            stop = iter((False, True)).__next__
            _, fitting = fit_model(self.synthesizer, subjects, tmp_path, stop=stop)
            assert fitting.steps == done + 1
        resumed, fitting = fit_model(self.synthesizer, subjects, tmp_path)
        assert fitting.done
        assert _equal(fitted[0], resumed)
        assert fitting.curves == fitted[1].curves

    def test_what_is_kept_renders_the_same_samples(
        self,
        fitted: tuple[LearnedModel, loop.Fitting],
        tmp_path: Path,
    ) -> None:
        model, subjects = fitted[0], subjects_of(self.synthesizer)
        save_kept(model, tmp_path / "weights.safetensors")
        kinds = {s.category: tuple(sorted({d.kind for d in s.defects})) for s in subjects}
        with private_rng():
            again = networks(self.synthesizer, kinds, {})
        load_kept(again, tmp_path / "weights.safetensors")
        given, some = material(SIDE, SIDE, KINDS[0]), list(range(self.synthesizer.batch))
        drawn = (
            draw_learned(m.eval(), self.synthesizer.batch, some, given) for m in (model, again)
        )
        assert digest(next(drawn)) == digest(next(drawn))

    def test_a_sample_does_not_depend_on_its_neighbours(
        self, fitted: tuple[LearnedModel, loop.Fitting]
    ) -> None:
        """Alone in its batch, in another order, or among others: the same bytes."""
        model, batch = fitted[0], self.synthesizer.batch
        given = material(SIDE, SIDE, KINDS[0])
        whole = draw_learned(model, batch, list(range(2 * batch)), given)
        some = [batch + 1, 2, 0] if batch > 2 else [batch]
        drawn = draw_learned(model, batch, some, given)
        assert digest(drawn) == digest([whole[i] for i in some])
        assert digest(draw_learned(model, batch, some[:1], given)) == digest([whole[some[0]]])

    def test_leaves_material_and_global_chance_alone(
        self, fitted: tuple[LearnedModel, loop.Fitting]
    ) -> None:
        given = material(SIDE, SIDE, KINDS[0])
        arrays, chance = every_array(given), global_chance()
        draw_learned(fitted[0], self.synthesizer.batch, [0], given)
        assert every_array(given) == arrays, "the method wrote into its material"
        assert global_chance() == chance, "the method drew from a global generator"

    @pytest.mark.parametrize("size", [(SIDE, SIDE), (64, 48), (37, 51)])
    def test_any_canvas_of_a_category_gives_a_sound_sample_or_none(
        self,
        fitted: tuple[LearnedModel, loop.Fitting],
        size: tuple[int, int],
    ) -> None:
        """Whatever the store's geometry; some of a handful of samples show something."""
        shown = 0
        for subject in subjects_of(self.synthesizer):
            kind: Kind = subject.category  # type: ignore[assignment]
            given = material(*size, kind)
            some = list(range(self.synthesizer.batch))
            for index, sample in enumerate(
                draw_learned(fitted[0], self.synthesizer.batch, some, given)
            ):
                if sample is not None:
                    check_sample(
                        self.synthesizer, sample, given.normals[index % len(given.normals)]
                    )
                    shown += 1
        assert shown
