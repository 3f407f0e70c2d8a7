"""A detector's answers over a test set: which images count for which metric."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from asbench.evaluation.metrics import image_metrics, per_image_ap, pixel_metrics
from asbench.evaluation.score import TestScores, evaluate, further, table
from asbench.files.saturation import Region
from asbench.results import ImageRow
from synth_store.types import UserError

SIZE = 16
LABELS = [0, 0, 0, 1, 1, 1, 1, 1]
FEW_SHOT = [False, False, False, True, False, False, False, True]


@pytest.fixture
def scores():
    """3 normals, 5 defects: 3 and 7 few-shot, 5 without a mask, 6 with an empty one."""
    rng = np.random.default_rng(0)
    masks = [None, *np.zeros((2, SIZE, SIZE), bool)]
    masks += [rng.random((SIZE, SIZE)) < 0.1 for _ in range(5)]
    masks[5] = None
    masks[6] = np.zeros((SIZE, SIZE), bool)
    maps = rng.random((8, SIZE, SIZE), dtype=np.float32)
    maps[3] += masks[3]
    return TestScores(
        ids=[f"{i}.png" for i in range(8)],
        labels=LABELS,
        defects=["good"] * 3 + ["hole"] * 3 + ["dent"] * 2,
        few_shot=FEW_SHOT,
        scores=rng.random(8) + np.array(LABELS) / 2,
        maps=maps,
        masks=masks,
    )


def test_full_and_held_out_take_the_images_they_should(scores):
    found = evaluate(scores)
    empty = np.zeros((SIZE, SIZE), bool)
    for name, images, masked in (
        ("full", range(8), [0, 1, 2, 3, 4, 7]),
        ("held_out", [0, 1, 2, 4, 5, 6], [0, 1, 2, 4]),
    ):
        images = list(images)
        image = image_metrics(scores.scores[images], np.array(LABELS)[images])
        masks = np.stack([empty if scores.masks[i] is None else scores.masks[i] for i in masked])
        pixel = pixel_metrics(scores.maps[masked], masks)
        assert found[name] == {
            "image_auroc": image.auroc,
            "image_ap": image.ap,
            "pixel_auroc": pixel.auroc,
            "pixel_ap": pixel.ap,
            "pro": pixel.pro,
            "pixel_f1": pixel.f1,
            "counts": {
                "normal": 3,
                "anomalous": len(images) - 3,
                "with_mask": len(masked) - 3,
                "without_mask": 2,
                "regions": pixel.regions,
            },
            "reasons": {},
        }
    assert found["full"]["pixel_ap"] > found["held_out"]["pixel_ap"]


def test_without_few_shot_images_both_sets_are_one(scores):
    found = evaluate(replace(scores, few_shot=[False] * 8))
    assert found["full"] == found["held_out"] == evaluate(scores)["full"]


def test_where_nothing_is_left_the_reason_is_told(scores):
    found = evaluate(replace(scores, few_shot=[bool(label) for label in LABELS]))["held_out"]
    assert found["counts"]["anomalous"] == found["counts"]["regions"] == 0
    assert found["reasons"] == {
        "image_auroc": "no anomalous image",
        "image_ap": "no anomalous image",
        "pixel_auroc": "no anomalous pixel",
        "pixel_ap": "no anomalous pixel",
        "pro": "no anomalous pixel",
    }
    assert all(np.isnan(found[metric]) for metric in found["reasons"])


def test_images_without_masks_still_count_as_images(scores):
    found = evaluate(replace(scores, masks=[None] * 8))["full"]
    assert found["counts"] == {
        "normal": 3,
        "anomalous": 5,
        "with_mask": 0,
        "without_mask": 5,
        "regions": 0,
    }
    assert found["reasons"] == dict.fromkeys(
        ("pixel_auroc", "pixel_ap", "pro"), "no defective image has a mask"
    )
    assert found["image_auroc"] == evaluate(scores)["full"]["image_auroc"]


def test_the_table_has_a_row_per_image(scores):
    rows = table(scores)
    assert [row.id for row in rows] == scores.ids
    assert rows[3] == ImageRow(
        id="3.png",
        label=1,
        defect="hole",
        few_shot=True,
        score=scores.scores[3],
        pixel_ap=per_image_ap(scores.maps[3], scores.masks[3]),
    )
    assert [i for i, row in enumerate(rows) if not np.isnan(row.pixel_ap)] == [3, 4, 7]


def test_what_cannot_be_is_refused(scores):
    with pytest.raises(ValueError, match="'labels': 7"):
        replace(scores, labels=LABELS[:7])
    with pytest.raises(ValueError, match=r"image '4\.png': mask \(3, 3\)"):
        replace(scores, masks=[*scores.masks[:4], np.ones((3, 3), bool), *scores.masks[5:]])
    with pytest.raises(UserError, match=r"image '1\.png' is labelled normal"):
        replace(scores, masks=[None, np.ones((SIZE, SIZE), bool), *scores.masks[2:]])
    maps = scores.maps.copy()
    maps[2, 0, 0] = np.nan
    with pytest.raises(UserError, match=r"image '2\.png': .* not finite"):
        replace(scores, maps=maps)
    with pytest.raises(UserError, match=r"image '0\.png': .* not finite"):
        replace(scores, scores=np.full(8, np.inf))


def test_further_metrics_are_of_both_sets_and_of_each_image(scores):
    more, each = further(scores, evaluate(scores))
    assert more.metrics["full"]["pixel_f1"] == evaluate(scores)["full"]["pixel_f1"]
    assert np.isnan(more.metrics["full"]["aupimo"])
    assert "a rate of 1e-05 needs 100,000" in more.reasons["full"]["aupimo"]
    assert "spro" not in more.metrics["full"]
    assert np.isnan(each).all()

    large = np.repeat(np.repeat(scores.maps, 16, axis=1), 16, axis=2)
    masks = [None if m is None else np.kron(m, np.ones((16, 16), bool)) for m in scores.masks]
    regions = [[Region(m, 9)] if m is not None and m.any() else [] for m in masks]
    known = replace(scores, maps=large, masks=masks, regions=regions)
    more, each = further(known, evaluate(known))
    assert not more.reasons["full"]
    assert np.isfinite(each).tolist() == [i in (3, 4, 7) for i in range(8)]
    assert more.metrics["full"]["aupimo"] == pytest.approx(np.nanmean(each))
    assert more.metrics["held_out"]["aupimo"] == pytest.approx(each[4])
    assert 0 <= more.metrics["full"]["spro"] <= 1
    assert [row.aupimo for row in table(known, each)][:4] == [None, None, None, each[3]]
    unasked = replace(known, regions=None, unknown="its level is no kind of defect")
    more, _ = further(unasked, evaluate(unasked))
    assert np.isnan(more.metrics["full"]["spro"])
    assert more.reasons["full"]["spro"] == "its level is no kind of defect"
