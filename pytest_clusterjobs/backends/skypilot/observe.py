"""From a row of the queue and the sentinels' words to one observation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace

from ...jobs import NodeState
from ...jobs import Observation
from ...jobs import Phase
from ...jobs import SentinelReport
from ...jobs import Times
from ...judge.ends import LIMITS
from .sdk import Row
from .states import hint_of
from .states import phase_of
from .states import TORN_DOWN

_CODES = re.compile(r"Job exited with exit codes? (?:(?P<one>[0-9]+)|\[(?P<several>[0-9, ]+)\])")


def is_over(row: Row, now: float, teardown: float) -> bool:
    """Whether a job has come to its end: its state says so, and its cluster is gone or should be (``now`` is of the epoch)."""
    if phase_of(row.status) is not Phase.ENDED:
        return False
    return row.schedule_state in ("", TORN_DOWN) or now - (row.ended or 0.0) >= teardown


def observe_live(row: Row) -> Observation:
    """What the queue says of a job that has not ended, or whose cluster is going down."""
    phase = phase_of(row.status)
    return Observation(
        Phase.RUNNING if phase is Phase.ENDED else phase,
        Times(row.submitted, row.started),
        _state(row),
        row.details or row.failure,
        restarts=row.recoveries,
    )


def observe_end(
    row: Row, reports: Sequence[SentinelReport], *, ranks: int, limit: SentinelReport | None
) -> Observation:
    """How a job ended. ``limit`` is the first word of a sentinel that a limit struck, in whichever start."""
    by_rank = {report.node: report for report in reports if report.node < ranks}
    if limit is not None:
        by_rank[limit.node] = limit
    hint = hint_of(row.status, started=row.started is not None)
    if limit is not None and row.status == "CANCELLED":
        # By us: it was about to begin again, which a limit never leads to.
        hint = None
    words = row.failure or row.details
    if row.schedule_state not in ("", TORN_DOWN):
        words = f"{words}; its cluster was not seen to go down".strip("; ")
    code = _code(row.failure) if ranks == 1 else None
    return Observation(
        Phase.ENDED,
        _in_order(Times(row.submitted, row.started, row.ended)),
        row.status,
        words,
        hint,
        0 if row.status == "SUCCEEDED" else code,
        tuple(_node(rank, by_rank) for rank in sorted(by_rank)),
        row.recoveries,
    )


def first_limit(reports: Sequence[SentinelReport]) -> SentinelReport | None:
    """The first word of a sentinel that a limit struck."""
    return next((report for report in reports if report.word in LIMITS), None)


def _node(rank: int, reports: Mapping[int, SentinelReport]) -> NodeState:
    return NodeState(rank, report=reports[rank])


def _state(row: Row) -> str:
    return row.status if row.schedule_state in ("", "ALIVE") else f"{row.status} ({row.schedule_state})"


def _code(failure: str) -> int | None:
    """The command's code in SkyPilot's words, of a job of one node: of several, it is srun's or Ray's, who killed the others."""
    match = _CODES.search(failure)
    if match is None:
        return None
    return int(match["one"] or match["several"].split(",")[0])


def _in_order(times: Times) -> Times:
    started, ended = times.started, times.ended
    if started is not None and times.submitted is not None:
        started = max(started, times.submitted)
    if ended is not None:
        ended = max(ended, started or ended, times.submitted or ended)
    return replace(times, started=started, ended=ended)
