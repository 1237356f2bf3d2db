"""Reading a node's log from a cursor, while it is written or long after."""

from __future__ import annotations

import codecs
from typing import Any

from ...model import LogChunk
from ..logfile import Piece
from ..logfile import read_piece
from ..protocol import BackendError
from .places import JobFolder


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
    """A piece of the log of ``node`` in the start ``restart`` (``None``: the last, or from the cursor's on).

    ``last`` is the job's last start so far; ``ended``: whether there will be no more. Raises
    BackendError if the log cannot be read.
    """
    at, offset = cursor if cursor is not None else (last if restart is None else restart, None)
    final = ended or at < last
    found = read_piece(folder.log(node, at), offset, tail)
    # The batch script creates the log of rank 0 before each start; others have none if srun could not begin.
    gone = found is None and final and _was_begun(folder, at) and node == 0
    piece = found if found is not None else Piece(b"", offset or 0, at_end=not gone)
    end = final and piece.at_end
    text, used = codecs.utf_8_decode(piece.data, "replace", end)
    if end and restart is None and at < last:
        return LogChunk(text, [at + 1, 0], False)
    gap = "it was removed" if gone else "it has become shorter" if piece.shrunk else ""
    return LogChunk(text, [at, piece.offset + used], end and not gap, gap)


def _was_begun(folder: JobFolder, restart: int) -> bool:
    """Whether a start was begun. Raises BackendError if that cannot be found out."""
    try:
        folder.path.stat()
        return folder.start(restart).exists()
    except OSError as error:
        raise BackendError(f"the job's folder {folder.path} cannot be read: {error.strerror}") from None
