"""What the local AWS Batch remembers: queues' rules, images, definitions, jobs, their nodes and attempts."""

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
    """Milliseconds of the epoch, the service's unit of time."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a queue behaves; what real queues leave to chance can be set here."""

    stuck: str | None = None
    """Its jobs stay RUNNABLE with this reason; an empty one gives none."""
    give_up: float | None = None
    """Seconds after which a job that is stuck is cancelled, as by jobStateTimeLimitActions."""
    time_scale: float = 1.0
    """Seconds here for one of a timeout, whose smallest value is 60."""
    stop_grace: float = 30.0
    """Seconds between SIGTERM and SIGKILL."""
    step: float = 0.0
    """Seconds that a job stays in each state before RUNNING."""
    log_delay: float = 0.0
    """Seconds until a stream exists, and until an event can be read."""
    lag: float = 0.0
    """Seconds that answers are behind: a job is unknown at first, then shown as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What an image does; its file system is always this machine's."""

    entrypoint: tuple[str, ...] = ()
    """Put before the command, as Docker does."""
    workdir: str | None = None
    """Where the command begins, as WORKDIR says; a folder of the container's own if nothing is said."""
    fails: str | None = None
    """The container's reason for not starting."""
    code: int | None = None
    """The exit code that goes with it."""


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
    """The container's."""
    status_reason: str | None = None


@dataclass(slots=True, kw_only=True)
class EmulatedNode:
    """One container of a job and its attempts; a job of one node has one, an array's parent none."""

    index: int
    spec: Json
    """Its container properties, overrides applied."""
    attempts: list[ContainerAttempt] = field(default_factory=list)
    status: str | None = None
    """Its own once it was started; until then its job's."""
    status_reason: str | None = None
    container: int | None = None
    """The runtime's number while it runs."""
    lost: str | None = None
    """The status reason, if its host is gone."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a job is being ended."""

    reason: str
    cancelled: bool = False
    terminated: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class EmulatedJob:
    """One job, an array's parent, or an array's child."""

    id: str
    arn: str
    name: str
    account: str
    region: str
    queue: str
    """Its name."""
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
    ending: Ending | None = None
    cancelled: bool = False
    terminated: bool = False
    turn: int = 0
    """Counts changes of state, so that what was planned for an earlier one can be told."""
    holds_slots: bool = False
    again: bool = False
    """Is to be started again once the last of its nodes has ended."""
    waits_for: list[EmulatedJob] = field(default_factory=list)
    dependents: list[EmulatedJob] = field(default_factory=list)
    children: list[EmulatedJob] = field(default_factory=list)
    children_left: int = 0
    """Those that have not ended."""
    parent: EmulatedJob | None = None
    index: int | None = None
    history: list[tuple[float, Json]] = field(default_factory=list)
    """What was to be seen from which (monotonic) second on; only kept where a queue lags."""

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
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
        """The node that decides."""
        return self.nodes[self.main]

    @property
    def running(self) -> Iterator[EmulatedNode]:
        """The nodes that have a container now."""
        return (node for node in self.nodes if node.container is not None)


def new_id() -> str:
    """A job's id."""
    return str(uuid.uuid4())
