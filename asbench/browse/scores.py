"""What a run's detector says of stored samples, to sort them by."""

from __future__ import annotations

import json
from pathlib import Path

from asbench.evaluation.predict import predicted
from asbench.evaluation.trained import Trained
from asbench.files.documents import into_place
from asbench.progress import Progress
from synth_store import StoredSet, SynthStore, UserError


def judge_of(run: Path | str, device: str | None, store: SynthStore) -> Trained:
    """Return a run's detector; raises UserError where it was trained at another size."""
    judge = Trained(run, device)
    if judge.geometry != store.geometry:
        raise UserError(
            f"run {judge.id} looks at images of {judge.geometry}, and the store holds "
            f"{store.geometry}: name a run that was trained from this store."
        )
    return judge


def scores_of(judge: Trained, stored: StoredSet, folder: Path, progress: Progress) -> list[float]:
    """Return the score of every sample of a set; `folder` keeps what was once asked for."""
    record = folder / f"score-{judge.id}.json"
    if record.is_file():
        return [float(score) for score in json.loads(record.read_text())]
    scores: list[float] = []
    images = (sample.image for sample in stored)
    for _, some in predicted(judge.detector, images, judge.device):
        scores += (float(score) for score in some)
        progress(f"scoring {stored.key}/{stored.category}", len(scores), stored.count)
    into_place(record, json.dumps(scores))
    return scores
