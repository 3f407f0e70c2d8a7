"""Annotations that are not read are named before a command begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.data.test_unread import STROKES, mvtec, photographs, sorted_photographs


@pytest.mark.parametrize("layout", [photographs, sorted_photographs, mvtec])
def test_generate_and_train_name_them(
    run: Run, tmp_path: Path, layout: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    layout(tmp_path / "line")
    place = "--dataset line --store store"
    generate = f"generate {place} --method cutout -n 2 --size 32 --workers 1"
    assert "warning" not in run(generate).out
    (tmp_path / "line" / "project-1.json").write_text(STROKES)
    for line in (generate, f"train {place} --mix nosuch"):
        said = " ".join(run(line).out.split())
        assert "warning: " in said
        assert "/line/project-1.json holds brush strokes of Label Studio" in said
        assert "`python brushes.py EXPORT.json FOLDER`" in said
