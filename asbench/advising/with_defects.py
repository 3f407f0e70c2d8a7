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

MANY = 30
"""Defects that have half the voice: the AUROC of so many is known to about .05."""


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

    def apart(self, evidence: Evidence) -> Floats:
        """Return how far the defects' mean score is above the normals', in deviations of those.

        Unlike the AUROC it goes on where all of a few defects are found. Source: the effect size of
        Glass, Primary, secondary and meta-analysis of research, 1976.
        """
        normals = evidence.both[:, :, evidence.normal]
        above = self.both.mean(axis=2) - normals.mean(axis=2)
        return np.asarray((above / np.maximum(normals.std(axis=2), 1e-9)).mean(axis=0))

    def outlined(self) -> Floats:
        """Return the mean of `pixel` over the seeds: (M,)."""
        return np.asarray(self.pixel.mean(axis=0))


Rule = Callable[[Evidence, DefectScores], Floats]
"""Gives weights (M,), at least 0, that add to 1."""


def ranks(values: Floats) -> Floats:
    """Return ranks from 0, the lowest, to 1, the highest; equals share theirs: few defects tie."""
    return np.asarray((rankdata(values) - 1) / max(1, len(values) - 1))


def found_rank(evidence: Evidence, defects: DefectScores) -> Floats:
    """Return the mean rank in image AUROC and, where there are masks, in outlining the defects."""
    return _mean_rank(defects.found(evidence), defects)


def true_rank(evidence: Evidence, defects: DefectScores) -> Floats:
    """Return the mean rank in `apart` and, where there are masks, in outlining the defects."""
    return _mean_rank(defects.apart(evidence), defects)


def blended(evidence: Evidence, of: Floats) -> Floats:
    """Return the mean of ranks on the defects and of the blind rule's: (M,) in 0..1."""
    return (of + ranks(found_by_heads(evidence))) / 2


def seen_best(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the one whose detector does best on the defects: the textbook's choice."""
    return _alike(found_rank(evidence, defects), 1)


def seen_third(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the third whose detectors do best on the defects."""
    return _alike(found_rank(evidence, defects), third(evidence))


def found_half(evidence: Evidence, defects: DefectScores) -> Floats:
    """Leave out the half with the lowest mean of its rank on the defects and of that without them.

    The rule that ships without defects, of which image AUROC and outlines are half the voice.
    """
    return _alike(blended(evidence, found_rank(evidence, defects)), half(evidence))


def apart_best(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the one with the best mean of its rank on the defects and of that without them."""
    return _alike(blended(evidence, true_rank(evidence, defects)), 1)


def apart_third(evidence: Evidence, defects: DefectScores) -> Floats:
    """Take the third with the best mean of its rank on the defects and of that without them."""
    return _alike(blended(evidence, true_rank(evidence, defects)), third(evidence))


def apart_half(evidence: Evidence, defects: DefectScores) -> Floats:
    """Leave out the half with the lowest mean of its rank on the defects and of that without them.

    As `found_half`, by how far the defects are from the normals: AUROC ends at 1.
    """
    return _alike(blended(evidence, true_rank(evidence, defects)), half(evidence))


def shrunk_half(evidence: Evidence, defects: DefectScores) -> Floats:
    """Leave out the half with the lowest rank, on the defects as far as they are many.

    D defects have D / (D + 30) of the voice, the rule without them the rest: of few the order of
    methods is chance, of hundreds it is the truth.
    """
    weight = len(defects) / (len(defects) + MANY)
    seen, blind = found_rank(evidence, defects), ranks(found_by_heads(evidence))
    return _alike(weight * seen + (1 - weight) * blind, half(evidence))


def half(evidence: Evidence) -> int:
    """Return half the number of methods, rounded up."""
    return math.ceil(len(evidence.methods) / 2)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.__name__: rule
        for rule in (
            seen_best,
            seen_third,
            found_half,
            apart_best,
            apart_third,
            apart_half,
            shrunk_half,
        )
    }
)


SHIPPED = "shrunk_half"
"""The rule by which `asbench advise --defects` chooses."""


def _mean_rank(found: Floats, defects: DefectScores) -> Floats:
    parts = [ranks(found), *([ranks(defects.outlined())] if defects.masked else [])]
    return np.asarray(np.mean(parts, axis=0))


def _alike(values: Floats, count: int) -> Floats:
    """Weigh the methods of the highest values alike; of equals the first."""
    weights = np.zeros(len(values))
    weights[np.argsort(-values, kind="stable")[:count]] = 1 / count
    return weights
