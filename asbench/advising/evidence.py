"""What trying every method on good photographs showed: plain arrays, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, spearmanr

from asbench.evaluation.metrics import image_auroc

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """M methods, each tried with S seeds on N images that no training saw.

    of: int (N,), the method that drew each image, -1 for a normal; memory: (S, N), how far the most
    unusual place of each image is from what the seed's memory holds; head: (S, M, N), the highest
    value of what a head trained on one method alone says of each image; both: (S, M, N), that of
    both together, which is the detector's score; pixel: (S, M, M), the average precision of
    the places that the column's method marked, by the row's detector; unusual: (M,), the median
    distance of the marked places, in standard deviations of the normals' own.
    """

    methods: tuple[str, ...]
    of: npt.NDArray[np.int64]
    memory: Floats
    head: Floats
    both: Floats
    pixel: Floats
    unusual: Floats

    @property
    def seeds(self) -> int:
        """How many times everything was tried."""
        return len(self.memory)

    @property
    def normal(self) -> npt.NDArray[np.bool_]:
        """Which of the images are normals: bool (N,)."""
        return self.of < 0

    @cached_property
    def each(self) -> Floats:
        """Image AUROC of the row's detector on the column's samples, seed by seed: (S, M, M)."""
        return self._matrix(self.both)

    @cached_property
    def cross(self) -> Floats:
        """The cross-synthesis matrix: mean of `each` over the seeds, (M, M)."""
        return np.asarray(self.each.mean(axis=0))

    @cached_property
    def heads_each(self) -> Floats:
        """As `each` of the heads alone, without the memory's opinion: (S, M, M)."""
        return self._matrix(self.head)

    @cached_property
    def heads_cross(self) -> Floats:
        """Mean of `heads_each` over the seeds: (M, M)."""
        return np.asarray(self.heads_each.mean(axis=0))

    @cached_property
    def by_memory(self) -> Floats:
        """Image AUROC of the memory alone on each method's samples: (M,)."""
        each = [
            [auroc(scores, self.of, j) for j in range(len(self.methods))] for scores in self.memory
        ]
        return np.asarray(np.mean(each, axis=0))

    @cached_property
    def agreement(self) -> Floats:
        """Rank correlation of each head's scores with the memory's distances: (M,) in -1..1.

        Over the normals and the samples of all other methods, each of which weighs the same.
        """
        each = np.array(
            [
                [self._agreement(seed, method) for method in range(len(self.methods))]
                for seed in range(self.seeds)
            ]
        )
        return np.asarray(each.mean(axis=0))

    @cached_property
    def likeness(self) -> Floats:
        """Rank correlation of what each two heads say of all images: (M, M) in -1..1."""
        parts = []
        for scores in self.head:
            ranks = np.array([rankdata(row) for row in scores])
            parts.append(np.corrcoef(ranks))
        return np.asarray(np.mean(parts, axis=0))

    def _matrix(self, scores: Floats) -> Floats:
        count = len(self.methods)
        return np.array(
            [
                [[auroc(scores[s, i], self.of, j) for j in range(count)] for i in range(count)]
                for s in range(self.seeds)
            ]
        )

    def _agreement(self, seed: int, method: int) -> float:
        shown = self.of != method
        return float(spearmanr(self.head[seed, method, shown], self.memory[seed, shown]).statistic)


def auroc(scores: Floats, of: npt.NDArray[np.int64], method: int) -> float:
    """Return the image AUROC of scores (N,) of one method's samples against the normals."""
    shown = (of < 0) | (of == method)
    return image_auroc(scores[shown], (of[shown] >= 0).astype(int))


def effects(matrix: Floats) -> Floats:
    """Return how much higher each row of (M, M) is than the others on the same columns: (M,).

    The row effects r of x_ij = r_i + c_j + noise, fitted to all but the diagonal by least squares
    (Tukey, Exploratory data analysis, 1977, has the table). A plain mean of each row without its
    own column would be over other columns for each: who draws what nobody finds would gain by not
    having to find it.
    """
    count = len(matrix)
    if count < 2:
        return np.zeros(count)
    others = ~np.eye(count, dtype=bool)
    design = np.zeros((others.sum(), 2 * count))
    for at, (i, j) in enumerate(np.argwhere(others)):
        design[at, [i, count + j]] = 1
    fitted = np.linalg.lstsq(design, matrix[others], rcond=None)[0][:count]
    return np.asarray(fitted - fitted.mean() + matrix[others].mean())
