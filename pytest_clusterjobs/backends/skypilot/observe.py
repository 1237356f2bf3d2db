"""Turns a row of the queue and the sentinels' reports into one observation."""

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
from .records import QueuedJob
from .states import hint_of
from .states import phase_of
from .states import TORN_DOWN

_CODES = re.compile(
    r"Job exited with exit codes? (?:(?P<one>[0-9]{1,3})\b|\[(?P<several>[0-9]{1,3})\b[0-9, ]*\])"
)


_TIME_MARK = re.compile(
    r"\[clusterjobs (?P<nonce>[0-9a-f]{12}) (?P<what>began|ended) node=(?P<node>[0-9]{1,6}) at=(?P<at>[0-9]{1,12}(?:\.[0-9]{1,9})?)[^]\n]{0,8}\]"
)

MAX_CLOCK_SKEW_SECONDS = 60.0
"""If a node's clock and the API server's differ by more, the server's times are used."""


@dataclass(frozen=True, slots=True)
class RankReports:
    """What the log of each rank of one start shows.

    Times are seconds since the epoch, by the nodes' clocks.
    """

    reports: Mapping[int, SentinelReport] = field(default_factory=dict)
    started: Mapping[int, float] = field(default_factory=dict)
    """When the rank's script began, which is before ``setup``."""
    ended: Mapping[int, float] = field(default_factory=dict)
    begun: Mapping[int, bool] = field(default_factory=dict)
    """For a rank without a report: whether its command began, if its log shows that."""
    unread: Mapping[int, str] = field(default_factory=dict)
    """For a rank without a report: why its log does not show that."""


def read_reports(text: str, nonce: str, ranks: int) -> RankReports:
    """Read the log of a start that has ended; each rank's last report about itself counts."""
    own = {rank: without_others(text, rank) for rank in range(ranks)}
    marks = {rank: sentinel.read(log, nonce, rank) for rank, log in own.items()}
    without_report = {rank: found for rank, found in marks.items() if found.report is None}
    unread = {
        rank: cause for rank in without_report if (cause := missing_report_cause(own[rank], nonce, rank))
    }
    return RankReports(
        {rank: found.report for rank, found in marks.items() if found.report is not None},
        _node_times(own, nonce, "began"),
        _node_times(own, nonce, "ended"),
        {rank: found.begun for rank, found in without_report.items() if rank not in unread},
        unread,
    )


def missing_report_cause(log: str, nonce: str, rank: int) -> str:
    """Why a rank's log does not show whether its command began; empty if it does. The start has ended.

    A script prints when it begins and ends. A log without its end may have been cut off by SkyPilot.
    """
    marks = sentinel.read(log, nonce, rank)
    if marks.report is not None or marks.begun or _node_times({rank: log}, nonce, "ended"):
        return ""
    if _node_times({rank: log}, nonce, "began"):
        return f"SkyPilot's log of rank {rank} ends before its command began"
    return f"SkyPilot's log has no line of rank {rank}: the log is lost, or the rank's script never ran"


def limits_in(text: str, nonce: str) -> list[SentinelReport]:
    """The sentinels' reports that a limit was reached, each about its own rank, in the order of the log."""
    return [
        report
        for line in lines(text)
        for report in sentinel.all_reports(line, nonce)
        if report.word in LIMITS and rank_of(line) in (None, report.node)
    ]


def _node_times(logs: Mapping[int, str], nonce: str, what: str) -> dict[int, float]:
    return {
        rank: float(match["at"])
        for rank, log in logs.items()
        for match in _TIME_MARK.finditer(log)
        if match["nonce"] == nonce and match["what"] == what and int(match["node"]) == rank
    }


def without_time_marks(text: str) -> str:
    """A log without the lines in which this backend's script prints the time."""
    return "".join(line for line in lines(text) if not _TIME_MARK.match(line))


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
    """The observation of a job that has not ended."""
    return Observation(
        phase_of(row.status),
        Times(row.submitted, row.started),
        _state(row),
        row.details or row.failure,
        restarts=row.recoveries,
    )


def observe_end(
    row: QueuedJob, reports: RankReports, *, ranks: int, limit: SentinelReport | None
) -> Observation:
    """The observation of a job that has ended; ``limit`` is the first limit that any start reached."""
    by_rank = {rank: report for rank, report in reports.reports.items() if rank < ranks}
    if limit is not None:
        by_rank[limit.node] = limit
    hint = hint_of(row.status, started=row.started is not None)
    if limit is not None and row.status == "CANCELLED":
        # This run cancelled it, because it was about to start again after the limit.
        hint = None
    unread = {} if is_explained(row) else reports.unread
    native_reason = row.failure or row.details
    if row.schedule_state not in ("", TORN_DOWN):
        native_reason = f"{native_reason}; its cluster was not seen to go down".strip("; ")
    code = _code(row.failure) if ranks == 1 else None
    return Observation(
        Phase.ENDED,
        _times(row, reports, ranks).in_order(),
        row.status,
        native_reason,
        hint,
        0 if row.status == "SUCCEEDED" else code,
        tuple(
            NodeState(
                rank,
                report=by_rank.get(rank),
                ended=reports.ended.get(rank),
                begun=None if rank in by_rank else reports.begun.get(rank),
                unread="" if rank in by_rank else unread.get(rank, ""),
            )
            for rank in sorted({*by_rank, *reports.begun, *unread})
        ),
        row.recoveries,
        log_complete=not unread,
    )


def first_limit(reports: Iterable[SentinelReport]) -> SentinelReport | None:
    """The first report of a reached limit."""
    return next((report for report in reports if report.word in LIMITS), None)


def _times(row: QueuedJob, reports: RankReports, ranks: int) -> Times:
    """The nodes' times if every rank has printed them, else SkyPilot's.

    The logs do not show the first of several starts.
    """
    started, ended = row.started, row.ended
    if len(reports.started) >= ranks and not row.recoveries:
        started = _near(min(reports.started.values()), started)
    if len(reports.ended) >= ranks:
        ended = _near(max(reports.ended.values()), ended)
    return Times(row.submitted, started, ended)


def _near(moment: float, known: float | None) -> float | None:
    return moment if known is not None and abs(moment - known) < MAX_CLOCK_SKEW_SECONDS else known


def _state(row: QueuedJob) -> str:
    return row.status if row.schedule_state in ("", "ALIVE") else f"{row.status} ({row.schedule_state})"


def _code(failure: str) -> int | None:
    """The command's exit code in SkyPilot's text, for a job of one node.

    With several nodes it is the code of srun or Ray, which killed the other ranks.
    """
    match = _CODES.search(failure)
    if match is None:
        return None
    return int(match["one"] or match["several"])
