"""When another job may be submitted to a backend: its rate limit, and pauses after a temporary refusal."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

MAX_RETRY_PAUSE_SECONDS = 30.0
"""The longest pause, in seconds, between two tries at a cluster that accepts no submissions."""

PROBE_TIMEOUT_SECONDS = 120.0
"""Seconds after which the next job is tried although the previous try has no answer yet."""

REFUSAL_VALID_SECONDS = 300.0
"""Seconds for which a refusal still counts as time without acceptance if no other job is tried."""


@dataclass(slots=True)
class RateLimiter:
    """Limits the rate of submissions to one backend.

    Times are the clock's monotonic seconds. Guarded by the engine's lock.
    """

    rate: float | None
    """Submissions per second; ``None`` means no limit."""
    _next_at: float = 0.0

    def pause(self, now: float) -> float:
        """Seconds until the next submission. If 0, the slot is taken."""
        if self._next_at > now:
            return self._next_at - now
        if self.rate is not None:
            self._next_at = now + 1.0 / self.rate
        return 0.0


@dataclass(slots=True, eq=False)
class SubmissionBreaker:
    """Pauses submissions to one backend, for jobs that ask for the same.

    Jobs are grouped because partitions and queues have limits too. After a refusal one job is tried on behalf
    of all, with growing pauses. Guarded by the engine's lock; times are the clock's monotonic seconds.
    """

    backend: str
    """NAME of the backend."""
    last_error: str = ""
    """Why the cluster accepts no jobs now; empty if it does."""
    retry_at: float = 0.0
    """When the next job may be tried."""
    _probe: object = None
    """The job that is tried on behalf of all: in the term of circuit breakers, they are half-open."""
    _refusals: int = 0
    _refused_at: float = -inf
    _refusing_since: float | None = None
    """Since when the cluster accepts none although it has no job of this run."""

    def must_wait(self, job: object, now: float) -> bool:
        """Whether ``job`` has to wait."""
        return self.retry_at > now and self._probe is not job

    def start_probe(self, job: object, now: float) -> None:
        """Note that ``job`` is about to be submitted; after a refusal it is the only one."""
        if self.last_error and self._probe is not job:
            self._probe, self.retry_at = job, now + PROBE_TIMEOUT_SECONDS

    def refused(self, job: object, last_error: str, now: float, *, holds_jobs: bool) -> None:
        """Note that the cluster does not accept ``job`` for now, for the reason ``last_error``.

        ``holds_jobs``: the cluster has jobs of this run, whose ends may make room.
        """
        # If several submissions were under way together, only the first refusal counts.
        if not self.must_wait(job, now):
            self.retry_at = now + min(MAX_RETRY_PAUSE_SECONDS, 2.0**self._refusals)
            self._refusals = min(self._refusals + 1, 10)
            self._probe = None
        if holds_jobs:
            self._refusing_since = None
        elif self._refusing_since is None:
            self._refusing_since = now
        else:
            self._refusing_since += max(0.0, now - self._refused_at - REFUSAL_VALID_SECONDS)
        self.last_error, self._refused_at = last_error, now

    def accepted(self) -> None:
        """Note that the cluster has accepted a job."""
        self.last_error, self.retry_at = "", 0.0
        self._probe, self._refusals, self._refusing_since = None, 0, None

    def release_probe(self, job: object) -> None:
        """Note that the result of ``job`` says nothing about the others.

        If it was the one tried, another one is next.
        """
        if self._probe is job:
            self._probe, self.retry_at = None, 0.0

    def waited(self, since: float | None, now: float) -> float:
        """Seconds since ``since`` for which it has accepted none while it had no job of this run."""
        if self._refusing_since is None or since is None:
            return 0.0
        return now - max(self._refusing_since, since)
