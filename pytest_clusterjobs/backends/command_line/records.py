"""The files that a job's batch script and its ranks have left in the job's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from ...model import NodeState
from ...model import SentinelWord
from ..logfile import read_tail
from ..rank_report import read_report
from .job_folder import JobFolder
from .launcher_output import LauncherOutput


@dataclass(frozen=True, slots=True)
class FinalRecord:
    """The final record of a batch script."""

    code: int
    how: str
    """``itself``, ``stopped`` (it received TERM), ``over`` (begun more often than allowed) or ``broken``."""
    at: float
    """Seconds since the epoch, by the clock of the file system."""


@dataclass(frozen=True, slots=True)
class EndRecord:
    """The content of the folder. All of it may be late if the file system is slow."""

    names: frozenset[str]
    """All names in the folder."""
    owner: str | None
    """The id of the scheduler's job that has the token."""
    starts: tuple[float, ...]
    """When each start began, in seconds since the epoch, by the clock of the file system."""
    ended: FinalRecord | None

    @property
    def restarts(self) -> int:
        """How often it was restarted."""
        return max(0, len(self.starts) - 1)

    @property
    def has_ended(self) -> bool:
        """Whether the batch script reached its end. A stopped one may have been stopped to be requeued."""
        return self.ended is not None and self.ended.how != "stopped"


def read_record(folder: JobFolder) -> EndRecord:
    """Read the folder; a missing folder gives an empty record."""
    names = _names(folder.path)
    starts: list[float | None] = []
    while folder.start(len(starts)).name in names:
        starts.append(modification_time(folder.start(len(starts))))
    return EndRecord(
        names=names,
        owner=(_text(folder.owner).strip() or None) if folder.owner.name in names else None,
        starts=tuple(moment for moment in starts if moment is not None),
        ended=_ended(folder.ended) if folder.ended.name in names else None,
    )


def nodes_of(
    folder: JobFolder, token: str, ranks: int, record: EndRecord, launcher: LauncherOutput
) -> tuple[NodeState, ...]:
    """How each rank of the last start ended: by its log, or without a report by what its parent saw."""
    hosts = _text(folder.hosts).split()
    logs = {rank: folder.log(rank, record.restarts) for rank in range(ranks)}
    nodes = [
        _node(log, token, rank, record.restarts, hosts[rank] if rank < len(hosts) else None)
        for rank, log in logs.items()
        if log.name in record.names
    ]
    if folder.dismissed(record.restarts).name in record.names:
        nodes = [_dismissed(node) for node in nodes]
    if all(node.report is not None for node in nodes):
        return tuple(nodes)
    return tuple(_with_codes(nodes, _exit_codes(ranks, record, launcher), record))


def _dismissed(node: NodeState) -> NodeState:
    """A rank that was stopped because the main rank had ended well, if it was stopped at all."""
    stopped = node.report is not None and node.report.word is SentinelWord.STOPPED
    return replace(node, stopped_by_cluster=stopped)


def _with_codes(nodes: list[NodeState], codes: Mapping[int, int], record: EndRecord) -> list[NodeState]:
    """Add the codes of ranks without a report; each ended no later than the ranks seen to end after it."""
    by_rank = {node.rank: node for node in nodes}
    latest = record.ended.at if record.ended is not None else None
    for rank in reversed([rank for rank in codes if rank in by_rank]):
        node = by_rank[rank]
        if node.report is None:
            by_rank[rank] = replace(node, exit_code=codes[rank], ended=latest)
        elif node.ended is not None:
            latest = node.ended if latest is None else min(latest, node.ended)
    return list(by_rank.values())


def _exit_codes(ranks: int, record: EndRecord, launcher: LauncherOutput) -> Mapping[int, int]:
    """The codes of ranks as seen by the batch script or the launcher, in the order of their ends."""
    if ranks == 1 and record.ended is not None and record.ended.how in ("itself", "stopped"):
        return {0: record.ended.code}
    return launcher.exit_codes


def _node(log: Path, token: str, rank: int, restart: int, host: str | None) -> NodeState:
    report = read_report(log, token, rank)
    if report is not None and report.restarts != restart:
        report = None
    return NodeState(
        rank=rank,
        ended=modification_time(log) if report is not None else None,
        report=report,
        host=host,
        log=str(log),
    )


def _ended(path: Path) -> FinalRecord | None:
    """The final record, once it is complete."""
    text = _text(path)
    code, _, how = text.strip().partition(" ")
    if not (text.endswith("\n") and code.isdecimal()):
        return None
    return FinalRecord(int(code), how, modification_time(path) or 0.0)


def _names(path: Path) -> frozenset[str]:
    """The names in a folder. Opening it makes NFS look again, which a stat of a missing file does not."""
    try:
        return frozenset(os.listdir(path))
    except OSError:
        return frozenset()


def _text(path: Path, size: int = 1 << 20) -> str:
    return read_tail(path, size).decode(errors="replace")


def modification_time(path: Path) -> float | None:
    """When a file was last written (epoch seconds, by the clock of the file system); ``None`` without one."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
