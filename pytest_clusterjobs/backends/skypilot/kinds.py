"""What differs between SkyPilot's managed jobs and the jobs of one of its clusters, as calls of its client."""

from __future__ import annotations

import io
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol

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


class Kind(Protocol):
    """Each call is given the module ``sky``; what is launched or cancelled is answered by the id of a request."""

    @property
    def request(self) -> str:
        """The name of a request that launches a job."""

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """Launch a job."""

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """The records of jobs, those in whose name ``name`` stands among them; ``live``: of those that have not ended."""

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """Ask for the end of jobs."""

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """Write what a job has printed so far, or its controller."""


@dataclass(frozen=True, slots=True)
class ManagedJobs:
    """Jobs that a controller of SkyPilot launches on clusters of their own, watches and recovers."""

    request: str = "jobs.launch"

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """See :class:`Kind`. A job that was launched from within another is none of that one's group."""
        return sky.jobs.launch(task, name=name, job_group=None)

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """See :class:`Kind`."""
        request = sky.jobs.queue_v2(refresh=False, skip_finished=live, fields=FIELDS, name_match=name)
        found: Iterable[Any] = sky.get(request)[0]
        return found

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """See :class:`Kind`."""
        return sky.jobs.cancel(job_ids=job_ids)

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """See :class:`Kind`."""
        sky.jobs.tail_logs(job_id=job_id, follow=False, controller=controller, output_stream=stream)


@dataclass(frozen=True, slots=True)
class ClusterJobs:
    """Jobs of one cluster, which the first of them brings up and idleness takes down."""

    cluster: str
    idle_minutes: int
    request: str = "launch"

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """See :class:`Kind`. Of a cluster that is up only its jobs are new; the autostop is set each time."""
        return sky.launch(
            task,
            cluster_name=self.cluster,
            idle_minutes_to_autostop=self.idle_minutes,
            down=True,
            fast=True,
        )

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """See :class:`Kind`. A cluster that is not there, or not up yet, has no jobs."""
        try:
            found: Iterable[Any] = sky.get(sky.queue(self.cluster, skip_finished=live))
        except (sky.exceptions.ClusterDoesNotExist, sky.exceptions.ClusterNotUpError):
            return ()
        return found

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """See :class:`Kind`."""
        return sky.cancel(self.cluster, job_ids=job_ids)

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """See :class:`Kind`. There is no controller, and so nothing of it."""
        if not controller:
            sky.tail_logs(self.cluster, job_id, follow=False, output_stream=stream)
