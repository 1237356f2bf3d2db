"""A backend's data on a job: its handle, and the result of one poll."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from typing import Any

from .reasons import Reason


class Phase(StrEnum):
    """Where a job is; a native state that is not terminal is never ``ended``."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    ABSENT = "absent"
    """The scheduler does not know the job. Never an end by itself."""


@dataclass(frozen=True, slots=True)
class Handle:
    """A submitted job: JSON-serialisable, and enough to re-attach in another process."""

    job_id: str | None
    """The cluster's own id, for people; ``None`` while the cluster has not given one."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the backend needs to find the job again."""
    url: str | None = None
    """A page about the job, if the cluster has one."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the epoch, as the cluster saw them; ``None`` if it has not happened or is not known."""

    submitted: float | None = None
    started: float | None = None
    """The first start of the attempt."""
    ended: float | None = None

    def in_order(self) -> Times:
        """The times in order, none before its predecessor: they may come from different clocks."""
        started, ended = self.started, self.ended
        if started is not None and self.submitted is not None:
            started = max(started, self.submitted)
        if ended is not None:
            ended = max(ended, started or ended, self.submitted or ended)
        return Times(self.submitted, started, ended)


class SentinelWord(StrEnum):
    """What a sentinel reports of how its node ended."""

    EXITED = "exited"
    """The command ended by itself; the code is the command's."""
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    MAX_RUNTIME_REACHED = "max_runtime_reached"
    START_FAILED = "start_failed"
    """``setup`` or the shell failed before the command began."""
    STOPPED = "stopped"
    """Stopped from outside, by a TERM to the sentinel."""


LIMITS = {
    SentinelWord.HEARTBEAT_TIMEOUT: Reason.HEARTBEAT_TIMEOUT,
    SentinelWord.MAX_RUNTIME_REACHED: Reason.MAX_RUNTIME_REACHED,
}
"""The reasons of those ends that a limit of the job has brought about."""


@dataclass(frozen=True, slots=True)
class SentinelReport:
    """The line that a sentinel printed last, for one start of one node."""

    word: SentinelWord
    node: int
    exit_code: int | None = None
    """The command's own code (128+n for signal n); ``None`` unless it ended by itself or failed to start."""
    restarts: int = 0
    heartbeats: int = 0
    begun: bool | None = True
    """Whether the command began: its shell had come through ``setup``; ``None`` where the sentinel could not tell."""
    seconds: float | None = None
    """From the sentinel's start to the end, by the node's own clock; ``None`` where it has none."""
    log_cut: bool = False
    """Whether the node could not write all that the command printed."""
    note: str = ""
    """What went wrong, for people; untrusted text."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is known of one node (rank) of a job, for its last start."""

    rank: int
    exit_code: int | None = None
    """The code that the cluster saw, 128+n for signal n."""
    ended: float | None = None
    """Seconds since the epoch."""
    report: SentinelReport | None = None
    begun: bool | None = None
    """Without a report: whether the rank left the mark that its command began; ``None`` if nobody has looked, or could."""
    unread: str = ""
    """Without a report: why the place where it would be could not be read completely."""
    stopped_by_cluster: bool = False
    """The cluster itself stopped this rank because the job's main node had ended."""
    host: str | None = None
    log: str | None = None
    """Where people find its log: a path or a link."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one poll says of a job now."""

    phase: Phase
    times: Times = Times()
    native_state: str = ""
    """The scheduler's own word for the state."""
    native_reason: str = ""
    """The scheduler's own text on why."""
    reason_hint: Reason | None = None
    """A hard fact of the scheduler, in our words; ``None`` where only the command's own end speaks. ``UNKNOWN``: something
    has failed, and what, the ranks may tell; that all ended well is not believed then."""
    exit_code: int | None = None
    """The job's code as the cluster shows it."""
    nodes: tuple[NodeState, ...] = ()
    """One entry a rank, where the cluster tells; of the last start."""
    restarts: int = 0
    suspended: bool = False
    """The cluster has stopped a started job for now: it is ``running`` and does not run."""
    cost: float | None = None
    """US dollars that an ended job has cost, all its starts, where the cluster knows prices."""
    log_complete: bool = True
    """Whether the logs of an ended job can be read to their end now."""
    handle: Handle | None = None
    """A handle with more in it than the one polled; ``None`` keeps the old one."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a log, decoded as UTF-8 with undecodable bytes replaced."""

    text: str
    cursor: Any = None
    """Pass it back to go on from here; JSON-serialisable."""
    complete: bool = False
    """Nothing will follow: the job has ended and this reaches its last line."""
    gap: str = ""
    """Why it will never be complete, where that is known."""
