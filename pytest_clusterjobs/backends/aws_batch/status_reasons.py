"""AWS Batch's texts on why a job ended or waits, as reasons: a table, and the order in which it is read.

Flags come before any text, since the text of a termination is written by its caller. A container's own reason
comes before the job's ("Task failed to start" must not hide the cause). Texts are compared by their
beginnings, ignoring case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ...model import Reason


class ReasonField(StrEnum):
    """Where AWS Batch writes a text."""

    WAITING = "statusReason while RUNNABLE"
    CONTAINER = "container reason"
    STATUS = "statusReason"


@dataclass(frozen=True, slots=True)
class StatusReason:
    """One text, by its beginning."""

    where: ReasonField
    text: str
    reason: Reason | None
    """``None``: the text gives no reason by itself. For a waiting job: whether it can never start."""
    why: str
    """For people."""


_COMMAND_ENDED = "the command ended: its exit code tells how"
_NO_CAPACITY = "it waits for capacity"
_HOPELESS = "this queue can never run it"

CATALOGUE: tuple[StatusReason, ...] = (
    # While it waits.
    StatusReason(ReasonField.WAITING, "CAPACITY:", None, _NO_CAPACITY),
    StatusReason(ReasonField.WAITING, "MISCONFIGURATION:", Reason.REJECTED, _HOPELESS),
    StatusReason(
        ReasonField.WAITING,
        "ACTION_REQUIRED",
        Reason.REJECTED,
        "the queue's compute environments are invalid",
    ),
    StatusReason(ReasonField.WAITING, "UNDETERMINED", None, "AWS Batch does not know why it waits"),
    # Texts of the container's runtime.
    StatusReason(ReasonField.CONTAINER, "OutOfMemoryError", Reason.OUT_OF_MEMORY, "killed for memory"),
    StatusReason(ReasonField.CONTAINER, "OOMKilled", Reason.OUT_OF_MEMORY, "killed for memory (EKS)"),
    StatusReason(ReasonField.CONTAINER, "CannotPull", Reason.START_FAILED, "the image cannot be had"),
    StatusReason(
        ReasonField.CONTAINER, "ImagePullBackOff", Reason.START_FAILED, "the image cannot be had (EKS)"
    ),
    StatusReason(ReasonField.CONTAINER, "ErrImagePull", Reason.START_FAILED, "the image cannot be had (EKS)"),
    StatusReason(
        ReasonField.CONTAINER,
        "CannotStartContainerError",
        Reason.START_FAILED,
        "the container cannot be started",
    ),
    StatusReason(
        ReasonField.CONTAINER,
        "CannotCreateContainerError",
        Reason.START_FAILED,
        "the container cannot be made",
    ),
    StatusReason(
        ReasonField.CONTAINER,
        "CannotInspectContainerError",
        Reason.NODE_FAILED,
        "the machine's Docker lost track of it",
    ),
    StatusReason(
        ReasonField.CONTAINER, "DockerTimeoutError", Reason.START_FAILED, "the machine's Docker was too slow"
    ),
    StatusReason(
        ReasonField.CONTAINER,
        "ResourceInitializationError",
        Reason.START_FAILED,
        "network, role or secrets are not there",
    ),
    # Texts of AWS Batch about the job.
    StatusReason(ReasonField.STATUS, "Essential container in task exited", None, _COMMAND_ENDED),
    StatusReason(
        ReasonField.STATUS,
        "Job attempt duration exceeded timeout",
        Reason.MAX_RUNTIME_REACHED,
        "the service's own limit",
    ),
    StatusReason(
        ReasonField.STATUS,
        "Host EC2",
        Reason.NODE_FAILED,
        "its machine was terminated, as a Spot reclaim does",
    ),
    StatusReason(
        ReasonField.STATUS, "Your Spot Task was interrupted", Reason.PREEMPTED, "Fargate Spot took it back"
    ),
    StatusReason(
        ReasonField.STATUS,
        "ResourceInitializationError",
        Reason.START_FAILED,
        "network, role or secrets are not there",
    ),
    StatusReason(ReasonField.STATUS, "Task failed to start", Reason.START_FAILED, "it failed to start"),
    StatusReason(
        ReasonField.STATUS,
        "Dependent Job failed",
        Reason.DEPENDENCY_FAILED,
        "a job that it depends on failed",
    ),
    StatusReason(ReasonField.STATUS, "Array Child Job failed", None, "one of the array's jobs failed"),
    StatusReason(
        ReasonField.STATUS,
        "Container Overrides length must be at most",
        Reason.REJECTED,
        "command and environment too long",
    ),
)
"""All known texts, in the order in which they are compared."""

QUEUE_LIMIT = "Canceled by JobStateTimeLimit action due to reason: "
"""A limit of the queue struck; the rest is the job's text while it waited."""


def while_waiting(text: str) -> StatusReason | None:
    """What a RUNNABLE job's statusReason shows about whether it can start."""
    return _find(ReasonField.WAITING, text)


def at_end(
    *, terminated: bool, cancelled: bool, status_reason: str, container_reasons: Iterable[str]
) -> StatusReason | None:
    """The row for the flags and texts of an end; ``None`` if only exit codes show how it ended."""
    if status_reason.lower().startswith(QUEUE_LIMIT.lower()):
        return _queue_limit(status_reason[len(QUEUE_LIMIT) :])
    if terminated or cancelled:
        return StatusReason(
            ReasonField.STATUS, status_reason, Reason.CANCELLED, "terminated" if terminated else "cancelled"
        )
    rows = [_find(ReasonField.CONTAINER, text) for text in container_reasons]
    return next(filter(None, rows), None) or _find(ReasonField.STATUS, status_reason)


def _queue_limit(cause: str) -> StatusReason:
    row = while_waiting(cause)
    reason = Reason.QUEUE_TIMEOUT if row is None or row.reason is None else row.reason
    return StatusReason(ReasonField.STATUS, QUEUE_LIMIT + cause, reason, "a time limit of the queue")


def _find(where: ReasonField, text: str) -> StatusReason | None:
    said = text.strip().lower()
    return next((row for row in CATALOGUE if row.where is where and said.startswith(row.text.lower())), None)
