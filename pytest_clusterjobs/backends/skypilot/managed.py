"""The calls of SkyPilot's client that are about managed jobs."""

from __future__ import annotations

import io
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

FIELDS = (
    "job_id",
    "job_name",
    "status",
    "schedule_state",
    "recovery_count",
    "failure_reason",
    "details",
    "submitted_at",
    "start_at",
    "end_at",
    "resources",
)
"""What is asked of each managed job: the default leaves out why, and all of them bring every task's YAML."""

LAUNCH = "jobs.launch"
"""The name of a request that launches a job."""


def launch(sky: Any, task: Any, name: str) -> Any:
    """Launch a job: the id of the request. One that is launched from within another is none of that one's group."""
    return sky.jobs.launch(task, name=name, job_group=None)


def queue(sky: Any, name: str, live: bool) -> Iterable[Any]:
    """The records of the jobs in whose name ``name`` stands; ``live``: of those that have not ended."""
    request = sky.jobs.queue_v2(refresh=False, skip_finished=live, fields=FIELDS, name_match=name)
    found: Iterable[Any] = sky.get(request)[0]
    return found


def cancel(sky: Any, job_ids: Sequence[int]) -> Any:
    """Ask for the end of jobs: the id of the request."""
    return sky.jobs.cancel(job_ids=job_ids)


def tail(sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
    """Write what a job has printed so far, or its controller."""
    sky.jobs.tail_logs(job_id=job_id, follow=False, controller=controller, output_stream=stream)
