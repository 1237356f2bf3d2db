"""SkyPilot's states as phases and reasons."""

from __future__ import annotations

from collections.abc import Mapping

from ...model import Phase
from ...model import Reason

PHASES: Mapping[str, Phase] = {
    "PENDING": Phase.PENDING,
    "SUBMITTED": Phase.PENDING,
    "STARTING": Phase.PENDING,
    "INIT": Phase.PENDING,
    "SETTING_UP": Phase.PENDING,
    "RUNNING": Phase.RUNNING,
    "WINDING_DOWN": Phase.RUNNING,
    # It waits for machines again, so that queue_timeout applies.
    "RECOVERING": Phase.PENDING,
    "CANCELLING": Phase.RUNNING,
    "SUCCEEDED": Phase.ENDED,
    "FAILED": Phase.ENDED,
    "FAILED_DRIVER": Phase.ENDED,
    "FAILED_SETUP": Phase.ENDED,
    "FAILED_PRECHECKS": Phase.ENDED,
    "FAILED_NO_RESOURCE": Phase.ENDED,
    "FAILED_CONTROLLER": Phase.ENDED,
    "CANCELLED": Phase.ENDED,
}
"""``sky.jobs.ManagedJobStatus`` and ``sky.JobStatus``, all of them in 0.14."""

_HINTS: Mapping[str, Reason] = {
    "FAILED_SETUP": Reason.START_FAILED,
    "FAILED_PRECHECKS": Reason.REJECTED,
    "FAILED_CONTROLLER": Reason.UNKNOWN,
    "FAILED_DRIVER": Reason.UNKNOWN,
    "FAILED": Reason.UNKNOWN,
    "CANCELLED": Reason.CANCELLED,
}

TORN_DOWN = "DONE"
"""The schedule state of a job whose cluster is gone."""

LIVE_REQUESTS = frozenset({"PENDING", "WAITING", "RUNNING"})
"""States of a request to the API server that has not ended."""


def phase_of(status: str) -> Phase:
    """The phase of a state. An unknown state, of a newer SkyPilot, is never an end."""
    return PHASES.get(status, Phase.RUNNING)


def hint_of(status: str, *, started: bool) -> Reason | None:
    """The reason that a terminal state implies; ``None`` for ``SUCCEEDED``: the sentinels' reports decide.

    A job that failed for lack of capacity was preempted if it had started.
    """
    if status == "FAILED_NO_RESOURCE":
        return Reason.PREEMPTED if started else Reason.QUEUE_TIMEOUT
    return _HINTS.get(status)
