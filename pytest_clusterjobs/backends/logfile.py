"""Reads the log files of ranks from a cursor, whatever a job has done to its log."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model import LogChunk
from .protocol import BackendError
from .protocol import UnreadableLog

MAX_PIECE_BYTES = 4 << 20
"""The most bytes that one call reads."""


_PERMANENT = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO, errno.ENOTDIR, errno.EISDIR})
"""What another try does not mend: the path has become something else, or may not be read."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a file, and where they begin."""

    data: bytes
    offset: int
    at_end: bool
    """Whether they reach the present end of the file."""
    shrunk: bool = False
    """Whether the file is shorter than the part that was read before."""


def read_piece(path: Path, offset: int | None = None, tail: int | None = None) -> Piece | None:
    """The bytes from ``offset`` on, :data:`MAX_PIECE_BYTES` at most.

    Without ``offset``: the last ``tail`` bytes, or all.

    ``None`` if there is no file. Never waits for a FIFO and never follows a link. Raises UnreadableLog for a
    path that is not a regular file, or may not be read, and BackendError if another try may help.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise UnreadableLog(f"the log {path.name} is not a regular file any more")
        start = offset if offset is not None else max(0, state.st_size - tail) if tail is not None else 0
        data = os.pread(fd, MAX_PIECE_BYTES, start)
    except OSError as error:
        raise _unreadable(path, error) from None
    finally:
        os.close(fd)
    return Piece(data, start, len(data) < MAX_PIECE_BYTES, state.st_size < start)


def _unreadable(path: Path, error: OSError) -> BackendError:
    kind = UnreadableLog if error.errno in _PERMANENT else BackendError
    return kind(f"the log {path.name} cannot be read: {error.strerror}")


def read_tail(path: Path, size: int) -> bytes:
    """The last ``size`` bytes of a file; empty for a missing or unreadable one, or one that is not a file."""
    try:
        found = read_piece(path, tail=size)
    except BackendError:
        return b""
    return b"" if found is None else found.data


def read_rank_log(
    path_of: Callable[[int], Path],
    *,
    restart: int | None,
    cursor: Any,
    tail: int | None,
    last: int,
    ended: bool,
    must_exist: Callable[[int], bool],
) -> LogChunk:
    """A piece of one rank's log of the start ``restart`` (``None``: the last, or from the cursor's on).

    ``path_of`` is the file of each start. ``last`` is the job's last start so far, ``ended`` whether there
    will be no more. ``must_exist``: whether a start that is over has left a log, so that a missing one was
    removed. Raises BackendError if the log cannot be read.
    """
    at, offset = cursor if cursor is not None else (last if restart is None else restart, None)
    final = ended or at < last
    found = read_piece(path_of(at), offset, tail)
    removed = found is None and final and must_exist(at)
    piece = found if found is not None else Piece(b"", offset or 0, at_end=not removed)
    end = final and piece.at_end
    text, used = codecs.utf_8_decode(piece.data, "replace", end)
    if end and restart is None and at < last:
        return LogChunk(text, [at + 1, 0], False)
    gap = "it was removed" if removed else "it has become shorter" if piece.shrunk else ""
    return LogChunk(text, [at, piece.offset + used], end and not gap, gap)
