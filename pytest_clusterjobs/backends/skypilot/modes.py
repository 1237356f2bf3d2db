"""SkyPilot's managed jobs and the jobs of one of its clusters: where their client calls differ."""

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
"""The fields requested of each managed job: the default lacks the reason, and all include every YAML."""

NOTICED = 0.5
"""Seconds between two looks for a cluster that was just requested."""


class NotUp(BackendError):
    """The cluster cannot be asked for its jobs now, and may have some."""


class Kind(Protocol):
    """Each call gets the module ``sky``; launches and cancels return the id of a request."""

    @property
    def requests(self) -> Sequence[str]:
        """The names of the requests that launch a job."""

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """Launch a job. Raises BackendError, Throttled, and what ``sky`` raises."""

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """The records of at least the jobs whose names contain ``name``; ``live``: only live jobs.

        Raises NotUp, and what ``sky`` raises.
        """

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """Request the end of jobs."""

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """Write what a job, or its controller, has printed so far."""

    def bills(self, sky: Any, days: int) -> Iterable[Mapping[str, Any]]:
        """The costs of clusters that were used in the last days, as far as each belongs to one job."""


def kind_of(settings: SkyPilotSettings) -> Kind:
    """The kind of jobs that a site has chosen."""
    if settings.cluster is None:
        return ManagedJobs()
    resources = merged(settings.task.get("resources", {}), settings.cluster.resources)
    return ClusterJobs(settings.cluster, resources)


class ManagedJobs:
    """Jobs that a controller of SkyPilot launches on clusters of their own, watches and recovers."""

    requests = ("jobs.launch", "sky.jobs.launch")

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """See :class:`Kind`. A job launched from within another job is not part of that job's group."""
        return sky.jobs.launch(task, name=name, job_group=None)

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """See :class:`Kind`. A separate controller of the jobs stops after some minutes without work."""
        try:
            return self._queue(sky, name, live, refresh=False)
        except sky.exceptions.ClusterNotUpError as error:
            state = getattr(error.cluster_status, "value", None)
            if state is None:
                # There is no controller, and so there are no jobs.
                return ()
            if state != "STOPPED":
                raise NotUp(f"SkyPilot's jobs controller is not up: {error}") from error
        # What it knows of its jobs is available once it runs again.
        return self._queue(sky, name, live, refresh=True)

    def _queue(self, sky: Any, name: str, live: bool, *, refresh: bool) -> Iterable[Any]:
        request = sky.jobs.queue_v2(refresh=refresh, skip_finished=live, fields=FIELDS, name_match=name)
        found: Iterable[Any] = sky.get(request)[0]
        return found

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """See :class:`Kind`."""
        return sky.jobs.cancel(job_ids=job_ids)

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """See :class:`Kind`."""
        sky.jobs.tail_logs(job_id=job_id, follow=False, controller=controller, output_stream=stream)

    def bills(self, sky: Any, days: int) -> Iterable[Mapping[str, Any]]:
        """See :class:`Kind`. Each start has a cluster of the job's own."""
        found: Iterable[Mapping[str, Any]] = sky.get(sky.cost_report(days=days))
        return found


class ClusterJobs:
    """Jobs of one cluster. One that is not there is brought up, and goes down by itself when it is idle.

    It is brought up bare: where a set-up fails, SkyPilot leaves a cluster that never goes down.
    """

    requests = ("launch", "sky.launch", "exec", "sky.exec")

    def __init__(self, cluster: OneCluster, resources: Mapping[str, Any]) -> None:
        self._cluster = cluster.name
        self._wanted = {"resources": dict(resources), "num_nodes": cluster.nodes}
        self._idle_minutes = cluster.idle_minutes
        self._ours = False
        """Whether it was brought up by this process."""

    def launch(self, sky: Any, task: Any, name: str) -> Any:
        """See :class:`Kind`.

        A cluster that was brought up elsewhere only gets the job; it is never taken down.
        """
        record = self._record(sky)
        if record is None:
            if self._is_asked_for(sky):
                raise self._not_up_yet()
            record = self._bring_up(sky)
        state = record.status.value
        if state == "STOPPED" or (state == "AUTOSTOPPING" and not record.to_down):
            raise SubmissionRejected(f"cluster {self._cluster} is stopped: sky start {self._cluster}")
        if state == "AUTOSTOPPING":
            raise Throttled(f"cluster {self._cluster} is going down")
        if state == "UP":
            return sky.exec(task, cluster_name=self._cluster)
        if record.to_down or self._ours:
            # Waits until it is up, which ``exec`` does not.
            minutes = record.autostop if record.to_down else self._idle_minutes
            return sky.launch(
                task, cluster_name=self._cluster, idle_minutes_to_autostop=minutes, down=True, fast=True
            )
        raise self._not_up_yet()

    def _not_up_yet(self) -> Throttled:
        return Throttled(f"cluster {self._cluster} is not up yet")

    def _is_asked_for(self, sky: Any) -> bool:
        """Whether another launch will bring it up: a second one would change when that cluster goes down."""
        fields = ["request_id", "name", "status", "cluster_name"]
        found = sky.api_status(cluster_name=self._cluster, fields=fields)
        return any(
            each.cluster_name == self._cluster
            and each.name in self.requests
            and str(each.status) in LIVE_REQUESTS
            for each in found
        )

    def _bring_up(self, sky: Any) -> Any:
        """Request the cluster; returns its record as soon as there is one, while the request continues."""
        task = sky.Task.from_yaml_config(self._wanted)
        request = sky.launch(
            task, cluster_name=self._cluster, idle_minutes_to_autostop=self._idle_minutes, down=True
        )
        self._ours = True
        while (record := self._record(sky)) is None:
            if not _is_live(sky, request):
                # Its message is the reason: no capacity, or resources that do not exist.
                sky.get(request)
                raise BackendError(f"cluster {self._cluster} was up, and is gone again")
            time.sleep(NOTICED)
        return record

    def _record(self, sky: Any) -> Any:
        return next(iter(sky.get(sky.status([self._cluster]))), None)

    def queue(self, sky: Any, name: str, live: bool) -> Iterable[Any]:
        """See :class:`Kind`. A cluster that does not exist has no jobs."""
        try:
            found: Iterable[Any] = sky.get(sky.queue(self._cluster, skip_finished=live))
        except sky.exceptions.ClusterDoesNotExist:
            return ()
        except sky.exceptions.ClusterNotUpError as error:
            raise NotUp(f"cluster {self._cluster} is not up") from error
        return found

    def cancel(self, sky: Any, job_ids: Sequence[int]) -> Any:
        """See :class:`Kind`."""
        return sky.cancel(self._cluster, job_ids=job_ids)

    def tail(self, sky: Any, job_id: int, controller: bool, stream: io.StringIO) -> None:
        """See :class:`Kind`. There is no controller, and so no log of one."""
        if not controller:
            sky.tail_logs(self._cluster, job_id, follow=False, output_stream=stream)

    def bills(self, sky: Any, days: int) -> Iterable[Mapping[str, Any]]:
        """See :class:`Kind`. A job's share of a cluster has no price of its own."""
        return ()


def _is_live(sky: Any, request: Any) -> bool:
    found = sky.api_status(request_ids=[request], all_status=True, fields=["request_id", "status"])
    return any(str(each.status) in LIVE_REQUESTS for each in found)
