"""A backend on which every job ends at once with 0: the cost of everything but the jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..backends.protocol import BackendContext
from ..backends.protocol import BackendType
from ..backends.protocol import Capabilities
from ..backends.protocol import FindAnswer
from ..backends.protocol import Found
from ..backends.protocol import NotSubmitted
from ..model import Handle
from ..model import JobSpec
from ..model import LogChunk
from ..model import NodeState
from ..model import Observation
from ..model import Phase
from ..model import SentinelReport
from ..model import SentinelWord
from ..model import Times

_CAPABILITIES = Capabilities(ids_per_poll=100_000, submit_threads=1, min_poll_interval=0.0)
_EMPTY = LogChunk("", complete=True)


class NoopBackend:
    """Every job ends with 0 on every node as soon as it is submitted, and prints nothing."""

    def __init__(self) -> None:
        self.submitted: dict[str, Handle] = {}
        """Every handle that was returned, by token."""

    @property
    def capabilities(self) -> Capabilities:
        """No limits."""
        return _CAPABILITIES

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """Record the token."""
        handle = Handle(token, _data(spec.nodes, round(time.time(), 1)))
        return self.submitted.setdefault(token, handle)

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """Every job has ended."""
        return {token: _ended(handle.data["nodes"], handle.data["at"]) for token, handle in handles.items()}

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """Nothing is left to cancel."""

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """Nothing was printed."""
        return _EMPTY

    def find(self, token: str) -> FindAnswer:
        """Whether this object was given the token."""
        handle = self.submitted.get(token)
        return NotSubmitted() if handle is None else Found(handle)

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """No job is live."""
        return {}

    def close(self) -> None:
        """Do nothing."""


@lru_cache(maxsize=256)
def _report(rank: int) -> SentinelReport:
    return SentinelReport(SentinelWord.EXITED, rank, 0)


@lru_cache(maxsize=64)
def _nodes(count: int) -> tuple[NodeState, ...]:
    return tuple(NodeState(rank, 0, report=_report(rank)) for rank in range(count))


# Jobs within one tenth of a second share their observations: at 10,000 jobs the objects are the cost.
@lru_cache(maxsize=1024)
def _data(nodes: int, at: float) -> Mapping[str, float]:
    return {"nodes": nodes, "at": at}


@lru_cache(maxsize=1024)
def _ended(nodes: int, at: float) -> Observation:
    return Observation(Phase.ENDED, Times(at, at, at), "ENDED", "", None, 0, _nodes(nodes))


def _open(context: BackendContext) -> NoopBackend:
    return NoopBackend()


NOOP = BackendType("noop", _open)
"""The type of :class:`NoopBackend`, to measure the cost of everything but the jobs."""
