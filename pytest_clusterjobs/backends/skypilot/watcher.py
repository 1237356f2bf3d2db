"""Observes a job: its row in the queue, completed by its logs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from typing import Any

from ...model import Handle
from ...model import Observation
from ...model import SentinelReport
from ...model import SentinelWord
from ...model.token import nonce
from ..protocol import BackendError
from .observe import first_limit
from .observe import is_over
from .observe import limits_in
from .observe import observe_end
from .observe import observe_live
from .observe import RankReports
from .observe import read_reports
from .records import QueuedJob
from .sdk import Sky


@dataclass(frozen=True, slots=True)
class WatchedJob:
    """A job, its handle and its row in the queue."""

    token: str
    handle: Handle
    row: QueuedJob

    @property
    def nonce(self) -> str:
        """The nonce of its sentinels' marks."""
        return nonce(self.token)

    @property
    def ranks(self) -> int:
        """How many nodes it has."""
        return int(self.handle.data.get("nodes") or self.row.nodes or 1)

    @property
    def may_restart(self) -> bool:
        """Whether SkyPilot restarts it when it fails."""
        return bool(self.handle.data.get("restarts", 1))

    @property
    def failed_starts(self) -> int:
        """How many starts have ended before the current or the next one."""
        return self.row.recoveries + (self.row.status == "RECOVERING")

    @property
    def limit(self) -> SentinelReport | None:
        """The report of a limit that an earlier start reached, if it is known."""
        stored = self.handle.data.get("limit")
        return None if stored is None else _report(stored)


class Watcher:
    """Reads a job's logs when they matter: at its end, and when it is about to start again."""

    def __init__(self, sky: Sky, teardown: float) -> None:
        self._sky = sky
        self._teardown = teardown
        self._unreadable_since: dict[str, float] = {}
        """When the log of an ended job was first found unreadable, in monotonic seconds, by token."""

    def observe(self, job: WatchedJob) -> Observation | None:
        """The observation of a job; ``None`` if its log is unreadable now, or its cluster not down yet.

        Such a job no longer runs, so that limits of running jobs must not apply to it.
        """
        if not job.row.is_terminal:
            return self._observe_live(job)
        if not is_over(job.row, time.time(), self._teardown):
            return None
        try:
            reports = self._reports(job)
            limit = job.limit or self._earlier_limit(job) or first_limit(reports.reports.values())
        except BackendError as error:
            since = self._unreadable_since.setdefault(job.token, time.monotonic())
            if time.monotonic() - since < self._teardown:
                return None
            # Its log is no longer available.
            unread = dict.fromkeys(range(job.ranks), f"SkyPilot does not return its log: {error}")
            end = observe_end(job.row, RankReports(unread=unread), ranks=job.ranks, limit=job.limit)
            return replace(end, handle=job.handle, log_complete=False)
        return replace(observe_end(job.row, reports, ranks=job.ranks, limit=limit), handle=job.handle)

    def _observe_live(self, job: WatchedJob) -> Observation:
        """Observe a job that has not ended.

        SkyPilot treats a limit as a failure and starts the job again. Such a job is cancelled.
        """
        handle = job.handle
        if job.may_restart and job.failed_starts > handle.data.get("looked", 0):
            try:
                limit = job.limit or self._earlier_limit(job)
            except BackendError:
                # The log is read at the next poll.
                return replace(observe_live(job.row), handle=handle)
            handle = replace(handle, data={**handle.data, "looked": job.failed_starts})
            if limit is not None:
                handle = replace(handle, data={**handle.data, "limit": asdict(limit)})
                self._sky.cancel([job.row.job_id])
        return replace(observe_live(job.row), handle=handle)

    def _reports(self, job: WatchedJob) -> RankReports:
        """What the ranks of the last start reported about themselves."""
        if job.row.started is None:
            return RankReports()
        return read_reports(self._sky.log(job.row.job_id, only=job.nonce), job.nonce, job.ranks)

    def _earlier_limit(self, job: WatchedJob) -> SentinelReport | None:
        """The report of a limit that a start before the last one reached, from the controller's log."""
        if not job.may_restart or not (job.failed_starts or job.row.status == "CANCELLED"):
            return None
        log = self._sky.log(job.row.job_id, controller=True, only=job.nonce)
        return first_limit(limits_in(log, job.nonce))


_FIELDS = frozenset(each.name for each in fields(SentinelReport))


def _report(stored: Mapping[str, Any]) -> SentinelReport:
    """A report from a handle, which another version may have written.

    If ``begun`` is missing, it is unknown whether the command began.
    """
    known = {name: value for name, value in stored.items() if name in _FIELDS}
    return SentinelReport(**{"begun": None, **known, "word": SentinelWord(stored["word"])})
