"""How loud a camera is: the standard deviation of its noise, from photographs alone."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from asbench.types import Indexed
from synth_store.rng import address_rng
from synth_store.types import Image

LOOKS = 16
"""Normals of a category that its noise is measured on."""
FLAT = 0.25
"""Share of an image's pixels, the flattest ones, that noise is measured on."""
MAD = 1.4826
"""The standard deviation of a normal variable, in units of its median absolute value."""
_SMOOTH = 2.0
"""Standard deviation, in pixels, of the blur before slopes are taken: noise alone has none then."""
_LAPLACIAN = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Blind to planes and to straight edges along an axis; white noise keeps its deviation."""


def noise(image: Image) -> float:
    """Return the standard deviation of an image's noise, in grey levels, of its noisiest channel.

    The difference of two Laplacians (Immerkaer, Fast Noise Variance Estimation, Computer Vision
    and Image Understanding 64, 1996) over the flattest quarter of the image (as Tai and Yang, A
    Fast Method for Image Noise Estimation Using Laplacian Operator and Adaptive Edge Detection,
    ISCCSP 2008, who leave out edges), by the median of its absolute values, which specks do not
    move. What is finer than two pixels counts as noise, so a fine texture does; noise that resizing
    or JPEG has smoothed counts for less than it was.

    image: uint8 (H, W, 3), both sides 3 or more.
    """
    if min(image.shape[:2]) < 3:
        raise ValueError(f"noise cannot be told from an image of {image.shape[:2]}")
    levels = image.astype(np.float32)
    flat = _flat(levels.mean(axis=2))[1:-1, 1:-1]
    residual = np.abs(cv2.filter2D(levels, cv2.CV_32F, _LAPLACIAN)[1:-1, 1:-1])
    return MAD * float(np.median(residual[flat], axis=0).max())


def _flat(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Return the pixels of an image, float32 (H, W), around which it is flattest."""
    smooth = cv2.GaussianBlur(grey, (0, 0), _SMOOTH)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    slope = cv2.magnitude(dx, dy)
    return np.less_equal(slope, np.quantile(slope[1:-1, 1:-1], FLAT))


def noise_of(normals: Indexed[Image], *address: str, among: Sequence[int] = ()) -> float:
    """Return the noise of a category: the median over up to 16 normals, to a hundredth of a level.

    address: names the category; the normals are drawn by its hash, from those that `among` numbers,
    from all where it is empty.
    """
    drawn = among or range(len(normals))
    places = address_rng("noise", *address).choice(drawn, min(LOOKS, len(drawn)), replace=False)
    return round(float(np.median([noise(normals[int(place)]) for place in places])), 2)
