"""The long scripts take their path at toy size: nobody should find a slip after eight hours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from asbench import results
from asbench.datasets import open_dataset
from asbench.generation import generate as generation
from asbench.training import compiling
from asbench.training import plan as planning
from tests.benchmarks import cuda, cuda_mtd, learns, tiles
from tests.toyset import Toys

pytestmark = pytest.mark.slow

DETECTORS = ("draem@tiny", "destseg@tiny-scratch", "memseg@tiny-scratch", "unet@tiny")


class Bare(Toys):
    """Toys of one category, textures too: drawn in no time."""

    def categories(self) -> tuple[str, ...]:
        return ("a",)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put toys in the place of the drawn data set, which takes longer than the training."""
    for module in (generation, planning):
        monkeypatch.setattr(
            module,
            "open_dataset",
            lambda text, **_: Bare(name=text),
        )
    monkeypatch.setattr(cuda, "CATEGORY", "a")
    monkeypatch.setattr(cuda_mtd, "TOY", replace(cuda_mtd.TOY, category="a"))
    demo = replace(learns.STUDIES["demo"], category="a")
    monkeypatch.setattr(learns, "STUDIES", {"demo": demo})
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def cells(text: str) -> list[list[str]]:
    """The cells of all rows of Markdown tables."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_learns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert learns.main(["--toy", "--folder", str(tmp_path)]) == 0
    head, _, *rows = cells(capsys.readouterr().out)
    assert [row[0].strip("`") for row in rows] == list(DETECTORS)
    found = results.runs(tmp_path / "runs-demo-toy")
    assert len(found) == 8
    for row in rows:
        (own,) = [
            run
            for run in found
            if run.decides["detector"] == row[0].strip("`") and run.decides["ratio"]
        ]
        assert own.untrained is not None
        at = dict(zip(head, row, strict=True))
        assert at["image AUROC: trained"] == f"{own.metrics['full']['image_auroc']:.3f}"
        assert at["pixel AP: untrained"] == f"{own.untrained['full']['pixel_ap']:.3f}"


def test_learning_is_judged_seed_by_seed() -> None:
    def run(image_auroc: float, pixel_ap: float, before: float) -> results.Run:
        scores = {"full": {"image_auroc": image_auroc, "pixel_ap": pixel_ap}}
        untrained = {"full": {"image_auroc": before, "pixel_ap": before}}
        return results.Run(
            **{k: None for k in results.Run.__slots__ if k not in ("metrics", "untrained")},
            metrics=scores,
            untrained=untrained,
        )

    idle = [run(0.5, 0.1, 0.2), run(0.55, 0.1, 0.2)]
    assert learns.Row("d", [run(0.7, 0.3, 0.2), run(0.8, 0.4, 0.2)], idle).learnt
    assert not learns.Row("d", [run(0.54, 0.3, 0.2), run(0.8, 0.4, 0.2)], idle).learnt
    assert not learns.Row("d", [run(0.7, 0.3, 0.35), run(0.8, 0.4, 0.2)], idle).learnt


def test_a_store_that_changed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(*asked: Any) -> None:
        (tmp_path / "store-demo-toy" / "note.txt").write_text("changed")

    monkeypatch.setattr(learns, "trained", spoil)
    with pytest.raises(RuntimeError, match="training changed the store"):
        learns.main(["--toy", "--folder", str(tmp_path)])


def test_cuda(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # DRAEM holds the U-Net's parts already.
    few = {name: at for name, at in cuda.TOY.detectors.items() if name != "unet@tiny"}
    monkeypatch.setattr(cuda, "TOY", replace(cuda.TOY, detectors=few))
    monkeypatch.setattr(compiling, "BACKEND", compiling.BACKEND)  # put back after
    out = tmp_path / "cuda.json"
    assert cuda.main(["--toy", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    assert [(r["detector"], r["precision"]) for r in record["rows"]] == [
        (detector, precision) for detector in few for precision in ("fp32", "bf16")
    ]
    for row in record["rows"]:
        kinds = ("constant", "resident", "streaming", "contiguous", "channels_last")
        assert all(row[kind] > 0 for kind in kinds)
        if row["precision"] == "bf16":
            assert row["compiled"] > 0
            assert row["loss_apart"] < 0.01
            assert row["looped"] > 0
    assert [row["detector"] for row in record["whole"]] == list(few)
    assert record["whole"][0]["two"] > 0
    for row in record["whole"]:
        assert row["flops"] > 0
        assert 0 < row["busy"] <= 1
        assert row["checkpoint_bytes"] > 0
    told = capsys.readouterr().out
    assert "hours for the base grid of 1776 runs" in told
    rows = [row for row in cells(told) if row[0] in few]
    assert len(rows) == 3 * 6 - 3


def test_cuda_mtd_continues_and_names_no_paper(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--toy", "--hours", "1e-9", "--folder", str(tmp_path)]
    assert cuda_mtd.main(asked) == 0
    told = capsys.readouterr().out
    rows = [row for row in cells(told) if row[1] in DETECTORS]
    assert [row[:2] for row in rows] == [[m, d] for m in ("draem", "fractal") for d in DETECTORS]
    assert all(row[2] == "1" for row in rows)  # next to no time leaves one step
    assert "the paper's cells are left out" in told
    settled = json.loads((tmp_path / "steps-fp32.json").read_text())
    assert settled["share"] < 1
    cuda_mtd.main(["--toy", "--hours", "100", "--folder", str(tmp_path)])  # settled before
    assert capsys.readouterr().out == told


def test_the_paper_stands_beside_published_steps_only() -> None:
    full = {"image_auroc": 0.9, "pixel_ap": 0.3, "pro": 0.8}
    fields = {k: None for k in results.Run.__slots__}
    run = results.Run(
        **fields | {"metrics": {"full": full}, "decides": {"steps": 9}, "seconds": {"train": 1.0}}
    )
    runs = {(m, d): run for m in cuda_mtd.METHODS for d in cuda_mtd.FULL.detectors}
    whole = cuda_mtd.Table(1.0, runs).markdown(cuda_mtd.FULL)
    assert "| draem | 0.9000 / 0.3000 (draem) | 0.9470 / 0.3565 (DeSTSeg) |" in whole
    assert not any("DeSTSeg" in line for line in cuda_mtd.Table(0.5, runs).markdown(cuda_mtd.FULL))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("script", [cuda, cuda_mtd])
def test_without_cuda_one_line_says_so(script) -> None:
    with pytest.raises(SystemExit, match="no CUDA device: run it where there is one, or add --toy"):
        script.main([])


def test_the_drawn_data_set_has_what_the_scripts_name() -> None:
    assert "weave" in open_dataset("demo").categories()


def test_tiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # its photographs are files
    few = ["--normals", "3", "--each", "1", "--scale", "0.5", "1"]
    tiles.main(["--quick", "--folder", str(tmp_path), *few])
    head, _, *rows = cells(capsys.readouterr().out)
    assert [row[0] for row in rows] == [
        "32x32 (stretch)",
        "32x32 (tile, scale 0.5, overlap 4)",
        "32x32 (tile, scale 1, overlap 4)",
    ]
    assert all(len(row) == len(head) and row[-1].endswith("MB at most") for row in rows)
