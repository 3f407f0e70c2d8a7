"""What a store holds: samples, their keys, the geometry all of them share, and the refusals."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""uint8 (H, W, 3), RGB, 0..255."""
Mask = npt.NDArray[np.bool_]
"""bool (H, W), True where anomalous."""

_NAME = re.compile(r"[a-z0-9_]+(@[a-z0-9_-]+)?")
_CATEGORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
RESERVED_METHODS = frozenset({"normal"})
RESIZES = ("stretch", "pad", "tile")
_GEOMETRY = re.compile(
    r"(\d+)x(\d+) \((stretch|pad|tile, scale ([\d.]+(?:e-\d+)?), overlap (\d+))\)"
)


class UserError(ValueError):
    """Something the person at the keyboard can mend.

    Its text names the value, the place and the choices, and the command to type next; the command
    line prints it without a traceback.
    """


class StoreError(UserError):
    """A store refuses: damaged or missing bytes, another identity, geometry or version."""


def check_name(name: str, what: str) -> str:
    """Return `name` if it is `<name>[@<variant>]`, else raise UserError.

    Lower case; `[a-z0-9_]` before the `@`, `[a-z0-9_-]` after it.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{what} {name!r} is not a name: use lower-case letters, digits and '_', "
            "then optionally '@' and a variant, as in 'nsa@asbench'."
        )
    return name


def check_category(category: str) -> str:
    """Return `category` if it can be a folder of the store, else raise UserError."""
    if not _CATEGORY.fullmatch(category):
        raise UserError(
            f"category {category!r} cannot be a folder of the store: use letters, digits, "
            "'_', '-' and '.', and do not begin with '.' or '-'."
        )
    return category


@dataclass(frozen=True, slots=True)
class Geometry:
    """Size and resize rule of every image of a store.

    `resize` is `stretch` (each axis scaled by itself, as the field does), `pad` (aspect kept, the
    border repeated) or `tile`: the photograph is scaled by `scale`, at most 1, and cut into windows
    of the size, of which neighbours share at least `overlap` pixels, at most half a side.
    """

    height: int = 256
    width: int = 256
    resize: Literal["stretch", "pad", "tile"] = "stretch"
    scale: float = 1.0
    overlap: int = 0

    def __post_init__(self) -> None:
        if self.height < 8 or self.width < 8:
            raise UserError(f"image size {self} is too small: each side must be at least 8 pixels.")
        if self.resize not in RESIZES:
            raise UserError(f"resize rule {self.resize!r} is unknown: choose stretch, pad or tile.")
        if self.resize != "tile" and (self.scale, self.overlap) != (1.0, 0):
            raise UserError(f"{self.resize} images have neither scale nor overlap: tiles do.")
        if not 0 < self.scale <= 1:
            raise UserError(
                f"scale {self.scale:g} is impossible: above 0, and at most 1, since a photograph "
                "enlarged shows nothing more."
            )
        if not 0 <= self.overlap <= min(self.height, self.width) // 2:
            raise UserError(
                f"an overlap of {self.overlap} pixels is impossible: from 0 to half a side, "
                f"{min(self.height, self.width) // 2}."
            )

    def __str__(self) -> str:
        tiled = f", scale {_plain(self.scale)}, overlap {self.overlap}" if self.tiled else ""
        return f"{self.height}x{self.width} ({self.resize}{tiled})"

    @property
    def tiled(self) -> bool:
        """Whether an image is a part of a photograph."""
        return self.resize == "tile"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives: `256x256 (stretch)`, `256x256 (tile, scale 0.5, overlap 32)`."""
        match = _GEOMETRY.fullmatch(text)
        if match is None:
            raise UserError(f"{text!r} is not a geometry such as '256x256 (stretch)'.")
        height, width, _, scale, overlap = match.groups()
        if scale is not None:
            return cls(int(height), int(width), "tile", float(scale), int(overlap))
        return cls(int(height), int(width), "pad" if match[3] == "pad" else "stretch")

    def attributes(self) -> dict[str, Any]:
        """Return what a store's metadata holds of it, from which `Geometry(**...)` makes it."""
        facts = {"height": self.height, "width": self.width, "resize": self.resize}
        return facts | ({"scale": self.scale, "overlap": self.overlap} if self.tiled else {})


def _plain(scale: float) -> str:
    return repr(float(scale)).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class StoreKey:
    """Names one synthetic set: `dataset/method/seed`. `str(key)` is its path in the store."""

    dataset: str
    method: str
    seed: int

    def __post_init__(self) -> None:
        check_name(self.dataset, "data set")
        check_name(self.method, "method")
        if self.method in RESERVED_METHODS:
            raise UserError(f"method {self.method!r} is reserved: the store uses that name itself.")
        if self.seed < 0:
            raise UserError(f"seed {self.seed} is negative: use 0, 1, 2, ...")

    def __str__(self) -> str:
        return f"{self.dataset}/{self.method}/{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `dataset/method/seed`; raises UserError naming the part that is wrong."""
        parts = text.split("/")
        if len(parts) != 3 or not parts[2].isdecimal():
            raise UserError(
                f"{text!r} is not a store key: write dataset/method/seed, as in demo/fractal/0."
            )
        return cls(parts[0], parts[1], int(parts[2]))


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One synthetic anomaly.

    image: uint8 (H, W, 3); mask: bool (H, W), True where anomalous; clean: uint8 (H, W, 3), only
    where the method made its own background (else the clean image is the source normal).
    Raises ValueError when built from anything else.
    """

    image: Image
    mask: Mask
    clean: Image | None = None

    def __post_init__(self) -> None:
        image, mask, clean = self.image, self.mask, self.clean
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
        if mask.dtype != np.bool_ or mask.shape != image.shape[:2]:
            raise ValueError(
                f"mask must be bool {image.shape[:2]} like its image, not {mask.dtype} {mask.shape}"
            )
        if clean is not None and (clean.dtype != np.uint8 or clean.shape != image.shape):
            raise ValueError(
                f"clean must be uint8 {image.shape} like its image, not {clean.dtype} {clean.shape}"
            )
