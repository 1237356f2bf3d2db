"""When another job may be submitted to a backend: its rate limit, and pauses after a temporary refusal."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

LONGEST_PAUSE = 30.0
"""The longest pause, in seconds, between two tries at a cluster that accepts no submissions."""

ALONE = 120.0
"""Seconds after which the next job is tried although the previous try has no answer yet."""

STALE = 300.0
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
    words: str = ""
    """Why the cluster accepts no jobs now; empty if it does."""
    free_at: float = 0.0
    """When the next job may be tried."""
    _asking: object = None
    """The job that is tried on behalf of all."""
    _refusals: int = 0
    _refused_at: float = -inf
    _idle_since: float | None = None
    """Since when the cluster accepts none although it has no job of this run."""

    def must_wait(self, job: object, now: float) -> bool:
        """Whether ``job`` has to wait."""
        return self.free_at > now and self._asking is not job

    def enter(self, job: object, now: float) -> None:
        """Note that ``job`` is about to be submitted; after a refusal it is the only one."""
        if self.words and self._asking is not job:
            self._asking, self.free_at = job, now + ALONE

    def refused(self, job: object, words: str, now: float, *, holds_jobs: bool) -> None:
        """Note that the cluster does not accept ``job`` for now, for the reason in ``words``.

        ``holds_jobs``: the cluster has jobs of this run, whose ends may make room.
        """
        # If several submissions were under way together, only the first refusal counts.
        if not self.must_wait(job, now):
            self.free_at = now + min(LONGEST_PAUSE, 2.0**self._refusals)
            self._refusals = min(self._refusals + 1, 10)
            self._asking = None
        if holds_jobs:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        else:
            self._idle_since += max(0.0, now - self._refused_at - STALE)
        self.words, self._refused_at = words, now

    def accepted(self) -> None:
        """Note that the cluster has accepted a job."""
        self.words, self.free_at, self._asking, self._refusals, self._idle_since = "", 0.0, None, 0, None

    def pass_on(self, job: object) -> None:
        """Note that the result of ``job`` says nothing about the others.

        If it was the one tried, another one is next.
        """
        if self._asking is job:
            self._asking, self.free_at = None, 0.0

    def waited(self, since: float | None, now: float) -> float:
        """Seconds since ``since`` for which it has accepted none while it had no job of this run."""
        return 0.0 if self._idle_since is None or since is None else now - max(self._idle_since, since)
