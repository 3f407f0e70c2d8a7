"""Studies: a whole investigation from one file, planned, run, and recorded.

from asbench import study

study.open("demo").run(workers=4)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asbench.public import lazily

if TYPE_CHECKING:
    from asbench.study.folder import StudyFolder as StudyFolder
    from asbench.study.folder import open as open
    from asbench.study.spec import shipped as shipped

_HOME = {
    "StudyFolder": "asbench.study.folder",
    "open": "asbench.study.folder",
    "shipped": "asbench.study.spec",
}
__all__ = ["StudyFolder", "open", "shipped"]
__getattr__ = lazily(__name__, _HOME)
