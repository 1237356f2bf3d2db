"""Reading a node's log from where one stopped, while it is written or long after."""

from __future__ import annotations

import codecs
import os
from typing import Any

from ...jobs import LogChunk
from .places import Places
from .records import Record

PIECE = 4 << 20
"""The most that one call reads, in bytes."""


def read_log(
    places: Places, record: Record, node: int, restart: int | None, cursor: Any, tail: int | None
) -> LogChunk:
    """A piece of the log of ``node`` in the start ``restart`` (``None``: the last, or the cursor's and on from there)."""
    at, offset = cursor if cursor is not None else (record.restarts if restart is None else restart, None)
    final = record.over or at < record.restarts
    found = _bytes(places, record.token, node, at, offset, tail)
    data, offset = found if found is not None else (b"", offset or 0)
    # A rank of a job that began has a log; one that somebody removed is not an empty one.
    is_empty = record.started is None or not 0 <= node < record.width
    end = final and len(data) < PIECE and (found is not None or is_empty)
    text, used = codecs.utf_8_decode(data, "replace", end)
    if end and restart is None and at < record.restarts:
        return LogChunk(text, [at + 1, 0], False)
    return LogChunk(text, [at, offset + used], end)


def _bytes(
    places: Places, token: str, node: int, restart: int, offset: int | None, tail: int | None
) -> tuple[bytes, int] | None:
    """What is there from ``offset`` on, and where it begins; None where there is no file."""
    try:
        with open(places.log(token, node, restart), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if offset is None:
                offset = max(0, size - tail) if tail is not None else 0
            file.seek(offset)
            return file.read(PIECE), offset
    except FileNotFoundError:
        return None
