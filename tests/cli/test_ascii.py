"""Names that a terminal cannot show end no command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import QUICK, Run, complete, start, write

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_predict_and_check_of_names_in_any_script(encoding: str, run: Run, place: Path) -> None:
    assert run(f"train --dataset photos --ratio 0 {QUICK}").status == 0
    (folder,) = Path("runs").iterdir()
    Path("photos/bolt/test/disc").rename("photos/bolt/test/划痕")
    Path("photos/bolt/ground_truth/disc").rename("photos/bolt/ground_truth/划痕")
    write(Path("photos/bolt/test/good/ш [a].png"), np.zeros((48, 40, 3), np.uint8))
    for line in (f"predict {folder} photos/bolt/test", "data check photos"):
        done = complete(start(line, place, PYTHONIOENCODING=encoding))
        assert done.status == 0, done.err
        shown = "划痕".encode(encoding, "backslashreplace").decode("ascii", "backslashreplace")
        assert (shown if encoding != "utf-8" else "划痕") in done.out
    Path("photos/bolt/test/划痕/broken.png").write_text("no image")
    done = complete(start(f"predict {folder} photos/bolt/test", place, PYTHONIOENCODING=encoding))
    assert done.status == 1
    assert "broken.png is not a readable image" in done.err
