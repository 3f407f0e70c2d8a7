"""CPU time per sample of the hand-crafted methods, beside straightforward implementations.

Where anomalib is installed its generator stands beside ours too.

`python -m tests.benchmarks.synthesizers` prints the rows. Times are `process_time` on one thread,
files excluded, at 256 x 256. The references are written here from the papers' formulas in plain
numpy, as their published code does it; the first row, uint8 to float32 CHW, tells how fast this
core is: the targets were set on one where numpy takes 0.087 ms, and `target_ms` is scaled by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve

from asbench.grid.processes import one_thread
from asbench.imaging import augmenter, perlin, shapes
from asbench.imaging.superpixels import superpixel
from asbench.synthesizers import resolve
from asbench.synthesizers.nsa import VARIANTS
from asbench.testing import material
from asbench.types import Canvas
from tests.benchmarks import reference_later as later
from tests.benchmarks.reference_patches import (
    cutpaste_reference,
    fractal_reference,
    scar_reference,
)

SIDE = 256
YARDSTICK_MS = 0.087

Call = Callable[[], object]


def milliseconds(call: Call, budget: float = 0.25, repeats: int = 5) -> float:
    """Return the median CPU time of a call over `repeats` blocks of about `budget` seconds."""
    start = time.process_time()
    call()
    once = max(time.process_time() - start, 1e-6)
    calls = max(1, int(budget / once))
    blocks = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(calls):
            call()
        blocks.append((time.process_time() - start) / calls * 1e3)
    return float(np.median(blocks))


# -- references ------------------------------------------------------------------------------------


def plain_noise(cells: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Perlin noise with a gradient, four dot products and three blends per pixel, in float64."""
    rows, columns = cells
    angles = rng.uniform(0, 2 * np.pi, (rows + 1, columns + 1))
    y, x = np.mgrid[:SIDE, :SIDE] * np.array([rows, columns]).reshape(2, 1, 1) / SIDE
    iy, ix = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = y - iy, x - ix

    def corner(b: int, a: int) -> np.ndarray:
        angle = angles[iy + b, ix + a]
        return np.cos(angle) * (v - b) + np.sin(angle) * (u - a)

    def fade(t: np.ndarray) -> np.ndarray:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    left = corner(0, 0) + fade(v) * (corner(1, 0) - corner(0, 0))
    right = corner(0, 1) + fade(v) * (corner(1, 1) - corner(0, 1))
    return np.sqrt(2) * (left + fade(u) * (right - left))


def plain_field(rng: np.random.Generator) -> np.ndarray:
    noise = plain_noise(perlin.draw_cells(rng), rng)
    centre = ((SIDE - 1) / 2, (SIDE - 1) / 2)
    turn = cv2.getRotationMatrix2D(centre, rng.uniform(-90, 90), 1)
    return np.asarray(cv2.warpAffine(noise, turn, (SIDE, SIDE)))


def plain_mask(rng: np.random.Generator) -> np.ndarray:
    return plain_field(rng) > 0.5


def plain_cutout(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Multiply the image by a mask of ones with a hole, in float64, as Cutout's own code does."""
    keep = np.ones((SIDE, SIDE))
    half = int(rng.integers(20, 51)) // 2
    y, x = rng.integers(0, SIDE, 2)
    keep[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
    return canvas.normal / 255 * keep[..., None], 1 - keep


def plain_blend(
    canvas: Canvas, source: np.ndarray, mask: np.ndarray, opacity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Equation 1 of DRAEM over the whole image in float64."""
    mask = mask[..., None].astype(float)
    source, normal = source / 255, canvas.normal / 255
    return (1 - mask) * normal + mask * (opacity * source + (1 - opacity) * normal), mask


def plain_draem(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The texture operations are ours."""
    mask, texture = plain_mask(rng), augmenter.augment(canvas.texture(rng), rng)
    return plain_blend(canvas, texture, mask, 1 - rng.uniform(0, 0.8))


def plain_destseg(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return plain_blend(canvas, canvas.texture(rng), plain_mask(rng), 1 - rng.uniform(0, 0.8))


def plain_memseg(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The cells as a view with five axes, indexed by a permutation; the operations are ours."""
    mask = plain_mask(rng) & (cv2.cvtColor(canvas.normal, cv2.COLOR_RGB2GRAY) <= 100)
    source = canvas.texture(rng)
    if rng.random() < 0.5:
        cut = augmenter.augment(canvas.normal, rng).reshape(8, SIDE // 8, 8, SIDE // 8, 3)
        moved = cut.swapaxes(1, 2).reshape(64, SIDE // 8, SIDE // 8, 3)[rng.permutation(64)]
        whole = moved.reshape(8, 8, SIDE // 8, SIDE // 8, 3).swapaxes(1, 2)
        source = whole.reshape(SIDE, SIDE, 3)
    return plain_blend(canvas, source, mask, rng.uniform(0.15, 1))


def plain_riad(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A loop over the cells of one set, as the unofficial code goes over all of them."""
    side = int(rng.choice([2, 4, 8, 16]))
    across = SIDE // side
    keep = np.ones((SIDE, SIDE))
    for cell in rng.permutation(across**2)[: across**2 // 3]:
        y, x = divmod(int(cell), across)
        keep[y * side : (y + 1) * side, x * side : (x + 1) * side] = 0
    return canvas.normal / 255 * keep[..., None], 1 - keep


def plain_fpi(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """FPI's sum over the whole image in float64, as its own code does it."""
    own, foreign = canvas.normal / 255, canvas.another(rng).normal / 255
    inside, weight = plain_square(rng)[..., None], rng.uniform(0.05, 0.95)
    blended = (1 - weight) * inside * own + weight * inside * foreign + (1 - inside) * own
    same = np.floor(own * 1000) == np.floor(blended * 1000)
    return blended, weight * inside * ~same.all(axis=2, keepdims=True)


def plain_square(rng: np.random.Generator) -> np.ndarray:
    half, (y, x) = int(rng.integers(13, 51)), rng.integers(26, 230, 2)
    inside = np.zeros((SIDE, SIDE))
    inside[
        max(y - half, 1) : min(y + half, SIDE - 1), max(x - half, 1) : min(x + half, SIDE - 1)
    ] = 1
    return inside


def plain_pii(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """PII by a sparse direct solver, for the square alone; its own code solves the whole image."""
    own, foreign = canvas.normal / 255, canvas.another(rng).normal / 255
    inside, alpha = plain_square(rng).astype(bool), rng.uniform(0.05, 0.95)
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    place = np.ix_(rows, columns)
    right = np.zeros((len(rows), len(columns), 3))
    for step in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        near = np.ix_(rows + step[0], columns + step[1])
        kept, taken = (
            (1 - alpha) * (own[place] - own[near]),
            alpha * (foreign[place] - foreign[near]),
        )
        right += np.where(np.abs(kept) > np.abs(taken), kept, taken)
        right += np.where(inside[near][..., None], 0, own[near])
    path = [
        sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
        for n in right.shape[:2]
    ]
    here = [sparse.eye_array(n) for n in right.shape[:2]]
    system = sparse.kron(path[0], here[1]) + sparse.kron(here[0], path[1])
    blended = own.copy()
    blended[place] = spsolve(system.tocsc(), right.reshape(-1, 3)).reshape(right.shape)
    return np.clip(blended, own.min(), own.max()), alpha * inside


def plain_nsa(canvas: Canvas, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """NSA's bare defaults: one clone, labelled over the whole image in float64."""
    high, wide = (2 * int(rng.integers(13, 51)) for _ in range(2))
    top, left = int(rng.integers(SIDE - high)), int(rng.integers(SIDE - wide))
    scale = np.clip(rng.normal(1, 0.5), 0.7, 1.3)
    height, width = (int(np.clip(scale * n, 13, 51)) for n in (high, wide))
    patch = cv2.resize(canvas.normal[top : top + high, left : left + wide], (width, height))
    weights = np.zeros((height, width), np.uint8)
    weights[1:-1, 1:-1] = 255
    y, x = int(rng.integers(SIDE - height)), int(rng.integers(SIDE - width))
    centre = (x + width // 2, y + height // 2)
    blended = cv2.seamlessClone(patch, canvas.normal, weights, centre, cv2.NORMAL_CLONE)
    area = np.zeros((SIDE, SIDE), bool)
    area[y : y + height, x : x + width] = True
    change = np.mean(np.abs(1.0 * blended - 1.0 * canvas.normal), axis=2)
    return blended, cv2.medianBlur((area & (change > 1)).astype(np.uint8), 5)


# -- rows ------------------------------------------------------------------------------------------


def rows() -> list[dict[str, Any]]:
    """Return what was measured: what, ms, reference_ms, ratio and target_ms (None: none).

    Freed memory is kept, as where the product renders; the references have it so too.
    """
    torch.set_num_threads(1)
    with one_thread():
        return _rows()


def _rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    canvas = Canvas(material(SIDE, SIDE), 0)

    def chw() -> np.ndarray:
        planes = np.ascontiguousarray(canvas.normal.transpose(2, 0, 1))
        return planes.astype(np.float32) * np.float32(1 / 255)

    def method(name: str) -> Call:
        made = resolve(name, dataset="testing", category="texture")
        return lambda: made.render([canvas], [rng])

    bare = dict(VARIANTS["asbench"]) | {"blending": "exact"}
    exact = resolve("nsa@bare", dataset="testing", category="texture", settings=bare)
    scale = milliseconds(chw) / YARDSTICK_MS
    # what, ours, the reference, its target in ms on the core of YARDSTICK_MS
    measured: tuple[tuple[str, Call, Call | None, float | None], ...] = (
        ("uint8 to float32 CHW", chw, None, None),
        ("Perlin mask", lambda: perlin.draw_mask(SIDE, SIDE, rng), lambda: plain_mask(rng), 0.3),
        ("augment, 3 of 10", lambda: augmenter.augment(canvas.texture(rng), rng), None, 0.6),
        ("cutout", method("cutout"), lambda: plain_cutout(canvas, rng), 0.06),
        ("cutpaste", method("cutpaste"), lambda: cutpaste_reference(canvas.normal, rng), 0.2),
        ("cutpaste@asbench", method("cutpaste@asbench"), None, 0.06),
        ("cutpaste_scar", method("cutpaste_scar"), lambda: scar_reference(canvas.normal, rng), 0.2),
        ("draem", method("draem"), lambda: plain_draem(canvas, rng), 1.3),
        ("destseg", method("destseg"), lambda: plain_destseg(canvas, rng), 0.7),
        ("memseg", method("memseg@asbench"), lambda: plain_memseg(canvas, rng), 1.3),
        ("fractal", method("fractal"), lambda: fractal_reference(canvas.normal, rng), 1.8),
        (
            "fractal@online",
            method("fractal@online"),
            lambda: fractal_reference(canvas.normal, rng),
            None,
        ),
        ("riad", method("riad"), lambda: plain_riad(canvas, rng), 0.15),
        ("fpi", method("fpi"), lambda: plain_fpi(canvas, rng), 0.15),
        ("pii", method("pii"), lambda: plain_pii(canvas, rng), 0.6),
        ("nsa", method("nsa"), None, None),
        ("nsa@asbench", method("nsa@asbench"), lambda: plain_nsa(canvas, rng), 1.0),
        (
            "nsa@asbench, exact",
            lambda: exact.render([canvas], [rng]),
            lambda: plain_nsa(canvas, rng),
            0.5,
        ),
        ("glass", method("glass"), lambda: later.plain_glass(canvas, rng, plain_mask), None),
        (
            "diffusionad",
            method("diffusionad"),
            lambda: later.plain_diffusionad(canvas, rng, plain_mask),
            None,
        ),
        (
            "transfusion",
            method("transfusion"),
            lambda: later.plain_transfusion(canvas, rng, plain_field),
            None,
        ),
        ("simplex", method("simplex"), lambda: later.plain_simplex(canvas, rng), None),
        (
            "defectmaker@blob",
            method("defectmaker@blob"),
            lambda: later.plain_defectmaker(canvas, rng),
            None,
        ),
        ("croppaste", method("croppaste"), lambda: later.plain_croppaste(canvas, rng), None),
        (
            "walk, a mask",
            lambda: shapes.walk(rng, (SIDE, SIDE)),
            lambda: later.plain_walk(rng, SIDE),
            None,
        ),
        (
            "superpixel, a mask",
            lambda: superpixel(rng, canvas.normal, (0.005, 0.05)),
            lambda: later.plain_superpixel(canvas, rng),
            None,
        ),
    )
    theirs = anomalib_generator(canvas)
    beside = (("draem, beside anomalib", method("draem"), theirs, None),) if theirs else ()
    return [_row(*entry, scale) for entry in (*measured, *beside)]


def anomalib_generator(canvas: Canvas) -> Call | None:
    """Return anomalib's generator at work on the same image; None, said aloud, without it.

    It takes and gives float32 tensors, and its source is noise, its default: textures it would
    read from files for every sample.
    """
    if find_spec("anomalib") is None:
        print("anomalib not installed: its generator is left out (pip install anomalib)")
        return None
    perlin = import_module("anomalib.data.utils.generators.perlin")
    generator = perlin.PerlinAnomalyGenerator(probability=1.0)
    image = torch.from_numpy(canvas.normal.transpose(2, 0, 1) / np.float32(255))
    return lambda: generator(image)


def _row(
    what: str, ours: Call, reference: Call | None, target: float | None, scale: float
) -> dict[str, Any]:
    ms = milliseconds(ours)
    reference_ms = milliseconds(reference) if reference else None
    return {
        "what": what,
        "ms": ms,
        "reference_ms": reference_ms,
        "ratio": reference_ms / ms if reference_ms else None,
        "target_ms": target * scale if target else None,
    }


def main() -> None:
    for row in rows():
        cells = [f"{v:10.3f}" if isinstance(v, float) else " " * 10 for v in list(row.values())[1:]]
        print(f"{row['what']:24}", *cells)


if __name__ == "__main__":
    main()
