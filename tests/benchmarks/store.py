"""The store against a PNG folder, raw memory and zarr-python: CPU time and bytes, in one run.

The data are made here: 64 colourful smooth normals with the fine grain of a camera, and 512 samples
on them, blended by a random share with a texture of coloured noise inside blobs of thresholded
smooth noise (as DRAEM blends textures inside thresholded Perlin noise), of some 9 % mean area.
Rougher normals make larger PNGs and store larger themselves; the residuals hardly depend on them.
All times are CPU times of this process (one thread) per sample of 256x256, medians of rounds in
which the rivals take turns, files in the page cache. Run

    python -m tests.benchmarks.store        # about a minute
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import zarr
from numcodecs import zstd
from PIL import Image as Pil
from threadpoolctl import threadpool_limits
from torch.utils.data import DataLoader, Dataset

from synth_store import Sample, StoredSet, StoreKey, SynthStore
from synth_store.normals import write_normals
from synth_store.types import Image, Mask

SIZE, NORMALS, SAMPLES, BATCH, SETS = 256, 64, 512, 32, 36
CATEGORY = "smooth"
ONE = StoreKey("bench", "blobs", 0)
Row = dict[str, Any]
Batches = npt.NDArray[np.int64]


# --- the data ---


def smooth(rng: np.random.Generator, cells: int, channels: int) -> npt.NDArray[np.float32]:
    """Cubically interpolated noise of unit deviation: float32 (SIZE, SIZE, channels)."""
    grid = rng.standard_normal((cells, cells, channels), np.float32)
    image = cv2.resize(grid, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    field: npt.NDArray[np.float32] = image.reshape(SIZE, SIZE, channels)
    return field / field.std()


def make_normal(rng: np.random.Generator) -> Image:
    image = 128 + 45 * smooth(rng, 5, 3) + 2 * rng.standard_normal((SIZE, SIZE, 3), np.float32)
    return image.clip(0, 255).astype(np.uint8)


def make_sample(rng: np.random.Generator, clean: Image) -> Sample:
    field = smooth(rng, int(rng.choice([4, 8, 16])), 1)[..., 0]
    mask: Mask = field > rng.uniform(1.1, 1.7)
    if not mask.any():
        mask = field == field.max()
    texture = 128 + 30 * sum(smooth(rng, cells, 3) for cells in (16, 64, SIZE))
    share = rng.uniform(0.2, 1)
    blended = (1 - share) * clean + share * texture
    image = np.where(mask[..., None], blended.clip(0, 255).astype(np.uint8), clean)
    return Sample(image, mask)


@dataclass
class Made:
    """The same samples in every form."""

    store: SynthStore
    samples: list[Sample]
    sources: list[int]
    normals: list[Image]
    folder: Path
    """PNGs of images, masks and normals, and images.raw and masks.raw."""


def make(root: Path) -> Made:
    rng = np.random.default_rng(0)
    normals = [make_normal(rng) for _ in range(NORMALS)]
    sources = [i % NORMALS for i in range(SAMPLES)]
    samples = [make_sample(rng, normals[source]) for source in sources]
    store = SynthStore.create(root / "store")
    whole = np.ones((SIZE, SIZE), np.bool_)
    ids = [f"{i:03}" for i in range(NORMALS)]
    write_normals(store, "bench", CATEGORY, ids, ((n, whole) for n in normals), {})
    made = Made(store, samples, sources, normals, root / "files")
    made.folder.mkdir()
    write_set(made, ONE, range(SAMPLES))
    for number in range(SETS):
        write_set(made, StoreKey("bench", f"part{number}", 0), range(number, SAMPLES, SETS))
    for kind in ("image", "mask", "normal"):
        (made.folder / kind).mkdir()
    for index, sample in enumerate(samples):
        write_png(made.folder, index, sample)
    for index, normal in enumerate(normals):
        Pil.fromarray(normal).save(made.folder / "normal" / f"{index}.png")
    np.array([s.image for s in samples]).tofile(made.folder / "images.raw")
    np.array([s.mask for s in samples]).tofile(made.folder / "masks.raw")
    return made


def write_png(folder: Path, index: int, sample: Sample) -> None:
    Pil.fromarray(sample.image).save(folder / "image" / f"{index}.png")
    Pil.fromarray(sample.mask.astype(np.uint8) * 255).save(folder / "mask" / f"{index}.png")


def write_set(made: Made, key: StoreKey, indices: range, *, finish: bool = True) -> None:
    identity = {
        "encoding": "residual",
        "generated": False,
        "normals": made.store.normals("bench", CATEGORY).digest,
    }
    jobs = made.store.create_set(
        key, CATEGORY, len(indices), identity=identity, versions={}, replace=True
    )
    for job in jobs:
        part = indices[job.start : job.stop]
        made.store.write(
            key,
            CATEGORY,
            job,
            [made.samples[i] for i in part],
            [made.sources[i] for i in part],
        )
    if finish:
        made.store.finish(key, CATEGORY, len(indices))


# --- the rivals: each reads `batches` of sample indices, image and mask ---


class Buffers:
    """A batch's arrays, reused: both are written from end to end by every rival."""

    def __init__(self) -> None:
        self.image = np.empty((BATCH, SIZE, SIZE, 3), np.uint8)
        self.mask = np.empty((BATCH, SIZE, SIZE), np.bool_)


def read_store(stored: StoredSet) -> Callable[[Batches], None]:
    buffers = Buffers()

    def read(batches: Batches) -> None:
        for batch in batches:
            stored.read_batch(batch, buffers.image, buffers.mask)

    return read


def read_mixture(sets: list[StoredSet]) -> Callable[[Batches], None]:
    """Sample i lies in set i mod len(sets), so that one set is read in the same way."""
    buffers = Buffers()

    def read(batches: Batches) -> None:
        for batch in batches.tolist():
            for row, index in enumerate(batch):
                stored = sets[index % len(sets)]
                stored.read_into(index // len(sets), buffers.image[row], buffers.mask[row])

    return read


def read_codec(stored: StoredSet, normals: list[Image]) -> Callable[[Batches], None]:
    """The floor: zstd and the addition alone, on frames held in memory, nothing checked."""
    frames = [
        [bytes(a.shard(i // a.capacity).encoded(i % a.capacity)[:-4]) for i in range(SAMPLES)]
        for a in (stored.image, stored.mask)
    ]
    sources = stored.source.tolist()
    buffers = Buffers()

    def read(batches: Batches) -> None:
        for batch in batches.tolist():
            for row, index in enumerate(batch):
                zstd.decompress(frames[0][index], buffers.image[row])
                zstd.decompress(frames[1][index], buffers.mask[row])
                np.add(buffers.image[row], normals[sources[index]], out=buffers.image[row])

    return read


def read_raw(folder: Path) -> Callable[[Batches], None]:
    images = np.memmap(folder / "images.raw", np.uint8, "r", shape=(SAMPLES, SIZE, SIZE, 3))
    masks = np.memmap(folder / "masks.raw", np.bool_, "r", shape=(SAMPLES, SIZE, SIZE))
    buffers = Buffers()

    def read(batches: Batches) -> None:
        for batch in batches:
            np.take(images, batch, axis=0, out=buffers.image, mode="clip")
            np.take(masks, batch, axis=0, out=buffers.mask, mode="clip")

    return read


class PngFolder(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = np.array(Pil.open(self.folder / "image" / f"{index}.png"))
        mask = np.array(Pil.open(self.folder / "mask" / f"{index}.png")) > 0
        return torch.from_numpy(image), torch.from_numpy(mask)


def read_png(folder: Path) -> Callable[[Batches], None]:
    def read(batches: Batches) -> None:
        loader = DataLoader(PngFolder(folder), batch_sampler=batches.tolist(), num_workers=0)
        for image, mask in loader:
            assert len(image) == len(mask) == BATCH

    return read


def read_zarr(stored: StoredSet, normals: list[Image], how: str) -> Callable[[Batches], None]:
    image = zarr.open_array(stored.folder / "image", mode="r")
    mask = zarr.open_array(stored.folder / "mask", mode="r")
    sources = stored.source.tolist()
    buffers = Buffers()

    def read(batches: Batches) -> None:
        for batch in batches.tolist():
            if how == "oindex":
                buffers.image[:] = image.oindex[batch]
                buffers.mask[:] = mask.oindex[batch]
            else:
                for row, index in enumerate(batch):
                    buffers.image[row] = image[index]
                    buffers.mask[row] = mask[index]
            for row, index in enumerate(batch):
                np.add(buffers.image[row], normals[sources[index]], out=buffers.image[row])

    return read


# --- measured ---


def in_turns(
    rivals: dict[str, tuple[Callable[[Batches], None], int]], rounds: int = 7
) -> dict[str, float]:
    """Return the median CPU milliseconds a sample of each (function, batches a round)."""
    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for number in range(rounds + 1):
        for name, (read, batches) in rivals.items():
            drawn = rng.integers(0, SETS * (SAMPLES // SETS), (batches, BATCH))
            start = time.process_time()
            read(drawn)
            if number:  # the first warms up
                times[name].append((time.process_time() - start) / drawn.size * 1e3)
    return {name: median(found) for name, found in times.items()}


def row(what: str, ms: float, reference: str, reference_ms: float, ratio: float, goal: str) -> Row:
    """One comparison; `ratio` is the number that the goal, if there is one, speaks of."""
    return {
        "what": what,
        "ms": ms,
        "reference": reference,
        "reference_ms": reference_ms,
        "ratio": ratio,
        "goal": goal,
    }


def reading(made: Made) -> Iterator[Row]:
    stored = made.store.read(ONE, CATEGORY)
    sets = [made.store.read(StoreKey("bench", f"part{n}", 0), CATEGORY) for n in range(SETS)]
    times = in_turns(
        {
            "store": (read_store(stored), 24),
            "codec": (read_codec(stored, made.normals), 24),
            "raw": (read_raw(made.folder), 48),
            "png": (read_png(made.folder), 3),
            "one": (read_mixture([stored]), 24),
            "mixture": (read_mixture(sets), 24),
        }
    )
    slow = in_turns(
        {
            "oindex": (read_zarr(stored, made.normals, "oindex"), 1),
            "loop": (read_zarr(stored, made.normals, "loop"), 2),
        },
        rounds=3,
    )
    ours, what = times["store"], f"image and mask, random batches of {BATCH}"
    for name, reference, goal in (
        ("png", "PNG folder, PIL, torch DataLoader with 0 workers", ">= 20 times faster"),
        ("oindex", f"zarr-python {zarr.__version__}, oindex", ""),
        ("loop", f"zarr-python {zarr.__version__}, z[i]", ""),
    ):
        other = {**times, **slow}[name]
        yield row(what, ours, reference, other, other / ours, goal)
    for name, reference, goal in (
        ("raw", "raw np.memmap, take", "<= 12 times slower"),
        ("codec", "numcodecs zstd and addition, frames in memory", ""),
    ):
        yield row(what, ours, reference, times[name], ours / times[name], goal)
    one, mixture = times["one"], times["mixture"]
    yield row(f"mixture over {SETS} sets", mixture, "one set", one, mixture / one, "<= 1.1 times")


def writing(made: Made) -> Iterator[Row]:
    key = StoreKey("bench", "written", 0)
    times: dict[str, list[float]] = {"write": [], "finish": [], "png": []}
    for _ in range(3):
        start = time.process_time()
        write_set(made, key, range(SAMPLES), finish=False)
        written = time.process_time()
        made.store.finish(key, CATEGORY, SAMPLES)
        finished = time.process_time()
        for index in range(0, SAMPLES, 8):
            write_png(made.folder, index, made.samples[index])
        times["write"].append((written - start) / SAMPLES)
        times["finish"].append((finished - start) / SAMPLES)
        times["png"].append((time.process_time() - finished) / (SAMPLES / 8))
    write, finish, png = (median(found) * 1e3 for found in times.values())
    reference = "PNGs of image and mask, PIL"
    yield row("write, without finish()", write, reference, png, png / write, "")
    yield row("write and finish()", finish, reference, png, png / finish, "")


def sizes(made: Made) -> Iterator[Row]:
    """Rows of bytes: they have no times, and say their kilobytes a sample in words."""

    def size(folder: Path) -> float:
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / SAMPLES / 1000

    stored = size(made.store.folder(ONE, CATEGORY))
    normals = size(made.store.normals_folder("bench", CATEGORY))
    png = size(made.folder / "image") + size(made.folder / "mask")
    png_normals = size(made.folder / "normal")
    area = np.mean([sample.mask.mean() for sample in made.samples])
    for what, ours, other, goal in (
        (f"bytes of a set, mean area {area:.1%}", stored, png, ">= 5 times smaller"),
        ("bytes with the normals", stored + normals, png + png_normals, ""),
    ):
        yield {
            "what": f"{what}: {ours:.1f} kB a sample",
            "ms": None,
            "reference": f"PNG folder: {other:.1f} kB a sample",
            "reference_ms": None,
            "ratio": other / ours,
            "goal": goal,
        }


def rows() -> list[Row]:
    """Make the data in a temporary folder, measure everything, return one row a comparison."""
    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1), tempfile.TemporaryDirectory() as root:
            made = make(Path(root))
            return [*reading(made), *sizes(made), *writing(made)]
    finally:
        cv2.setNumThreads(threads[0])
        torch.set_num_threads(threads[1])


def main() -> None:
    for found in rows():
        times = ["" if found[k] is None else f"{found[k]:.3f} ms" for k in ("ms", "reference_ms")]
        print(f"{found['what']:48} {times[0]:>9}  {found['reference']:50} {times[1]:>9}", end="")
        print(f" {found['ratio']:8.2f}  {found['goal']}")


if __name__ == "__main__":
    main()
