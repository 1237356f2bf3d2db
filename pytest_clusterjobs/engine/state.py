"""What the parts of the core share: the attempts, the backends, and the commands of the present turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from enum import Enum

from ..model.records import Registration
from ..model.records import Result
from .agenda import Agenda
from .attempt import ActiveAttempt
from .attempt import Life
from .attempt import SubmissionState
from .cluster import ClusterState
from .messages import Command
from .messages import Now
from .outbox import Outbox
from .policy import Policy
from .secrets import Secrets


class Serving(Enum):
    """What the core still does for the run."""

    OPEN = "open"
    STOPPING = "stopping"
    """It submits nothing more, and cancels every job."""
    DETACHED = "detached"
    """It submits nothing more, and leaves every job running."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the run may use at the same time."""

    max_jobs: int | None = None
    max_nodes: int | None = None


_OUT_OF_WINDOW = frozenset({SubmissionState.WAITING, SubmissionState.WITHDRAWN})


@dataclass(slots=True, eq=False)
class CoreState:
    """The state of a run. Only the core's parts change it, in one turn at a time."""

    policy: Policy
    run_id: str
    secrets: Secrets
    limits: Limits = Limits()
    has_hooks: bool = False
    """Whether the user's code is asked about verdicts."""
    prepares: bool = False
    """Whether the user's code may change what is submitted."""
    outbox: Outbox = field(default_factory=Outbox)
    service: Serving = Serving.OPEN
    attempts: dict[str, ActiveAttempt] = field(default_factory=dict)
    """Every attempt for which something is left to do, by token."""
    clusters: dict[str, ClusterState] = field(default_factory=dict)
    """By NAME."""
    timers: Agenda = field(default_factory=Agenda)
    """When an attempt is checked although no event concerns it, by token."""
    cells: dict[str, Registration] = field(default_factory=dict)
    """Every cell that was added, by key."""
    expected: dict[str, None] = field(default_factory=dict)
    """The keys of the cells that have or will get a verdict."""
    results: dict[str, Result] = field(default_factory=dict)
    """The verdicts that were published, by key."""
    cancelled: dict[str, str] = field(default_factory=dict)
    """By key, why a cell was cancelled on request, also before it was known: no attempt follows."""
    replaced: dict[str, int] = field(default_factory=dict)
    """By key, the number of the last attempt that was replaced because its session may still be about to
    submit it: no further attempt gets its token."""
    window: dict[str, int] = field(default_factory=dict)
    """The nodes of the jobs that count for the limits, by token."""
    nodes: int = 0
    """Their sum."""
    commands: list[Command] = field(default_factory=list)
    now: Now = Now(0.0, 0.0)

    def cluster(self, job: ActiveAttempt) -> ClusterState:
        """The backend of a job."""
        return self.clusters[job.backend]

    def enter(self, job: ActiveAttempt) -> None:
        """Count a job for the limits."""
        if job.token not in self.window:
            self.window[job.token] = job.spec.nodes
            self.nodes += job.spec.nodes

    def leave(self, job: ActiveAttempt) -> None:
        """Count a job no more."""
        self.nodes -= self.window.pop(job.token, 0)

    def has_room_for(self, job: ActiveAttempt) -> bool:
        """Whether the limits allow this job to be submitted now."""
        limits = self.limits
        if limits.max_jobs is not None and len(self.window) >= limits.max_jobs:
            return False
        if limits.max_nodes is None or job.spec.nodes > limits.max_nodes:
            # A job that can never fit passes, so that it is refused.
            return True
        return self.nodes + job.spec.nodes <= limits.max_nodes

    @property
    def waiting(self) -> Iterator[ActiveAttempt]:
        """All jobs that wait for their submission."""
        return (job for job in self.attempts.values() if job.submission is SubmissionState.WAITING)

    @property
    def in_flight(self) -> Iterator[ActiveAttempt]:
        """All jobs that have left the queue and have no recorded end."""
        return (
            job
            for job in self.attempts.values()
            if job.submission not in _OUT_OF_WINDOW and job.life is not Life.OVER
        )
