"""A job from DescribeJobs, in one form for all shapes: container, multi-container, EKS, array, node.

Every field may be missing: ``startedAt`` is absent before a job runs, ``container`` is empty
for a job of several containers, and so on.
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
SEPARATOR = "#"
"""Separates the id of a multi-node job from a node's number."""


@dataclass(frozen=True, slots=True)
class StreamName:
    """Where a container's log is."""

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
    """What the runtime reports about its containers."""
    status_reason: str = ""
    started: float | None = None
    stopped: float | None = None
    stream: str | None = None
    instance: str = ""
    """What it ran on: the last part of an ARN, or a node's name."""


@dataclass(frozen=True, slots=True)
class Detail:
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
    def is_ours(self) -> bool:
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
        return bool((self.raw.get("nodeProperties") or {}).get("numNodes")) and SEPARATOR not in self.job_id

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
            return found or self._shown()
        return tuple(start for start in found if start.stopped is not None)

    @property
    def starts(self) -> tuple[Start, ...]:
        """All attempts: those that have ended, and the one that runs."""
        # Before it runs, a container that is shown may belong to the attempt before.
        return (*self.finished, *self._shown()) if self.status == "RUNNING" else self.finished

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
    def log_group(self) -> str | None:
        """The log group in its definition; ``None`` if there is none."""
        return _log_options(self.raw).get("awslogs-group")

    @property
    def log_driver(self) -> str:
        """The log driver in its definition; empty if there is none."""
        return _logging(self.raw).get("logDriver") or ""

    @property
    def log_region(self) -> str:
        """The region of its logs; empty for the job's own region."""
        return _log_options(self.raw).get("awslogs-region") or ""

    def stream(self, start: int, group: str = LOG_GROUP) -> StreamName | None:
        """The location of one start's log; ``None`` if there is none (yet).

        ``group`` is used if the job has none.
        """
        starts = self.starts
        name = starts[start].stream if 0 <= start < len(starts) else None
        return None if name is None else StreamName(self.log_group or group, name, self.log_region)

    def _shown(self) -> tuple[Start, ...]:
        """The attempt that is shown outside of the list of ended ones; none if it has no content."""
        container = self.raw.get("container") or {}
        start = _start(self.raw, [container] if container else _current_containers(self.raw))
        nothing = start.exit_code is None and start.started is None and not start.reasons
        return () if nothing and start.stream is None else (start,)


def moment(milliseconds: Any) -> float | None:
    """AWS's time in seconds since the epoch; ``None`` if the time has not come."""
    return milliseconds / 1000 if isinstance(milliseconds, int | float) and milliseconds else None


def _attempts(raw: Mapping[str, Any]) -> Iterator[Start]:
    for attempt in raw.get("attempts") or ():
        yield _start(attempt, [attempt.get("container") or {}, *_of_tasks(attempt)])
    for attempt in raw.get("eksAttempts") or ():
        yield _start(attempt, [*(attempt.get("initContainers") or ()), *(attempt.get("containers") or ())])


def _of_tasks(attempt: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for task in attempt.get("taskProperties") or ():
        yield from task.get("containers") or ()


def _current_containers(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _of_tasks(raw.get("ecsProperties") or {})
    pod = (raw.get("eksProperties") or {}).get("podProperties") or {}
    yield from pod.get("containers") or ()


def _start(shown: Mapping[str, Any], containers: Iterable[Mapping[str, Any]]) -> Start:
    """An attempt with one container or several: the first that failed decides."""
    known = [each for each in containers if each]
    codes = [each["exitCode"] for each in known if each.get("exitCode") is not None]
    where = (*(each.get("containerInstanceArn") for each in known), shown.get("nodeName"))
    return Start(
        exit_code=next((code for code in codes if code), codes[0] if codes else None),
        reasons=tuple(str(each["reason"]) for each in known if each.get("reason")),
        status_reason=str(shown.get("statusReason") or ""),
        started=moment(shown.get("startedAt")),
        stopped=moment(shown.get("stoppedAt")),
        stream=next((each["logStreamName"] for each in known if each.get("logStreamName")), None),
        instance=str(next(filter(None, where), "")).rpartition("/")[2],
    )


def _log_options(raw: Mapping[str, Any]) -> Mapping[str, str]:
    """The options of its log driver."""
    options: Mapping[str, str] = _logging(raw).get("options") or {}
    return options


def _logging(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The log configuration of its definition, in whichever place this shape of a job has it."""
    containers = (raw.get("container") or {}, *_of_tasks(raw.get("ecsProperties") or {}))
    return next((found for each in containers if (found := each.get("logConfiguration"))), {})
