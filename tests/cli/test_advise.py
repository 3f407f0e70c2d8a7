"""`asbench advise` end to end: photographs in, a mixture out that `train` takes by name."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from asbench import results
from asbench.results.advised import FILE
from asbench.study import spec
from tests.cli.conftest import Run, start, write
from tests.cli.test_interrupts import wait_for

pytestmark = pytest.mark.slow

ADVISE = (
    "advise photos --method cutpaste,draem,memseg -n 20 --trials 1 --quick --size 64 --device cpu"
)
TRAIN = "train --mix advised --dataset photos --steps 2 --device cpu"


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Thirty good photographs and some to be scored, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for part, count in (("train/good", 30), ("test/good", 4), ("test/dot", 9)):
        for i in range(count):
            image = rng.integers(90, 150, (64, 64, 3), dtype=np.uint8)
            if part == "test/dot":
                image[20:30, 20:30] = 240
                mask = np.zeros((64, 64), np.uint8)
                mask[20:30, 20:30] = 255
                write(tmp_path / f"photos/ground_truth/dot/{i:03}_mask.png", mask)
            write(tmp_path / f"photos/{part}/{i:03}.png", image)
    return tmp_path


def test_from_photographs_to_the_training_that_was_advised(run: Run, photos: Path) -> None:
    early = run(TRAIN)
    assert early.status == 1
    assert "nothing was advised for photos/photos yet" in early.err
    assert "asbench advise photos --category photos" in early.err

    said = run(ADVISE)
    assert said.status == 0, said.err
    folder = Path("asbench-store-advice/photos/photos")
    advised = FILE.read(folder)
    assert advised.methods == ["cutpaste", "draem", "memseg"]
    assert sum(advised.mix.values()) == pytest.approx(1, abs=1e-5)
    assert set(advised.mix) < set(advised.methods)
    assert "30 good photographs, 64x64 pixels" in said.out
    assert f"page: {folder / 'advice.html'}" in said.out
    assert "A quick look" in said.out
    assert max(map(len, said.out.partition("page:")[0].splitlines())) < 200

    page = (folder / "advice.html").read_text()
    assert all(method in page for method in advised.methods)
    assert page.count("data:image/jpeg;base64,") == 3
    assert not re.search(r'(src|href)="https?:', page)
    assert not spec.read(folder / "study.yaml").faults

    train, again = said.next
    assert train == "asbench train --mix advised --dataset photos --category photos"
    assert again == f"asbench study run {folder / 'study.yaml'}"
    first = run(f"{train.removeprefix('asbench ')} --steps 2 --device cpu")
    assert first.status == 0, first.err
    assert "advised for photos/photos: " in first.out
    (one,) = results.runs(Path("runs"))
    assert one.decides["mix"] == pytest.approx(dict(advised.mix), abs=1e-5)
    spelt = run(f"train --mix {advised.mixture} --dataset photos --steps 2 --device cpu")
    assert "stands already" in spelt.out
    assert len(results.runs(Path("runs"))) == 1


def test_good_photographs_alone_are_trained_and_given_a_threshold(run: Run, photos: Path) -> None:
    (photos / "photos/train/good").rename(photos / "alone")
    assert run(ADVISE.replace("photos", "alone")).status == 0
    trained = run(TRAIN.replace("photos", "alone"))
    assert trained.status == 0, trained.err
    assert "alone has no anomalous test images here: it is trained" in trained.out
    assert re.search(r"flags \d+ of \d+ drawn anomalies that it was not trained on", trained.out)
    (one,) = results.runs(Path("runs"))
    report, predict = trained.next  # and no baseline: there is nothing to compare by
    assert run(report.removeprefix("asbench ")).status == 0
    said = run(predict.removeprefix("asbench ").replace("PHOTO.png", "photos/test/dot/000.png"))
    assert said.status == 0, said.err
    assert "1 % false alarms" in said.out
    exported = run(f"export runs/{one.id} --format pt2")
    assert exported.status == 0, exported.err
    alone = run("train --dataset alone --ratio 0 --detector patchcore@lite0 --device cpu")
    assert re.search(r"run \w{12} has the threshold [\d.]+ \(1 % false alarms", alone.out)


def test_few_shot_defects_choose_and_are_held_out_then(run: Run, photos: Path) -> None:
    said = run(f"{ADVISE} --defects photos/test")
    assert said.status == 0, said.err
    assert "3 defects choose too, 3 of them with a mask" in said.out
    assert "6 more in that folder are what runs are scored on, and were not looked at" in said.out
    assert "keeps 10.0 px at 64x64" in said.out
    folder = Path("asbench-store-advice/photos/photos")
    advised = FILE.read(folder)
    assert advised.few_shot == [f"test/dot/{i:03}.png" for i in range(3)]
    assert (advised.defects, advised.scored, len(advised.seen)) == (3, 6, 3)
    assert advised.blind
    page = (folder / "advice.html").read_text()
    assert "3 real defects chose too" in page
    assert "Finds the defects" in page
    study = spec.read(folder / "study.yaml")
    assert not study.faults
    assert "chosen_on_few_shot: true" in (folder / "study.yaml").read_text()

    spelt = run(f"train --mix {advised.mixture} --dataset photos --steps 2 --device cpu")
    assert spelt.status == 0, spelt.err
    (blind,) = results.runs(Path("runs"))
    trained = run(TRAIN)
    assert trained.status == 0, trained.err
    assert "3 few-shot defects chose that" in trained.out
    (one,) = (other for other in results.runs(Path("runs")) if other.id != blind.id)
    assert blind.saw_defects == 0  # the same training, which nobody chose, is a run of its own
    assert one.metrics == blind.metrics
    assert one.saw_defects == 3
    assert results.subset_for([one]) == "held_out"

    for i in range(6):  # now the third is another
        write(photos / f"photos/test/dot/000{i}.png", np.full((64, 64, 3), i, np.uint8))
    refused = run(TRAIN)
    assert refused.status == 1
    assert "are not of the few-shot third of photos/photos now" in refused.err


def test_what_cannot_be_advised_is_refused(run: Run, photos: Path) -> None:
    lone = run("advise photos --method draem --size 64")
    assert lone.status == 1
    assert "draem alone is nothing to choose from" in lone.err
    other = run("advise photos --category bolt --size 64")
    assert "category 'bolt' is not in photos" in other.err
    for path in sorted((photos / "photos/train/good").iterdir())[15:]:
        path.unlink()
    few = run(ADVISE)
    assert few.status == 1
    assert "has 15 good photographs, and 20 at least are needed" in few.err
    remote = run("advise photos --store s3://bucket/there")
    assert remote.status == 1
    assert "is not a folder of this machine" in remote.err


def test_killed_it_goes_on_where_it_was(run: Run, photos: Path) -> None:
    assert run(ADVISE).status == 0
    folder = Path("asbench-store-advice/photos/photos")
    whole = json.loads((folder / "advice.json").read_text())
    kept = {path.name: path.read_bytes() for path in (folder / "trials").iterdir()}
    shutil.rmtree(folder)
    with start(ADVISE, photos) as going:
        wait_for(going, "trials/*.safetensors", folder, count=6)
        going.send_signal(signal.SIGKILL)
    left = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*.safetensors")}
    assert 6 <= len(left) < len(kept)
    assert not (folder / "advice.json").exists()
    again = run(ADVISE)
    assert again.status == 0, again.err
    assert all(path.stat().st_mtime_ns == when for path, when in left.items())
    assert {path.name: path.read_bytes() for path in (folder / "trials").iterdir()} == kept
    went_on = json.loads((folder / "advice.json").read_text())
    for record in (whole, went_on):
        for name in ("seconds", "created", "sha256"):
            del record[name]
    assert went_on == whole


def test_advice_on_other_photographs_is_refused(run: Run, photos: Path) -> None:
    assert run(ADVISE).status == 0
    path = Path("asbench-store-advice/photos/photos/advice.json")
    record = json.loads(path.read_text())
    record["normals"] = "0" * 64
    del record["sha256"]
    path.write_text(json.dumps(record))
    refused = run(TRAIN)
    assert refused.status == 1
    assert "are not those that" in refused.err
