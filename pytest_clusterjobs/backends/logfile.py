"""Reading the log files of jobs safely, whatever a job has done to its log."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from .protocol import BackendError

PIECE = 4 << 20
"""The most that one call reads, in bytes."""


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
    """The bytes from ``offset`` on (``None``: the last ``tail`` bytes, or all), :data:`PIECE` bytes at most.

    ``None`` if there is no file. Never waits for a FIFO and never follows a link. Raises BackendError for a
    path that is not a regular file, or may not be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackendError(f"the log {path.name} cannot be read: {error.strerror}") from None
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            raise BackendError(f"the log {path.name} is no regular file any more")
        start = offset if offset is not None else max(0, state.st_size - tail) if tail is not None else 0
        data = os.pread(fd, PIECE, start)
    except OSError as error:
        raise BackendError(f"the log {path.name} cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)
    return Piece(data, start, len(data) < PIECE, state.st_size < start)
