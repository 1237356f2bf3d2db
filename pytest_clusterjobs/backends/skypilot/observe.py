"""From a row of the queue and the sentinels' reports to one observation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from ...model import LIMITS
from ...model import NodeState
from ...model import Observation
from ...model import Phase
from ...model import Reason
from ...model import SentinelReport
from ...model import Times
from .. import sentinel
from .logs import lines
from .logs import rank_of
from .logs import without_others
from .sdk import QueuedJob
from .states import hint_of
from .states import phase_of
from .states import TORN_DOWN

_CODES = re.compile(
    r"Job exited with exit codes? (?:(?P<one>[0-9]{1,3})\b|\[(?P<several>[0-9]{1,3})\b[0-9, ]*\])"
)


_CLOCK = re.compile(
    r"\[clusterjobs (?P<nonce>[0-9a-f]{12}) (?P<what>began|ended) node=(?P<node>[0-9]{1,6}) at=(?P<at>[0-9]{1,12}(?:\.[0-9]{1,9})?)[^]\n]{0,8}\]"
)

SKEW = 60.0
"""Seconds by which a node's clock and the API server's may differ before the server's times are used."""


@dataclass(frozen=True, slots=True)
class RankReports:
    """What the ranks of one start reported, by rank.

    Times are seconds since the epoch, by the nodes' clocks.
    """

    reports: Mapping[int, SentinelReport] = field(default_factory=dict)
    began: Mapping[int, float] = field(default_factory=dict)
    """When its script began: before the command, and before ``setup``."""
    ended: Mapping[int, float] = field(default_factory=dict)
    commands: Mapping[int, bool] = field(default_factory=dict)
    """For a rank without a report: whether its command began, if its log shows that."""
    unread: Mapping[int, str] = field(default_factory=dict)
    """For a rank without a report: why its log does not show that."""


def said(text: str, mark: str, ranks: int) -> RankReports:
    """Read the reports from the log of a finished start; each rank's last report about itself counts."""
    own = {rank: without_others(text, rank) for rank in range(ranks)}
    marks = {rank: sentinel.read(log, mark, rank) for rank, log in own.items()}
    silent = {rank: found for rank, found in marks.items() if found.report is None}
    faults = {rank: fault for rank in silent if (fault := fault_of(own[rank], mark, rank))}
    return RankReports(
        {rank: found.report for rank, found in marks.items() if found.report is not None},
        _clocks(own, mark, "began"),
        _clocks(own, mark, "ended"),
        {rank: found.begun for rank, found in silent.items() if rank not in faults},
        faults,
    )


def fault_of(log: str, mark: str, rank: int) -> str:
    """Why a rank's log of a finished start does not show whether its command began; empty if it does.

    A script that ended reports that. A log with a beginning and no end, or with neither, may have been cut
    off by SkyPilot.
    """
    marks = sentinel.read(log, mark, rank)
    if marks.report is not None or marks.begun or _clocks({rank: log}, mark, "ended"):
        return ""
    if _clocks({rank: log}, mark, "began"):
        return f"SkyPilot's log of rank {rank} breaks off before its command began"
    return f"SkyPilot has no line of rank {rank}: its log is lost, or its script never ran"


def limits_in(text: str, mark: str) -> list[SentinelReport]:
    """The sentinels' reports that a limit struck, each about its own rank, in the order of the log."""
    return [
        report
        for line in lines(text)
        for report in sentinel.all_reports(line, mark)
        if report.word in LIMITS and rank_of(line) in (None, report.node)
    ]


def _clocks(logs: Mapping[int, str], mark: str, what: str) -> dict[int, float]:
    return {
        rank: float(match["at"])
        for rank, log in logs.items()
        for match in _CLOCK.finditer(log)
        if match["nonce"] == mark and match["what"] == what and int(match["node"]) == rank
    }


def without_clocks(text: str) -> str:
    """A log without the lines that this backend has added."""
    return "".join(line for line in lines(text) if not _CLOCK.match(line))


def is_over(row: QueuedJob, now: float, teardown: float) -> bool:
    """Whether a job has ended: its state is terminal, and its cluster is gone or should be.

    ``now`` is in seconds since the epoch.
    """
    if phase_of(row.status) is not Phase.ENDED:
        return False
    return row.schedule_state in ("", TORN_DOWN) or now - (row.ended or 0.0) >= teardown


def is_explained(row: QueuedJob) -> bool:
    """Whether SkyPilot's state of an ended job explains why its ranks may lack a report."""
    return hint_of(row.status, started=row.started is not None) not in (None, Reason.UNKNOWN)


def observe_live(row: QueuedJob) -> Observation:
    """The queue's view of a job that has not ended."""
    return Observation(
        phase_of(row.status),
        Times(row.submitted, row.started),
        _state(row),
        row.details or row.failure,
        restarts=row.recoveries,
    )


def observe_end(
    row: QueuedJob, words: RankReports, *, ranks: int, limit: SentinelReport | None
) -> Observation:
    """How a job ended. ``limit`` is the first report of a sentinel that a limit struck, in any start."""
    by_rank = {rank: report for rank, report in words.reports.items() if rank < ranks}
    if limit is not None:
        by_rank[limit.node] = limit
    hint = hint_of(row.status, started=row.started is not None)
    if limit is not None and row.status == "CANCELLED":
        # Cancelled by this run: it was about to begin again, which never follows a limit.
        hint = None
    unread = {} if is_explained(row) else words.unread
    why = row.failure or row.details
    if row.schedule_state not in ("", TORN_DOWN):
        why = f"{why}; its cluster was not seen to go down".strip("; ")
    code = _code(row.failure) if ranks == 1 else None
    return Observation(
        Phase.ENDED,
        _times(row, words, ranks).in_order(),
        row.status,
        why,
        hint,
        0 if row.status == "SUCCEEDED" else code,
        tuple(
            NodeState(
                rank,
                report=by_rank.get(rank),
                ended=words.ended.get(rank),
                begun=None if rank in by_rank else words.commands.get(rank),
                unread="" if rank in by_rank else unread.get(rank, ""),
            )
            for rank in sorted({*by_rank, *words.commands, *unread})
        ),
        row.recoveries,
        log_complete=not unread,
    )


def first_limit(reports: Iterable[SentinelReport]) -> SentinelReport | None:
    """The first report of a sentinel that a limit struck."""
    return next((report for report in reports if report.word in LIMITS), None)


def _times(row: QueuedJob, words: RankReports, ranks: int) -> Times:
    """By the nodes' clocks if every rank reports; only SkyPilot knows the first of several starts."""
    started, ended = row.started, row.ended
    if len(words.began) >= ranks and not row.recoveries:
        started = _near(min(words.began.values()), started)
    if len(words.ended) >= ranks:
        ended = _near(max(words.ended.values()), ended)
    return Times(row.submitted, started, ended)


def _near(moment: float, known: float | None) -> float | None:
    return moment if known is not None and abs(moment - known) < SKEW else known


def _state(row: QueuedJob) -> str:
    return row.status if row.schedule_state in ("", "ALIVE") else f"{row.status} ({row.schedule_state})"


def _code(failure: str) -> int | None:
    """The command's code in SkyPilot's text, for a job of one node.

    For several nodes it is the code of srun or Ray, which killed the other ranks.
    """
    match = _CODES.search(failure)
    if match is None:
        return None
    return int(match["one"] or match["several"])
