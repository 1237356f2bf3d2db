"""Reading a node's log from a cursor, while it is written or long after."""

from __future__ import annotations

import codecs
from typing import Any

from ...model import LogChunk
from ..logfile import Piece
from ..logfile import read_piece
from .records import JobRecord
from .runner_paths import RunnerPaths


def read_log(
    places: RunnerPaths, record: JobRecord, node: int, restart: int | None, cursor: Any, tail: int | None
) -> LogChunk:
    """A piece of the log of ``node`` in the start ``restart``.

    ``None``: the last start, or from the cursor's start on.
    """
    at, offset = cursor if cursor is not None else (record.restarts if restart is None else restart, None)
    final = record.over or at < record.restarts
    found = read_piece(places.log(record.token, node, at), offset, tail)
    # Every rank of a job that began has a log; a removed log is not an empty one.
    gone = found is None and record.started is not None and 0 <= node < record.width and final
    piece = found if found is not None else Piece(b"", offset or 0, at_end=not gone)
    end = final and piece.at_end
    text, used = codecs.utf_8_decode(piece.data, "replace", end)
    if end and restart is None and at < record.restarts:
        return LogChunk(text, [at + 1, 0], False)
    gap = "it was removed" if gone else "it has become shorter" if piece.shrunk else ""
    return LogChunk(text, [at, piece.offset + used], end and not gap, gap)
