"""The logs of a job's nodes, start by start, and whether all of a log is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...jobs import LogChunk
from ...jobs.token import nonce
from .. import sentinel
from ..protocol import BackendError
from .api import Api
from .detail import Detail
from .detail import Start
from .detail import Stream
from .links import log_page
from .logs import last_bytes
from .logs import read_on
from .logs import read_tail
from .observe import Job
from .observe import Told

REPORT_TAIL = 16_384
"""Bytes of a log's end in which the sentinel's line is looked for."""

KEPT = 256
"""Ends of complete logs that are kept: whoever asked how a job ended may want to show its last lines."""


class Reader:
    """Reads logs. Any thread may use it."""

    def __init__(self, api: Api, group: str, settle: float, now: Callable[[], float] = time.time) -> None:
        """``settle``: seconds after an end for which CloudWatch may still be missing lines; ``now``: since the epoch."""
        self._api = api
        self._group = group
        self._settle = settle
        self._now = now
        self._ends: dict[str, LogChunk] = {}
        """By the id of a job or node that has ended."""
        self._lock = threading.Lock()

    def last_words(self, job: Job) -> dict[int, Told]:
        """What the log of each rank of an ended job says at its end. Raises BackendError."""
        return {rank: self._last_words(detail) for rank, detail in job.ranks.items()}

    def read(self, detail: Detail, *, restart: int | None, cursor: Any, tail: int | None) -> LogChunk:
        """A piece of one start's log (``None``: the last, or the cursor's and on from there). Raises BackendError."""
        if restart is None and cursor is None and tail is not None and tail <= REPORT_TAIL:
            with self._lock:
                kept = self._ends.get(detail.job_id)
            if kept is not None:
                return replace(kept, text=last_bytes(kept.text, tail))
        return self._ask(detail, restart, cursor, tail)

    def _ask(self, detail: Detail, restart: int | None, cursor: Any, tail: int | None) -> LogChunk:
        last = max(0, len(detail.starts) - 1)
        at, token, told = cursor or [last if restart is None else restart, None, False]
        stream = detail.stream(at, self._group)
        final = detail.is_over or at < last
        if stream is None:
            return LogChunk("", [at, token, told], final and self._is_settled(detail, at))
        piece = read_on(self._api, stream, token) if tail is None else read_tail(self._api, stream, tail)
        told = told or sentinel.parse(piece.text[-REPORT_TAIL:], _nonce(detail)) is not None
        complete = final and piece.at_end and (told or self._is_settled(detail, at))
        if complete and restart is None and at < last:
            return LogChunk(piece.text, [at + 1, None, False], False)
        return LogChunk(piece.text, [at, piece.token, told], complete)

    def read_stream(self, stream: Stream, *, cursor: Any, tail: int | None) -> LogChunk:
        """A piece of a log whose job AWS Batch has forgotten. Raises BackendError."""
        token = cursor[1] if cursor else None
        piece = read_on(self._api, stream, token) if tail is None else read_tail(self._api, stream, tail)
        return LogChunk(piece.text, [0, piece.token, False], piece.at_end)

    def page(self, detail: Detail, start: int = -1) -> str | None:
        """The console's page of one start's log (the last); ``None`` if there is no log, or no console."""
        stream = detail.stream(start % max(1, len(detail.starts)), self._group)
        if stream is None:
            return None
        region = stream.region or self._api.region_of(detail.raw.get("jobArn", ""))
        return log_page(self._api.partition, region, stream.group, stream.name)

    def _last_words(self, detail: Detail) -> Told:
        page = self.page(detail)
        try:
            chunk = self.read(detail, restart=None, cursor=None, tail=REPORT_TAIL)
        except BackendError:
            # Its end is known all the same; whoever needs the log asks again.
            return Told(page=page)
        if chunk.complete:
            self._keep(detail.job_id, chunk)
        return Told(sentinel.parse(chunk.text, _nonce(detail)), chunk.complete, page)

    def _keep(self, job_id: str, chunk: LogChunk) -> None:
        with self._lock:
            self._ends[job_id] = chunk
            while len(self._ends) > KEPT:
                del self._ends[next(iter(self._ends))]

    def _is_settled(self, detail: Detail, at: int) -> bool:
        """Whether whatever a start printed must be there by now. What never began prints nothing."""
        starts = detail.starts
        start = starts[at] if at < len(starts) else Start()
        if start.started is None and start.stream is None:
            return True
        stopped = start.stopped or detail.stopped
        return stopped is not None and self._now() - stopped >= self._settle


def streams_of(job: Job, group: str) -> dict[str, list[str]]:
    """Where the logs of each rank's last start are, for a handle that outlives AWS Batch's memory."""
    found: dict[str, list[str]] = {}
    for rank, detail in job.ranks.items():
        stream = detail.stream(len(detail.starts) - 1, group)
        if stream is not None:
            found[str(rank)] = [stream.group, stream.name, stream.region]
    return found


def _nonce(detail: Detail) -> str:
    """The mark of the sentinel's lines: the job's name is its token."""
    return nonce(detail.name)
