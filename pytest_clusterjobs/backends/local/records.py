"""What is known of each job: a fold over the journal's events, the same in the runner and in its readers."""

from __future__ import annotations

import os
from dataclasses import astuple
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.parse import unquote_to_bytes

from ...model import Handle
from ...model import NodeState
from ...model import Observation
from ...model import Phase
from ...model import Reason
from ...model import SentinelReport
from ...model import SentinelWord
from ...model import Times
from ...model.paths import legible
from .runner_paths import RunnerPaths

QUEUED = "QUEUED"
RUNNING = "RUNNING"
STOPPING = "STOPPING"
ENDED = "ENDED"
CANCELLED = "CANCELLED"
NODE_FAILED = "NODE_FAILED"

_PHASES = {QUEUED: Phase.PENDING, RUNNING: Phase.RUNNING, STOPPING: Phase.RUNNING}
_HINTS = {CANCELLED: Reason.CANCELLED, NODE_FAILED: Reason.NODE_FAILED}

Event = dict[str, Any]
"""One line of the journal: ``e`` is the kind of event, ``at`` its time (seconds since the epoch)."""


@dataclass(slots=True)
class RankRecord:
    """One rank of the last start."""

    pid: int
    code: int | None = None
    ended: float | None = None
    report: list[Any] | None = None
    """A sentinel's report as a list, in the order of its fields."""
    stopped: bool = False
    """Stopped because the main node had ended cleanly."""


@dataclass(slots=True)
class JobRecord:
    """One job."""

    token: str
    number: int
    name: str
    width: int
    submitted: float
    state: str = QUEUED
    why: str = "waiting for slots"
    started: float | None = None
    ended: float | None = None
    restarts: int = 0
    code: int | None = None
    cancelled: bool = False
    nodes: list[RankRecord] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.ended is not None


def apply(records: dict[str, JobRecord], event: Event) -> None:
    """Fold one event into the records; ignores events of unknown jobs or kinds."""
    kind = event.get("e")
    if kind == "submit":
        token = event["token"]
        records.setdefault(
            token, JobRecord(token, len(records) + 1, event["name"], event["nodes"], event["at"])
        )
        return
    record = records.get(event.get("token", ""))
    if record is not None and kind in _FOLDS:
        _FOLDS[kind](record, event)


def _start(record: JobRecord, event: Event) -> None:
    record.state = RUNNING
    record.why = "" if event["restarts"] == 0 else f"restarted, {event['restarts']} so far"
    record.restarts = event["restarts"]
    record.started = record.started if record.started is not None else event["at"]
    record.nodes = [RankRecord(pid) for pid in event["pids"]]


def _node(record: JobRecord, event: Event) -> None:
    node = record.nodes[event["rank"]]
    node.code = event["code"]
    node.ended = event["at"]
    node.report = event["report"]
    node.stopped = event.get("stopped", False)


def _stop(record: JobRecord, event: Event) -> None:
    record.state = STOPPING if record.nodes else record.state
    record.why = event["why"]
    record.cancelled = record.cancelled or event.get("cancel", False)


def _end(record: JobRecord, event: Event) -> None:
    record.state = event["state"]
    record.why = event["why"]
    record.code = event["code"]
    record.ended = event["at"]


_FOLDS = {"start": _start, "node": _node, "stop": _stop, "end": _end}


def packed(report: SentinelReport | None) -> list[Any] | None:
    """A report as the journal keeps it."""
    if report is None:
        return None
    return list(astuple(report))


def unpacked(report: list[Any] | None) -> SentinelReport | None:
    """The opposite of :func:`packed`."""
    if report is None:
        return None
    word, *rest = report
    return SentinelReport(SentinelWord(word), *rest)


def to_wire(record: JobRecord) -> list[Any]:
    """A record as JSON, by position."""
    values = [getattr(record, name) for name in _FIELDS]
    return [*values, [[node.pid, node.code, node.ended, node.report, node.stopped] for node in record.nodes]]


def from_wire(values: list[Any]) -> JobRecord:
    """The opposite of :func:`to_wire`."""
    *plain, nodes = values
    record = JobRecord(**dict(zip(_FIELDS, plain, strict=True)))
    record.nodes = [RankRecord(*node) for node in nodes]
    return record


_FIELDS = tuple(name for name in JobRecord.__slots__ if name != "nodes")


def observe(record: JobRecord, paths: RunnerPaths) -> Observation:
    """A record as an observation."""
    return Observation(
        phase=Phase.ENDED if record.has_ended else _PHASES[record.state],
        times=Times(record.submitted, record.started, record.ended),
        native_state=record.state,
        native_reason=record.why,
        reason_hint=_HINTS.get(record.state),
        exit_code=record.code,
        nodes=tuple(
            NodeState(
                rank,
                node.code,
                node.ended,
                unpacked(node.report),
                stopped_by_cluster=node.stopped,
                host="localhost",
                log=legible(paths.log(record.token, rank, record.restarts)),
            )
            for rank, node in enumerate(record.nodes)
        ),
        restarts=record.restarts,
    )


def handle(number: int, token: str, paths: RunnerPaths) -> Handle:
    """The handle that a client returns for a job; JSON text cannot represent every folder as it is."""
    return Handle(str(number), {"folder": quote(os.fsencode(paths.folder)), "token": token})


def folder_of(handle: Handle) -> Path:
    """Where the runner of a handle's job lives."""
    return Path(os.fsdecode(unquote_to_bytes(handle.data["folder"])))
