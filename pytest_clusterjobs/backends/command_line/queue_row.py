"""One job as a scheduler's status command shows it, in the vocabulary of this package."""

from __future__ import annotations

from dataclasses import dataclass

from ...model import Phase
from ...model import Reason


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One job in a scheduler's queue or accounting. Times are seconds since the epoch."""

    job_id: str
    name: str
    """The job's name in the scheduler: its token, if this package submitted it."""
    phase: Phase
    """The phase of ``state``. A state that is not known to be an end is not ``ENDED``."""
    state: str
    """The scheduler's own word for the state."""
    reason: str = ""
    """The scheduler's own text for why the job is in this state."""
    hint: Reason | None = None
    """What the scheduler reports for certain: why the job ended, or why a pending job can never start.

    ``None`` if only the command's own end decides.
    """
    exit_code: int | None = None
    """The code of the batch script, 128+n for signal n."""
    restarts: int = 0
    """How often the scheduler itself has started the job again."""
    submitted: float | None = None
    started: float | None = None
    """The last start by the scheduler itself; ``None`` if the job never had nodes."""
    ended: float | None = None
    is_suspended: bool = False
    """Whether the job has nodes and is suspended on them."""
    is_held: bool = False
    """Whether the scheduler holds the job because it could not be started: it would be pending for ever."""
