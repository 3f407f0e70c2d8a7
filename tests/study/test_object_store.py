"""A study reads its sets from an object store, and makes the runs that it makes of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from asbench import results
from asbench.grid import engines
from asbench.study import record, spec
from asbench.study.run import run
from synth_store import SynthStore, UserError
from synth_store.copying import copy_store
from synth_store.places import place
from tests.study.conftest import TOY, Write
from tests.synth_store.object_server import serving

pytestmark = pytest.mark.slow

pytest.importorskip("obstore", reason="needs the extra: pip install 'asbench[cloud]'")

URL = "s3://shelf/store"
HERE = engines.Pool(1)


def test_a_study_of_sets_on_an_object_store(
    write: Write, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = write(TOY.replace("PHOTOS", str(photos)).replace("[0, 1]", "[0]"))
    with serving() as server:
        server.name_in(monkeypatch)
        with pytest.raises(UserError, match="read and not written"):
            run(study, tmp_path / "none", store=URL, engine=HERE)
        assert not server.objects
        here = run(study, tmp_path / "here", engine=HERE)
        copy_store(SynthStore.open(tmp_path / "here" / "store"), place(URL))
        server.requests.clear()
        there = run(study, tmp_path / "there", store=URL, engine=HERE)
        assert {verb for verb, _ in server.requests} <= {"GET", "HEAD", "LIST"}
        assert (there.failed, there.missing) == ({}, ())
        assert there.runs == here.runs  # ids: everything that decides a run
        scores = [
            {r.id: r.metrics for r in results.runs(tmp_path / name / "runs")}
            for name in ("here", "there")
        ]
        assert scores[0] == scores[1]
        assert not (tmp_path / "there" / "store").exists()

        (tmp_path / "mine.yaml").write_text(study.text.replace("samples: 20", "samples: 21"))
        more = run(spec.read(tmp_path / "mine.yaml"), tmp_path / "more", store=URL, engine=HERE)
        assert not any(cell.methods for cell in more.runs)
        assert all("asbench store copy" in text for text in more.failed.values())
        assert record.FAILURES in {path.name for path in (tmp_path / "more").iterdir()}
