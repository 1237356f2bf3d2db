"""The state shared by the engine's threads: one lock, the jobs in flight, and the results."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from itertools import chain

from ..ledger.ledger import Ledger
from ..model.records import Result
from .breaker import SubmissionBreaker
from .clock import Clock
from .config import RunConfig
from .job import ActiveAttempt
from .secrets import Secrets


@dataclass(slots=True, eq=False)
class EngineState:
    """Guarded by ``changed``, which is notified after any change."""

    config: RunConfig
    run_id: str
    ledger: Ledger
    secrets: Secrets
    changed: threading.Condition = field(default_factory=threading.Condition)
    queue: deque[ActiveAttempt] = field(default_factory=deque)
    """Jobs that wait to be submitted, in order."""
    delayed: list[ActiveAttempt] = field(default_factory=list)
    """Jobs that wait for ``due_at`` before they are queued again."""
    deferred: dict[SubmissionBreaker, deque[ActiveAttempt]] = field(default_factory=dict)
    """Jobs that wait for clusters that accept no jobs for now."""
    in_flight: set[ActiveAttempt] = field(default_factory=set)
    """Jobs that have left the queue and have not ended."""
    results: dict[str, Result] = field(default_factory=dict)
    fresh: deque[str] = field(default_factory=deque)
    """Keys of results that have not been taken yet, in completion order."""
    stopping: bool = False
    """No more submissions; everything in flight is to be cancelled."""
    detached: bool = False
    """No more submissions; everything in flight is left running."""
    broken: BaseException | None = None
    """An internal error in one of the threads, to be raised in the thread that waits for results."""

    @property
    def ending(self) -> BaseException | None:
        """The exception that ends the session, raised in the thread that waits for results."""
        return self.broken or self.config.extensions.ending

    @property
    def clock(self) -> Clock:
        """The run's clock."""
        return self.config.clock

    @property
    def nodes_in_flight(self) -> int:
        """The number of nodes that the jobs in flight use or wait for."""
        return sum(job.spec.nodes for job in self.in_flight)

    def has_room_for(self, job: ActiveAttempt) -> bool:
        """Whether ``max_jobs`` and ``max_nodes`` allow this job to be submitted now."""
        limits = self.config
        if limits.max_jobs is not None and len(self.in_flight) >= limits.max_jobs:
            return False
        if limits.max_nodes is None or job.spec.nodes > limits.max_nodes:
            # A job that can never fit passes, so that it is refused.
            return True
        return self.nodes_in_flight + job.spec.nodes <= limits.max_nodes

    @property
    def waiting(self) -> Iterator[ActiveAttempt]:
        """All jobs that wait for their submission. The caller holds the lock."""
        return chain(self.queue, self.delayed, *self.deferred.values())

    def drop(self, jobs: Collection[ActiveAttempt]) -> None:
        """Remove these jobs from those that wait for their submission. The caller holds the lock."""
        gone = set(jobs)
        if not gone:
            return
        for job in gone:
            if job.breaker is not None:
                job.breaker.release_probe(job)
        self.queue = deque(job for job in self.queue if job not in gone)
        self.delayed = [job for job in self.delayed if job not in gone]
        left = {
            breaker: deque(job for job in jobs if job not in gone) for breaker, jobs in self.deferred.items()
        }
        self.deferred = {breaker: jobs for breaker, jobs in left.items() if jobs}

    def drop_all(self) -> None:
        """Remove all jobs that wait for their submission. The caller holds the lock."""
        self.queue.clear()
        self.delayed.clear()
        self.deferred.clear()

    def complete(self, result: Result) -> None:
        """Publish a result. The caller holds the lock and has written it to the ledger."""
        self.results[result.key] = result
        self.fresh.append(result.key)
        self.changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Stop everything because of an internal error."""
        with self.changed:
            self.broken = self.broken or error
            self.stopping = True
            self.changed.notify_all()
