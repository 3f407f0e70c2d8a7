"""The images that a run's threshold is chosen on, scored: kept-out normals and anomalies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from asbench.data.tiling import Photograph
from asbench.evaluation.photographs import predict_tiles
from asbench.evaluation.predict import predict, predict_features
from asbench.evaluation.testset import order_by_hash
from asbench.nets.detector import Detector
from asbench.nets.features import FeatureDetector, Features
from asbench.results.joint import within
from asbench.results.kept_out import KeptRow
from asbench.training.feature_store import FeatureStore
from asbench.training.plan import Plan
from asbench.training.planned import Planned
from synth_store import Normals, StoredSet

MOST_TRAINED = 200
"""Where no normal is kept out, a threshold is chosen on at most this many of those that training
saw: scoring them all would outlast the test."""


Wanted = Sequence[tuple[Normals | StoredSet, Sequence[int]]]


def kept_rows(
    plan: Planned, model: Detector, features: FeatureStore | None = None
) -> list[KeptRow]:
    """Score what a run kept out of training: its normals and stored anomalies.

    Of tiles, normals are whole photographs, and anomalies are tiles. Where it kept no normal out,
    normals that it saw stand in, some of them, chosen by hash. features: of a detector that judges
    those. Of a joint run the ids begin with their category.
    """
    if len(plan.parts) == 1:
        return _rows(plan.parts[0], model, features)
    return [
        replace(row, id=within(str(part.training.category), row.id))
        for part in plan.parts
        for row in _rows(part, model, features)
    ]


def _rows(plan: Plan, model: Detector, features: FeatureStore | None) -> list[KeptRow]:
    """Score what one category kept out."""
    seen, chosen = not plan.kept, plan.kept_photographs
    if seen:
        order = order_by_hash([one.id for one in plan.photographs])
        chosen = [plan.photographs[place] for place in sorted(order[:MOST_TRAINED])]
    scores = _whole_scores(plan, model, features, chosen)
    rows = [
        KeptRow(one.id, 0, int(seen), float(score))
        for one, score in zip(chosen, scores, strict=True)
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


def _whole_scores(
    plan: Plan, model: Detector, features: FeatureStore | None, chosen: Sequence[Photograph]
) -> Iterable[float]:
    """Return the scores of normals as `Trained.predict` gives them.

    Photographs are read from the data set: the store may lack tiles of theirs without the object
    (`empty_tiles`), and each is one more chance of a false alarm.
    """
    geometry = plan.store.geometry
    if not geometry.tiled:
        whole = [i for one in chosen for i in one.normals]
        return map(float, _scores(plan, model, features, [(plan.normals, whole)]))
    items = {item.id: item for item in plan.data.train(plan.decides["category"])}
    images = (plan.data.image(items[one.id]) for one in chosen)
    return (predict_tiles(model, image, geometry, plan.device)[1] for image in images)


def _scores(
    plan: Plan, model: Detector, features: FeatureStore | None, wanted: Wanted
) -> Iterable[float]:
    """Return the scores of some stored images."""
    if features is not None and isinstance(model, FeatureDetector):
        known = Features.together([features.of(of, part) for of, part in wanted if part])
        return predict_features(model, known, plan.device)[1]
    images = (
        of[i] if isinstance(of, Normals) else of[i].image for of, part in wanted for i in part
    )
    return predict(model, images, plan.device)[1]
