"""Rules by name for the score from which an image counts as anomalous.

A rule is a function of the scores of images that were kept out of training. No real defect plays a
part in any of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asbench.evaluation.metrics import best_f1_threshold
from asbench.results.kept_out import KeptOut
from asbench.results.run import Threshold
from synth_store.types import UserError

BEST_F1 = "best-f1"
FALSE_ALARMS = 0.01
"""The share of false alarms, unless another is asked for."""
TAIL = 0.25
"""The share of the highest scores that a tail is fitted to."""
SURE = 0.95
LAST = 1 - 2**-25
"""What a score at its bound of 1 counts as: half-way between it and the float32 below it."""


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen: by a share of false alarms, by the best F1, or a value itself.

    Exactly one of the three is set.
    """

    false_alarms: float | None = None
    best_f1: bool = False
    value: float | None = None

    @classmethod
    def of(cls, threshold: str | float | None, false_alarms: float | None) -> Rule | None:
        """Return the rule that two settings name; None where neither does.

        threshold: `best-f1`, or a score as number or text. Raises UserError for both at once, for
        another text, and for a share outside of 0..1.
        """
        if threshold is not None and false_alarms is not None:
            raise UserError(
                f"threshold {threshold} and false alarms {false_alarms:g} are two rules for one "
                "threshold: give one of them."
            )
        if false_alarms is not None:
            if not 0 < false_alarms < 1:
                raise UserError(
                    f"a share of false alarms of {false_alarms:g} is impossible: give one above 0 "
                    "and below 1, as 0.01."
                )
            return cls(false_alarms=float(false_alarms))
        if threshold is None:
            return None
        if threshold == BEST_F1:
            return cls(best_f1=True)
        try:
            value = float(threshold)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UserError(
                f"threshold {threshold!r} is neither {BEST_F1} nor a score: write for example "
                f"--threshold {BEST_F1}, --threshold 0.5, or --false-alarms 0.01."
            )
        return cls(value=value)

    def threshold(self, kept: KeptOut | None) -> Threshold:
        """Return the threshold by this rule.

        kept: the scores of the run's kept-out images; None where it recorded none. Raises UserError
        where the rule needs what is not there.
        """
        if self.value is not None:
            return Threshold(value=self.value, rule="given")
        if kept is None:
            raise UserError(
                "this run recorded no scores of kept-out images, so no rule can be applied to it: "
                "delete its folder and train it again, or name a score with --threshold."
            )
        if self.false_alarms is not None:
            return by_false_alarms(kept, self.false_alarms)
        return by_best_f1(kept)


def by_default(kept: KeptOut) -> Threshold:
    """Return the threshold of a run for which no rule was named.

    Where normals were kept out, by `FALSE_ALARMS`. Where training saw them all, the best F1 between
    them and kept-out anomalies, or without those the 99.5 % quantile of the normals.
    """
    if not kept.trained:
        return by_false_alarms(kept, FALSE_ALARMS)
    if len(kept.anomalies):
        return by_best_f1(kept)
    return Threshold(
        value=float(np.quantile(kept.normals.astype(np.float32), 0.995)),
        rule=f"99.5 % quantile of {_normals(kept)}: no synthetic anomaly was kept out of training",
    )


def by_best_f1(kept: KeptOut) -> Threshold:
    """Return the threshold that parts normals and kept-out anomalies with the highest F1.

    Raises UserError where no anomaly was kept out.
    """
    if not len(kept.anomalies):
        raise UserError(
            f"--threshold {BEST_F1} needs synthetic anomalies that were kept out of training, and "
            "this run trained on none: choose by --false-alarms instead."
        )
    scores = np.concatenate([kept.normals, kept.anomalies])
    labels = np.repeat([0, 1], [len(kept.normals), len(kept.anomalies)])
    best = best_f1_threshold(scores, labels)
    if kept.trained:
        rule = (
            f"best F1 between {_normals(kept)} and {len(kept.anomalies)} anomalies kept out of "
            "training"
        )
    else:
        rule = (
            f"best F1 between {len(kept.normals)} normals and {len(kept.anomalies)} anomalies, all "
            "kept out of training"
        )
    return Threshold(value=best.threshold, rule=rule)


def by_false_alarms(kept: KeptOut, share: float) -> Threshold:
    """Return the threshold that good images reach in a share of cases.

    With n kept-out normals it lies just above the highest but j of them, j the largest whole number
    with (j + 1) / (n + 1) <= share: a further normal of the same kind then exceeds it with a
    probability of at most `share`, whatever the scores' distribution (split conformal prediction:
    Vovk, Gammerman, Shafer, Algorithmic learning in a random world, 2005). With fewer than
    1 / share - 1 of them there is no such j, and the tail is extrapolated: see `tail`. It is never
    put beyond both the normals and every kept-out anomaly; where scores have an upper bound, the
    highest of the anomalies is taken for the end of the tail.

    What it says of the true share: at the threshold it follows a Beta(j + 1, n - j) distribution.
    """
    scores, count = np.sort(kept.normals), len(kept.normals)
    beyond = math.floor(share * (count + 1) + 1e-9) - 1
    by_count = _above(scores[count - 1 - max(beyond, 0)])
    normals = _normals(kept) if kept.trained else f"{count} normals kept out of training"
    if beyond >= 0:
        value, how = by_count, f"on {normals}"
    else:
        reached = float(kept.anomalies.max()) if len(kept.anomalies) else math.inf
        # A network that ends in a probability saturates below 1 where its training was short.
        end = min(reached, 1.0) if kept.bounded else math.inf
        value = by_count
        if reached > by_count:
            value = max(by_count, min(tail(scores, share, end), reached))
        needed = math.ceil(1 / share - 1e-9) - 1
        how = f"extrapolated from {normals} ({needed} would show it)"
    if kept.trained:
        sure = "training saw them, so expect more"
    else:
        from scipy.stats import beta  # late: half a second, and a prediction needs none of it

        most = float(beta.ppf(SURE, max(beyond, 0) + 1, count - max(beyond, 0)))
        sure = f"the true share is at most {_percent(most)} with {_percent(SURE)} confidence"
    return Threshold(value=value, rule=f"{_percent(share)} false alarms, {how}; {sure}")


def tail(scores: npt.NDArray[np.float64], share: float, end: float = math.inf) -> float:
    """Return the score that a `share` of normals exceeds if the highest fall off exponentially.

    scores: ascending; the share is smaller than what they show. Fitted to the highest quarter: u +
    b ln(p / share), b being their mean excess over the highest score u below them and p their share
    of all. Of the rules tried on real photographs (the highest score; a normal, log-normal or
    Gumbel law of all) it and Gumbel's came nearest to the share asked for; the normal ones did not
    come nearer with more scores.

    end: the highest that scores can be, above most of them. With one it is -ln(1 - s / end) that
    falls off so, which is s / end itself where scores s are low, and infinite at the end: what is
    returned lies below it. That is the generalised Pareto law of a tail with a known end, its shape
    estimated as Hill does (Annals of Statistics, 1975).
    """
    count = len(scores)
    if count < 2:
        return float(scores[-1])
    if end < math.inf:
        scores = -np.log1p(-np.minimum(scores / end, LAST))
    top = min(max(2, round(TAIL * count)), count - 1)
    start = scores[count - top - 1]
    excess = float((scores[count - top :] - start).mean())
    value = float(start + excess * math.log(top / count / share))
    return value if end == math.inf else -end * math.expm1(-value)


def _above(score: float) -> float:
    """Return the next float32 above a score: scores are float32, and one at it is flagged."""
    return float(np.nextafter(np.float32(score), np.float32(np.inf)))


def _normals(kept: KeptOut) -> str:
    """Say how many training normals were scored, and of how many."""
    count = len(kept.normals)
    if kept.of is None or kept.of == count:
        return f"{count} training normals"
    return f"{count} of {kept.of} training normals, chosen by hash,"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
