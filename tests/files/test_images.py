"""Reading: equal to an independent decoder, whole or refused, every refusal naming its reason."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from asbench.files.images import (
    FileError,
    read_grey,
    read_header,
    read_image,
    read_mask,
    read_turn,
    same_size,
    turned,
)
from synth_store.types import Image, UserError


def noise(height: int = 20, width: int = 31) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray[Any, Any], mode: str | None = None, **options: Any) -> Path:
    image = PIL.Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.jpeg", "a.bmp", "a.tif", "a.webp"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_equal_those_of_opencv(tmp_path: Path, name: str, mode: str) -> None:
    path = save(tmp_path / name, noise(), mode)
    expected = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert read.flags.writeable
    assert np.array_equal(read, expected)


def test_grey_palette_and_bilevel_become_rgb(tmp_path: Path) -> None:
    levels = noise()[..., 0]
    assert np.array_equal(
        read_image(save(tmp_path / "grey.png", levels)), np.stack([levels] * 3, 2)
    )
    few = (noise() > 127) * np.uint8(255)
    palette = PIL.Image.fromarray(few).quantize(8)
    palette.save(tmp_path / "palette.png")
    assert read_header(tmp_path / "palette.png").mode == "P"
    assert np.array_equal(read_image(tmp_path / "palette.png"), few)
    bits = save(tmp_path / "bits.png", levels > 127)
    assert np.array_equal(read_grey(bits), (levels > 127) * np.uint8(255))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_images_stand_as_their_camera_noted(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{ending}", noise(), exif=exif)
    with PIL.Image.open(path) as file:
        expected = np.array(PIL.ImageOps.exif_transpose(file).convert("RGB"))
    assert np.array_equal(read_image(path), expected)
    assert read_header(path) == (*expected.shape[:2], "RGB")
    assert read_header(path, as_stored=True) == (20, 31, "RGB")
    assert (read_turn(path) is None) == (orientation == 1)
    mask = read_mask(save(tmp_path / "mask.png", noise()[..., 0]))
    turn = read_turn(path)
    if turn is not None:
        lying = PIL.Image.fromarray(noise()[..., 0]).transpose(turn)
        assert np.array_equal(turned(mask, turn), np.array(lying) > 127)


def test_an_orientation_that_makes_no_sense_turns_nothing(tmp_path: Path) -> None:
    for number, content in enumerate((b"Exif\0\0II*\0", b"", b"Exif\0\0" + b"\xff" * 40)):
        path = save(tmp_path / f"{number}.jpg", noise(), exif=content)
        assert read_turn(path) is None
        assert read_image(path).shape == (20, 31, 3)


def test_the_orientation_of_a_tiff_is_obeyed_in_size_and_pixels(tmp_path: Path) -> None:
    path = save(tmp_path / "turned.tif", noise(), tiffinfo={0x0112: 6})
    assert read_header(path) == (31, 20, "RGB")
    assert np.array_equal(read_image(path), np.rot90(noise(), -1))


def test_a_phone_photograph_with_previews_is_its_first_frame(tmp_path: Path) -> None:
    first, second = (PIL.Image.fromarray(p) for p in (noise(), 255 - noise()))
    first.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[second])
    with PIL.Image.open(tmp_path / "phone.jpg") as file:
        assert file.format == "MPO"
        assert getattr(file, "n_frames", 1) == 2
    assert np.array_equal(
        read_image(tmp_path / "phone.jpg"), read_image(save(tmp_path / "plain.jpg", noise()))
    )


def test_masks_are_cut_above_a_level(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = save(tmp_path / "mask.png", levels)
    assert np.array_equal(read_mask(path), levels > 127)
    assert np.array_equal(read_mask(path, above=0), levels > 0)
    three = save(tmp_path / "mask.bmp", levels, "RGB")
    assert np.array_equal(read_mask(three), levels > 127)


def test_sizes_of_mask_and_image_are_compared(tmp_path: Path) -> None:
    image = save(tmp_path / "part.jpg", noise(20, 31))
    same_size(save(tmp_path / "good.png", noise(20, 31)), image)
    with pytest.raises(UserError, match=r"turned\.png is 20 x 31 pixels, .* part\.jpg is 31 x 20"):
        same_size(save(tmp_path / "turned.png", noise(31, 20)), image)


def _sixteen_bit_rgb(path: Path) -> None:
    assert cv2.imwrite(str(path), noise().astype(np.uint16) * 257)


def _animated(path: Path) -> None:
    frames = [PIL.Image.fromarray(p) for p in (noise(), 255 - noise())]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _transparent_palette(path: Path) -> None:
    PIL.Image.fromarray(noise()).quantize(8).save(path, transparency=0)


UNUSABLE = {
    "missing.png": (lambda p: None, "does not exist"),
    "empty.png": (lambda p: p.write_bytes(b""), r"is empty \(0 bytes\)"),
    "folder.png": (lambda p: p.mkdir(), "cannot be read: Is a directory"),
    "text.png": (lambda p: p.write_text("no image"), "is not a readable image: it is no PNG"),
    "gif.png": (lambda p: save(p, noise(), format="GIF"), "is not a readable image: it is no PNG"),
    "grey16.png": (
        lambda p: save(p, noise()[..., 0].astype(np.uint16)),
        r"more than 8 bits a channel \(mode I;16\)",
    ),
    "rgb16.png": (_sixteen_bit_rgb, r"more than 8 bits a channel \(mode RGB\)"),
    "rgb16.tif": (_sixteen_bit_rgb, r"more than 8 bits a channel \(mode RGB\)"),
    "float.tif": (
        lambda p: save(p, noise()[..., 0].astype(np.float32)),
        r"more than 8 bits a channel \(mode F\)",
    ),
    "alpha.png": (lambda p: save(p, noise(), "RGBA"), r"has an alpha channel \(mode RGBA\)"),
    "grey_alpha.png": (lambda p: save(p, noise(), "LA"), r"has an alpha channel \(mode LA\)"),
    "clear.png": (_transparent_palette, r"has an alpha channel \(mode P\)"),
    "cmyk.jpg": (lambda p: save(p, noise(), "CMYK"), "has colour mode CMYK: save it as 8-bit RGB"),
    "lab.tif": (lambda p: save(p, noise(), "LAB"), "has colour mode LAB: save it as 8-bit RGB"),
    "moving.png": (_animated, "has 2 frames"),
    "moving.webp": (_animated, "has 2 frames"),
    "pages.tif": (_animated, "has 2 frames"),
}


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_what_cannot_be_used_is_refused_by_name_and_reason(
    tmp_path: Path, name: str, read: Any
) -> None:
    write, reason = UNUSABLE[name]
    write(tmp_path / name)
    with pytest.raises(UserError, match=reason) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.jpg", {}),
        ("b.jpg", {"progressive": True}),
        ("a.bmp", {}),
        ("a.tif", {"compression": "tiff_lzw"}),
        ("a.webp", {"lossless": True}),
    ],
)
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_a_file_cut_anywhere_is_whole_or_refused(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = save(tmp_path / name, noise(12, 15), **options)
    data, whole = path.read_bytes(), read_image(path)
    refusals = []
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        try:
            assert np.array_equal(read_image(path), whole), length
        except FileError as error:
            refusals.append(error)
    assert len(refusals) >= len(data) // 7 - 4
    for error in refusals:
        assert error.path == path
        assert error.reason.startswith(("is truncated or damaged", "is not a", "is empty"))


def test_no_flipped_bit_of_a_png_passes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = save(tmp_path / "a.png", noise(12, 15))
    data, whole = path.read_bytes(), read_image(path)
    refused = 0
    for _ in range(200):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            assert np.array_equal(read_image(path), whole)
        except FileError:
            refused += 1
    assert refused > 150


def test_an_image_of_hostile_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "huge.png", noise())
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        FileError, match=r"huge\.png has 620 pixels \(0 MB in memory\), more than the 200"
    ):
        read_image(path)


def test_the_limit_of_pixels_is_raised_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "huge.png", noise())
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setenv("ASBENCH_MOST_PIXELS", "many")
    with pytest.raises(UserError, match="ASBENCH_MOST_PIXELS is 'many': give a number of pixels"):
        read_image(path)
    monkeypatch.setenv("ASBENCH_MOST_PIXELS", "1000")
    assert read_image(path).size


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("shape", [(20, 31, 3), (21, 7), (1, 1), (5, 3, 3)])
@pytest.mark.parametrize("black", [False, True])
def test_a_png_whose_pixels_end_early_is_refused(
    tmp_path: Path, interlace: bool, shape: tuple[int, ...], black: bool
) -> None:
    """Its chunks are whole and their checksums true; Pillow leaves the rest of it black."""
    pixels = np.zeros(shape, np.uint8) if black else np.full(shape, 200, np.uint8)
    rows = raw_rows(pixels, interlace)
    path = tmp_path / "a.png"
    path.write_bytes(png_of(pixels, rows, interlace))
    np.testing.assert_array_equal(read_image(path)[..., 0], pixels.reshape(*shape[:2], -1)[..., 0])
    for cut in {len(rows) // 2, len(rows) - 1, 0}:
        path.write_bytes(png_of(pixels, rows[:cut], interlace))
        with pytest.raises(FileError, match="truncated or damaged"):
            read_image(path)


def raw_rows(pixels: np.ndarray, interlace: bool) -> bytes:
    """The filtered rows of a PNG, pass by pass; no filter is used."""
    steps = ((0, 0, 1, 1),)
    if interlace:
        steps = (
            *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
            *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
        )
    parts = [pixels[top::down, left::across] for left, top, across, down in steps]
    return b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)


def png_of(pixels: np.ndarray, rows: bytes, interlace: bool) -> bytes:
    kind = 2 if pixels.ndim == 3 else 0
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, kind, 0, 0, interlace)

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + checksum

    packed = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + packed + chunk(b"IEND", b"")


def test_a_refusal_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(FileError(Path("a/b.png"), "is empty.")))
    assert isinstance(error, UserError)
    assert (str(error), error.reason) == (f"{Path('a/b.png')} is empty.", "is empty.")
