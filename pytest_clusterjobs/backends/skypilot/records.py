"""SkyPilot's records of jobs and requests as plain data."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from ...model import Phase
from .states import LIVE_REQUESTS
from .states import phase_of

CLUSTER_NAME_PREFIX_LENGTH = 20
"""Characters of a job's name that begin its cluster's name; SkyPilot keeps some more, and appends a hash."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """One job as the queue shows it. Times are seconds since the epoch."""

    job_id: int
    name: str
    status: str
    schedule_state: str = ""
    recoveries: int = 0
    failure: str = ""
    details: str = ""
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    nodes: int = 0
    """0 if unknown."""

    @property
    def cost_key(self) -> tuple[str, int]:
        """The key of this job in ``Sky.costs``."""
        return self.name[:CLUSTER_NAME_PREFIX_LENGTH], self.job_id

    @property
    def is_terminal(self) -> bool:
        """Whether its state is terminal; its cluster may still be going down."""
        return phase_of(self.status) is Phase.ENDED

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, or a cancel has reached it."""
        return self.is_terminal or self.status == "CANCELLING"


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the API server."""

    request_id: str
    status: str
    """A ``sky.server.requests.requests.RequestStatus``."""

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status in LIVE_REQUESTS


def queued_job(record: Any) -> QueuedJob:
    """A job of either mode; a job of a cluster has no schedule state, no recoveries and no texts."""
    status = record.status
    return QueuedJob(
        job_id=int(record.job_id),
        name=str(record.job_name),
        status=getattr(status, "value", None) or str(status),
        schedule_state=getattr(record, "schedule_state", None) or "",
        recoveries=getattr(record, "recovery_count", None) or 0,
        failure=getattr(record, "failure_reason", None) or "",
        details=getattr(record, "details", None) or "",
        submitted=record.submitted_at,
        started=record.start_at,
        ended=record.end_at,
        nodes=_nodes(record.resources or ""),
    )


def request_text(body: str) -> bytes:
    """The content of a request's body: a pickle in base64, in which names can be found without unpickling."""
    try:
        return base64.b64decode(body)
    except (binascii.Error, ValueError):
        return body.encode()


def _nodes(resources: str) -> int:
    """The number of nodes in ``2x[CPU:4+]``; 0 if there is none."""
    count, times, _ = resources.partition("x")
    return int(count) if times and count.isdecimal() else 0
