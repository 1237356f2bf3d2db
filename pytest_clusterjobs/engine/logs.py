"""Reading the logs of a job: the reports of its sentinels in them, and what the job itself printed."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import replace

from ..backends import sentinel
from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import BUGS
from ..judge.logs import MAX_CHARACTERS
from ..model import Handle
from ..model import LogChunk
from ..model import NodeState
from ..model import Observation
from ..model.token import nonce
from .hiding import hidden
from .hiding import Hiding

REPORT_TAIL = 16_384
"""Bytes of a log's end in which the sentinel's line is looked for."""

MARK_ROOM = 1_024
"""Bytes that are read on top of an excerpt, since marks do not count."""


class LogReader:
    """The logs of one job's last start: read once a rank, and never for nothing."""

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
        """Whether something that was asked for could not be read, or not to its end."""

    def know(self, nodes: Iterable[NodeState]) -> None:
        """Take in how the ranks ended: a log without the marks that go with it is not complete."""
        self._known.update((node.rank, node) for node in nodes)

    def whole(self, rank: int) -> LogChunk:
        """What a rank printed, as complete as the cluster has it, in :data:`MAX_CHARACTERS` at most."""
        if rank not in self._whole:
            self._whole[rank] = self._read_whole(rank)
        return self._whole[rank]

    def tail(self, rank: int, size: int) -> str:
        """The last ``size`` bytes of what a rank printed; empty if they cannot be read."""
        if rank in self._whole:
            return self._whole[rank].text[-size:]
        if self._hiding.unknown:
            return ""
        asked = size + MARK_ROOM + self._hiding.room
        chunk = self._tail(rank, asked)
        return self._printed(chunk, begins=not is_cut(chunk.text, asked))[-size:]

    def with_reports(self, observation: Observation) -> Observation:
        """The observation, with the reports of the sentinels read from the logs where the backend did not give them.

        Of a rank that left none it says whether its command began, and why that cannot be known.
        """
        known = {node.rank: node for node in observation.nodes}
        nodes = [known.get(rank, NodeState(rank)) for rank in range(self._nodes)]
        nodes = [node if node.report is not None else self._with_report(node) for node in nodes]
        self.know(nodes)
        if tuple(nodes) == observation.nodes:
            return observation
        return hidden(replace(observation, nodes=tuple(nodes)), self._hiding)

    def _with_report(self, node: NodeState) -> NodeState:
        end = self._tail(node.rank, REPORT_TAIL)
        report = sentinel.read(end.text, self._nonce, node.rank).report
        if report is not None:
            return replace(node, report=report)
        if node.begun is not None:
            return node
        text = ""
        for chunk in self._pieces(node.rank):
            # A mark may lie across two pieces.
            text = text[-MARK_ROOM:] + chunk.text
            if sentinel.read(text, self._nonce, node.rank).begun:
                return replace(node, begun=True)
            end = chunk
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
            if size > MAX_CHARACTERS:
                last = LogChunk("", gap=f"it is longer than {MAX_CHARACTERS} characters")
                break
        text = "".join(pieces)
        gap = last.gap or (self._lost(rank, text) if last.complete else "")
        self.missing = self.missing or not last.complete
        shown = self._printed(replace(last, text=text))[:MAX_CHARACTERS]
        return LogChunk(shown, complete=last.complete and not gap, gap=self._hiding.hide(gap))

    def _lost(self, rank: int, text: str) -> str:
        """What a complete log lacks of the marks that a sentinel has left in it, as its report tells."""
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
            chunk = LogChunk("", gap=_cause(error))
        self.missing = self.missing or not chunk.complete
        return chunk

    def _pieces(self, rank: int) -> Iterator[LogChunk]:
        """A rank's log from its beginning to where it goes now; one that cannot be read ends with why."""
        cursor = None
        while self._handle is not None:
            try:
                chunk = self._backend.logs(self._handle, node=rank, cursor=cursor)
            except BUGS as error:
                yield LogChunk("", gap=_cause(error))
                return
            yield chunk
            if chunk.complete or not chunk.text or chunk.cursor in (None, cursor):
                return
            cursor = chunk.cursor


def is_cut(tail: str, asked: int) -> bool:
    """Whether a log may begin before its tail, for which ``asked`` bytes were wanted; whole characters are fewer."""
    return len(tail.encode()) > asked - 4


def _cause(error: BaseException) -> str:
    """Why a log cannot be read. Anything but a BackendError is a bug of the backend, and is said as well."""
    return str(error) if isinstance(error, BackendError) else f"the backend raised {error!r:.200}"
