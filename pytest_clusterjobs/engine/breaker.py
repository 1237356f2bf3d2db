"""When another job may be submitted to a backend: its rate limit, and pauses after a temporary refusal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from math import inf

from .attempt import ActiveAttempt

MAX_RETRY_PAUSE_SECONDS = 30.0
"""The longest pause, in seconds, between two tries at a cluster that accepts no submissions."""

PROBE_TIMEOUT_SECONDS = 120.0
"""Seconds after which the next job is tried although the previous try has no answer yet."""

REFUSAL_VALID_SECONDS = MAX_RETRY_PAUSE_SECONDS + PROBE_TIMEOUT_SECONDS
"""Seconds for which a refusal counts as time without acceptance: until the next try has an answer.

Nothing is tried while the run's own ``max_jobs`` is reached.
"""


@dataclass(slots=True)
class RateLimiter:
    """Limits the rate of submissions to one backend. Times are monotonic seconds."""

    rate: float | None
    """Submissions per second; ``None`` means no limit."""
    next_at: float = 0.0
    """When the next submission may be made."""

    def take(self, now: float) -> bool:
        """Whether a submission may be made now; if so, it counts as made."""
        if self.next_at > now:
            return False
        if self.rate is not None:
            self.next_at = now + 1.0 / self.rate
        return True


@dataclass(slots=True, eq=False)
class SubmissionBreaker:
    """A circuit breaker: pauses submissions to one backend, for jobs that ask for the same.

    Jobs are grouped because partitions and queues have limits too. The breaker owns the jobs that it defers.
    After a refusal one of them is tried on behalf of all, with growing pauses. Times are monotonic seconds.
    """

    last_error: str = ""
    """Why the cluster accepts no jobs now; empty if it does."""
    retry_at: float = 0.0
    """When the next job may be tried."""
    deferred: deque[ActiveAttempt] = field(default_factory=deque)
    """The jobs that wait for it, in order."""
    _probe: ActiveAttempt | None = None
    """The job that is tried on behalf of all: in the term of circuit breakers, they are half-open."""
    _refusals: int = 0
    _refused_at: float = -inf
    _refusing_since: float | None = None
    """Since when the cluster accepts none although it has no job of this run."""

    def must_wait(self, job: ActiveAttempt, now: float) -> bool:
        """Whether ``job`` has to wait."""
        return self.retry_at > now and self._probe is not job

    def defer(self, job: ActiveAttempt, now: float) -> None:
        """Take a job that has to wait."""
        if job.deferred_at is None:
            job.deferred_at = now
        self.deferred.append(job)

    def released(self, now: float) -> Iterator[ActiveAttempt]:
        """Give up the jobs that need not wait any more: all, or the one that is tried on behalf of all."""
        if not self.last_error:
            while self.deferred:
                yield self.deferred.popleft()
        elif self.deferred and self.retry_at <= now:
            self.start_probe(self.deferred[0], now)
            yield self.deferred.popleft()

    def start_probe(self, job: ActiveAttempt, now: float) -> None:
        """Note that ``job`` is about to be submitted; after a refusal it is the only one."""
        if self.last_error and self._probe is not job:
            self._probe, self.retry_at = job, now + PROBE_TIMEOUT_SECONDS

    def refused(self, job: ActiveAttempt, last_error: str, now: float, *, holds_jobs: bool) -> None:
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

    def release_probe(self, job: ActiveAttempt) -> None:
        """Note that the result of ``job`` is no evidence about the others.

        If it was the one tried, another one is next.
        """
        if self._probe is job:
            self._probe, self.retry_at = None, 0.0

    def waited(self, job: ActiveAttempt, now: float) -> float:
        """Seconds for which it has accepted none since it deferred ``job``, with no job of this run."""
        if self._refusing_since is None or job.deferred_at is None:
            return 0.0
        return now - max(self._refusing_since, job.deferred_at)

    def expired(self, now: float) -> list[ActiveAttempt]:
        """Give up the jobs whose ``queue_timeout`` is over."""
        over = [job for job in self.deferred if self.waited(job, now) > job.spec.queue_timeout]
        if over:
            gone = {job.token for job in over}
            self.deferred = deque(job for job in self.deferred if job.token not in gone)
        return over
