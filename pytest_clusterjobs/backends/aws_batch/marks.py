"""The sentinel's marks in a log whose end has none: further back, or at the head."""

from __future__ import annotations

from .. import sentinel
from .api import Api
from .detail import StreamName
from .logs import pages_from_end
from .logs import PIECES
from .logs import read_on

PAGES = 32
"""Pages (1 MB or 10,000 lines at most) read from each end.

Processes that outlive the command may print on briefly.
"""


def search(api: Api, stream: StreamName, nonce: str, rank: int) -> sentinel.Marks | None:
    """The marks of a complete log; ``None`` if neither end nor head has one and it was not read whole.

    Raises BackendError.
    """
    left = PAGES
    for text in pages_from_end(api, stream, PAGES):
        found = sentinel.read(text, nonce, rank)
        if found.report is not None or found.begun:
            return found
        left -= 1
    return sentinel.Marks() if left else _at_head(api, stream, nonce, rank)


def _at_head(api: Api, stream: StreamName, nonce: str, rank: int) -> sentinel.Marks | None:
    token = None
    for _ in range(PAGES // PIECES):
        piece = read_on(api, stream, token)
        found = sentinel.read(piece.text, nonce, rank)
        if found.begun or piece.at_end:
            return found
        token = piece.token
    return None
