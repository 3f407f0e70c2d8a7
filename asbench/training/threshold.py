"""The images that a run's threshold is chosen on, scored: kept-out normals and anomalies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asbench.evaluation.predict import predict, predict_features
from asbench.evaluation.testset import order_by_hash
from asbench.nets.detector import Detector
from asbench.nets.features import FeatureDetector, Features
from asbench.results.kept_out import KeptRow
from asbench.training.feature_store import FeatureStore
from asbench.training.plan import Plan
from synth_store import Normals, StoredSet

MOST_TRAINED = 200
"""Where no normal is kept out, a threshold is chosen on at most this many of those that training
saw: scoring them all would outlast the test."""


Wanted = Sequence[tuple[Normals | StoredSet, Sequence[int]]]


def kept_rows(plan: Plan, model: Detector, features: FeatureStore | None = None) -> list[KeptRow]:
    """Score what a run kept out of training: its normals and stored anomalies.

    features: of a detector that judges those.

    Where it kept no normal out, normals that it saw stand in, some of them, chosen by hash.
    """
    normals, seen = plan.normals, not plan.kept
    chosen = sorted(order_by_hash(normals.ids)[:MOST_TRAINED]) if seen else plan.kept
    scores = _scores(plan, model, features, [(normals, chosen)])
    rows = [
        KeptRow(normals.ids[i], 0, int(seen), float(score))
        for i, score in zip(chosen, scores, strict=True)
    ]
    parts = plan.sources.validation_parts()
    kept = [(stored, i) for stored, part in parts for i in part]
    if kept:
        scores = _scores(plan, model, features, parts)
        rows += [
            KeptRow(f"{stored.key.method}/{i}", 1, 0, float(score))
            for (stored, i), score in zip(kept, scores, strict=True)
        ]
    return rows


def _scores(
    plan: Plan, model: Detector, features: FeatureStore | None, wanted: Wanted
) -> npt.NDArray[np.float32]:
    """Return the scores of some stored images."""
    if features is not None and isinstance(model, FeatureDetector):
        known = Features.together([features.of(of, part) for of, part in wanted if part])
        return predict_features(model, known, plan.device)[1]
    images = (
        of[i] if isinstance(of, Normals) else of[i].image for of, part in wanted for i in part
    )
    return predict(model, images, plan.device)[1]
