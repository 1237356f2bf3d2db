"""The results of one poll round, collected for one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field

from ..model import Handle
from ..model import Observation
from ..model import Outcome
from ..model.records import Result
from .job import ActiveAttempt


@dataclass(slots=True)
class Round:
    """The results of one poll round, for one transaction."""

    changed: list[tuple[str, Observation, Handle | None]] = field(default_factory=list)
    ended: list[tuple[str, Outcome]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    resubmitted: list[ActiveAttempt] = field(default_factory=list)
    """New attempts to submit."""
    done: set[ActiveAttempt] = field(default_factory=set)
    to_cancel: list[ActiveAttempt] = field(default_factory=list)
    first_polled: set[ActiveAttempt] = field(default_factory=set)
    """Jobs with their first poll result, for which another thread may be waiting."""
