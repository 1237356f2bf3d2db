"""When jobs are polled: each at a time of its own, and in batches as full as the cluster allows."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable

from ..backends.protocol import Capabilities
from .job import ActiveAttempt
from .job import next_deadline

MAX_POLL_INTERVAL_SECONDS = 30.0
"""The longest time, in seconds, between two polls of a job."""

POLL_INTERVAL_AGE_FRACTION = 0.05
"""A job is polled again after this fraction of its age, so that the delay stays proportional to it."""


def due_batch(
    jobs: Iterable[ActiveAttempt],
    due_at: Callable[[ActiveAttempt], float],
    now: float,
    capabilities: Capabilities,
) -> list[ActiveAttempt]:
    """All jobs that are due, and the next ones to become due while the last call has room.

    ``due_at`` returns a job's time; times are monotonic seconds.
    """
    order = sorted(jobs, key=due_at)
    due = sum(1 for job in order if due_at(job) <= now)
    size = capabilities.ids_per_poll
    full = -(-due // size) * size
    soon = now + capabilities.min_poll_interval
    return [job for job in order[:full] if due_at(job) <= max(now, soon)]


def next_poll_at(job: ActiveAttempt, now: float, capabilities: Capabilities) -> float:
    """When to poll a job again that has just been polled, in monotonic seconds."""
    age = now - job.submitted_at
    interval = min(
        MAX_POLL_INTERVAL_SECONDS, max(capabilities.min_poll_interval, POLL_INTERVAL_AGE_FRACTION * age)
    )
    if job.action is not None or job.absent_at is not None:
        interval = capabilities.min_poll_interval
    deadline = next_deadline(job)
    if deadline is not None and deadline > now:
        return min(now + interval, deadline + 0.001)
    return now + interval
