"""A gallery of a store: a folder of plain files to look through, sort and mark in a browser.

from asbench import browse

browse.write("asbench-store", "gallery")
browse.serve("gallery")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asbench.public import lazily

if TYPE_CHECKING:
    from asbench.browse.gallery import WrittenGallery as WrittenGallery
    from asbench.browse.gallery import write as write
    from asbench.browse.serving import serve as serve

_HOME = {
    "WrittenGallery": "asbench.browse.gallery",
    "serve": "asbench.browse.serving",
    "write": "asbench.browse.gallery",
}
__all__ = ["WrittenGallery", "serve", "write"]
__getattr__ = lazily(__name__, _HOME)
