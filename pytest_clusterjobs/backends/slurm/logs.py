"""Reading a node's log from where one stopped, while it is written or long after."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Any

from ...jobs import LogChunk
from .places import JobFolder

PIECE = 4 << 20
"""The most that one call reads, in bytes."""


def read_log(
    folder: JobFolder,
    *,
    node: int,
    restart: int | None,
    cursor: Any,
    tail: int | None,
    last: int,
    ended: bool,
) -> LogChunk:
    """A piece of the log of ``node`` in the start ``restart`` (``None``: the last, or the cursor's and on from there).

    ``last`` is the job's last start so far; ``ended`` says whether there will be no more.
    """
    at, offset = cursor if cursor is not None else (last if restart is None else restart, None)
    data, offset = _bytes(folder.log(node, at), offset, tail)
    end = (ended or at < last) and len(data) < PIECE
    text, used = codecs.utf_8_decode(data, "replace", end)
    if end and restart is None and at < last:
        return LogChunk(text, [at + 1, 0], False)
    return LogChunk(text, [at, offset + used], end)


def _bytes(path: Path, offset: int | None, tail: int | None) -> tuple[bytes, int]:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if offset is None:
                offset = max(0, size - tail) if tail is not None else 0
            file.seek(offset)
            return file.read(PIECE), offset
    except FileNotFoundError:
        return b"", offset or 0
