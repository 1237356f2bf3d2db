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
    """Who said so; in the order in which they are believed."""

    THIS_RUN = "this run"
    SCHEDULER = "scheduler"
    SENTINEL_LIMIT = "sentinel limit"
    CLASSIFY_RULE = "classify rule"
    SENTINEL = "sentinel"
    EXIT_CODE = "exit code"
    NOBODY = "nobody"
    """The reason is ``unknown``."""


class Verdict(StrEnum):
    """What a cell is worth."""

    PASSED = "passed"
    FAILED = "failed"
    """The expectation is unmet."""
    ERROR = "error"
    """Infrastructure: no answer."""
    NOT_RUN = "not run"


class ActionKind(StrEnum):
    """Something that this run did to a job which ends it."""

    CANCEL = "cancel"
    QUEUE_TIMEOUT = "queue_timeout"
    NOT_TAKEN = "not_taken"
    """For so long the cluster has taken no more jobs that there is none: it never meets an expectation."""
    MAX_RUNTIME = "max_runtime"
    TEST_TIMEOUT = "test_timeout"
    """pytest-timeout's deadline: it gives ``failed`` and never meets an expectation."""
    LOST = "lost"
    """Absent, without a break, for ``lost_after``."""
    REJECTED = "rejected"
    """A pending job can never start, by the cluster's own word."""
    REFUSED = "refused"
    """This run itself did not submit it (a hook, a missing secret, a bound): it never meets an expectation."""
    DEPENDENCY_FAILED = "dependency_failed"
    """A pending job can never start, because one that it depends on failed."""
    STOP_REST = "stop_rest"
    """A rank had failed, so this run stopped the others; how the ranks ended decides the reason."""


@dataclass(frozen=True, slots=True)
class OwnAction:
    """What this run did to a job, recorded before it was done."""

    kind: ActionKind
    why: str
    """One line for people."""
    at: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended."""

    reason: str
    reason_class: ReasonClass
    source: Source
    detail: str = ""
    """One line on why this reason: the words that decided it."""
    exit_code: int | None = None
    """The command's own; ``None`` when a limit or something outside stopped it."""
    restarts: int = 0
    heartbeats: int | None = None
    nodes: tuple[NodeState, ...] = ()
    first_failing_node: int | None = None
    times: Times = Times()
    native_state: str = ""
    native_reason: str = ""
    cost: float | None = None
    """US dollars, all starts together; ``None`` where the cluster knows no prices."""
    log_complete: bool = True
    action: OwnAction | None = None

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
    """One part of an expectation, and what was seen instead."""

    field: str
    expected: str
    seen: str
    explanation: str = ""
    """The whole text, on lines of its own, where ``seen`` has the first line of several."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome held against an expectation."""

    verdict: Verdict
    misses: tuple[Mismatch, ...] = ()
    """Everything that is unmet (or, for an error, what made an answer impossible)."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The numbers that were read, also those within bounds."""
