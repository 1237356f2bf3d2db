"""Reads the logs of a job's ranks, start by start, and finds out whether each is complete."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...model import LogChunk
from ...model import SentinelReport
from ...model.token import nonce
from .. import sentinel
from ..protocol import BackendError
from ..protocol import UnreadableLog
from .api import Api
from .errors import AccessDenied
from .job_detail import JobDetail
from .job_detail import Start
from .job_detail import StreamName
from .links import log_page
from .log_stream import last_bytes
from .log_stream import LogLines
from .log_stream import read_forward
from .log_stream import read_tail
from .mark_search import find_marks
from .mark_search import MAX_SEARCHED_PAGES
from .observe import DescribedJob
from .observe import RankLog

LOG_TOO_LARGE = (
    f"its log is too large: its first and last {MAX_SEARCHED_PAGES} pages have no mark of the sentinel"
)

MAX_CACHED_LOGS = 256
"""Ends of complete logs: after the judgement, the last lines may be needed for display."""


class CloudWatchReader:
    """Reads logs. Thread-safe."""

    def __init__(self, api: Api, group: str, settle: float, now: Callable[[], float] = time.time) -> None:
        """``settle``: seconds after an end in which CloudWatch may lack lines; ``now``: since the epoch."""
        self._api = api
        self._group = group
        self._settle = settle
        self._now = now
        self._cache: dict[str, tuple[LogChunk, RankLog]] = {}
        """The end of a complete log and its evidence, by the id of a job or node that has ended."""
        self._denied: dict[StreamName, str] = {}
        """The messages of denied calls. The same call would be denied again."""
        self._lock = threading.Lock()

    def rank_logs(self, job: DescribedJob) -> dict[int, RankLog]:
        """What the log of each rank of an ended job shows about its end."""
        return {rank: self._rank_log(detail) for rank, detail in job.ranks.items()}

    def read(self, detail: JobDetail, *, restart: int | None, cursor: Any, tail: int | None) -> LogChunk:
        """Read a part of one start's log (``None``: the last start, or from the cursor's on).

        Raises BackendError.
        """
        if restart is None and cursor is None and tail is not None and tail <= sentinel.REPORT_TAIL_BYTES:
            cached = self._cached(detail)
            if cached is not None:
                return replace(cached[0], text=last_bytes(cached[0].text, tail))
        return self._read_start(detail, restart, cursor, tail)

    def _read_start(self, detail: JobDetail, restart: int | None, cursor: Any, tail: int | None) -> LogChunk:
        last = max(0, len(detail.starts) - 1)
        at, token, reported = cursor or [last if restart is None else restart, None, False]
        stream = detail.stream(at, self._group)
        is_final = detail.is_over or at < last
        settled = is_final and self._is_settled(detail, at)
        if stream is None:
            return _without_stream(detail, [at, token, reported], settled=settled, ran=_ran(detail, at))
        lines = self._lines(stream, token, tail)
        if lines.missing:
            gone = bool(lines.text or token)
            gap = _missing(lines, stream, gone=gone) if gone or (settled and _ran(detail, at)) else ""
            return LogChunk(lines.text, [at, lines.token, reported], settled and not gap, gap)
        reported = reported or _report(lines.text[-sentinel.REPORT_TAIL_BYTES :], detail) is not None
        complete = is_final and lines.at_end and (reported or settled)
        if complete and restart is None and at < last:
            return LogChunk(lines.text, [at + 1, None, False], False)
        return LogChunk(lines.text, [at, lines.token, reported], complete)

    def read_stream(self, stream: StreamName, *, cursor: Any, tail: int | None) -> LogChunk:
        """Read a part of a log whose job AWS Batch no longer knows. Raises BackendError."""
        token = cursor[1] if cursor else None
        lines = self._lines(stream, token, tail)
        gap = _missing(lines, stream, gone=bool(lines.text or token)) if lines.missing else ""
        return LogChunk(lines.text, [0, lines.token, False], lines.at_end and not gap, gap)

    def _lines(self, stream: StreamName, token: str | None, tail: int | None) -> LogLines:
        if stream in self._denied:
            raise UnreadableLog(self._denied[stream])
        try:
            if tail is None:
                return read_forward(self._api, stream, token)
            return read_tail(self._api, stream, tail)
        except AccessDenied as error:
            self._denied[stream] = str(error)
            raise UnreadableLog(str(error)) from error

    def page(self, detail: JobDetail, start: int = -1) -> str | None:
        """The console's page of one start's log (the last); ``None`` if there is no log or no console."""
        stream = detail.stream(start % max(1, len(detail.starts)), self._group)
        if stream is None:
            return None
        region = stream.region or self._api.region_of(detail.raw.get("jobArn", ""))
        return log_page(self._api.partition, region, stream.group, stream.name)

    def _rank_log(self, detail: JobDetail) -> RankLog:
        cached = self._cached(detail)
        if cached is not None:
            return cached[1]
        page = self.page(detail)
        try:
            chunk = self.read(detail, restart=None, cursor=None, tail=sentinel.REPORT_TAIL_BYTES)
            found = self._evidence(detail, chunk, page)
        except BackendError as error:
            # The end of the job is known all the same.
            return RankLog(page=page, unread=str(error))
        if chunk.complete:
            with self._lock:
                self._cache[detail.job_id] = chunk, found
                while len(self._cache) > MAX_CACHED_LOGS:
                    del self._cache[next(iter(self._cache))]
        return found

    def _evidence(self, detail: JobDetail, chunk: LogChunk, page: str | None) -> RankLog:
        """What a log shows at its end, or if its end has no report, anywhere. Raises BackendError."""
        report = _report(chunk.text, detail)
        if report is not None or not chunk.complete or not detail.has_sentinel:
            return RankLog(report, chunk.complete, page, unread=chunk.gap)
        stream = detail.stream(len(detail.starts) - 1, self._group)
        if stream is None or not chunk.text:
            return RankLog(None, chunk.complete, page, begun=False)
        marks = find_marks(self._api, stream, nonce(detail.name), detail.rank)
        if marks is None:
            return RankLog(None, chunk.complete, page, unread=LOG_TOO_LARGE)
        return RankLog(marks.report, chunk.complete, page, begun=marks.begun)

    def _cached(self, detail: JobDetail) -> tuple[LogChunk, RankLog] | None:
        with self._lock:
            return self._cache.get(detail.job_id)

    def _is_settled(self, detail: JobDetail, at: int) -> bool:
        """Whether all output of a start must be readable by now; a start that never began has none."""
        start = _start(detail, at)
        if start.started is None and start.stream is None:
            return True
        stopped = start.stopped or detail.stopped
        return stopped is not None and self._now() - stopped >= self._settle


def streams_of(job: DescribedJob, group: str) -> dict[str, list[str]]:
    """The location of each rank's last log, for use when AWS Batch no longer knows the job."""
    found: dict[str, list[str]] = {}
    for rank, detail in job.ranks.items():
        stream = detail.stream(len(detail.starts) - 1, group)
        if stream is not None:
            found[str(rank)] = [stream.group, stream.name, stream.region]
    return found


def _start(detail: JobDetail, at: int) -> Start:
    starts = detail.starts
    return starts[at] if 0 <= at < len(starts) else Start()


def _ran(detail: JobDetail, at: int) -> bool:
    """Whether a start ran, as far as AWS Batch shows: then its sentinel has printed something by its end."""
    return _start(detail, at).started is not None


def _without_stream(detail: JobDetail, cursor: list[Any], *, settled: bool, ran: bool) -> LogChunk:
    if not (settled and ran):
        return LogChunk("", cursor, settled)
    driver = detail.log_configuration.get("logDriver")
    hint = f": its log driver is {driver}" if driver else ""
    return LogChunk("", cursor, gap=f"AWS Batch names no log stream for it{hint}")


def _missing(lines: LogLines, stream: StreamName, *, gone: bool) -> str:
    """Why a log will never be complete if CloudWatch does not have its stream."""
    state = "its log no longer exists" if gone else "its log does not exist"
    return f"{state}: {lines.missing} (stream {stream.name} in group {stream.group})"


def _report(text: str, detail: JobDetail) -> SentinelReport | None:
    """The report in a text; the name of the job is the token that its nonce is derived from."""
    return sentinel.last_report(text, nonce(detail.name), detail.rank)
