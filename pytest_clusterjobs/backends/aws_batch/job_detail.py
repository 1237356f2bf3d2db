"""A job from DescribeJobs, in one form for all kinds: container, multi-container, EKS, array, node.

Every field may be missing: for example, ``startedAt`` is absent before a job runs, and ``container`` is empty
for a job of several containers.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ...model.token import Token
from .settings import LOG_GROUP

ENDED = frozenset({"SUCCEEDED", "FAILED"})
NODE_SEPARATOR = "#"
"""Separates the id of a multi-node job from a node's number."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """The location of a container's log."""

    group: str
    name: str
    region: str
    """Empty for the job's own region."""


@dataclass(frozen=True, slots=True)
class Start:
    """One attempt in AWS Batch's sense: one start of the job, or of one node.

    Times are seconds since the epoch.
    """

    exit_code: int | None = None
    reasons: tuple[str, ...] = ()
    """The runtime's messages about its containers."""
    status_reason: str = ""
    started: float | None = None
    stopped: float | None = None
    stream: str | None = None
    instance: str = ""
    """The machine: the last part of an ARN, or a node's name."""


@dataclass(frozen=True, slots=True)
class JobDetail:
    """One job, or one node of a multi-node job."""

    raw: Mapping[str, Any]

    @property
    def job_id(self) -> str:
        """The job id; ``JOB#2`` for a node, ``JOB:2`` for an array's job."""
        return str(self.raw["jobId"])

    @property
    def name(self) -> str:
        """The job's name; for jobs of this tool, the token."""
        return str(self.raw.get("jobName", ""))

    @property
    def has_sentinel(self) -> bool:
        """Whether this tool submitted it, so that its command has a sentinel."""
        with suppress(ValueError):
            return bool(Token.parse(self.name))
        return False

    @property
    def status(self) -> str:
        """AWS's status."""
        return str(self.raw.get("status", ""))

    @property
    def status_reason(self) -> str:
        """AWS's status reason."""
        return str(self.raw.get("statusReason") or "")

    @property
    def is_over(self) -> bool:
        """Whether it has ended and will not be restarted."""
        return self.status in ENDED

    @property
    def terminated(self) -> bool:
        """Whether a user or a program terminated it."""
        return bool(self.raw.get("isTerminated"))

    @property
    def cancelled(self) -> bool:
        """Whether a user or a program cancelled it."""
        return bool(self.raw.get("isCancelled"))

    @property
    def nodes(self) -> int:
        """How many nodes it has; 1 for anything but a multi-node job."""
        return int((self.raw.get("nodeProperties") or {}).get("numNodes") or 1)

    @property
    def rank(self) -> int:
        """Which node it is; 0 for a whole job."""
        return int((self.raw.get("nodeDetails") or {}).get("nodeIndex") or 0)

    @property
    def is_multinode(self) -> bool:
        """Whether it is a whole multi-node job."""
        return (
            bool((self.raw.get("nodeProperties") or {}).get("numNodes")) and NODE_SEPARATOR not in self.job_id
        )

    @property
    def created(self) -> float | None:
        """When it was submitted."""
        return moment(self.raw.get("createdAt"))

    @property
    def started(self) -> float | None:
        """When it began to run for the first time."""
        return next((start.started for start in self.starts if start.started is not None), None)

    @property
    def stopped(self) -> float | None:
        """When it ended and was not restarted."""
        return moment(self.raw.get("stoppedAt")) if self.is_over else None

    @property
    def finished(self) -> tuple[Start, ...]:
        """Its attempts that have ended, in order."""
        found = tuple(_attempts(self.raw))
        if self.is_over:
            return found or self._current()
        return tuple(start for start in found if start.stopped is not None)

    @property
    def starts(self) -> tuple[Start, ...]:
        """All attempts: those that have ended, and the one that runs."""
        # Before the job runs, its container may still be that of the previous attempt.
        return (*self.finished, *self._current()) if self.status == "RUNNING" else self.finished

    @property
    def last(self) -> Start:
        """The last attempt; an empty one if there was none."""
        starts = self.starts
        return starts[-1] if starts else Start()

    @property
    def restarts(self) -> int:
        """How often it has been restarted so far."""
        return max(0, len(self.finished) - 1) if self.is_over else len(self.finished)

    @property
    def log_configuration(self) -> Mapping[str, Any]:
        """The log configuration of its definition; empty if it has none."""
        containers = (self.raw.get("container") or {}, *_of_tasks(self.raw.get("ecsProperties") or {}))
        return next((found for each in containers if (found := each.get("logConfiguration"))), {})

    def stream(self, start: int, group: str = LOG_GROUP) -> StreamName | None:
        """The location of one start's log; ``None`` if there is none (yet).

        ``group`` is used if the definition has none.
        """
        starts = self.starts
        name = starts[start].stream if 0 <= start < len(starts) else None
        if name is None:
            return None
        options = self.log_configuration.get("options") or {}
        return StreamName(options.get("awslogs-group") or group, name, options.get("awslogs-region") or "")

    def _current(self) -> tuple[Start, ...]:
        """The attempt that is described outside of the list of attempts; none if it has no content."""
        container = self.raw.get("container") or {}
        pod = (self.raw.get("eksProperties") or {}).get("podProperties") or {}
        several = (*_of_tasks(self.raw.get("ecsProperties") or {}), *(pod.get("containers") or ()))
        start = _start(self.raw, [container] if container else several)
        nothing = start.exit_code is None and start.started is None and not start.reasons
        return () if nothing and start.stream is None else (start,)


def moment(milliseconds: Any) -> float | None:
    """A time of AWS in seconds since the epoch; ``None`` if it is not set."""
    return milliseconds / 1000 if isinstance(milliseconds, int | float) and milliseconds else None


def _attempts(raw: Mapping[str, Any]) -> Iterator[Start]:
    for attempt in raw.get("attempts") or ():
        yield _start(attempt, [attempt.get("container") or {}, *_of_tasks(attempt)])
    for attempt in raw.get("eksAttempts") or ():
        yield _start(attempt, [*(attempt.get("initContainers") or ()), *(attempt.get("containers") or ())])


def _of_tasks(attempt: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for task in attempt.get("taskProperties") or ():
        yield from task.get("containers") or ()


def _start(described: Mapping[str, Any], containers: Iterable[Mapping[str, Any]]) -> Start:
    """An attempt with one container or several; the first container that failed determines the exit code."""
    known = [each for each in containers if each]
    codes = [each["exitCode"] for each in known if each.get("exitCode") is not None]
    where = (*(each.get("containerInstanceArn") for each in known), described.get("nodeName"))
    return Start(
        exit_code=next((code for code in codes if code), codes[0] if codes else None),
        reasons=tuple(str(each["reason"]) for each in known if each.get("reason")),
        status_reason=str(described.get("statusReason") or ""),
        started=moment(described.get("startedAt")),
        stopped=moment(described.get("stoppedAt")),
        stream=next((each["logStreamName"] for each in known if each.get("logStreamName")), None),
        instance=str(next(filter(None, where), "")).rpartition("/")[2],
    )
