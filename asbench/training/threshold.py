"""The images that a run's threshold is chosen on, scored: kept-out normals and anomalies."""

from __future__ import annotations

from asbench.evaluation.predict import predict
from asbench.evaluation.testset import order_by_hash
from asbench.nets.detector import Detector
from asbench.results.kept_out import KeptRow
from asbench.training.plan import Plan

MOST_TRAINED = 200
"""Where no normal is kept out, a threshold is chosen on at most this many of those that training
saw: scoring them all would outlast the test."""


def kept_rows(plan: Plan, model: Detector) -> list[KeptRow]:
    """Score what a run kept out of training: its normals and stored anomalies.

    Where it kept no normal out, normals that it saw stand in, some of them, chosen by hash.
    """
    normals, seen = plan.normals, not plan.kept
    chosen = sorted(order_by_hash(normals.ids)[:MOST_TRAINED]) if seen else plan.kept
    _, scores = predict(model, (normals[i] for i in chosen), plan.device)
    rows = [
        KeptRow(normals.ids[i], 0, int(seen), float(score))
        for i, score in zip(chosen, scores, strict=True)
    ]
    kept = [(stored, i) for stored, part in plan.sources.validation_parts() for i in part]
    if kept:
        _, scores = predict(model, (stored[i].image for stored, i in kept), plan.device)
        rows += [
            KeptRow(f"{stored.key.method}/{i}", 1, 0, float(score))
            for (stored, i), score in zip(kept, scores, strict=True)
        ]
    return rows
