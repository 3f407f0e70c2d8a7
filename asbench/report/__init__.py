"""Reports: finished runs as a page, tables and figures. Nothing is trained or scored here.

from asbench import report

report.write("runs", "report.html", tables="tables")
report.write(study="demo")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asbench.public import lazily

if TYPE_CHECKING:
    from asbench.report.document import WrittenReport as WrittenReport
    from asbench.report.document import write as write

__all__ = ["WrittenReport", "write"]
__getattr__ = lazily(__name__, dict.fromkeys(__all__, "asbench.report.document"))
