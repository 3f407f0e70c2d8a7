"""Where a published data set comes from: its licence, its archive, and how to get it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSource:
    """What stands beside a data set's class as `SOURCE`; `asbench data fetch` reads it.

    licence: its name and what it forbids; page: where the authors describe the data set;
    by_hand: what to do where no direct link can be relied on; url: such a link; checksum: of the
    archive, `sha256:...` or `md5:...`, empty where none is published.
    """

    licence: str
    page: str
    by_hand: str
    url: str = ""
    checksum: str = ""
