"""A table of AWS Batch's texts on why a job ended or waits, and the reasons that they stand for.

Flags take precedence over texts, because the text of a termination is written by its caller. A container's
own reason takes precedence over the job's, because "Task failed to start" must not hide the cause. Texts are
compared by their beginnings, ignoring case.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
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
    """``None`` if the text implies none. A waiting job with a reason can never start."""
    meaning: str
    """For display."""


_NEVER_STARTS = "this queue can never run it"
_NO_IMAGE = "the image cannot be pulled"
_NO_INITIALISATION = "the network, a role or a secret is not available"

_TEXTS: Mapping[ReasonField, Sequence[tuple[str, Reason | None, str]]] = {
    ReasonField.WAITING: (
        ("CAPACITY:", None, "it waits for capacity"),
        ("MISCONFIGURATION:", Reason.REJECTED, _NEVER_STARTS),
        ("ACTION_REQUIRED", Reason.REJECTED, "the queue's compute environments are invalid"),
        ("UNDETERMINED", None, "AWS Batch does not know why it waits"),
    ),
    ReasonField.CONTAINER: (
        ("OutOfMemoryError", Reason.OUT_OF_MEMORY, "killed for memory"),
        ("OOMKilled", Reason.OUT_OF_MEMORY, "killed for memory (EKS)"),
        ("CannotPull", Reason.START_FAILED, _NO_IMAGE),
        ("ImagePullBackOff", Reason.START_FAILED, f"{_NO_IMAGE} (EKS)"),
        ("ErrImagePull", Reason.START_FAILED, f"{_NO_IMAGE} (EKS)"),
        ("CannotStartContainerError", Reason.START_FAILED, "the container cannot be started"),
        ("CannotCreateContainerError", Reason.START_FAILED, "the container cannot be created"),
        ("CannotInspectContainerError", Reason.NODE_FAILED, "the machine's Docker lost track of it"),
        ("DockerTimeoutError", Reason.START_FAILED, "the machine's Docker did not respond in time"),
        ("ResourceInitializationError", Reason.START_FAILED, _NO_INITIALISATION),
    ),
    ReasonField.STATUS: (
        ("Essential container in task exited", None, "the command ended: see its exit code"),
        ("Job attempt duration exceeded timeout", Reason.MAX_RUNTIME_REACHED, "the service's own time limit"),
        ("Host EC2", Reason.NODE_FAILED, "its machine was terminated, for example reclaimed by Spot"),
        ("Your Spot Task was interrupted", Reason.PREEMPTED, "reclaimed by Fargate Spot"),
        ("ResourceInitializationError", Reason.START_FAILED, _NO_INITIALISATION),
        ("Task failed to start", Reason.START_FAILED, "it failed to start"),
        ("Dependent Job failed", Reason.DEPENDENCY_FAILED, "a job that it depends on failed"),
        ("Array Child Job failed", None, "one of the array's jobs failed"),
        (
            "Container Overrides length must be at most",
            Reason.REJECTED,
            "the command and the environment are too long",
        ),
    ),
}

CATALOGUE = tuple(StatusReason(where, *text) for where, texts in _TEXTS.items() for text in texts)
"""All known texts, in the order in which they are compared."""

QUEUE_LIMIT = "Canceled by JobStateTimeLimit action due to reason: "
"""Begins the text of a job that a time limit of its queue cancelled; the rest is its text while it waited."""


def while_waiting(text: str) -> StatusReason | None:
    """The row for the statusReason of a RUNNABLE job; ``None`` if there is none."""
    return _find(ReasonField.WAITING, text)


def at_end(
    *, terminated: bool, cancelled: bool, status_reason: str, container_reasons: Iterable[str]
) -> StatusReason | None:
    """The row for the flags and texts of a job that ended; ``None`` if only exit codes show how it ended."""
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
    lowered = text.strip().lower()
    rows = (row for row in CATALOGUE if row.where is where)
    return next((row for row in rows if lowered.startswith(row.text.lower())), None)
