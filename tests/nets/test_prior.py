"""What a latent diffusion model from scratch is shown before it is frozen."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asbench.fitting.images import small
from asbench.nets.latent import ANOMALY, MASK
from asbench.nets.prior import MOST, Prior, draw_anomaly, draw_shape
from asbench.nets.seeds import address_generator, private_rng, seed_rng
from asbench.synthesizers.anomalydiffusion import Anomalydiffusion
from asbench.synthesizers.anomalydiffusion.scratch import from_scratch
from asbench.testing import material
from asbench.testing.learned import defects
from asbench.types import Subject
from synth_store import address_rng
from tests.toydiffusion import ANOMALYDIFFUSION

METHOD = Anomalydiffusion(**ANOMALYDIFFUSION)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((16, 64)))
def test_shapes_are_there_and_not_everywhere(seed: int, side: int) -> None:
    shape = draw_shape(side, address_rng("test", seed))
    assert shape.shape == (side, side)
    assert 0 < shape.mean() <= MOST


def test_a_filled_shape_leaves_most_of_a_normal_alone() -> None:
    normal, other = small(material(64, 64, "texture").normals[:2], 64).split(1)
    changed = []
    for index in range(60):
        found = draw_anomaly(normal, other, address_rng("test", index))
        assert found.shape == normal.shape
        assert found.abs().max() <= 1
        changed.append(float(((found - normal).abs() > 0.02).float().mean()))
    assert 0 < sum(changed) / len(changed) < 0.2
    assert max(changed) <= 0.5
    again = draw_anomaly(normal, other, address_rng("test", 0))
    assert torch.equal(again, draw_anomaly(normal, other, address_rng("test", 0)))


def prior() -> Prior:
    given = material(32, 32, "texture")
    subject = Subject("texture", given.normals, given.foregrounds, defects(given))
    with private_rng():
        seed_rng(0)
        return Prior(from_scratch(METHOD, ("texture",)), (subject,), METHOD.side)


def test_every_kind_of_image_comes_with_its_word() -> None:
    """Pictures of shapes are black and white; real defects are for the autoencoder alone."""
    made = prior()
    images, words = made._batch(200, address_generator("test"), real=0.15)
    assert set(words) == {"texture", ANOMALY, MASK}
    drawn = torch.tensor([word == MASK for word in words])
    assert set(images[drawn].unique().tolist()) == {-1.0, 1.0}
    few = {d.image.tobytes() for _, d in made.defects}
    shown = {small([d.image], METHOD.side).numpy().tobytes() for _, d in made.defects}
    assert len(few) == len(shown)
    found = [image[None].numpy().tobytes() in shown for image in images]
    assert 10 < sum(found) < 60
    images, _ = made._batch(200, address_generator("test"), real=0.0)
    assert not any(image[None].numpy().tobytes() in shown for image in images)


def test_latents_are_scaled_to_a_deviation_of_one() -> None:
    made = prior()
    made.words_stage(1, 2, 1e-3).begin()
    images = small(list(made.subjects[0].normals), METHOD.side)
    with torch.no_grad():
        latents = made.model.encode(images, torch.zeros(()))
    torch.testing.assert_close(latents.std(), torch.tensor(1.0))
