"""What the core knows of one backend: its calls, its queue of submissions, and how it behaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from math import inf

from ..backends.protocol import Capabilities
from ..model import Handle
from .agenda import Agenda
from .attempt import ActiveAttempt
from .breaker import RateLimiter
from .breaker import SubmissionBreaker
from .limits import MAX_POLL_INTERVAL_SECONDS
from .messages import Cancel
from .messages import Find
from .messages import ListJobs
from .messages import PollJobs
from .messages import ReadLogs

MIN_ROUND_SPACING_SECONDS = 0.05
"""The shortest time, in seconds, between two rounds: a burst of ends then needs one call and one
transaction."""

MAX_AHEAD = 64
"""The most jobs of one backend whose intents are recorded and that are not submitted yet."""

MAX_PACE = 16
"""The most jobs that one thread is given at once."""

PACE_SECONDS = 0.05
"""About how long, in seconds, one thread works on the jobs that it is given at once."""


@dataclass(slots=True)
class Backoff:
    """Growing pauses after calls that failed."""

    base: float = 1.0
    """The first pause, in seconds."""
    until: float = -inf
    """Monotonic seconds before which the call is not repeated."""
    failures: int = 0

    def succeeded(self) -> None:
        """Note a usable answer."""
        self.failures, self.until = 0, -inf

    def failed(self, now: float, *, throttled: bool = False) -> None:
        """Note that there was no usable answer."""
        base = max(self.base * (4.0 if throttled else 1.0), 0.1)
        self.until = now + min(MAX_POLL_INTERVAL_SECONDS, base * 2.0 ** min(self.failures, 10))
        self.failures += 1


@dataclass(slots=True, eq=False)
class ClusterState:
    """What the core knows of one backend. Times are monotonic seconds."""

    name: str
    capabilities: Capabilities | None = None
    """None until the backend is open."""
    notifies: bool = False
    is_unavailable: bool = False
    """Whether the backend cannot be opened at all."""
    is_opening: bool = False
    error: str = ""
    """The last error of the cluster's API; empty if it works."""

    # Calls: one at a time, on the backend's own thread.
    is_busy: bool = False
    kinds: list[type] = field(default_factory=lambda: [Cancel, PollJobs, Find, ListJobs, ReadLogs])
    """The kinds of calls; the one that was made last is at the end."""
    asking: Backoff = field(default_factory=Backoff)
    cancelling: Backoff = field(default_factory=Backoff)
    log_reading: Backoff = field(default_factory=Backoff)
    """For logs alone: that one cannot be read says nothing of polls."""
    polls: Agenda = field(default_factory=Agenda)
    """When jobs are polled, by token."""
    round: deque[list[str]] = field(default_factory=deque)
    """The batches of the present round that are still to be polled."""
    round_at: float = -inf
    polling: dict[str, None] = field(default_factory=dict)
    """The tokens of the poll under way."""
    polling_since: float = -inf
    """When that poll was begun: what it answers may be as old as that."""
    woken: dict[str, None] = field(default_factory=dict)
    """Those of them for which the backend has reported news since the poll began."""
    finds: Agenda = field(default_factory=Agenda)
    """When submissions without an answer are looked up, by token."""
    reads: deque[ReadLogs] = field(default_factory=deque)
    reading: dict[str, float] = field(default_factory=dict)
    """When log reads were begun, by token; infinity for those that are queued."""
    cancels: dict[str, None] = field(default_factory=dict)
    """The tokens of the jobs that are to be cancelled."""
    list_at: float = inf
    """When the cluster's list is read next."""
    is_listing: bool = False
    """Whether the list is to be read, or being read."""
    listed: Mapping[str, Handle] | None = None
    """The cluster's last list; None if it has not been read, or not successfully."""
    settled_list_at: float = -inf
    """When the list was last read after all submissions had become visible."""

    # Submissions.
    queue: deque[ActiveAttempt] = field(default_factory=deque)
    delayed: Agenda = field(default_factory=Agenda)
    """When further attempts are queued, by token."""
    ready: deque[ActiveAttempt] = field(default_factory=deque)
    """Jobs whose intents are recorded."""
    ahead: int = 0
    """Jobs that have left the queue and have not been given to a thread."""
    busy_threads: int = 0
    pace: int = 1
    """How many jobs one thread is given at once."""
    breakers: dict[str, SubmissionBreaker] = field(default_factory=dict)
    """By what jobs ask for."""
    rate: RateLimiter = field(default_factory=lambda: RateLimiter(None))

    def open(self, capabilities: Capabilities, *, notifies: bool) -> None:
        """Note that the backend is open."""
        self.capabilities, self.notifies = capabilities, notifies
        self.is_opening = False
        self.rate = RateLimiter(capabilities.submissions_per_second)
        self.asking = Backoff(capabilities.min_poll_interval)
        self.cancelling = Backoff(capabilities.min_poll_interval)
        self.log_reading = Backoff(capabilities.min_poll_interval)

    @property
    def can(self) -> Capabilities:
        """The capabilities of the backend, which is open."""
        assert self.capabilities is not None, f"{self.name} is not open"
        return self.capabilities

    def breaker(self, job: ActiveAttempt) -> SubmissionBreaker:
        """The breaker that a job's submission passes."""
        if job.group is None:
            job.group = repr((job.spec.nodes, job.spec.resources, job.spec.options))
        found = self.breakers.get(job.group)
        if found is None:
            found = self.breakers[job.group] = SubmissionBreaker()
        return found

    def note_pace(self, seconds: float, jobs: int) -> None:
        """Note how long a thread has worked on its last jobs."""
        each = seconds / max(1, jobs)
        self.pace = MAX_PACE if each <= 0 else max(1, min(MAX_PACE, int(PACE_SECONDS / each)))

    def begin_round(self, now: float) -> bool:
        """Make up the batches of a round, if jobs are due: full ones, as far as others are due soon."""
        due_at = self.polls.next_at
        if self.round or due_at is None or max(due_at, self.round_at + MIN_ROUND_SPACING_SECONDS) > now:
            return bool(self.round)
        tokens = self.polls.take(now)
        size = self.can.ids_per_poll
        soon = now + self.can.min_poll_interval
        while len(tokens) % size and (token := self.polls.take_one(soon)) is not None:
            tokens.append(token)
        self.round_at = now
        self.round.extend(tokens[i : i + size] for i in range(0, len(tokens), size))
        return True

    def wake_at(self, now: float) -> float:
        """When the next call may be due."""
        times = []
        if not self.is_busy and not self.is_opening:
            if self.cancels:
                times.append(self.cancelling.until)
            polls = self.polls.next_at
            asked = [self.list_at, self.finds.next_at]
            if polls is not None:
                asked.append(max(polls, self.round_at + MIN_ROUND_SPACING_SECONDS))
            if self.round:
                asked.append(now)
            if self.reads:
                asked.append(max(now, self.log_reading.until))
            times += [max(at, self.asking.until) for at in asked if at is not None]
        if (at := self.delayed.next_at) is not None:
            times.append(at)
        # What is over waits for something else: for a thread, for room within the limits.
        waits = [self.rate.next_at] if self.ready else []
        waits += [breaker.retry_at for breaker in self.breakers.values() if breaker.deferred]
        times += [at for at in waits if at > now]
        return min(times, default=inf)
