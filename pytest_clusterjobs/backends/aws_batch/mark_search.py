"""Searches a whole log for the sentinel's marks, if the end of the log has none."""

from __future__ import annotations

from .. import sentinel
from .api import Api
from .job_detail import StreamName
from .log_stream import MAX_PAGES_PER_READ
from .log_stream import pages_from_end
from .log_stream import read_forward

MAX_SEARCHED_PAGES = 32
"""Pages (of 1 MB or 10,000 lines at most) that are searched from each end of a log.

The marks may be far from the end, because processes that outlive the command may print for a while.
"""


def find_marks(api: Api, stream: StreamName, nonce: str, rank: int) -> sentinel.Marks | None:
    """The marks in a complete log; ``None`` if no searched page has one and not all pages were searched.

    Raises BackendError.
    """
    pages = 0
    for text in pages_from_end(api, stream, MAX_SEARCHED_PAGES):
        found = sentinel.read(text, nonce, rank)
        if found.report is not None or found.begun:
            return found
        pages += 1
    return sentinel.Marks() if pages < MAX_SEARCHED_PAGES else _at_head(api, stream, nonce, rank)


def _at_head(api: Api, stream: StreamName, nonce: str, rank: int) -> sentinel.Marks | None:
    token = None
    for _ in range(MAX_SEARCHED_PAGES // MAX_PAGES_PER_READ):
        lines = read_forward(api, stream, token)
        found = sentinel.read(lines.text, nonce, rank)
        if found.begun or lines.at_end:
            return found
        token = lines.token
    return None
