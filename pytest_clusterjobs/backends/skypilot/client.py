"""The SkyPilot backend as the engine sees it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ...model import Handle
from ...model import JobSpec
from ...model import LogChunk
from ...model import Observation
from ...model import Phase
from ...model import Reason
from ...model import Times
from ...model.token import nonce
from ...model.token import run_of
from ...model.token import run_prefix
from ..environment import secrets_of
from ..limits import refuse
from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import FindAnswer
from ..protocol import Found
from ..protocol import NotSubmitted
from ..protocol import Unknown
from .job_queue import JobQueue
from .logs import chunk
from .logs import failed_starts
from .logs import of_rank
from .modes import ClusterNotUp
from .modes import mode_of
from .observe import is_explained
from .observe import is_over
from .observe import missing_report_cause
from .observe import without_time_marks
from .records import QueuedJob
from .records import Request
from .sdk import Sky
from .settings import capabilities
from .settings import SkyPilotSettings
from .task import shown
from .task import task
from .watcher import WatchedJob
from .watcher import Watcher

SECONDS_PER_DAY = 86_400.0

MAX_CONCURRENT_LOG_READS = 4
"""Ended jobs whose logs are read at once."""

LAUNCH_PENDING = "its launch is still pending"

NO_LOG_OF_LOST_START = "SkyPilot keeps no log of a start whose cluster was lost"

INIT = "INIT"
"""The status of a job of a cluster that has an id and is not yet in the cluster's own queue. If its launch is
cut off here, the job keeps this status."""


class SkyPilotBackend:
    """Jobs of one API server: managed ones, or those of one cluster."""

    def __init__(self, context: BackendContext, settings: SkyPilotSettings) -> None:
        self._context = context
        self._settings = settings
        claim_timeout = settings.find_settle + max(60.0, 3.0 * settings.poll_interval)
        self._sky = Sky(mode_of(settings), settings.answer_timeout, claim_timeout)
        self._queue = JobQueue(self._sky, settings.poll_interval)
        self._watcher = Watcher(self._sky, settings.teardown)
        self._launched: dict[str, Handle] = {}
        self._launch_failed_at: dict[str, float] = {}
        """When the launch of a token was first seen to have failed, in monotonic seconds."""
        self._cancel_requested: set[str] = set()
        """Tokens whose jobs were cancelled. A job that was just about to begin may have missed the cancel."""
        self.capabilities = capabilities(settings)

    # Submitting.

    def preview(self, spec: JobSpec, token: str) -> str:
        """See :class:`Previewing`."""
        config = self._task(spec, token)
        if spec.secrets:
            config["secrets"] = dict.fromkeys(spec.secrets)
        return shown(config)

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """See :class:`Backend`. The handle has no id yet: the queue assigns one later."""
        refuse(spec, self.capabilities, self._context.name)
        if self._sky.late.is_pending(token):
            raise BackendError(LAUNCH_PENDING)
        if token not in self._launched:
            request = self._sky.launch(self._task(spec, token), secrets_of(spec))
            data = {"token": token, "nodes": spec.nodes, "restarts": spec.max_restarts, "request": request}
            self._launched[token] = Handle(None, data)
        return self._launched[token]

    def _task(self, spec: JobSpec, token: str) -> dict[str, Any]:
        return task(spec, token, settings=self._settings, rootdir=self._context.rootdir)

    # Watching.

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`. One call for all jobs of a run, by the common prefix of their names."""
        requests = self._requests(handles)
        try:
            rows = self._queue.rows(handles)
        except ClusterNotUp:
            launches = self._observe_launches(handles, {}, requests)
            if any(
                self._queue.last_seen(token) is not None or seen.phase is not Phase.PENDING
                for token, seen in launches.items()
            ):
                raise
            return launches
        self._cancel_again(rows)
        return {**self._observe_jobs(handles, rows), **self._observe_launches(handles, rows, requests)}

    def _requests(self, handles: Mapping[str, Handle]) -> Mapping[str, Request]:
        """The launches that may have no job yet.

        They are read before the queue: a launch that has succeeded by then has its job there.
        """
        return self._sky.requests(
            [
                handle.data["request"]
                for token, handle in handles.items()
                if handle.data.get("request") and (handle.job_id is None or self._is_in_init(token))
            ]
        )

    def _is_in_init(self, token: str) -> bool:
        row = self._queue.last_seen(token)
        return row is not None and row.status == INIT

    def _observe_jobs(
        self, handles: Mapping[str, Handle], rows: Mapping[str, QueuedJob]
    ) -> dict[str, Observation]:
        """The observations of jobs; a job whose log cannot be read now has none."""
        jobs = [WatchedJob(token, _completed(handles[token], row), row) for token, row in rows.items()]
        with ThreadPoolExecutor(MAX_CONCURRENT_LOG_READS) as pool:
            results = dict(zip(rows, pool.map(self._watcher.observe, jobs), strict=True))
        seen = {token: observation for token, observation in results.items() if observation is not None}
        self._add_costs(seen, rows)
        return seen

    def _observe_launches(
        self, handles: Mapping[str, Handle], rows: Mapping[str, QueuedJob], requests: Mapping[str, Request]
    ) -> dict[str, Observation]:
        """The observations of launches that have no job yet, or whose job may never start."""
        seen = {
            token: self._observe_launch(token, requests.get(handle.data.get("request", "")))
            for token, handle in handles.items()
            if token not in rows or rows[token].status == INIT
        }
        return {
            token: each for token, each in seen.items() if each.phase is not Phase.ABSENT or token not in rows
        }

    def _observe_launch(self, token: str, request: Request | None) -> Observation:
        if request is None or request.status == "SUCCEEDED":
            return Observation(Phase.ABSENT)
        pending = Observation(
            Phase.PENDING, native_state="LAUNCHING", native_reason=f"its request is {request.status}"
        )
        if request.is_live:
            return pending
        failed_at = self._launch_failed_at.setdefault(token, time.monotonic())
        if time.monotonic() - failed_at < self._settings.find_settle:
            # A server that was restarted may have created the job before its request was cut off.
            return pending
        message = self._sky.error_of(request.request_id)
        hint = Reason.CANCELLED if request.status == "CANCELLED" else Reason.REJECTED
        return Observation(Phase.ENDED, Times(), f"REQUEST {request.status}", message, hint)

    def _add_costs(self, seen: dict[str, Observation], rows: Mapping[str, QueuedJob]) -> None:
        """Add the costs of ended jobs, as far as SkyPilot knows them."""
        ended = {token: each for token, each in seen.items() if each.phase is Phase.ENDED}
        if not ended:
            return
        earliest = min(rows[token].submitted or time.time() for token in ended)
        with suppress(BackendError):
            costs = self._sky.costs(days=2 + int((time.time() - earliest) / SECONDS_PER_DAY))
            seen.update(
                (token, replace(each, cost=costs.get(rows[token].cost_key))) for token, each in ended.items()
            )

    def _cancel_again(self, rows: Mapping[str, QueuedJob]) -> None:
        ignored = (
            row.job_id for token, row in rows.items() if token in self._cancel_requested and not row.is_ending
        )
        self._sky.cancel(sorted(ignored))

    # Logs.

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """See :class:`Backend`. The log of an earlier start exists if that start failed by itself."""
        token = handle.data["token"]
        row = self._queue.row(token)
        over = row is not None and is_over(row, time.time(), self._settings.teardown)
        if row is None or row.started is None:
            return LogChunk("", cursor, over)
        if restart is not None and restart < row.recoveries:
            starts = failed_starts(self._sky.log(row.job_id, controller=True))
            text = of_rank(starts[restart], node) if restart < len(starts) else ""
            gap = "" if restart < len(starts) else NO_LOG_OF_LOST_START
            return chunk(without_time_marks(text), cursor=cursor, tail=tail, complete=True, gap=gap)
        text = of_rank(self._sky.log(row.job_id), node)
        exists = node < int(handle.data.get("nodes") or row.nodes or 1)
        is_needed = over and exists and not is_explained(row)
        gap = missing_report_cause(text, nonce(token), node) if is_needed else ""
        return chunk(without_time_marks(text), cursor=cursor, tail=tail, complete=over, gap=gap)

    # Cancelling.

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """See :class:`Backend`. A launch that has no job yet is cancelled as a request.

        Jobs are identified by name, because ids are not unique: another server has other jobs with the same
        ids, and a cluster that was brought up again counts from 1.
        """
        self._cancel_requested.update(handles)
        ids: dict[str, int] = {}
        if self._settings.cluster is None:
            ids = {token: row.job_id for token in handles if (row := self._queue.last_seen(token))}
        unknown = [token for token in handles if token not in ids]
        if unknown:
            with suppress(ClusterNotUp):
                rows = self._queue.rows(unknown)
                ids.update((token, row.job_id) for token, row in rows.items() if not row.is_terminal)
        self._sky.cancel(sorted(ids.values()))
        requests = (handles[token].data.get("request") for token in unknown if token not in ids)
        self._sky.cancel_requests([request for request in requests if request])

    # Finding.

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`.

        Also finds a launch that the server has accepted and not yet turned into a job.
        """
        otherwise: FindAnswer = (
            Unknown(LAUNCH_PENDING) if self._sky.late.is_pending(token) else NotSubmitted()
        )
        late = self._sky.late.claim(token)
        try:
            try:
                row = self._queue.rows([token]).get(token)
                if row is not None:
                    return Found(_handle_of_row(row))
            except ClusterNotUp as error:
                otherwise = Unknown(str(error))
            request = late or self._sky.launches(token).get(token)
        except BackendError as error:
            return Unknown(str(error))
        return otherwise if request is None else Found(_handle_of_request(token, request))

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        prefix = run_prefix(run_id)
        launches = self._sky.launches(prefix).items()
        found = {token: _handle_of_request(token, request) for token, request in launches}
        found.update((row.name, _handle_of_row(row)) for row in self._sky.queue(prefix, live=True))
        # The name of another run may begin with the name of this one.
        return {token: handle for token, handle in found.items() if run_of(token) == run_id}

    def close(self) -> None:
        """See :class:`Backend`."""


def _completed(handle: Handle, row: QueuedJob) -> Handle:
    return handle if handle.job_id is not None else replace(handle, job_id=str(row.job_id))


def _handle_of_row(row: QueuedJob) -> Handle:
    return Handle(str(row.job_id), {"token": row.name, "nodes": row.nodes})


def _handle_of_request(token: str, request: str) -> Handle:
    return Handle(None, {"token": token, "request": request})
