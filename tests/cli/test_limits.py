"""Numbers beyond all sense, and images beyond all memory, are refused at once and in words."""

from __future__ import annotations

import shutil
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from asbench import generate
from asbench.files.images import FileError, read_image
from asbench.settings import MOST_ITEMS, MOST_SAMPLES, MOST_SEED, MOST_SIDE
from synth_store import UserError
from tests.cli.conftest import Run, tree

SEEDS = (2**63, 2**64, 99999999999999999999, 0xA7F3C19E5D8B4E6F9C2A1B3D5E7F9081)
TWENTY = 99999999999999999999
LINES = [
    *(f"train --dataset ./photos --mix draem --steps 2 --seed {seed}" for seed in SEEDS),
    f"train --dataset ./photos --mix draem --steps 2 --seed 0,{TWENTY}",
    f"train --dataset ./photos --mix draem --steps 2 --synth-seed {2**64}",
    f"generate --dataset ./photos --method cutout --seed {TWENTY}",
    f"preview --dataset ./photos --method cutout --seed {TWENTY}",
    *(f"generate --dataset ./photos --method cutout -n {n}" for n in (TWENTY, 10**7 + 1, 10**12)),
    f"preview --dataset ./photos --method cutout -n {TWENTY}",
    f"quality --dataset ./photos -n {TWENTY}",
    *(
        f"generate --dataset ./photos --method cutout --store new --size {side}"
        for side in (100_000_000, MOST_SIDE + 1, TWENTY, f"64x{MOST_SIDE + 1}", f"{TWENTY}x64")
    ),
    *(
        f"train --dataset ./photos --mix draem --steps 2 --batch {batch}"
        for batch in (100_000, MOST_ITEMS + 1, TWENTY)
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_a_number_beyond_sense_is_refused_with_its_range(place: Path, run: Run, line: str) -> None:
    before, start = tree(place), time.process_time()
    refused = run(line)
    assert refused.status == 1
    assert "give " in refused.err
    assert " to " in refused.err
    assert "Traceback" not in refused.err
    assert time.process_time() - start < 20
    assert tree(place) == before


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        (f"size 100000 is too large: give 8 to {MOST_SIDE}", {"size": (64, 100_000)}),
        (f"size 100000 is too large: give 8 to {MOST_SIDE}", {"size": "64x100000"}),
        (f"n {MOST_SAMPLES + 1} is too large: give 1 to {MOST_SAMPLES}", {"n": MOST_SAMPLES + 1}),
        (f"seed {2**63} is too large: give 0 to {MOST_SEED}", {"seed": 2**63}),
    ],
)
def test_from_python_too(tmp_path: Path, told: str, asked: dict[str, int]) -> None:
    with pytest.raises(UserError, match=told):
        generate("demo", "cutout", category="weave", store=tmp_path / "s", **asked)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


def png_that_claims(path: Path, width: int, height: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_an_image_beyond_memory_says_how_large_it_is(tmp_path: Path) -> None:
    line_scan = tmp_path / "line-scan.png"
    PIL.Image.fromarray(np.zeros((13_000, 15_000), np.bool_)).save(line_scan)
    claims = {"claims.png": (100_000, 100_000), "strip.png": (400_000, 500)}
    for name, size in claims.items():
        png_that_claims(tmp_path / name, *size)
    bitmap = tmp_path / "scan.bmp"
    head = struct.pack("<IiiHHIIiiII", 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0)
    bitmap.write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head)
    for name, pixels in (
        ("line-scan.png", "195,000,000"),
        ("claims.png", "10,000,000,000"),
        ("strip.png", "200,000,000"),
        ("scan.bmp", "400,000,000"),
    ):
        with pytest.raises(FileError, match=rf"has {pixels} pixels .*more than the 178,956,970"):
            read_image(tmp_path / name)
    shutil.rmtree(tmp_path)
