"""A backend's data on a job: its handle, and the result of one poll."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from typing import Any

from .reasons import Reason


class Phase(StrEnum):
    """The state of a job; a scheduler's state that is not final is never ``ended``."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    ABSENT = "absent"
    """The scheduler does not list the job. This alone is never an end."""


@dataclass(frozen=True, slots=True)
class Handle:
    """Identifies a submitted job. JSON-serialisable, and sufficient to poll it in another process."""

    job_id: str | None
    """The cluster's id of the job; ``None`` until the cluster has assigned one."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Data that the backend needs to find the job."""
    url: str | None = None
    """The URL of the job's page, if the cluster has one."""


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the epoch, as reported by the cluster; ``None`` if unknown or not yet reached."""

    submitted: float | None = None
    started: float | None = None
    """The first start of the attempt."""
    ended: float | None = None

    def in_order(self) -> Times:
        """The times with each at least as late as the one before: they may come from different clocks."""
        started, ended = self.started, self.ended
        if started is not None and self.submitted is not None:
            started = max(started, self.submitted)
        if ended is not None:
            ended = max(ended, started or ended, self.submitted or ended)
        return Times(self.submitted, started, ended)


class SentinelWord(StrEnum):
    """How a node ended, as its sentinel reports it."""

    EXITED = "exited"
    """The command ended by itself, with its own exit code."""
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    MAX_RUNTIME_REACHED = "max_runtime_reached"
    START_FAILED = "start_failed"
    """``setup`` or the shell failed before the command began."""
    STOPPED = "stopped"
    """The sentinel received TERM and stopped the command."""


LIMITS = {
    SentinelWord.HEARTBEAT_TIMEOUT: Reason.HEARTBEAT_TIMEOUT,
    SentinelWord.MAX_RUNTIME_REACHED: Reason.MAX_RUNTIME_REACHED,
}
"""The reason for each limit that a sentinel enforces."""


@dataclass(frozen=True, slots=True)
class SentinelReport:
    """The last line that a sentinel printed in one start of one node."""

    word: SentinelWord
    node: int
    exit_code: int | None = None
    """The command's own code, 128+n for signal n; ``None`` unless it ended by itself or failed to start."""
    restarts: int = 0
    """How often the cluster had started the job again before this start."""
    heartbeats: int = 0
    """How many heartbeats the sentinel counted in this start."""
    begun: bool | None = True
    """Whether ``setup`` ended and the command began; ``None`` if the sentinel could not determine it."""
    seconds: float | None = None
    """Seconds from the sentinel's start to the end, by the node's clock; ``None`` if unknown."""
    log_cut: bool = False
    """Whether part of the command's output could not be written to the log."""
    note: str = ""
    """An error message for people; untrusted text from the node."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node (rank) of a job, in its last start."""

    rank: int
    exit_code: int | None = None
    """The exit code that the cluster reports, 128+n for signal n."""
    ended: float | None = None
    """Seconds since the epoch."""
    report: SentinelReport | None = None
    """The report of its sentinel, from its log; ``None`` if the log has none."""
    begun: bool | None = None
    """Without a report: whether the log shows that the command began; ``None`` if the log was not read."""
    unread: str = ""
    """Without a report: why the log could not be read completely; otherwise empty."""
    stopped_by_cluster: bool = False
    """Whether the cluster stopped this rank because the job's main node had ended."""
    host: str | None = None
    """The node's host name, if the cluster reports it."""
    log: str | None = None
    """The path or URL of its log, for people."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The state of a job, as one poll reports it."""

    phase: Phase
    times: Times = Times()
    native_state: str = ""
    """The scheduler's name for the state."""
    native_reason: str = ""
    """The scheduler's text on why the job is in this state."""
    reason_hint: Reason | None = None
    """The reason if the scheduler is certain of it; ``None`` if the end of the command decides.

    ``UNKNOWN``: the scheduler reports a failure that the ranks' reports may explain. The job cannot have
    completed.
    """
    exit_code: int | None = None
    """The exit code of the job that the cluster reports."""
    nodes: tuple[NodeState, ...] = ()
    """One entry per rank, of the last start; empty if the cluster does not report ranks."""
    restarts: int = 0
    """How often the cluster started the job again."""
    suspended: bool = False
    """Whether the cluster has suspended the job, whose phase is ``running``."""
    cost: float | None = None
    """US dollars for all starts of an ended job; ``None`` if the backend knows no prices."""
    log_complete: bool = True
    """Whether the complete logs of an ended job can be read."""
    handle: Handle | None = None
    """A handle with more data than the polled one, which replaces it; ``None`` if there is nothing new."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A part of a log, decoded as UTF-8; undecodable bytes are replaced."""

    text: str
    cursor: Any = None
    """Pass it to the next call to continue after this part. JSON-serialisable."""
    complete: bool = False
    """Whether this is the end of the log of an ended job."""
    gap: str = ""
    """Why the log will never be complete; empty if unknown, or if it will."""
