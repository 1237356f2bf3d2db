"""The client calls that differ between SkyPilot's managed jobs and the jobs of one of its clusters."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from ..protocol import BackendError
from ..protocol import SubmissionRejected
from ..protocol import Throttled
from .options import merged
from .settings import OneCluster
from .settings import SkyPilotSettings
from .states import LIVE_REQUESTS

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
"""The fields of a managed job that are requested.

SkyPilot's default lacks the failure reason; all fields would include the task's YAML.
"""

CLUSTER_POLL_SECONDS = 0.5
"""Seconds between two checks for a cluster that was just requested."""


class ClusterNotUp(BackendError):
    """The cluster cannot report its jobs now, but may have some."""


class JobMode(Protocol):
    """The calls of one mode. Each gets the module ``sky``; launch and cancel return the id of a request."""

    @property
    def requests(self) -> Sequence[str]:
        """The names of the requests that launch a job."""

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """Launch a job. Raises BackendError, Throttled, and what ``sky`` raises."""

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """The records of jobs, among them all whose names contain ``name``; with ``live`` only live jobs.

        Raises ClusterNotUp, and what ``sky`` raises.
        """

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """Request the end of jobs."""

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """Write the output so far of a job, or of its controller."""

    def costs(self, sky: Any, days: int) -> Iterable[Mapping[str, Any]]:
        """The costs of the clusters of single jobs that were used in the last days."""


def mode_of(settings: SkyPilotSettings) -> JobMode:
    """The mode that the site settings select."""
    if settings.cluster is None:
        return ManagedJobs()
    resources = merged(settings.task.get("resources", {}), settings.cluster.resources)
    return ClusterJobs(settings.cluster, resources)


class ManagedJobs:
    """Jobs that a controller of SkyPilot launches on clusters of their own, monitors and recovers."""

    requests = ("jobs.launch", "sky.jobs.launch")

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """See :class:`JobMode`. A job launched from within another job does not join that job's group."""
        return sky.jobs.launch(task, name=name, job_group=None)

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """See :class:`JobMode`. A jobs controller with a cluster of its own stops when it is idle."""
        try:
            return self._queue(sky, name, live, refresh=False)
        except sky.exceptions.ClusterNotUpError as error:
            state = getattr(error.cluster_status, "value", None)
            if state is None:
                # Without a controller there are no jobs.
                return ()
            if state != "STOPPED":
                raise ClusterNotUp(f"SkyPilot's jobs controller is not up: {error}") from error
        # The controller has to be started to report its jobs.
        return self._queue(sky, name, live, refresh=True)

    def _queue(self, sky: Any, name: str, live: bool, *, refresh: bool) -> Iterable[Any]:
        request = sky.jobs.queue_v2(refresh=refresh, skip_finished=live, fields=FIELDS, name_match=name)
        found: Iterable[Any] = sky.get(request)[0]
        return found

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """See :class:`JobMode`."""
        return sky.jobs.cancel(job_ids=job_ids)

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """See :class:`JobMode`."""
        sky.jobs.tail_logs(job_id=job_id, follow=False, controller=controller, output_stream=stream)

    def costs(self, sky: Any, days: int) -> Iterable[Mapping[str, Any]]:
        """See :class:`JobMode`. Each start has a cluster of the job's own."""
        found: Iterable[Mapping[str, Any]] = sky.get(sky.cost_report(days=days))
        return found


class ClusterJobs:
    """Jobs of one cluster. If it does not exist, it is started, and goes down by itself when it is idle.

    It is started without any setup, because SkyPilot never takes down a cluster whose setup fails.
    """

    requests = ("launch", "sky.launch", "exec", "sky.exec")

    def __init__(self, cluster: OneCluster, resources: Mapping[str, Any]) -> None:
        self._cluster = cluster.name
        self._cluster_task = {"resources": dict(resources), "num_nodes": cluster.nodes}
        self._idle_minutes = cluster.idle_minutes
        self._started_here = False
        """Whether this process has started it."""

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """See :class:`JobMode`.

        A cluster that another process started only gets the job; it is never taken down.
        """
        record = self._record(sky)
        if record is None:
            if self._is_requested(sky):
                raise self._not_up_yet()
            record = self._start(sky)
        state = record.status.value
        if state == "STOPPED" or (state == "AUTOSTOPPING" and not record.to_down):
            raise SubmissionRejected(f"cluster {self._cluster} is stopped: run `sky start {self._cluster}`")
        if state == "AUTOSTOPPING":
            raise Throttled(f"cluster {self._cluster} is going down")
        if state == "UP":
            return sky.exec(task, cluster_name=self._cluster)
        if record.to_down or self._started_here:
            # ``launch`` waits until it is up, ``exec`` does not.
            minutes = record.autostop if record.to_down else self._idle_minutes
            return sky.launch(
                task, cluster_name=self._cluster, idle_minutes_to_autostop=minutes, down=True, fast=True
            )
        raise self._not_up_yet()

    def _not_up_yet(self) -> Throttled:
        return Throttled(f"cluster {self._cluster} is not up yet")

    def _is_requested(self, sky: Any) -> bool:
        """Whether another launch is starting it. A second launch would change when that cluster goes down."""
        fields = ["request_id", "name", "status", "cluster_name"]
        found = sky.api_status(cluster_name=self._cluster, fields=fields)
        return any(
            each.cluster_name == self._cluster
            and each.name in self.requests
            and str(each.status) in LIVE_REQUESTS
            for each in found
        )

    def _start(self, sky: Any) -> Any:
        """Request the cluster and return its record as soon as there is one, while the request continues."""
        task = sky.Task.from_yaml_config(self._cluster_task)
        request = sky.launch(
            task, cluster_name=self._cluster, idle_minutes_to_autostop=self._idle_minutes, down=True
        )
        self._started_here = True
        while (record := self._record(sky)) is None:
            if not _is_live(sky, request):
                # Raises the reason: no capacity, or resources that do not exist.
                sky.get(request)
                raise BackendError(f"cluster {self._cluster} was started and has disappeared")
            time.sleep(CLUSTER_POLL_SECONDS)
        return record

    def _record(self, sky: Any) -> Any:
        return next(iter(sky.get(sky.status([self._cluster]))), None)

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """See :class:`JobMode`. A cluster that does not exist has no jobs."""
        try:
            found: Iterable[Any] = sky.get(sky.queue(self._cluster, skip_finished=live))
        except sky.exceptions.ClusterDoesNotExist:
            return ()
        except sky.exceptions.ClusterNotUpError as error:
            raise ClusterNotUp(f"cluster {self._cluster} is not up") from error
        return found

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """See :class:`JobMode`."""
        return sky.cancel(self._cluster, job_ids=job_ids)

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """See :class:`JobMode`. There is no controller, and therefore no log of one."""
        if not controller:
            sky.tail_logs(self._cluster, job_id, follow=False, output_stream=stream)

    def costs(self, sky: Any, days: int) -> Iterable[Mapping[str, Any]]:
        """See :class:`JobMode`. A job's part of a cluster has no cost of its own."""
        return ()


def _is_live(sky: Any, request: Any) -> bool:
    found = sky.api_status(request_ids=[request], all_status=True, fields=["request_id", "status"])
    return any(str(each.status) in LIVE_REQUESTS for each in found)
