"""Generated images to hold plugins to their contracts on, and what is compared of them."""

from __future__ import annotations

import hashlib
import pickle
import random
import sys
from collections.abc import Iterable
from typing import Any, Literal

import cv2
import numpy as np

from asbench.types import Canvas, Defect, Material, PerSample
from synth_store.rng import address_rng
from synth_store.types import Image, Mask, Sample

Kind = Literal["texture", "object", "grey", "constant", "background"]
"""texture: a coloured surface; object: a disc on a black background; grey: a texture of equal
channels; constant: one grey everywhere; background: black, without any foreground."""
GREY: tuple[Kind, ...] = ("grey", "constant", "background")
"""Kinds whose normals have equal channels."""


def material(
    height: int = 64, width: int = 64, kind: Kind = "texture", seed: int = 0, normals: int = 4
) -> Material:
    """Return generated material: normals of one kind, foregrounds, four textures, four defects.

    The defects are the masks' own shapes in another texture, on other surfaces of the kind.

    Everything is uint8 (height, width, 3), or bool (height, width) for foregrounds, read-only, and
    a function of the arguments alone.
    """
    images, foregrounds = [], []
    for index in range(normals):
        rng = address_rng("testing", kind, height, width, seed, index)
        image, foreground = _normal(height, width, kind, rng)
        images.append(image)
        foregrounds.append(foreground)
    textures = [
        _surface(height, width, address_rng("testing", "bank", height, width, seed, index))
        for index in range(4)
    ]
    defects = [
        _blob(height, width, address_rng("testing", "defects", height, width, seed, index))
        for index in range(4)
    ]
    shown = [
        _defect(
            index, kind, mask, address_rng("testing", "shown", kind, height, width, seed, index)
        )
        for index, mask in enumerate(defects)
    ]
    for array in (*images, *foregrounds, *textures, *defects, *(d.image for d in shown)):
        array.setflags(write=False)
    return Material(
        "testing",
        kind,
        images,
        foregrounds,
        textures,
        defects,
        kind in GREY,
        defect_images=shown,
    )


def _defect(index: int, kind: Kind, mask: Mask, rng: np.random.Generator) -> Defect:
    """A defect of the kind's own: coloured on grey surfaces, too."""
    image = _normal(mask.shape[0], mask.shape[1], kind, rng)[0].copy()
    image[mask] = _surface(mask.shape[0], mask.shape[1], rng)[mask]
    return Defect(f"defect {index}", "blob", image, mask)


def _blob(height: int, width: int, rng: np.random.Generator) -> Mask:
    """An ellipse somewhere on the image, of a third of its sides at most."""
    rows, columns = np.ogrid[:height, :width]
    tall, wide = int(rng.integers(2, height // 6 + 2)), int(rng.integers(2, width // 6 + 2))
    row, column = int(rng.integers(height)), int(rng.integers(width))
    inside = ((rows - row) * wide) ** 2 + ((columns - column) * tall) ** 2 < (tall * wide) ** 2
    return np.asarray(inside)


def _surface(height: int, width: int, rng: np.random.Generator) -> Image:
    """Two colours mixed by soft blobs, with grain. Integers only, so every machine agrees."""
    coarse = rng.integers(0, 256, (max(height // 8, 2), max(width // 8, 2)), dtype=np.uint8)
    mix = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    first, second = rng.integers(40, 216, (2, 3))
    grain = rng.integers(-6, 7, (height, width, 1))
    values = (first * mix.astype(np.int64) + second * (255 - mix.astype(np.int64))) // 255 + grain
    surface: Image = np.clip(values, 0, 255).astype(np.uint8)
    return surface


def _normal(height: int, width: int, kind: Kind, rng: np.random.Generator) -> tuple[Image, Mask]:
    everywhere = np.ones((height, width), np.bool_)
    image = _surface(height, width, rng)
    if kind == "grey":
        image = np.repeat(image[..., :1], 3, axis=2)
    elif kind == "constant":
        image = np.full_like(image, 128)
    elif kind == "background":
        return np.zeros_like(image), ~everywhere
    elif kind == "object":
        rows, columns = np.ogrid[:height, :width]
        reach = min(height, width) ** 2 // 8
        disc: Mask = (rows - height // 2) ** 2 + (columns - width // 2) ** 2 < reach
        image[~disc] = 0
        return image, disc
    return image, everywhere


def draw(
    synthesizer: PerSample, material: Material, count: int, seed: int = 0
) -> list[Sample | None]:
    """Return `count` samples, each from its own generator, on the normals in turn."""
    canvases = [Canvas(material, i % len(material.normals)) for i in range(count)]
    rngs = [address_rng("testing", "draw", seed, i) for i in range(count)]
    return synthesizer.render(canvases, rngs)


def digest(samples: Iterable[Sample | None]) -> str:
    """Return the SHA-256 of images, masks and cleans, shapes included; None counts too."""
    total = hashlib.sha256()
    for sample in samples:
        arrays = (sample.image, sample.mask, sample.clean) if sample else (None,)
        for array in arrays:
            total.update(repr(None if array is None else (array.shape, str(array.dtype))).encode())
            total.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def global_chance() -> list[Any]:
    """Return the state of every global generator that a method could have touched."""
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - watched, not drawn from
    states: list[Any] = [random.getstate(), pickle.dumps(legacy)]
    if "torch" in sys.modules:
        states.append(sys.modules["torch"].get_rng_state().numpy().tobytes())
    return states


def every_array(material: Material) -> list[bytes]:
    offered = (material.normals, material.foregrounds, material.textures, material.defects)
    arrays = [things[i].tobytes() for things in offered for i in range(len(things))]
    shown = (material.defect_images[i] for i in range(len(material.defect_images)))
    return arrays + [pixels.tobytes() for d in shown for pixels in (d.image, d.mask)]
