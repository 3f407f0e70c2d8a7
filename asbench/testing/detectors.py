"""The contract of detectors: built, prepared, trained for a few steps and read back, on the CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asbench.nets.detector import Batch, Detector
from asbench.nets.seeds import address_generator, address_seed, private_rng, seed_rng
from asbench.nets.weights import load_weights, save_weights
from asbench.parameters import parameters
from asbench.testing.generated import Kind, global_chance, material
from asbench.training.loop import Precision, Trajectory, fit

STEPS = 5
"""Of the trainings here: enough for a first stage of a fifth of them to end."""


def values(detector: Detector) -> dict[str, Any]:
    """Return a detector's parameters, which it holds as they were given."""
    return {p.name: getattr(detector, p.name) for p in parameters(type(detector))}


def rebuilt(detector: Detector, seed: int = 0) -> Detector:
    """Return a new one with the same parameters: its weights are a function of the seed."""
    with private_rng():
        seed_rng(address_seed("testing", "weights", seed))
        return type(detector)(**values(detector))


def ready(detector: Detector, seed: int = 0) -> Detector:
    """Return a new one that has looked at the normals, in eval mode."""
    made = rebuilt(detector, seed)
    made.prepare(normals(side(detector)), address_generator("testing", "prepare"))
    return made.eval()


def side(detector: Detector) -> int:
    """Return the smallest side from 32 pixels up that is an odd multiple of a detector's stride."""
    stride = detector.stride
    return next(s for s in range(stride, 32 + 3 * stride, 2 * stride) if s >= 32)


def normals(height: int, width: int | None = None, kind: Kind = "texture") -> Tensor:
    """Return generated normals: uint8 (10, 3, height, width)."""
    given = material(height, width or height, kind, normals=10).normals
    images = np.stack([given[i] for i in range(len(given))])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def batch(step: int, height: int, width: int | None = None, count: int = 4) -> Batch:
    """Return the batch of a step: generated, every other item with a bright blob."""
    width = width or height
    given = material(height, width, seed=step, normals=count)
    clean = as_images(normals(height, width))[:count].roll(step, 0)
    mask = torch.zeros(count, 1, height, width)
    for item in range(0, count, 2):
        mask[item, 0] = torch.from_numpy(given.defects[item % len(given.defects)].copy())
    return Batch(clean * (1 - mask) + 0.9 * mask, clean, mask)


def as_images(pixels: Tensor) -> Tensor:
    """Return uint8 pixels as a detector sees them: float32 in [0, 1]."""
    return pixels.float() / 255


def equal(first: Detector, second: Detector) -> bool:
    """Return whether two detectors have the same weights and buffers, bit for bit."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def seen(detector: Detector, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps and scores of images, as the evaluation asks for them."""
    with torch.inference_mode():
        return detector.maps_and_scores(images)


class DetectorContract:
    """Tests of what every detector promises; give it a `detector` fixture.

    A small one, that needs no pretrained weights: it is built anew, with the same parameters, in
    every test.
    """

    @pytest.fixture
    def detector(self) -> Detector:
        raise NotImplementedError("define a fixture `detector` that returns yours, small")

    @pytest.fixture
    def prepared(self, detector: Detector) -> Detector:
        """The detector, prepared and in eval mode."""
        return ready(detector)

    def test_says_what_it_is_and_what_its_parameters_mean(self, detector: Detector) -> None:
        cls = type(detector)
        for name in ("title", "paper", "url", "protocol", "stride"):
            assert getattr(cls, name, None), f"{cls.__name__} lacks the class attribute {name!r}"
        assert cls.url.startswith("https://")
        assert cls.__doc__
        assert cls.__hash__ is not None, "torch wants modules hashed: @dataclass(eq=False)"
        for parameter in parameters(cls):
            assert parameter.doc, f"parameter {parameter.name!r} has no documentation"
        # Parameters are part of a run's id, as JSON.
        assert json.loads(json.dumps(values(detector))) == values(detector)

    def test_its_protocol_can_be_followed(self, detector: Detector) -> None:
        protocol = type(detector).protocol
        assert (protocol.steps is None) != (protocol.epochs is None), "one of steps and epochs"
        assert protocol.steps_for(100) >= 0
        assert protocol.batch >= 1
        assert 0 <= protocol.ratio <= 1
        stages = rebuilt(detector).stages(10)
        assert bool(stages) == (protocol.steps_for(100) > 0), "stages, where there are steps"
        assert not stages or sum(s.share for s in stages) == pytest.approx(1)
        assert len({s.name for s in stages}) == len(stages)
        if protocol.augment is None:
            return
        given, chance = batch(0, side(detector)), global_chance()
        first, again = (protocol.augment(given, address_generator("augment")) for _ in range(2))
        assert global_chance() == chance, "augment drew from a global generator"
        for name, before in vars(given).items():
            assert torch.equal(getattr(first, name), getattr(again, name))
            assert getattr(first, name).shape == before.shape

    def test_a_seed_decides_the_weights(self, detector: Detector) -> None:
        chance = global_chance()
        first, again, other = (rebuilt(detector, seed) for seed in (0, 0, 1))
        assert global_chance() == chance, "it drew from another generator than torch's default"
        assert equal(first, again)
        assert not list(first.parameters()) or not equal(first, other)

    def test_prepare_keeps_all_it_knows_in_buffers(
        self, detector: Detector, prepared: Detector, tmp_path: Path
    ) -> None:
        """A function of normals and generator; another one that reads the weights says the same."""
        assert detector.backbone() is None, "choose parameters that need no pretrained weights"
        given = normals(side(detector))
        before, chance = given.clone(), global_chance()
        again = rebuilt(detector)
        again.prepare(given, address_generator("testing", "prepare"))
        assert global_chance() == chance, "prepare drew from a global generator"
        assert torch.equal(given, before), "prepare wrote into the normals"
        assert equal(again, prepared)
        save_weights(prepared, tmp_path / "weights.safetensors")
        other = rebuilt(detector, seed=1)
        load_weights(other, tmp_path / "weights.safetensors")
        images = batch(0, side(detector)).image
        for read, made in zip(seen(other.eval(), images), seen(prepared, images), strict=True):
            assert torch.equal(read, made)

    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize("shape", [(1, 3), (3, 1), (5, 2)])
    def test_maps_have_the_images_size(
        self, detector: Detector, shape: tuple[int, int], count: int
    ) -> None:
        """Sides are odd multiples of the stride, and others; so is the batch."""
        height, width = (side(detector) * n for n in shape)
        made, pixels = rebuilt(detector), normals(height, width)
        made.prepare(pixels, address_generator("testing", "prepare"))
        maps, scores = seen(made.eval(), as_images(pixels)[:count])
        assert (maps.shape, scores.shape) == ((count, height, width), (count,))
        assert maps.dtype == scores.dtype == torch.float32
        assert maps.isfinite().all()
        assert scores.isfinite().all()
        if detector.bounded:
            assert all(((one >= 0) & (one <= 1)).all() for one in (maps, scores))

    @pytest.mark.parametrize("kind", ["grey", "constant", "background"])
    def test_images_without_colour_or_content_get_finite_scores(
        self, detector: Detector, kind: Kind
    ) -> None:
        made, pixels = rebuilt(detector), normals(side(detector), kind=kind)
        made.prepare(pixels, address_generator("testing", "prepare"))
        for scored in seen(made.eval(), as_images(pixels)[:2]):
            assert scored.isfinite().all()

    def test_an_image_does_not_depend_on_its_neighbours(self, prepared: Detector) -> None:
        images, chance = batch(0, side(prepared)).image, global_chance()
        together = seen(prepared, images)
        assert all(torch.equal(a, b) for a, b in zip(together, seen(prepared, images), strict=True))
        assert global_chance() == chance, "a detector in eval mode draws nothing"
        for whole, alone in zip(together, seen(prepared, images[-1:]), strict=True):
            # Sums in another order differ in their last bits, distances near 0 in more.
            near = 0.01 * float(whole.abs().max())
            torch.testing.assert_close(alone[0], whole[-1], rtol=0, atol=near)

    def test_a_worse_map_has_a_higher_score(self, prepared: Detector) -> None:
        size = side(prepared)
        maps = torch.rand(3, size, size, generator=address_generator("testing", "maps")) * 0.1
        worse = maps.clone()
        worse[:, size // 4 : -(size // 4), size // 4 : -(size // 4)] += 0.8
        low, high = prepared.image_scores(maps), prepared.image_scores(worse)
        assert low.shape == high.shape == (3,)
        assert (high > low).all()

    def test_a_training_that_is_stopped_at_every_step_ends_in_the_same_weights(
        self, detector: Detector, tmp_path: Path
    ) -> None:
        """All state is in what checkpoints hold: weights, buffers, optimisers, schedules."""
        if not detector.stages(STEPS):
            return
        straight, chance = ready(detector), global_chance()
        whole = self.train(straight, tmp_path / "straight")
        assert global_chance() == chance, "training drew from a global generator"
        assert whole.done
        assert torch.tensor(whole.losses).isfinite().all()
        for done in range(STEPS):
            pieces = ready(detector)  # nothing but the folder carries over
            stop = iter((False, True)).__next__
            part = self.train(pieces, tmp_path / "pieces", stop=stop)
            assert part.steps == done + 1
        pieces = ready(detector)
        resumed = self.train(pieces, tmp_path / "pieces")
        assert resumed.done
        assert resumed.losses == whole.losses
        assert equal(straight, pieces)
        assert all(torch.isfinite(t).all() for t in seen(straight.eval(), batch(9, 32).image))

    def test_trains_where_sides_differ(self, detector: Detector, tmp_path: Path) -> None:
        made, height = rebuilt(detector), side(detector)
        width = height + 2 * detector.stride
        made.prepare(normals(height, width), address_generator("testing", "prepare"))
        if made.stages(STEPS):
            trained = fit(
                made,
                lambda step: batch(step, height, width),
                steps=STEPS,
                seed=0,
                device="cpu",
                folder=tmp_path,
            )
            assert torch.tensor(trained.losses).isfinite().all()
        assert all(
            torch.isfinite(t).all() for t in seen(made.eval(), batch(9, height, width).image)
        )

    def test_half_precision_trains_and_keeps_float32(
        self, detector: Detector, tmp_path: Path
    ) -> None:
        made = ready(detector)
        if not made.stages(STEPS):
            return
        trained = self.train(made, tmp_path, precision="bf16")
        assert torch.tensor(trained.losses).isfinite().all()
        kept = [t for t in made.state_dict().values() if t.is_floating_point()]
        assert all(t.dtype == torch.float32 for t in kept if t.numel() > 1)

    def train(
        self, detector: Detector, folder: Path, *, precision: Precision = "fp32", stop: Any = None
    ) -> Trajectory:
        """Train a detector in place by the loop that trains all of them."""
        size = side(detector)
        return fit(
            detector,
            lambda step: batch(step, size),
            steps=STEPS,
            seed=0,
            device="cpu",
            folder=folder,
            precision=precision,
            stop=stop,
        )
