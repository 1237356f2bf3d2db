"""Reads the logs of a job: the reports of its sentinels, and the job's own output."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import replace

from ..backends import sentinel
from ..backends.logs import read_log
from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import BUGS
from ..backends.protocol import UnreadableLog
from ..judge.logs import MAX_LOG_CHARACTERS
from ..model import Handle
from ..model import LogChunk
from ..model import NodeState
from ..model import Observation
from ..model.token import nonce
from .attempt import ActiveAttempt
from .hiding import hidden
from .hiding import Hiding

MARKS_BYTES = 1_024
"""Bytes that are read in addition to an excerpt, since the sentinel's marks do not count."""


class LogReader:
    """The logs of one job's last start. Each rank's log is read once, and only if it is needed."""

    def __init__(
        self,
        backend: Backend,
        handle: Handle | None,
        token: str,
        nodes: int,
        hiding: Hiding | None = None,
    ) -> None:
        self._backend = backend
        self._handle = handle
        self._nonce = nonce(token)
        self._nodes = nodes
        self._hiding = hiding or Hiding()
        self._known: dict[int, NodeState] = {}
        self._whole: dict[int, LogChunk] = {}
        self.missing = False
        """Whether a requested log could not be read, or not to its end."""
        self.error = ""
        """The API's last error, if a read had no usable answer; another try may have one."""

    def know(self, nodes: Iterable[NodeState]) -> None:
        """Note how the ranks ended: a log without the corresponding marks is not complete."""
        self._known.update((node.rank, node) for node in nodes)

    def whole(self, rank: int) -> LogChunk:
        """A rank's output, as complete as the cluster has it, at most :data:`MAX_LOG_CHARACTERS`."""
        if rank not in self._whole:
            self._whole[rank] = self._read_whole(rank)
        return self._whole[rank]

    def tail(self, rank: int, size: int) -> str:
        """The last ``size`` bytes of a rank's output; empty if they cannot be read."""
        if rank in self._whole:
            return self._whole[rank].text[-size:]
        if self._hiding.unknown:
            return ""
        requested = size + MARKS_BYTES + self._hiding.room
        chunk = self._tail(rank, requested)
        return self._printed(chunk, begins=not is_cut(chunk.text, requested))[-size:]

    def with_reports(self, observation: Observation) -> Observation:
        """The observation, with the sentinels' reports from the logs where the backend did not provide them.

        For a rank without a report it states whether the command began, or why that cannot be known.
        """
        known = {node.rank: node for node in observation.nodes}
        nodes = [known.get(rank, NodeState(rank)) for rank in range(self._nodes)]
        nodes = [node if node.report is not None else self._with_report(node) for node in nodes]
        self.know(nodes)
        if tuple(nodes) == observation.nodes:
            return observation
        return hidden(replace(observation, nodes=tuple(nodes)), self._hiding)

    def _with_report(self, node: NodeState) -> NodeState:
        tail = end = self._tail(node.rank, sentinel.REPORT_TAIL_BYTES)
        report = sentinel.read(end.text, self._nonce, node.rank).report
        if report is not None:
            return replace(node, report=report)
        if node.begun is not None:
            return node
        text, begun = "", False
        for chunk in self._pieces(node.rank):
            # A mark may be split across two pieces.
            text = text[-MARKS_BYTES:] + chunk.text
            found = sentinel.read(text, self._nonce, node.rank)
            if found.report is not None:
                # The tail could not be read, or it has grown meanwhile.
                return replace(node, report=found.report)
            begun = begun or bool(found.begun)
            if begun and not tail.gap:
                break
            end = chunk
        if begun:
            return replace(node, begun=True)
        self.missing = self.missing or not end.complete
        return replace(node, begun=False) if end.complete else replace(node, unread=end.gap)

    def _read_whole(self, rank: int) -> LogChunk:
        if self._hiding.unknown:
            self.missing = True
            return LogChunk("", gap=self._hiding.unknown)
        pieces: list[str] = []
        size, last = 0, LogChunk("")
        for chunk in self._pieces(rank):
            pieces.append(chunk.text)
            last, size = chunk, size + len(chunk.text)
            if size > MAX_LOG_CHARACTERS:
                last = LogChunk("", gap=f"it is longer than {MAX_LOG_CHARACTERS} characters")
                break
        text = "".join(pieces)
        gap = last.gap or (self._lost(rank, text) if last.complete else "")
        self.missing = self.missing or not last.complete
        shown = self._printed(replace(last, text=text))[:MAX_LOG_CHARACTERS]
        return LogChunk(shown, complete=last.complete and not gap, gap=self._hiding.hide(gap))

    def _lost(self, rank: int, text: str) -> str:
        """Which part of a complete log is missing, judged by the marks that the sentinel's report implies."""
        report = self._known[rank].report if rank in self._known else None
        if report is None or report.seconds is None:
            return ""
        if report.log_cut:
            return "the node could not write all of it"
        found = sentinel.read(text, self._nonce, rank)
        if report.begun and not found.begun:
            return "its beginning is gone: it was truncated"
        return "" if found.report is not None else "its end is gone"

    def _printed(self, chunk: LogChunk, *, begins: bool = True) -> str:
        printed = sentinel.without_marks(chunk.text, self._nonce)
        return self._hiding.hide(printed, begins=begins, ends=chunk.complete)

    def _tail(self, rank: int, size: int) -> LogChunk:
        if self._handle is None:
            return LogChunk("")
        try:
            chunk = self._backend.logs(self._handle, node=rank, tail=size)
        except BUGS as error:
            chunk = LogChunk("", gap=self._failed(error))
        self.missing = self.missing or not chunk.complete
        return chunk

    def _pieces(self, rank: int) -> Iterator[LogChunk]:
        """A rank's log from its beginning to its current end.

        After a read error the last piece has the reason.
        """
        if self._handle is None:
            return
        try:
            yield from read_log(self._backend.logs, self._handle, node=rank)
        except BUGS as error:
            yield LogChunk("", gap=self._failed(error))

    def _failed(self, error: BaseException) -> str:
        """Note a read that failed. Returns why."""
        if not isinstance(error, UnreadableLog):
            self.error = _cause(error)
        return _cause(error)


def reader_of(backend: Backend, job: ActiveAttempt) -> LogReader:
    """The reader of a job's logs."""
    return LogReader(backend, job.handle, job.token, job.spec.nodes, job.hiding)


def is_cut(tail: str, requested: int) -> bool:
    """Whether a log may begin before its tail of ``requested`` bytes.

    Cut to whole characters, a tail may be shorter.
    """
    return len(tail.encode()) > requested - 4


def _cause(error: BaseException) -> str:
    """Why a log cannot be read. Anything but a BackendError is a bug in the backend, and is included too."""
    return str(error) if isinstance(error, BackendError) else f"the backend raised {error!r:.200}"
