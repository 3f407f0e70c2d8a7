"""Image and mask files to arrays: 8 bits, three channels, whole, or a refusal that says why.

An image stands as its camera noted in EXIF, as OpenCV and every viewer show it; `read_turn` says
what was turned, so that a mask drawn on the pixels as stored can be turned alike. Pixels come from
Pillow alone, within 1.2 of OpenCV's time and equal to its results.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageFile

from asbench.files.names import shown
from asbench.files.png_stream import ends_early
from synth_store.types import Image, Mask, UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
"""Endings of the image files that are read, in lower case; files may spell them in any case."""

MOST_PIXELS = "ASBENCH_MOST_PIXELS"
"""The variable that raises the limit of pixels of one image."""
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_MODES = frozenset({"1", "L", "P", "RGB"})
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
"""What each value of EXIF's tag Orientation asks for; 1 and all else for nothing."""
_ASIDE = frozenset({_TURNS[value] for value in (5, 6, 7, 8)})


class FileError(UserError):
    """A file that cannot be used. `path` is the file; `reason` says why and what would help."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # both, so that it crosses processes
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{shown(self.path)} {self.reason}"


class Header(NamedTuple):
    """What a file says of itself: size in pixels and Pillow's mode (`RGB`, `L`, `P` or `1`).

    The size is that of the image as it stands, after EXIF.
    """

    height: int
    width: int
    mode: str


def read_image(path: Path) -> Image:
    """Return the pixels of a file: uint8 (h, w, 3), RGB; grey is repeated, palettes are resolved.

    Raises FileError for a missing, empty, unreadable, damaged or truncated file, more than 8 bits
    a channel, an alpha channel or transparent colour, several frames, and other colour modes
    (CMYK, LAB). Nothing is ever half decoded.
    """
    return _decode(path, "RGB")


def read_grey(path: Path) -> npt.NDArray[np.uint8]:
    """Return the luma of a file: uint8 (h, w). Raises FileError as `read_image` does."""
    return _decode(path, "L")


def read_mask(path: Path, above: int = 127) -> Mask:
    """Return where the file's luma is above `above`: bool (h, w). Raises as `read_image` does.

    The fixed threshold matters: published masks have soft edges, and a threshold of 0 enlarges
    thin defects by half.
    """
    return read_grey(path) > above


def read_nonzero(path: Path) -> Mask:
    """Return where the stored value, a level or a palette's number, is not 0: bool (h, w).

    For masks that hold class numbers. Raises FileError as `read_image` does.
    """
    with _open(path) as file:
        values = np.asarray(_upright(path, file))
        return np.asarray(values.any(2) if values.ndim == 3 else values != 0)


def read_coded(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return a mask's colours and its stored values: uint8 (h, w, 3) and (h, w) or (h, w, 3).

    They differ for a palette alone. Raises FileError as `read_image` does.
    """
    with _open(path) as file:
        upright = _upright(path, file)
        # A file of one bit holds 0 and 1, and means black and white.
        values = upright if upright.mode in ("P", "RGB") else upright.convert("L")
        return np.array(upright.convert("RGB")), np.array(values)


def read_header(path: Path, as_stored: bool = False) -> Header:
    """Return size and mode without decoding pixels; `as_stored`: before EXIF turns the image.

    Raises FileError for what the header shows.
    """
    with _open(path) as file:
        aside = not as_stored and _turn(file) in _ASIDE
        width, height = file.size[::-1] if aside else file.size
        return Header(height, width, file.mode)


def read_turn(path: Path) -> PIL.Image.Transpose | None:
    """Return how EXIF has an image turned; None for not at all. Raises as `read_header` does."""
    with _open(path) as file:
        return _turn(file)


def turned(mask: Mask, turn: PIL.Image.Transpose) -> Mask:
    """Return a mask, bool (h, w), turned as its image was."""
    return np.array(PIL.Image.fromarray(mask.astype(np.uint8)).transpose(turn), dtype=np.bool_)


def same_size(mask: Path, image: Path) -> None:
    """Raise FileError, naming both sizes, unless mask and image have the same."""
    own, other = read_header(mask), read_header(image)
    if own[:2] != other[:2]:
        raise FileError(
            mask,
            f"is {own.width} x {own.height} pixels, but its image {image.name} is "
            f"{other.width} x {other.height}: a mask must have the size of its image.",
        )


def _decode(path: Path, mode: str) -> npt.NDArray[np.uint8]:
    with _open(path) as file:
        upright = _upright(path, file)
        if (upright.mode, mode) == ("L", "RGB"):
            # As Pillow does, in a quarter of the time: it keeps four bytes for each of three.
            levels = np.asarray(upright, np.uint8)
            return np.asarray(cv2.cvtColor(levels, cv2.COLOR_GRAY2RGB), np.uint8)
        return np.array(upright if upright.mode == mode else upright.convert(mode), dtype=np.uint8)


def _upright(path: Path, file: PIL.ImageFile.ImageFile) -> PIL.Image.Image:
    """Decode an opened file whole, and turn it as EXIF says."""
    with _refusing_damage(path):
        file.load()
        if file.format == "PNG" and ends_early(path, file):
            raise FileError(path, "is truncated or damaged: its pixels end early.")
    turn = _turn(file)
    return file if turn is None else file.transpose(turn)


def _turn(file: PIL.ImageFile.ImageFile) -> PIL.Image.Transpose | None:
    """Return how EXIF has an opened file turned. Pillow turns a TIFF, and its size, by itself."""
    if file.format == "TIFF" or "exif" not in file.info:
        return None
    try:
        return _TURNS.get(file.getexif().get(0x0112, 1))  # the tag Orientation
    except Exception:  # Pillow's parser raises of every kind: what cannot be read says nothing
        return None


def _open(path: Path) -> PIL.ImageFile.ImageFile:
    """Open a file whose header shows an image that may be used; raise FileError otherwise."""
    with _refusing_damage(path):
        if path.stat().st_size == 0:
            raise FileError(path, "is empty (0 bytes).")
        _allow_pixels()
        file = PIL.Image.open(path, formats=_FORMATS)
        if refusal := _refusal(file):
            file.close()
            raise FileError(path, refusal)
        return file


def _allow_pixels() -> None:
    """Raise Pillow's limit to what the environment says; raises UserError for what is no number."""
    said = os.environ.get(MOST_PIXELS)
    if said is None:
        return
    if not (said.isascii() and said.isdecimal() and 0 < len(said) < 15):
        raise UserError(f"{MOST_PIXELS} is {said!r}: give a number of pixels, as in 500000000.")
    # Pillow warns above its limit and refuses above twice that.
    PIL.Image.MAX_IMAGE_PIXELS = max(PIL.Image.MAX_IMAGE_PIXELS or 0, int(said))


@contextmanager
def _refusing_damage(path: Path) -> Iterator[None]:
    """Turn what Pillow raises into a FileError that says what a person can see of it."""
    try:
        yield
    except (FileError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise FileError(path, "does not exist.") from error
    except PIL.UnidentifiedImageError as error:
        with path.open("rb") as opened:
            beginning = opened.read(4)
        if beginning in (b"II*\0", b"MM\0*"):
            reason = "is not a readable TIFF: it is damaged, or of a kind that is not read, as "
            reason += "floating point in several channels. Save it with 8 bits a channel."
            raise FileError(path, reason) from error
        raise FileError(
            path,
            "is not a readable image: it is no PNG, JPEG, BMP, TIFF or WebP file, "
            "or its beginning is damaged.",
        ) from error
    except PIL.Image.DecompressionBombError as error:
        size = re.search(r"\d+", str(error))
        pixels = f"{int(size[0]):,} pixels" if size else "too many pixels"
        memory = f" ({3 * int(size[0]) / 1e6:,.0f} MB in memory)" if size else ""
        most = 2 * (PIL.Image.MAX_IMAGE_PIXELS or 0)
        raise FileError(
            path,
            f"has {pixels}{memory}, more than the {most:,} that are read at once: cut it into "
            f"parts, save it smaller, or set {MOST_PIXELS} to a number that it stays below.",
        ) from error
    except Exception as error:  # Pillow's decoders raise of every kind on damaged bytes
        if isinstance(error, OSError) and error.strerror:
            raise FileError(path, f"cannot be read: {error.strerror}.") from error
        raise FileError(path, f"is truncated or damaged: {str(error).rstrip('.')}.") from error


def _refusal(file: PIL.ImageFile.ImageFile) -> str:
    """Say why an opened image cannot be used, from its header; empty if it can."""
    # A Pillow image of mode RGB may hide 16 bits a channel: only the raw mode of its tiles tells.
    deep = file.format != "BMP" and any(";16" in str(tile[3]) for tile in file.tile)
    if deep or file.mode.startswith(("I", "F")):
        return (
            f"has more than 8 bits a channel (mode {file.mode}): save it with 8 bits, "
            "all images of a data set scaled alike."
        )
    if file.has_transparency_data:
        return f"has an alpha channel (mode {file.mode}): save it without transparency."
    if file.mode not in _MODES:
        return f"has colour mode {file.mode}: save it as 8-bit RGB or grey."
    # Phones append previews to a JPEG (format MPO): its first frame is the photograph.
    frames = getattr(file, "n_frames", 1)
    if frames > 1 and file.format != "MPO":
        return f"has {frames} frames: save the one that is meant."
    return ""


def write_png(path: Path, image: Image) -> None:
    """Write uint8 (h, w, 3) or (h, w) pixels as PNG, making the folder.

    Raises UserError naming the file when the disk is full or refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error
