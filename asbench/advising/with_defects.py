"""Rules that choose a mixture where a few real defects may be looked at too.

Each is a pure function of evidence, and of what the same heads said of the defects, to one weight a
method, beside those of `asbench.advising.rules`, which see none. Which one ships was chosen in the
same way: `docs/explanation/advice.md` has the comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.stats import rankdata

from asbench.advising.evidence import Evidence, Floats
from asbench.advising.rules import found_by_heads, third
from asbench.evaluation.metrics import image_auroc


@dataclass(frozen=True, eq=False)
class DefectScores:
    """What S seeds' M detectors said of D real defects.

    both: (S, M, D), each detector's score of each defect, as `Evidence.both` has it of drawn ones;
    pixel: (S, M), the average precision of the defects' marked places among theirs and those of the
    normals that were kept out, NaN where no defect has a mask.
    """

    both: Floats
    pixel: Floats

    def __len__(self) -> int:
        return int(self.both.shape[-1])

    @property
    def masked(self) -> bool:
        """Whether any of the defects has a mask."""
        return not bool(np.isnan(self.pixel).any())

    def found(self, evidence: Evidence) -> Floats:
        """Return the image AUROC of each detector on the defects against the kept-out normals."""
        normals = evidence.both[:, :, evidence.normal]
        scores = np.concatenate([normals, self.both], axis=2)
        labels = np.repeat([0, 1], [normals.shape[2], len(self)])
        each = [[image_auroc(one, labels) for one in seed] for seed in scores]
        return np.asarray(np.mean(each, axis=0))

    def outlined(self) -> Floats:
        """Return the mean of `pixel` over the seeds: (M,)."""
        return np.asarray(self.pixel.mean(axis=0))


Rule = Callable[[Evidence, DefectScores], Floats]
"""Gives weights (M,), at least 0, that add to 1."""


def ranks(values: Floats) -> Floats:
    """Return ranks from 0, the lowest, to 1, the highest; equals share theirs: few defects tie."""
    return np.asarray((rankdata(values) - 1) / max(1, len(values) - 1))


def true_rank(evidence: Evidence, defects: DefectScores) -> Floats:
    """Return the mean rank in finding and, where there are masks, in outlining the defects."""
    parts = [ranks(defects.found(evidence))]
    if defects.masked:
        parts.append(ranks(defects.outlined()))
    return np.asarray(np.mean(parts, axis=0))


def blended(evidence: Evidence, defects: DefectScores) -> Floats:
    """Return the mean of `true_rank` and of the blind rule's rank: (M,) in 0..1."""
    return (true_rank(evidence, defects) + ranks(found_by_heads(evidence))) / 2


def seen_best(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the one whose detector does best on the defects: the textbook's choice."""
    return _alike(true_rank(evidence, defects), 1)


def seen_third(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the third whose detectors do best on the defects."""
    return _alike(true_rank(evidence, defects), third(evidence))


def seen_half(evidence: Evidence, defects: DefectScores) -> Floats:
    """Leave out the half whose detectors do worst on the defects."""
    return _alike(true_rank(evidence, defects), math.ceil(len(evidence.methods) / 2))


def blend_best(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the one with the best mean of its rank on the defects and of that without them."""
    return _alike(blended(evidence, defects), 1)


def blend_third(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the third with the best mean of its rank on the defects and of that without them."""
    return _alike(blended(evidence, defects), third(evidence))


def blend_half(evidence: Evidence, defects: DefectScores) -> Floats:
    """Leave out the half with the lowest mean of its rank on the defects and of that without them.

    The rule that ships without defects, of which they are half the voice.
    """
    return _alike(blended(evidence, defects), math.ceil(len(evidence.methods) / 2))


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.__name__: rule
        for rule in (seen_best, seen_third, seen_half, blend_best, blend_third, blend_half)
    }
)


SHIPPED = "blend_half"
"""The rule by which `asbench advise --defects` chooses."""


def _alike(values: Floats, count: int) -> Floats:
    """Weigh the methods of the highest values alike; of equals the first."""
    weights = np.zeros(len(values))
    weights[np.argsort(-values, kind="stable")[:count]] = 1 / count
    return weights
