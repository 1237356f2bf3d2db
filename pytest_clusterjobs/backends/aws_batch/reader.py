"""The logs of a job's nodes, start by start, and whether each log is complete."""

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
from .api import Api
from .detail import Detail
from .detail import Start
from .detail import StreamName
from .links import log_page
from .logs import last_bytes
from .logs import LogLines
from .logs import read_on
from .logs import read_tail
from .marks import PAGES
from .marks import search
from .observe import DescribedJob
from .observe import Told

TOO_LARGE = (
    f"neither the first nor the last {PAGES} pages of its log have a word of ours, and it is larger than that"
)

KEPT = 256
"""Ends of complete logs that are kept: after the judgement, the last lines may be needed for display."""


class Reader:
    """Reads logs. Thread-safe."""

    def __init__(self, api: Api, group: str, settle: float, now: Callable[[], float] = time.time) -> None:
        """``settle``: seconds after an end in which CloudWatch may lack lines; ``now``: since the epoch."""
        self._api = api
        self._group = group
        self._settle = settle
        self._now = now
        self._ends: dict[str, tuple[LogChunk, Told]] = {}
        """The end of a complete log and its report, by the id of a job or node that has ended."""
        self._lock = threading.Lock()

    def last_words(self, job: DescribedJob) -> dict[int, Told]:
        """What the log of each rank of an ended job reports at its end. Raises BackendError."""
        return {rank: self._last_words(detail) for rank, detail in job.ranks.items()}

    def read(self, detail: Detail, *, restart: int | None, cursor: Any, tail: int | None) -> LogChunk:
        """A piece of one start's log (``None``: the last start, or from the cursor's on).

        Raises BackendError.
        """
        if restart is None and cursor is None and tail is not None and tail <= sentinel.REPORT_TAIL_BYTES:
            kept, _ = self._kept(detail)
            if kept is not None:
                return replace(kept, text=last_bytes(kept.text, tail))
        return self._ask(detail, restart, cursor, tail)

    def _ask(self, detail: Detail, restart: int | None, cursor: Any, tail: int | None) -> LogChunk:
        last = max(0, len(detail.starts) - 1)
        at, token, told = cursor or [last if restart is None else restart, None, False]
        stream = detail.stream(at, self._group)
        settled = (detail.is_over or at < last) and self._is_settled(detail, at)
        if stream is None:
            return _without_stream(detail, [at, token, told], settled=settled, ran=_ran(detail, at))
        piece = self._piece(stream, token, tail)
        if piece.missing:
            gone = bool(piece.text or token)
            gap = _missing(piece, stream, gone=gone) if gone or (settled and _ran(detail, at)) else ""
            return LogChunk(piece.text, [at, piece.token, told], settled and not gap, gap)
        told = told or _report(piece.text[-sentinel.REPORT_TAIL_BYTES :], detail) is not None
        final = detail.is_over or at < last
        complete = final and piece.at_end and (told or settled)
        if complete and restart is None and at < last:
            return LogChunk(piece.text, [at + 1, None, False], False)
        return LogChunk(piece.text, [at, piece.token, told], complete)

    def _piece(self, stream: StreamName, token: str | None, tail: int | None) -> LogLines:
        return read_on(self._api, stream, token) if tail is None else read_tail(self._api, stream, tail)

    def read_stream(self, stream: StreamName, *, cursor: Any, tail: int | None) -> LogChunk:
        """A piece of a log whose job AWS Batch has forgotten. Raises BackendError."""
        token = cursor[1] if cursor else None
        piece = self._piece(stream, token, tail)
        gap = _missing(piece, stream, gone=bool(piece.text or token)) if piece.missing else ""
        return LogChunk(piece.text, [0, piece.token, False], piece.at_end and not gap, gap)

    def page(self, detail: Detail, start: int = -1) -> str | None:
        """The console's page of one start's log (the last); ``None`` if there is no log or no console."""
        stream = detail.stream(start % max(1, len(detail.starts)), self._group)
        if stream is None:
            return None
        region = stream.region or self._api.region_of(detail.raw.get("jobArn", ""))
        return log_page(self._api.partition, region, stream.group, stream.name)

    def _last_words(self, detail: Detail) -> Told:
        _, known = self._kept(detail)
        if known is not None:
            return known
        page = self.page(detail)
        try:
            chunk = self.read(detail, restart=None, cursor=None, tail=sentinel.REPORT_TAIL_BYTES)
            told = self._told(detail, chunk, page)
        except BackendError as error:
            # The job's end is known all the same; a reader of the log asks again.
            return Told(page=page, unread=str(error))
        if chunk.complete:
            self._keep(detail.job_id, chunk, told)
        return told

    def _told(self, detail: Detail, chunk: LogChunk, page: str | None) -> Told:
        """What a log reports at its end, or if that has no report, in all of it. Raises BackendError."""
        report = _report(chunk.text, detail)
        if report is not None or not chunk.complete or not detail.is_ours:
            return Told(report, chunk.complete, page, unread=chunk.gap)
        stream = detail.stream(len(detail.starts) - 1, self._group)
        if stream is None or not chunk.text:
            return Told(None, chunk.complete, page, begun=False)
        marks = search(self._api, stream, _nonce(detail), detail.rank)
        if marks is None:
            return Told(None, chunk.complete, page, unread=TOO_LARGE)
        return Told(marks.report, chunk.complete, page, begun=marks.begun)

    def _kept(self, detail: Detail) -> tuple[LogChunk | None, Told | None]:
        with self._lock:
            return self._ends.get(detail.job_id, (None, None))

    def _keep(self, job_id: str, chunk: LogChunk, told: Told) -> None:
        with self._lock:
            self._ends[job_id] = chunk, told
            while len(self._ends) > KEPT:
                del self._ends[next(iter(self._ends))]

    def _is_settled(self, detail: Detail, at: int) -> bool:
        """Whether everything that a start printed must be readable by now.

        A start that never began prints nothing.
        """
        start = _start(detail, at)
        if start.started is None and start.stream is None:
            return True
        stopped = start.stopped or detail.stopped
        return stopped is not None and self._now() - stopped >= self._settle


def streams_of(job: DescribedJob, group: str) -> dict[str, list[str]]:
    """The locations of each rank's last log, for a handle that outlives AWS Batch's memory."""
    found: dict[str, list[str]] = {}
    for rank, detail in job.ranks.items():
        stream = detail.stream(len(detail.starts) - 1, group)
        if stream is not None:
            found[str(rank)] = [stream.group, stream.name, stream.region]
    return found


def _start(detail: Detail, at: int) -> Start:
    starts = detail.starts
    return starts[at] if 0 <= at < len(starts) else Start()


def _ran(detail: Detail, at: int) -> bool:
    """Whether a start has printed something, as far as AWS Batch shows: a sentinel prints by its end."""
    return _start(detail, at).started is not None


def _without_stream(detail: Detail, cursor: list[Any], *, settled: bool, ran: bool) -> LogChunk:
    if not (settled and ran):
        return LogChunk("", cursor, settled)
    driver = detail.log_driver
    where = f", its log driver is {driver}" if driver else ""
    return LogChunk("", cursor, gap=f"AWS Batch names no log stream of it{where}")


def _missing(piece: LogLines, stream: StreamName, *, gone: bool) -> str:
    """Why a log will never be complete if CloudWatch does not have its stream."""
    what = "its log was there and is gone" if gone else "its log is not there"
    return f"{what}: {piece.missing} (stream {stream.name} in group {stream.group})"


def _report(text: str, detail: Detail) -> SentinelReport | None:
    return sentinel.parse(text, _nonce(detail), detail.rank)


def _nonce(detail: Detail) -> str:
    """The mark of the sentinel's lines: the job's name is its token."""
    return nonce(detail.name)
