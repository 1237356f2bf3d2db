"""When a backend may be given another submission: its own rate, and its word that it takes none for now."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

LONGEST_PAUSE = 30.0
"""Seconds between two tries at a cluster that takes no submission."""

ALONE = 120.0
"""Seconds after which the next one asks, although the one before has no answer yet."""

STALE = 300.0
"""Seconds after a refusal for which it may be said that the cluster took none, where nobody has asked again."""


@dataclass(slots=True)
class RateLimiter:
    """How fast one backend wants to be given jobs. Times are the clock's monotonic seconds; guarded by the engine's lock."""

    rate: float | None
    """Submissions a second; ``None``: no limit."""
    _next_at: float = 0.0

    def pause(self, now: float) -> float:
        """Seconds until the next submission; takes its slot when it is 0."""
        if self._next_at > now:
            return self._next_at - now
        if self.rate is not None:
            self._next_at = now + 1.0 / self.rate
        return 0.0


@dataclass(slots=True, eq=False)
class SubmissionBreaker:
    """The way in to one backend, for jobs that ask for the same: limits are on partitions and queues, too.

    After a refusal one job asks for all, with growing pauses. Guarded by the engine's lock, with times as above.
    """

    backend: str
    """NAME of the backend."""
    words: str = ""
    """Why the cluster takes none now; empty while it does."""
    free_at: float = 0.0
    """When it may be asked again."""
    _asking: object = None
    """The job that asks for all."""
    _refusals: int = 0
    _refused_at: float = -inf
    _idle_since: float | None = None
    """Since when it takes none although it has no job of this run."""

    def is_shut(self, job: object, now: float) -> bool:
        """Whether ``job`` has to wait."""
        return self.free_at > now and self._asking is not job

    def enter(self, job: object, now: float) -> None:
        """``job`` is about to be submitted; after a refusal alone."""
        if self.words and self._asking is not job:
            self._asking, self.free_at = job, now + ALONE

    def shut(self, job: object, words: str, now: float, *, holds_jobs: bool) -> None:
        """The cluster does not take ``job``, for the reason in ``words``.

        ``holds_jobs``: it has jobs of this run, whose ends may change that.
        """
        # Of several that were under way together the first one counts.
        if not self.is_shut(job, now):
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

    def open(self) -> None:
        """It has taken one."""
        self.words, self.free_at, self._asking, self._refusals, self._idle_since = "", 0.0, None, 0, None

    def pass_on(self, job: object) -> None:
        """What became of ``job`` says nothing of the others: if it asked for them, the next one does."""
        if self._asking is job:
            self._asking, self.free_at = None, 0.0

    def waited(self, since: float | None, now: float) -> float:
        """Seconds from ``since`` on for which it has taken none, and no job of this run was the reason."""
        return 0.0 if self._idle_since is None or since is None else now - max(self._idle_since, since)
