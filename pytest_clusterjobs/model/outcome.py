"""How an attempt ended, and the verdict on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum

from .reasons import ReasonClass
from .states import NodeState
from .states import Times


class Source(StrEnum):
    """The source that decided the reason; an earlier one takes precedence over a later one."""

    THIS_RUN = "this run"
    SCHEDULER = "scheduler"
    SENTINEL_LIMIT = "sentinel limit"
    CLASSIFY_RULE = "classify rule"
    SENTINEL = "sentinel"
    EXIT_CODE = "exit code"
    NONE = "nobody"
    """No source; the reason is ``unknown``, or only what the log of a job without a report has.

    Reports have this value; texts have ``shown``.
    """

    @property
    def shown(self) -> str:
        """The source as it is named in texts."""
        return "none" if self is Source.NONE else str(self)


class Verdict(StrEnum):
    """The result of a cell."""

    PASSED = "passed"
    FAILED = "failed"
    """The job ended, and the expectation is not met."""
    ERROR = "error"
    """Infrastructure: the end shows nothing about the product."""
    NOT_RUN = "not run"
    """This run cancelled the job, or did not submit it."""


class ActionKind(StrEnum):
    """An action of this run that ends a job."""

    CANCEL = "cancel"
    QUEUE_TIMEOUT = "queue_timeout"
    NOT_TAKEN = "not_taken"
    """The cluster accepted no submission within ``queue_timeout``. Never meets an expectation."""
    MAX_RUNTIME = "max_runtime"
    TEST_TIMEOUT = "test_timeout"
    """pytest-timeout's limit was reached. The verdict is ``failed``; never meets an expectation."""
    LOST = "lost"
    """The scheduler did not list the job for ``lost_after`` seconds without a break."""
    REJECTED = "rejected"
    """The cluster reports that a pending job can never start."""
    REFUSED = "refused"
    """This run did not submit it (a hook, a missing secret, a limit). Never meets an expectation."""
    DEPENDENCY_FAILED = "dependency_failed"
    """A pending job can never start because a job that it depends on failed."""
    STOP_REST = "stop_rest"
    """A rank had failed, so this run stopped the others. The ends of the ranks decide the reason."""


@dataclass(frozen=True, slots=True)
class OwnAction:
    """An action of this run on a job, recorded before it is carried out."""

    kind: ActionKind
    why: str
    """One line of text for people."""
    at: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    reason: str
    reason_class: ReasonClass
    """The class of ``reason``, also of one that the matrix adds."""
    source: Source
    detail: str = ""
    """One line of text for people: why this is the reason."""
    exit_code: int | None = None
    """The command's own exit code, 128+n for signal n; ``None`` if it did not end by itself."""
    restarts: int = 0
    """How often the cluster started the job again."""
    heartbeats: int | None = None
    """Heartbeats of rank 0 in the last start; ``None`` if its sentinel did not report."""
    nodes: tuple[NodeState, ...] = ()
    """One entry per rank, of the last start."""
    first_failing_node: int | None = None
    """The rank that failed first, if any failed."""
    times: Times = Times()
    native_state: str = ""
    """The scheduler's name for the last state."""
    native_reason: str = ""
    """The scheduler's text on why."""
    cost: float | None = None
    """US dollars for all starts; ``None`` if the backend knows no prices."""
    log_complete: bool = True
    """Whether every log that was needed could be read to its end."""
    action: OwnAction | None = None
    """The action of this run that ended the job, if any."""

    @property
    def queue_seconds(self) -> float | None:
        """Seconds from submission to the first start, or to the end of a job that never started."""
        if self.times.submitted is None:
            return None
        until = self.times.started if self.times.started is not None else self.times.ended
        return None if until is None else max(0.0, until - self.times.submitted)

    @property
    def run_seconds(self) -> float | None:
        """Seconds from the first start to the end."""
        if self.times.started is None or self.times.ended is None:
            return None
        return max(0.0, self.times.ended - self.times.started)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A part of the expectation that is not met."""

    field: str
    """The key of ``expect`` in a matrix: ``exit_code``, ``metrics.sps``."""
    expected: str
    """The expectation as text; empty for a failed check of a hook."""
    seen: str
    """The actual value as text."""
    explanation: str = ""
    """The whole text, if ``seen`` is only its first line."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on an outcome, with the reasons for it."""

    verdict: Verdict
    misses: tuple[Mismatch, ...] = ()
    """Every part of the expectation that is not met; for an error, what prevented an answer."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Name to number of every metric that was read, also of those within bounds."""
