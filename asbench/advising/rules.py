"""Rules that choose a mixture: each a pure function of evidence to one weight a method.

None of them sees a real defect. Which one ships was chosen by what each would have chosen on real
data sets, leaving one set out at a time: `docs/explanation/advice.md` has the comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from asbench.advising.evidence import Evidence, Floats, auroc, effects

Rule = Callable[[Evidence], Floats]
"""Gives weights (M,), at least 0, that add to 1."""
MOST = 5
"""Methods of a mixture at most: each further one adds a set to render and takes steps from all."""
NEAR = 3.0
"""Deviations of the normals' own variation by which a synthetic anomaly is neither hidden in it nor
obvious: where a control chart draws its line."""


def equal(evidence: Evidence) -> Floats:
    """Weigh all methods alike: what one does who knows nothing."""
    return _alike(evidence, range(len(evidence.methods)))


def cross_best(evidence: Evidence) -> Floats:
    """Take the one whose detector finds most of what all others drew.

    What was learned from one kind of anomaly and finds many other kinds may find real ones too.
    """
    return _alike(evidence, _best(found(evidence), 1))


def cross(evidence: Evidence) -> Floats:
    """Take the third of the methods whose detectors find most of what all others drew.

    As `cross_best`, hedged: the best few are often not told apart, and their samples differ.
    """
    return _alike(evidence, _best(found(evidence), third(evidence)))


def heads(evidence: Evidence) -> Floats:
    """Take the third whose heads, without the memory, find most of what all others drew.

    The memory is the same for all and finds much: what the head adds is told better without it.
    """
    return _alike(evidence, _best(found_by_heads(evidence), third(evidence)))


def outline(evidence: Evidence) -> Floats:
    """Take the third whose detectors outline best what all others drew.

    The average precision over places: it hears of every place, where an image's score is one place.
    """
    return _alike(evidence, _best(outlined(evidence), third(evidence)))


def both(evidence: Evidence) -> Floats:
    """Take the third with the best sum of ranks in finding, heads alone, and in outlining."""
    ranks = ranked(found_by_heads(evidence)) + ranked(outlined(evidence))
    return _alike(evidence, _best(ranks, third(evidence)))


def agreement(evidence: Evidence) -> Floats:
    """Take the third whose heads, alone, rank images most as the memory of the normals does.

    Easy synthetic anomalies vote for one another in the cross matrix; a memory of normals has no
    part in that vote, and knows what is unusual here.
    """
    return _alike(evidence, _best(evidence.agreement, third(evidence)))


def heads_and_agreement(evidence: Evidence) -> Floats:
    """Take the third with the best sum of ranks in finding, heads alone, and in agreement."""
    return _alike(evidence, _best(trusted(evidence), third(evidence)))


def consensus(evidence: Evidence) -> Floats:
    """Take the third whose heads rank images most as all the other heads do.

    What many teachers tell alike owes less to the quirks of any one of them.
    """
    return _alike(evidence, _best(alike(evidence), third(evidence)))


def better_half(evidence: Evidence) -> Floats:
    """Leave out the half whose heads find least; weigh the others alike.

    A mixture forgives a member that is not the best, not one that teaches what is wrong.
    """
    return _alike(evidence, _best(found_by_heads(evidence), math.ceil(len(evidence.methods) / 2)))


def without_worst(evidence: Evidence) -> Floats:
    """Leave out the third with the lowest sum of ranks in finding, heads alone, and in agreement.

    As `better_half`, more careful still: the more methods, the less any one decides.
    """
    count = len(evidence.methods) - len(evidence.methods) // 3
    return _alike(evidence, _best(trusted(evidence), count))


def greedy(evidence: Evidence) -> Floats:
    """Add the method that most raises the mean cross score of the mixture's averaged detectors.

    Until `MOST` are taken or none raises it. Averaged detectors stand in for one that is trained on
    the mixture: no mixture is tried.
    """
    return _greedily(evidence, lambda scores: float(np.mean(scores)))


def diverse(evidence: Evidence) -> Floats:
    """Take a third whose heads find much and say different things.

    Greedily the largest determinant of quality times likeness (Kulesza and Taskar, Determinantal
    point processes for machine learning, 2012): a method like one that is taken adds little.
    """
    quality = 1 + ranked(found_by_heads(evidence))
    kernel = evidence.likeness * np.outer(quality, quality)
    taken: list[int] = []
    while len(taken) < third(evidence):
        rest = [m for m in range(len(quality)) if m not in taken]
        volumes = [np.linalg.slogdet(kernel[np.ix_([*taken, m], [*taken, m])])[1] for m in rest]
        taken.append(rest[int(np.argmax(volumes))])
    return _alike(evidence, taken)


def closeness(evidence: Evidence) -> Floats:
    """Take the third whose anomalies lie just outside of the normals' own variation.

    About `NEAR` deviations by the memory's distance, on a scale of ratios: what is further away
    teaches no border, what is nearer is not anomalous.
    """
    return _alike(evidence, _best(near(evidence), third(evidence)))


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        rule.__name__: rule
        for rule in (
            cross_best,
            cross,
            heads,
            outline,
            both,
            agreement,
            heads_and_agreement,
            consensus,
            better_half,
            without_worst,
            greedy,
            diverse,
            closeness,
        )
    }
)
"""The candidates; `equal` is what they are held against."""
SHIPPED = "outline"
"""The rule by which `asbench advise` chooses."""


def found(evidence: Evidence) -> Floats:
    """Return how well each detector finds the samples of all other methods: image AUROC, (M,)."""
    return effects(evidence.cross)


def found_by_heads(evidence: Evidence) -> Floats:
    """Return how well each head, without the memory, does: image AUROC, (M,)."""
    return effects(evidence.heads_cross)


def outlined(evidence: Evidence) -> Floats:
    """Return how well each detector outlines them: average precision over places, (M,)."""
    return effects(evidence.pixel.mean(axis=0))


def trusted(evidence: Evidence) -> Floats:
    """Return the sum of ranks in finding, heads alone, and in agreement: (M,) in 0..2."""
    return ranked(found_by_heads(evidence)) + ranked(evidence.agreement)


def alike(evidence: Evidence) -> Floats:
    """Return how much each head ranks images as the others do: rank correlation, (M,)."""
    return effects(evidence.likeness)


def near(evidence: Evidence) -> Floats:
    """Return how near each method's anomalies are to `NEAR` deviations; 0 is there: (M,)."""
    return -np.abs(np.log(np.maximum(evidence.unusual, 0.05) / NEAR))


def third(evidence: Evidence) -> int:
    """Return a third of the number of methods, rounded up, at most `MOST`."""
    return min(MOST, math.ceil(len(evidence.methods) / 3))


def ranked(values: Floats) -> Floats:
    """Return ranks from 0, the lowest, to 1, the highest; ties by place."""
    return np.asarray(np.argsort(np.argsort(values, kind="stable")) / max(1, len(values) - 1))


def _best(values: Floats, count: int) -> list[int]:
    """Return the places of the highest values; of equals the first."""
    return [int(m) for m in np.argsort(-np.asarray(values), kind="stable")[:count]]


def _alike(evidence: Evidence, chosen: range | list[int]) -> Floats:
    weights = np.zeros(len(evidence.methods))
    weights[[*chosen]] = 1 / len(chosen)
    return weights


def _greedily(evidence: Evidence, goal: Callable[[Floats], float]) -> Floats:
    taken: list[int] = []
    reached = -np.inf
    while len(taken) < min(MOST, len(evidence.methods)):
        rest = [m for m in range(len(evidence.methods)) if m not in taken]
        goals = [goal(averaged(evidence, [*taken, m])) for m in rest]
        if max(goals) <= reached:
            break
        reached = max(goals)
        taken.append(rest[int(np.argmax(goals))])
    return _alike(evidence, taken)


def averaged(evidence: Evidence, members: list[int]) -> Floats:
    """Return the image AUROC of some methods' averaged detectors on each method's samples: (M,).

    Each sample is judged by those that were not trained on its method; by all where none is left.
    """
    out = np.zeros((evidence.seeds, len(evidence.methods)))
    for method in range(len(evidence.methods)):
        judges = [m for m in members if m != method] or members
        for seed in range(evidence.seeds):
            scores = evidence.both[seed][judges].mean(axis=0)
            out[seed, method] = auroc(scores, evidence.of, method)
    return np.asarray(out.mean(axis=0))
