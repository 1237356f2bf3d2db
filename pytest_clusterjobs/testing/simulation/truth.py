"""How a job really ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TrueEnd:
    """How an attempt's job ended in the ground truth."""

    reason: str
    """A value of ``Reason``; ``cancelled`` also if this run cancelled it."""
    exit_code: int | None
    """The command's own code; ``None`` if it did not end by itself."""
    restarts: int
    heartbeats: int
    """Of rank 0 in the last start."""
    begun: bool
    """Whether the command of rank 0 began in the last start: it is the one that prints."""
    at: float
    """World time."""
    by: str
    """``itself``, ``limit``, ``run`` (a cancel by this run), ``other`` (by a person) or ``cluster``."""
    also: tuple[str, ...] = ()
    """Other reasons that the design permits, because the ends of several ranks coincide."""
    other_code: int | None = None
    """The command's own code, if one of these is the end of a command."""
