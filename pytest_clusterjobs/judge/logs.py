"""Logs read for a verdict: each rank once, cleaned, bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..model import LogChunk
from ..model.text import clean
from ..model.text import one_line

MAX_LOG_CHARACTERS = 64 * 1024 * 1024
"""Characters of one rank's log. A longer log is searched in its last part and counts as incomplete."""

ReadLog = Callable[[int], LogChunk]
"""Returns the log of the last start of one rank."""


@dataclass(frozen=True, slots=True)
class Log:
    """One rank's log, ready to be searched."""

    rank: int
    text: str
    gap: str = ""
    """Why it is not the complete log; empty if it is."""


def read_log(log: ReadLog | None, rank: int, *, limit: int = MAX_LOG_CHARACTERS) -> Log:
    """Read and clean the log of ``rank``; never more than ``limit`` characters of it."""
    if log is None:
        return Log(rank, "", f"the log of rank {rank} cannot be read")
    chunk = log(rank)
    if len(chunk.text) > limit:
        return Log(
            rank, clean(chunk.text[-limit:]), f"the log of rank {rank} is longer than {limit} characters"
        )
    if chunk.complete:
        return Log(rank, clean(chunk.text))
    why = f": {one_line(chunk.gap)}" if chunk.gap else ""
    return Log(rank, clean(chunk.text), f"the log of rank {rank} is incomplete{why}")
