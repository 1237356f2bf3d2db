"""Why a job ended: the closed vocabulary, and the class of each reason."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ReasonClass(StrEnum):
    """What a reason is about: the product under test, an action of a user, or the infrastructure."""

    PRODUCT = "product"
    USER = "user"
    INFRA = "infra"


class Reason(StrEnum):
    """A built-in reason; a matrix may add others under ``reasons``."""

    JOB_COMPLETED = "job_completed"
    JOB_FAILED = "job_failed"
    KILLED_BY_SIGNAL = "killed_by_signal"
    HEARTBEAT_TIMEOUT = "heartbeat_timeout"
    MAX_RUNTIME_REACHED = "max_runtime_reached"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    QUEUE_TIMEOUT = "queue_timeout"
    START_FAILED = "start_failed"
    PREEMPTED = "preempted"
    NODE_FAILED = "node_failed"
    DEPENDENCY_FAILED = "dependency_failed"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def reason_class(self) -> ReasonClass:
        """The class of this reason."""
        return REASON_CLASSES[self]


REASON_CLASSES: Mapping[str, ReasonClass] = {
    Reason.JOB_COMPLETED: ReasonClass.PRODUCT,
    Reason.JOB_FAILED: ReasonClass.PRODUCT,
    Reason.KILLED_BY_SIGNAL: ReasonClass.PRODUCT,
    Reason.HEARTBEAT_TIMEOUT: ReasonClass.PRODUCT,
    Reason.MAX_RUNTIME_REACHED: ReasonClass.PRODUCT,
    Reason.OUT_OF_MEMORY: ReasonClass.PRODUCT,
    Reason.CANCELLED: ReasonClass.USER,
    Reason.REJECTED: ReasonClass.INFRA,
    Reason.QUEUE_TIMEOUT: ReasonClass.INFRA,
    Reason.START_FAILED: ReasonClass.INFRA,
    Reason.PREEMPTED: ReasonClass.INFRA,
    Reason.NODE_FAILED: ReasonClass.INFRA,
    Reason.DEPENDENCY_FAILED: ReasonClass.INFRA,
    Reason.LOST: ReasonClass.INFRA,
    Reason.UNKNOWN: ReasonClass.INFRA,
}

COMMAND_ENDED: frozenset[str] = frozenset({Reason.JOB_COMPLETED, Reason.JOB_FAILED, Reason.KILLED_BY_SIGNAL})
"""The reasons of commands that ended by themselves, and so have an exit code."""
