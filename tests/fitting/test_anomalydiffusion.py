"""AnomalyDiffusion: the contract, what learns and what stays, and what a sample is made of."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from asbench.fitting.images import large, noise, small
from asbench.generation.fitted import fit_parameters
from asbench.generation.real import few_shot
from asbench.nets.seeds import address_generator, private_rng, seed_rng
from asbench.synthesizers.anomalydiffusion import VARIANTS, Anomalydiffusion
from asbench.synthesizers.anomalydiffusion.composing import pasted
from asbench.synthesizers.anomalydiffusion.defects import augmented, sound_masks
from asbench.synthesizers.anomalydiffusion.networks import AnomalydiffusionModel, masked_error
from asbench.synthesizers.anomalydiffusion.scratch import from_scratch
from asbench.testing import material
from asbench.testing.learned import LearnedContract, draw_learned, fit_model, subjects_of
from asbench.types import Dataset, Item, Subject, mark_few_shot
from synth_store import Geometry, UserError, address_rng
from tests.toydiffusion import ANOMALYDIFFUSION as TOY

pytestmark = pytest.mark.slow


class TestContract(LearnedContract):
    synthesizer = Anomalydiffusion(**TOY)


def built(
    method: Anomalydiffusion, subjects: tuple[Subject, ...]
) -> tuple[AnomalydiffusionModel, dict[str, Any]]:
    """A fresh model and its stages by name, begun."""
    kinds = {s.category: tuple(sorted({d.kind for d in s.defects})) for s in subjects}
    with private_rng():
        seed_rng(0)
        model = method.build(kinds, {})
        stages = {stage.name: stage for stage in model.stages(subjects)}
    assert isinstance(model, AnomalydiffusionModel)
    return model, stages


def run(
    stage: Any, steps: int | None = None, *, begin: bool = True, loss: str | None = None
) -> list[float]:
    """Run a stage's steps, and return one of its losses."""
    found = []
    with private_rng():
        seed_rng(1)
        if begin:
            stage.begin()
        for step in range(stage.steps if steps is None else steps):
            losses = stage.step(step, address_generator("test", stage.name, step))
            found += [float(losses[loss])] if loss else []
    return found


def copied(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in tensors.items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def test_the_loss_sees_nothing_outside_the_mask() -> None:
    """Its gradient vanishes there, and its value is a mean over everything."""
    chance = torch.Generator().manual_seed(0)
    seen, fresh = torch.randn(2, 2, 4, 8, 8, generator=chance)
    seen.requires_grad_()
    cells = torch.zeros(2, 1, 8, 8)
    cells[:, :, 2:5, 3:7] = 1
    loss = masked_error(seen, fresh, cells)
    loss.backward()
    assert seen.grad is not None
    assert not seen.grad[(cells == 0).expand_as(seen)].any()
    assert seen.grad[(cells == 1).expand_as(seen)].all()
    inside = ((seen - fresh) ** 2)[(cells == 1).expand_as(seen)]
    torch.testing.assert_close(loss, inside.sum() / seen.numel())


def test_what_is_frozen_stays_and_only_words_learn() -> None:
    method = Anomalydiffusion(**TOY)
    model, stages = built(method, subjects_of(method))
    run(stages["coder"])
    run(stages["words"])
    before = copied(model.state_dict())
    run(stages["looks"], 4)
    moved = changed(before, model.state_dict())
    assert {name.partition(".")[0] for name in moved} == {"looks", "places"}
    before = copied(model.state_dict())
    run(stages["masks"])
    moved = changed(before, model.state_dict())
    assert moved == {f"mask_words.{pair}" for pair in range(len(model.pairs))}
    before = copied(model.state_dict())
    run(stages["bank"])
    assert changed(before, model.state_dict()) == {"masks", "accepted"}


def test_losses_fall() -> None:
    """The prior's over its steps; those of parts A and B at the same noise, before and after."""
    method = Anomalydiffusion(
        **TOY
        | {"coder_steps": 60, "coder_lr": 5e-3, "prior_steps": 120, "prior_lr": 1e-2, "lr": 1e-2}
        | {"prior_images": 8, "images": 8, "steps": 40, "augment": 0.0}
        | {"mask_lr": 1e-2, "mask_images": 8, "mask_steps": 40}
    )
    subjects = subjects_of(method)
    model, stages = built(method, subjects)
    for name, loss in (("coder", "error"), ("words", "noise")):
        values = run(stages[name], loss=loss)
        assert np.mean(values[-15:]) < 0.9 * np.mean(values[:5]), name

    def measured(name: str, loss: str) -> float:
        """Return the mean loss of a stage's first steps, from which nothing is kept."""
        kept = copied(model.state_dict())
        lrs = [group["lr"] for o in stages[name].optimizers for group in o.param_groups]
        for optimizer in stages[name].optimizers:
            for group in optimizer.param_groups:
                group["lr"] = 0.0
        values = run(stages[name], 16, begin=False, loss=loss)
        for optimizer in stages[name].optimizers:
            for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                group["lr"] = lr
            optimizer.state.clear()
        model.load_state_dict(kept)
        return float(np.mean(values))

    for name in ("looks", "masks"):
        with private_rng():
            stages[name].begin()
        before = measured(name, "noise")
        run(stages[name], begin=False)
        assert measured(name, "noise") < before, name


def test_pairs_that_were_not_seen_keep_their_look() -> None:
    """Adam's momentum must not move them either."""
    method = Anomalydiffusion(**TOY)
    subjects = subjects_of(method)
    model, _ = built(method, subjects)
    first, second = subjects[0].defects[0], subjects[0].defects[1]
    one = dataclasses.replace(subjects[0], defects=(first,))
    with private_rng():
        stages = {s.name: s for s in model.stages((one,))}
    run(stages["looks"], 3)
    seen = model.pairs.index((one.category, first.kind))
    unseen = model.pairs.index((one.category, second.kind))
    word = model.latent.prompt.word("anomaly")
    assert torch.equal(model.looks[unseen], word.expand_as(model.looks[unseen]))
    assert not torch.equal(model.looks[seen], model.looks[unseen])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> AnomalydiffusionModel:
    method = Anomalydiffusion(**TOY)
    model, _ = fit_model(method, subjects_of(method), tmp_path_factory.mktemp("fitted"))
    assert isinstance(model, AnomalydiffusionModel)
    return model


@pytest.fixture
def model(fitted: AnomalydiffusionModel) -> Iterator[AnomalydiffusionModel]:
    """The fitted model, whose rendering parameters a test may change."""
    before = fitted.method
    yield fitted
    fitted.method = before


def test_the_background_is_the_autoencoders(model: AnomalydiffusionModel) -> None:
    """Outside of the mask the latent stays the normal's; what the network paints is inside."""
    model.method = dataclasses.replace(model.method, walk=20)
    rngs = [address_rng("test", i) for i in range(2)]
    clean = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 1, 16, 16)
    masks[:, :, 4:10, 6:12] = 1
    cells = model.cells(masks).expand_as(clean) > 0
    painted = model.repaint(
        clean, masks, [0, 1], lambda: torch.stack([noise((4, 8, 8), r) for r in rngs])
    )
    change = (painted - clean).abs()
    assert change[~cells].max() < 0.25
    assert change[cells].mean() > 0.5


def test_the_clean_image_is_the_normal_through_the_autoencoder(
    model: AnomalydiffusionModel,
) -> None:
    """With the posterior's noise, which is a sample's first draw after its type and mask."""
    given = material(16, 16, "texture")
    drawn = draw_learned(model, model.method.batch, [0, 1, 2, 3], given)
    for index, sample in enumerate(drawn):
        rng = address_rng("testing", "draw", index)
        _, mask = model._draw("texture", rng)
        with torch.no_grad():
            normal = small([given.normals[index]], 16)
            z = model.latent.encode(normal, noise((4, 8, 8), rng)[None])
            expected = large(model.latent.decode(z), 16, 16)[0]
        assert sample is not None
        assert sample.clean is not None
        assert np.array_equal(sample.mask, mask[0].numpy() > 0)
        assert np.abs(sample.clean.astype(int) - expected).max() <= 1


def test_a_pasted_background_is_the_normals() -> None:
    normal, image = (np.full((64, 64, 3), level, np.uint8) for level in (10, 200))
    mask = np.zeros((64, 64), np.bool_)
    mask[20:30, 20:30] = True
    found = pasted(normal, image, mask)
    assert (found[mask] == 200).all()
    assert (found[:12] == 10).all()
    assert (found[40:] == 10).all()
    assert 10 < found[18, 25, 0] < 200 or found[17, 25, 0] < 200


def test_pasting_changes_sample_and_clean_alike(model: AnomalydiffusionModel) -> None:
    method = model.method
    given = material(64, 64, "texture")
    plain = draw_learned(model, method.batch, [0, 1], given)
    model.method = dataclasses.replace(method, paste_background=True)
    for index, (one, other) in enumerate(
        zip(plain, draw_learned(model, method.batch, [0, 1], given), strict=True)
    ):
        assert one is not None
        assert other is not None
        assert one.clean is not None
        assert other.clean is not None
        assert np.array_equal(one.image[one.mask], other.image[other.mask])
        assert np.array_equal(one.clean[one.mask], other.clean[other.mask])
        outside = (other.image == other.clean).all(axis=2)
        assert np.array_equal(other.image[outside], other.clean[outside])
        normal = given.normals[index].astype(int)
        assert np.abs(other.clean - normal).mean() <= np.abs(one.clean - normal).mean()


def test_a_laid_change_lies_on_the_object(model: AnomalydiffusionModel) -> None:
    """Masks are sampled for no normal in particular: what falls beside the object is left out."""
    model.method = dataclasses.replace(model.method, laid="change", least=1)
    given = material(64, 64, "object")
    assert model.method.needs == {"foreground"}
    shown = 0
    for index, sample in enumerate(draw_learned(model, model.method.batch, list(range(16)), given)):
        if sample is not None:
            shown += 1
            place = index % len(given.normals)
            assert np.array_equal(sample.clean, given.normals[place])
            assert np.array_equal((sample.image != sample.clean).any(axis=2), sample.mask)
            assert not (sample.mask & ~given.foregrounds[place]).any()
    assert shown


class Counted(Dataset):
    """Seven images of one defect type, two of another, each as bright as its number."""

    name = "counted"

    def categories(self) -> tuple[str, ...]:
        return ("tile",)

    def items(self, category: str) -> tuple[Item, ...]:
        found = [Item("good/0", category, "train", 0)]
        for kind, count in (("spot", 7), ("line", 2)):
            found += [Item(f"{kind}/{n}", category, "test", 1, kind) for n in range(count)]
        return mark_few_shot(found)

    def image(self, item: Item) -> Any:
        return np.full((8, 8, 3), int(item.id[-1]), np.uint8)

    def mask(self, item: Item) -> Any:
        return np.full((8, 8), bool(item.label))


def test_only_the_lowest_third_of_every_type_is_learned_from() -> None:
    """Strictly: two of seven, none of two; what is scored as held out holds none of them."""
    found = few_shot(Counted(), "tile")
    brightest = {i.id: int(found.read(i, Geometry(16, 16))[0].max()) for i in found.items}
    assert brightest == {"spot/0": 0, "spot/1": 1}
    held_out = {i.id for i in Counted().test("tile") if not i.few_shot}
    assert not held_out & brightest.keys()


@pytest.mark.parametrize(
    ("rows", "columns", "kept"),
    [
        (slice(20, 30), slice(20, 30), True),
        (slice(0, 20), slice(20, 30), True),  # on a border, a sixth of it
        (slice(0, 5), slice(10, 40), False),  # on nearly half of the upper border
        (slice(10, 40), slice(59, 64), False),  # of the right one
        (slice(0, 0), slice(0, 0), False),  # nothing
        (slice(30, 31), slice(30, 31), True),  # a pixel is 0.024 % of 64 x 64
        (slice(2, 62), slice(2, 62), False),  # almost everything
    ],
)
def test_masks_that_are_refused(rows: slice, columns: slice, kept: bool) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, rows, columns] = 1
    assert sound_masks(mask, Anomalydiffusion()).tolist() == [kept]


def test_a_single_pixel_of_a_large_image_is_refused() -> None:
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 100, 100] = 1
    assert sound_masks(mask, Anomalydiffusion()).tolist() == [False]


def test_a_category_without_any_mask_ends_the_fit() -> None:
    method = Anomalydiffusion(**TOY | {"mask_threshold": 1e9})
    _, stages = built(method, subjects_of(method))
    with pytest.raises(UserError, match=r"none of the masks sampled for texture .* mask_steps"):
        run(stages["bank"])


def test_masks_are_kept_up_to_the_number_wanted() -> None:
    """Packed without loss, and no more of them sampled than needed."""
    method = Anomalydiffusion(**TOY | {"masks": 20, "mask_tries": 2})
    model, stages = built(method, subjects_of(method))
    run(stages["coder"])
    run(stages["bank"])
    assert model.accepted.tolist() == [20] * len(model.pairs)
    drawn = model.sample_masks(0, address_generator("test", "bank", 0))
    rngs = (address_rng("test", "mask", i) for i in range(200))
    found = {mask.numpy().tobytes() for pair, mask in (model._draw("texture", r) for r in rngs)}
    assert len(found) > 20
    first = np.unpackbits(model.masks[0, 0].numpy()).reshape(16, 16)
    sound = sound_masks(drawn, method) & model.cells(drawn).flatten(1).any(dim=1)
    assert np.array_equal(first, drawn[sound][0, 0].numpy())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 31), st.integers(0, 31), st.integers(1, 12))
def test_augmentation_loses_no_part_of_a_mask(seed: int, y: int, x: int, reach: int) -> None:
    """Flipped, turned and cropped, image and mask stay together and inside."""
    masks = torch.zeros(2, 1, 32, 32)
    masks[:, :, y : y + reach, x : x + reach] = 1
    images = masks.expand(-1, 3, -1, -1) * 2 - 1
    found, marked = augmented(images, masks, torch.Generator().manual_seed(seed))
    assert found.shape == images.shape
    assert set(marked.unique().tolist()) <= {0.0, 1.0}
    assert ((found[:, :1] > 0) != (marked > 0)).float().mean() < 0.02
    if 10 < x < 16 and 10 < y < 16 and 3 < reach < 8:  # nowhere near where turning could lose it
        assert marked.flatten(1).any(dim=1).all()


def test_reweighting_is_an_option_of_rendering(model: AnomalydiffusionModel) -> None:
    method = model.method
    given = material(32, 32, "texture")
    plain = draw_learned(model, method.batch, [0], given)[0]
    model.method = dataclasses.replace(method, reweighting=True)
    weighted = draw_learned(model, method.batch, [0], given)[0]
    assert plain is not None
    assert weighted is not None
    assert np.array_equal(plain.mask, weighted.mask)
    assert not np.array_equal(plain.image, weighted.image)
    seen = fit_parameters(method)
    assert not {"reweighting", "paste_background", "walk", "batch"} & set(seen)
    assert {"weights", "masks", "guidance", "steps", "mask_threshold"} <= set(seen)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"words": 32}, "weights=ldm are of another network than words=32: .*weights=none"),
        ({"side": 96}, "side=96 must be a power of 2"),
        ({"weights": "none", "attention": (3,)}, r"attention=\(3,\) .* choose from 1, 2, 4, 8"),
        ({"weights": "none", "widths": (320, 100)}, "multiples of groups=32"),
        ({"walk": 501}, "walk=501 must lie in 1 <= walk <= 500"),
        ({"area_low": 0.7}, "area_low=0.7 and area_high=0.6"),
        ({"masks": 0}, "masks=0 must be 1 or more"),
    ],
)
def test_parameters_that_cannot_be(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Anomalydiffusion(**changes)


def test_full_size() -> None:
    """On the meta device: what the published model and the spatial encoder consist of."""
    with torch.device("meta"):
        model = AnomalydiffusionModel(
            Anomalydiffusion(weights="none"), {"bottle": ("broken_large", "broken_small")}
        )
    counts = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in (
            ("coder", model.latent.coder),
            ("unet", model.latent.unet),
            ("places", model.places),
        )
    }
    assert counts == {"coder": 83_653_863, "unet": 872_300_484, "places": 356_019_392}
    assert model.looks[0].shape == (4, 1280)
    assert model.mask_words[1].shape == (16, 1280)
    with torch.device("meta"):
        x, masks = torch.zeros(1, 4, 32, 32), torch.zeros(1, 1, 256, 256)
        said = model.latent.prompt(model._words([1], masks), [0])
        seen = model.latent.seen(x, torch.tensor([3]), said)
        seen.mean().backward()
        assert model.latent.decode(seen).shape == (1, 3, 256, 256)
    assert seen.shape == x.shape
    assert model.looks[1].grad is not None


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif("ASBENCH_FULL_SIZE" not in os.environ, reason="set ASBENCH_FULL_SIZE: 11 GB")
def test_a_step_of_part_a_and_of_sampling_at_the_published_size() -> None:
    """Random networks of CompVis's size but for its text encoder, one image: about 11 GB."""
    method = Anomalydiffusion(weights="none", images=1, steps=1, walk=2, augment=0.0)
    subjects = subjects_of(method)[:1]
    model, stages = built(method, subjects)
    masks = torch.zeros(1, 1, 256, 256)
    masks[:, :, 64:128, 64:128] = 1
    fresh = torch.Generator().manual_seed(0)
    painted = model.eval().repaint(
        torch.zeros(1, 4, 32, 32), masks, [0], lambda: torch.randn(1, 4, 32, 32, generator=fresh)
    )
    with torch.no_grad():
        image = model.latent.decode(painted)
    assert image.shape == (1, 3, 256, 256)
    assert torch.isfinite(image).all()
    # Last: at the published rate one step sends words far that no text encoder normalises here.
    model.train()
    before = copied(dict(model.looks.named_parameters()))
    (loss,) = run(stages["looks"], loss="noise")
    assert np.isfinite(loss)
    assert changed(before, dict(model.looks.named_parameters()))


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "coloured"])
def test_variants_build_at_true_size(name: str) -> None:
    method = Anomalydiffusion(**VARIANTS[name])
    with torch.device("meta"):
        latent = from_scratch(method, ("tile",))
        image = torch.zeros(1, 3, method.side, method.side)
        z = latent.encode(image, torch.zeros(()))
        said = latent.prompt(torch.zeros(1, method.mask_words, method.words), [0])
        assert latent.seen(z, torch.tensor([3]), said).shape == z.shape
    millions = sum(p.numel() for p in latent.parameters()) / 1e6
    assert round(millions, 1) == {"tiny-scratch": 1.1, "mid-scratch": 70.0}[name]
