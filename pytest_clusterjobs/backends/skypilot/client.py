"""The SkyPilot backend as the engine sees it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
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
from .logs import chunk
from .logs import failed_starts
from .logs import of_rank
from .modes import kind_of
from .modes import NotUp
from .observe import fault_of
from .observe import is_explained
from .observe import is_over
from .observe import without_clocks
from .sdk import QueuedJob
from .sdk import Request
from .sdk import Sky
from .settings import capabilities
from .settings import SkyPilotSettings
from .task import shown
from .task import task
from .watcher import WatchedJob
from .watcher import Watcher

DAY = 86_400.0

UNDER_WAY = "its launch is still under way"

NOT_KEPT = "SkyPilot keeps no log of a start whose cluster was lost"

READERS = 4
"""Logs of ended jobs that are read at once."""

UNBORN = "INIT"
"""A job of a cluster that has a number and is not yet in the cluster's own queue. If its launch is cut off
here, it stays in this state."""


class SkyPilotBackend:
    """Jobs of one API server: managed ones, or those of one cluster."""

    def __init__(self, context: BackendContext, settings: SkyPilotSettings) -> None:
        self._context = context
        self._settings = settings
        late_patience = settings.find_settle + max(60.0, 3.0 * settings.poll_interval)
        self._sky = Sky(kind_of(settings), settings.answer_timeout, late_patience)
        self._watcher = Watcher(self._sky, settings.teardown)
        self._launched: dict[str, Handle] = {}
        self._last: dict[str, tuple[QueuedJob, float]] = {}
        """The last seen state of each job, and when it was seen, in monotonic seconds."""
        self._failed: dict[str, float] = {}
        """When the launch of a token was first known to have failed, in monotonic seconds."""
        self._doomed: set[str] = set()
        """Tokens whose jobs were cancelled: a job that was just about to begin may have missed the cancel."""
        self._twins: set[int] = set()
        """Jobs that were cancelled because an older job has their token."""
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
        if self._sky.late.is_under_way(token):
            raise BackendError(UNDER_WAY)
        if token not in self._launched:
            request = self._sky.launch(self._task(spec, token), secrets_of(spec))
            data = {"token": token, "nodes": spec.nodes, "restarts": spec.max_restarts, "request": request}
            self._launched[token] = Handle(None, data)
        return self._launched[token]

    def _task(self, spec: JobSpec, token: str) -> dict[str, Any]:
        return task(
            spec,
            token,
            settings=self._settings,
            rootdir=self._context.rootdir,
        )

    # Watching.

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`. One call for all jobs of a run, by the common prefix of their names."""
        requests = self._requests(handles)
        try:
            rows = self._rows(handles)
        except NotUp:
            launches = self._of_launches(handles, {}, requests)
            if any(
                token in self._last or seen.phase is not Phase.PENDING for token, seen in launches.items()
            ):
                raise
            return launches
        self._cancel_again(rows)
        return {**self._of_jobs(handles, rows), **self._of_launches(handles, rows, requests)}

    def _requests(self, handles: Mapping[str, Handle]) -> Mapping[str, Request]:
        """The launches that may have no job yet.

        Queried before the jobs: a launch that has succeeded by then has its job among them.
        """
        asked = [
            handle.data["request"]
            for token, handle in handles.items()
            if handle.data.get("request") and (handle.job_id is None or self._is_unborn(token))
        ]
        return self._sky.requests(asked)

    def _is_unborn(self, token: str) -> bool:
        row, _ = self._last.get(token, (None, 0.0))
        return row is not None and row.status == UNBORN

    def _of_jobs(
        self, handles: Mapping[str, Handle], rows: Mapping[str, QueuedJob]
    ) -> dict[str, Observation]:
        """The observation of each job; none for some jobs."""
        jobs = [WatchedJob(token, _completed(handles[token], row), row) for token, row in rows.items()]
        with ThreadPoolExecutor(READERS) as pool:
            answers = dict(zip(rows, pool.map(self._watcher.observe, jobs), strict=True))
        seen = {token: observation for token, observation in answers.items() if observation is not None}
        self._price(seen, rows)
        return seen

    def _of_launches(
        self, handles: Mapping[str, Handle], rows: Mapping[str, QueuedJob], requests: Mapping[str, Request]
    ) -> dict[str, Observation]:
        """Observe launches without a job, or whose job may never start: whether they will have one."""
        seen = {
            token: self._launching(token, requests.get(handle.data.get("request", "")))
            for token, handle in handles.items()
            if token not in rows or rows[token].status == UNBORN
        }
        return {
            token: each for token, each in seen.items() if each.phase is not Phase.ABSENT or token not in rows
        }

    def _rows(self, tokens: Iterable[str]) -> dict[str, QueuedJob]:
        """The job of each token. A younger job with the same name is a duplicate, and is cancelled."""
        found: dict[str, QueuedJob] = {}
        twins = []
        for prefix, group in groupby(sorted(tokens), key=_prefix_of):
            wanted = set(group)
            name = prefix if len(wanted) > 1 else next(iter(wanted))
            for row in self._sky.queue(name):
                if row.name in wanted and found.setdefault(row.name, row) is not row:
                    twins.append(row)
        self._end_twins(twins)
        now = time.monotonic()
        self._last.update((token, (row, now)) for token, row in found.items())
        return found

    def _price(self, seen: dict[str, Observation], rows: Mapping[str, QueuedJob]) -> None:
        """Add the costs of ended jobs. The poll does not wait for an unknown cost."""
        ended = {token: each for token, each in seen.items() if each.phase is Phase.ENDED}
        if not ended:
            return
        earliest = min(rows[token].submitted or time.time() for token in ended)
        with suppress(BackendError):
            costs = self._sky.costs(days=2 + int((time.time() - earliest) / DAY))
            seen.update(
                (token, replace(each, cost=costs.get(rows[token].bill))) for token, each in ended.items()
            )

    def _cancel_again(self, rows: Mapping[str, QueuedJob]) -> None:
        deaf = (row for token, row in rows.items() if token in self._doomed and not row.is_ending)
        self._sky.cancel(sorted(row.job_id for row in deaf))

    def _end_twins(self, rows: Sequence[QueuedJob]) -> None:
        new = [row.job_id for row in rows if not row.is_terminal and row.job_id not in self._twins]
        if new:
            self._sky.cancel(new)
            self._twins.update(new)

    def _launching(self, token: str, request: Request | None) -> Observation:
        if request is None or request.status == "SUCCEEDED":
            return Observation(Phase.ABSENT)
        if request.is_live:
            return Observation(
                Phase.PENDING, native_state="LAUNCHING", native_reason=f"the request is {request.status}"
            )
        failed_at = self._failed.setdefault(token, time.monotonic())
        if time.monotonic() - failed_at < self._settings.find_settle:
            # A restarted server may have made the job before its request was cut off.
            return Observation(
                Phase.PENDING, native_state="LAUNCHING", native_reason=f"the request has {request.status}"
            )
        words = self._sky.error_of(request.request_id)
        hint = Reason.CANCELLED if request.status == "CANCELLED" else Reason.REJECTED
        return Observation(Phase.ENDED, Times(), f"REQUEST {request.status}", words, hint)

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
        row = self._row_of(token)
        if row is None or row.started is None:
            return LogChunk(
                "", cursor, row is not None and is_over(row, time.time(), self._settings.teardown)
            )
        if restart is not None and restart < row.recoveries:
            starts = failed_starts(self._sky.log(row.job_id, controller=True))
            text = of_rank(starts[restart], node) if restart < len(starts) else ""
            gap = "" if restart < len(starts) else NOT_KEPT
            return chunk(without_clocks(text), cursor=cursor, tail=tail, complete=True, gap=gap)
        over = is_over(row, time.time(), self._settings.teardown)
        text = of_rank(self._sky.log(row.job_id), node)
        exists = node < int(handle.data.get("nodes") or row.nodes or 1)
        gap = fault_of(text, nonce(token), node) if over and exists and not is_explained(row) else ""
        return chunk(without_clocks(text), cursor=cursor, tail=tail, complete=over, gap=gap)

    def _row_of(self, token: str) -> QueuedJob | None:
        """The job of a token, as recently seen; an ended job does not change any more."""
        row, at = self._last.get(token, (None, 0.0))
        if row is not None and (row.is_terminal or time.monotonic() - at < self._settings.poll_interval):
            return row
        return self._rows([token]).get(token)

    # Ending.

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """See :class:`Backend`. A launch that has no job yet is cancelled as a request.

        Jobs are identified by name, not by number: another server has other jobs with the same numbers, and a
        cluster that was brought up again counts from 1 again.
        """
        self._doomed.update(handles)
        seen = self._last if self._settings.cluster is None else {}
        ids = {token: seen[token][0].job_id for token in handles if token in seen}
        unknown = [token for token in handles if token not in ids]
        if unknown:
            with suppress(NotUp):
                ids.update(
                    (token, row.job_id) for token, row in self._rows(unknown).items() if not row.is_terminal
                )
        self._sky.cancel(sorted(ids.values()))
        self._sky.cancel_requests(
            [
                handles[token].data["request"]
                for token in unknown
                if token not in ids and handles[token].data.get("request")
            ]
        )

    # Finding.

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`.

        Also finds a launch that the server has accepted and not yet turned into a job.
        """
        none: FindAnswer = Unknown(UNDER_WAY) if self._sky.late.is_under_way(token) else NotSubmitted()
        late = self._sky.late.found(token)
        try:
            try:
                row = self._rows([token]).get(token)
                if row is not None:
                    return Found(_of_row(row))
            except NotUp as error:
                none = Unknown(str(error))
            request = late or self._sky.launches(token).get(token)
        except BackendError as error:
            return Unknown(str(error))
        return none if request is None else Found(_of_request(token, request))

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        prefix = run_prefix(run_id)
        found = {token: _of_request(token, request) for token, request in self._sky.launches(prefix).items()}
        found.update((row.name, _of_row(row)) for row in self._sky.queue(prefix, live=True))
        # Another run may have a longer name with the same beginning.
        return {token: handle for token, handle in found.items() if run_of(token) == run_id}

    def close(self) -> None:
        """See :class:`Backend`."""


def _completed(handle: Handle, row: QueuedJob) -> Handle:
    return handle if handle.job_id is not None else replace(handle, job_id=str(row.job_id))


def _of_row(row: QueuedJob) -> Handle:
    return Handle(str(row.job_id), {"token": row.name, "nodes": row.nodes})


def _of_request(token: str, request: str) -> Handle:
    return Handle(None, {"token": token, "request": request})


def _prefix_of(token: str) -> str:
    """The common beginning of the names of its run's jobs."""
    run_id = run_of(token)
    return token if run_id is None else run_prefix(run_id)
