"""Files of every kind that ASBench reads, of any bytes: read as written, or refused by name."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from asbench import results
from asbench.data.geometry import settled
from asbench.data.unpack import unpack
from asbench.datasets.table import Table
from asbench.detectors import build
from asbench.evaluation.thresholds import Rule
from asbench.files.images import read_coded, read_image, read_mask
from asbench.nets import checkpoint
from asbench.nets.pretrained import read as read_weights
from asbench.nets.weights import load_weights, save_weights
from asbench.results import Gallery, ImageRow, KeptRow
from asbench.study import spec
from synth_store import Geometry, Mix, StoreKey
from synth_store.types import check_category
from tests.faults.tally import Tally
from tests.files.test_sums import _resume, _training
from tests.test_results import a_run


@dataclass(frozen=True)
class Kind:
    """Something that is read: a file as written, what reads it, and whether it is checked whole.

    checked: every change is either refused or changes nothing of what is read.
    """

    path: Path
    read: Callable[[], Any]
    checked: bool


def _kinds(work: Path) -> dict[str, list[Kind]]:
    return {
        "images": _images(work / "images"),
        "tables": _tables(work / "tables"),
        "study files": _studies(work / "studies"),
        "archives": _archives(work / "archives"),
        "runs and records": _records(work / "runs"),
        "weights": _weights(work / "weights"),
        "checkpoints": _checkpoints(work / "checkpoint"),
    }


def _images(folder: Path) -> list[Kind]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(24, 31, 3), dtype=np.uint8)
    kinds = []
    for suffix, options in {
        "png": {}, "jpg": {"quality": 90}, "bmp": {}, "webp": {"lossless": True},
        "tif": {"compression": "tiff_lzw"}, "tiff": {},
    }.items():  # fmt: skip
        for name, image in {"rgb": pixels, "grey": pixels[..., 0]}.items():
            path = folder / f"{name}.{suffix}"
            PIL.Image.fromarray(image).save(path, **options)
            readers = (read_image, read_mask, read_coded)
            kinds += [Kind(path, partial(_bytes, read, path), checked=False) for read in readers]
    return kinds


def _bytes(read: Callable[[Path], Any], path: Path) -> bytes:
    got = read(path)
    return b"".join(
        np.asarray(one).tobytes() for one in (got if isinstance(got, tuple) else (got,))
    )


def _tables(folder: Path) -> list[Kind]:
    folder.mkdir()
    pixels = np.full((9, 9, 3), 99, np.uint8)
    for name in ("a", "b", "c"):
        PIL.Image.fromarray(pixels).save(folder / f"{name}.png")
    rows = [
        {"image_path": "a.png", "label": 0, "split": "train"},
        {"image_path": "b.png", "label": 0, "split": "test"},
        {"image_path": "c.png", "label": 1, "split": "test", "defect": "crack"},
    ]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_split = {"train": {"x": rows[:1]}, "test": {"x": rows[1:]}}
    (folder / "meta.json").write_text(json.dumps(by_split))
    lines = [
        "image_path,label,split",
        *(f"{r['image_path']},{r['label']},{r['split']}" for r in rows),
    ]
    (folder / "t.csv").write_text("\n".join(lines))
    return [
        Kind(folder / name, partial(_listed, folder, name), checked=False)
        for name in ("t.jsonl", "meta.json", "t.csv")
    ]


def _listed(folder: Path, name: str) -> object:
    table = Table(folder, name, "mine")
    return [table.items(category) for category in table.categories()]


STUDY = """
about: a study
size: 32
samples: 20
datasets: {demo: [weave]}
detectors:
  unet@tiny: {steps: 30, batch: 2, set: {width: 2}}
mixes: [cutout, "cutpaste:0.5,draem:0.5"]
quality: {metrics: [ssim, fid@histogram], samples: 12}
variants: {nsa@three: {patches: 3}}
parts:
  base: &base {seeds: [0, 1]}
  small: {ratios: 0.25, mixes: cutout, pools: 10}
  other: *base
"""


def _studies(folder: Path) -> list[Kind]:
    folder.mkdir()
    (folder / "mine.yaml").write_text(STUDY)
    (folder / "more.yaml").write_text("extends: mine.yaml\nname: more\nseeds: [3]\n")
    return [
        Kind(folder / name, partial(spec.read, folder / "more.yaml"), checked=False)
        for name in ("mine.yaml", "more.yaml")
    ]


def _archives(folder: Path) -> list[Kind]:
    folder.mkdir()
    held = {f"d/{i}.bin": bytes(range(256)) * i for i in range(4)}
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in held.items():
            packed.writestr(name, data)
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        with tarfile.open(folder / f"a.{mode.replace(':', '_')}", mode) as tar:
            for name, data in held.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return [
        Kind(path, partial(_unpacked, path, folder / "into"), checked=path.name != "a.w")
        for path in sorted(folder.iterdir())
    ]


def _unpacked(archive: Path, into: Path) -> object:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    unpack(archive, into)
    return {str(p.relative_to(into)): p.read_bytes() for p in into.rglob("*") if p.is_file()}


def _records(folder: Path) -> list[Kind]:
    rng, run = np.random.default_rng(0), a_run()
    rows = [ImageRow(f"good/{i}.png", 0, "good", False, i / 7, float("nan")) for i in range(9)]
    results.write_table(folder, rows)
    results.write_kept_out(folder, [KeptRow(f"{i}", i % 2, 0, i / 7) for i in range(9)])
    images, masks = rng.integers(256, size=(2, 8, 8, 3), dtype=np.uint8), np.zeros((2, 8, 8), bool)
    maps = rng.random((2, 8, 8)).astype(np.float16)
    results.write_gallery(folder, Gallery(("a", "b"), images, masks, maps))
    results.write_digests(folder, run)
    results.save(run, folder)

    def gallery() -> object:
        held = results.read_gallery(folder)
        return held.ids, held.images.tobytes(), held.masks.tobytes(), held.maps.tobytes()

    def kept() -> object:
        held = results.read_kept_out(folder)
        return None if held is None else (held.normals.tobytes(), held.anomalies.tobytes())

    readers: dict[str, Callable[[], Any]] = {
        "run.json": partial(results.read, folder),
        "test.csv": lambda: repr(results.read_table(folder)),
        "kept_out.csv": kept,
        "gallery.npz": gallery,
        "SHA256SUMS": lambda: repr(results.read_table(folder)),
    }
    return [Kind(folder / name, read, checked=True) for name, read in readers.items()]


def _weights(folder: Path) -> list[Kind]:
    net = build("unet@tiny", 0, {"width": 2})
    save_weights(net, folder / "a.safetensors")
    torch.save(net.state_dict(), folder / "a.pth")

    def loaded() -> object:
        load_weights(net, folder / "a.safetensors")

    def pth() -> object:
        return b"".join(t.numpy().tobytes() for t in read_weights(folder / "a.pth").values())

    return [
        Kind(folder / "a.safetensors", loaded, checked=False),
        Kind(folder / "a.pth", pth, checked=True),
    ]


def _checkpoints(folder: Path) -> list[Kind]:
    net, stage = _training()
    net(torch.rand(2, 3, 32, 32)).mean().backward()
    stage.optimizers[0].step()
    checkpoint.write(folder, net, stage, 3, {"losses": [[0, 0.5]]})

    def read() -> object:
        _resume(folder)

    return [Kind(path, read, checked=True) for path in sorted(folder.iterdir())]


# --- what is done to bytes and texts ---

TOKENS = (
    b"null", b"[]", b"{}", b"-1", b"NaN", b"Infinity", b"1e999", b"9" * 5000, b"0x" + b"f" * 4000,
    b"true", b'""', b"\\ud800", b"\x1b[2J", b"\xff\xfe", b"\xe9", b"\0", b"=cmd()", b"..", b"../..",
    b"!!python/object:os.system", b"&a [*a]", b"*a", b"<<: *a", b"2024-13-45", b"!!binary x",
    b"- - - -", b"[[[[", b"\n", b"\r", b"\t", b",", b'"', b"'", b":", b"#", b"|", b">", b"%",
)  # fmt: skip


def mutate(rng: random.Random, data: bytes) -> bytes:
    """Return other bytes: flipped, cut, doubled, moved, with numbers and words of another kind."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        size = len(data)
        start = rng.randrange(size + 1)
        stop = min(size, start + rng.choice((0, 1, 4, 40, size)))
        match rng.randrange(9):
            case 0 | 1 | 2 if size:
                place = rng.randrange(size)
                changed = bytearray(data)
                changed[place] ^= 1 << rng.randrange(8)
                data = bytes(changed)
            case 3:
                data = data[:start]
            case 4:
                data = data[:start] + data[stop:]
            case 5:
                data = data[:start] + rng.choice(TOKENS) + data[stop:]
            case 6:
                data = data[:start] + data[start:stop] * rng.choice((2, 30)) + data[stop:]
            case 7:
                value = rng.choice((0, 1, 2**15, 2**31 - 1, 2**32 - 1, 2**64 - 1))
                word = struct.pack(rng.choice(("<Q", ">Q")), value)[: rng.choice((2, 4, 8))]
                data = data[:start] + word + data[start + len(word) :]
            case _:
                data = data[:start] + rng.randbytes(stop - start) + data[stop:]
    return data[:400_000]


def run(tally: Tally, cases: int, seed: int, work: Path) -> None:
    """Try so many files, and a tenth as many names."""
    rng = random.Random(seed)
    kinds = _kinds(work)
    for number in range(cases):
        kind = sorted(kinds)[number % len(kinds)]
        one = rng.choice(kinds[kind])
        whole = one.path.read_bytes()
        wanted = one.read() if one.checked else None
        changed = mutate(rng, whole)
        if kind == "archives" and rng.random() < 0.2:  # hostile within a sound stream
            changed = gzip.compress(mutate(rng, _tar_of(one.path)))
            one, wanted = Kind(one.path, one.read, checked=False), None
        try:
            one.path.write_bytes(changed)
            what = f"{one.path.name} case {number}: {changed[:80]!r}"
            tally.attempt("fuzzed " + kind, "its reader", one.read, wanted, what)
        finally:
            one.path.write_bytes(whole)
    for number in range(cases // 10):
        text = mutate(rng, rng.choice(NAMES).encode()).decode("utf-8", "surrogateescape")
        name, read = rng.choice(sorted(PARSERS.items()))
        tally.attempt("fuzzed names", name, partial(read, text), None, f"{number}: {text[:80]!r}")


def _tar_of(path: Path) -> bytes:
    return (path.parent / "a.w").read_bytes()


NAMES = (
    "demo/draem/0", "nsa@asbench", "draem:0.5,fractal:0.5", "256x256 (stretch)", "512x384", "1e-3",
    "256x256 (tile, scale 0.5, overlap 32)", "weave", "demo (copy)", "0.01", "1", "published",
)  # fmt: skip
PARSERS: dict[str, Callable[[str], object]] = {
    "StoreKey": StoreKey.parse,
    "Mix": Mix.parse,
    "Geometry": Geometry.parse,
    "size": lambda text: settled(Geometry(), text),
    "category": check_category,
    "threshold": lambda text: Rule.of(text, None),
}
