"""The state of the local AWS Batch: rules of queues, images, definitions, jobs, their nodes and attempts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any

WAITING = ("SUBMITTED", "PENDING", "RUNNABLE")
ENDED = ("SUCCEEDED", "FAILED")
STATUSES = (*WAITING, "STARTING", "RUNNING", *ENDED)

Json = dict[str, Any]


def now() -> int:
    """Milliseconds since the epoch, the service's unit of time."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a queue behaves. These rules replace what is random on the real service."""

    stuck: str | None = None
    """Jobs stay RUNNABLE with this reason; with an empty one they have no reason."""
    give_up: float | None = None
    """Seconds after which a stuck job is cancelled, as by jobStateTimeLimitActions."""
    time_scale: float = 1.0
    """Factor on the timeouts of jobs, which are at least 60 s."""
    stop_grace: float = 30.0
    """Seconds between SIGTERM and SIGKILL."""
    step: float = 0.0
    """Seconds that a job stays in each state before RUNNING."""
    log_delay: float = 0.0
    """Seconds until a log stream exists, and until an event is readable."""
    lag: float = 0.0
    """The age of responses in seconds: a job is unknown at first, then shown in an earlier state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """How containers of an image start; its file system is always this machine's."""

    entrypoint: tuple[str, ...] = ()
    """Precedes the command, as in Docker."""
    workdir: str | None = None
    """The working directory; by default each container has a folder of its own."""
    fails: str | None = None
    """The reason why its containers do not start; ``None`` if they start."""
    code: int | None = None
    """The exit code of a container that does not start."""


@dataclass(slots=True, kw_only=True)
class RegisteredDefinition:
    """One revision of a job definition."""

    arn: str
    name: str
    revision: int
    body: Json
    """As registered."""
    tags: dict[str, str]
    status: str = "ACTIVE"


@dataclass(slots=True, kw_only=True)
class ContainerAttempt:
    """One start of one container."""

    task_arn: str
    stream: str | None = None
    started: int | None = None
    stopped: int | None = None
    exit_code: int | None = None
    reason: str | None = None
    """The container's reason; the attempt's is ``status_reason``."""
    status_reason: str | None = None


@dataclass(slots=True, kw_only=True)
class EmulatedNode:
    """A node of a job: its container and attempts. A simple job has one node, an array's parent none."""

    index: int
    spec: Json
    """Its container properties, overrides applied."""
    attempts: list[ContainerAttempt] = field(default_factory=list)
    status: str | None = None
    """``None`` until it was started: then the job's status counts."""
    status_reason: str | None = None
    container: int | None = None
    """The runtime's number of the running container."""
    lost: str | None = None
    """The status reason, if its host was lost."""


@dataclass(slots=True, kw_only=True, eq=False)
class EmulatedJob:
    """One job, an array's parent, or an array's child."""

    id: str
    arn: str
    name: str
    account: str
    region: str
    queue: str
    """The queue's name."""
    queue_arn: str
    definition: RegisteredDefinition
    request: Json
    """As submitted."""
    nodes: list[EmulatedNode]
    main: int = 0
    timeout: int | None = None
    retry: Json = field(default_factory=dict)
    status: str = "SUBMITTED"
    status_reason: str | None = None
    created: int = field(default_factory=now)
    started: int | None = None
    stopped: int | None = None
    end_reason: str | None = None
    """The reason of a request to end it, or of its timeout; ``None`` if it ends by itself."""
    cancelled: bool = False
    terminated: bool = False
    version: int = 0
    """Counts changes of state, so that a delayed call for an earlier state is ignored."""
    holds_slots: bool = False
    will_retry: bool = False
    """Whether it starts again as soon as all of its nodes have ended."""
    waits_for: list[EmulatedJob] = field(default_factory=list)
    dependents: list[EmulatedJob] = field(default_factory=list)
    children: list[EmulatedJob] = field(default_factory=list)
    children_left: int = 0
    """The number of children that have not ended."""
    parent: EmulatedJob | None = None
    index: int | None = None
    history: list[tuple[float, Json]] = field(default_factory=list)
    """Earlier views, each with the monotonic time of its beginning; recorded only if the queue lags."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDED

    @property
    def is_array(self) -> bool:
        """Whether it is an array's parent."""
        return bool(self.children)

    @property
    def is_parallel(self) -> bool:
        """Whether it is a multi-node parallel job."""
        return "nodeProperties" in self.definition.body

    @property
    def main_node(self) -> EmulatedNode:
        """The node whose end decides."""
        return self.nodes[self.main]

    @property
    def running(self) -> Iterator[EmulatedNode]:
        """The nodes that have a container now."""
        return (node for node in self.nodes if node.container is not None)


def new_id() -> str:
    """A new id of a job."""
    return str(uuid.uuid4())
