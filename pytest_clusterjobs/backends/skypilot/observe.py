"""From a row of the queue and the sentinels' words to one observation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from ...jobs import NodeState
from ...jobs import Observation
from ...jobs import Phase
from ...jobs import SentinelReport
from ...jobs import Times
from ...judge.ends import LIMITS
from .. import sentinel
from .logs import lines
from .sdk import Row
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
"""Seconds by which a node's clock and the API server's may differ before the latter's times are taken."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the ranks of one start said of themselves, by rank. Times are seconds since the epoch, by the nodes' clocks."""

    reports: Mapping[int, SentinelReport] = field(default_factory=dict)
    began: Mapping[int, float] = field(default_factory=dict)
    ended: Mapping[int, float] = field(default_factory=dict)


def said(text: str, mark: str) -> Said:
    """Read it out of a log; the last word of each rank counts."""
    clocks = [match for match in _CLOCK.finditer(text) if match["nonce"] == mark]
    return Said(
        {report.node: report for report in sentinel.parse_all(text, mark)},
        {int(match["node"]): float(match["at"]) for match in clocks if match["what"] == "began"},
        {int(match["node"]): float(match["at"]) for match in clocks if match["what"] == "ended"},
    )


def without_clocks(text: str) -> str:
    """A log without the lines that only this backend has put there."""
    return "".join(line for line in lines(text) if not _CLOCK.match(line))


def is_over(row: Row, now: float, teardown: float) -> bool:
    """Whether a job has come to its end: its state says so, and its cluster is gone or should be (``now`` is of the epoch)."""
    if phase_of(row.status) is not Phase.ENDED:
        return False
    return row.schedule_state in ("", TORN_DOWN) or now - (row.ended or 0.0) >= teardown


def observe_live(row: Row) -> Observation:
    """What the queue says of a job that has not ended."""
    return Observation(
        phase_of(row.status),
        Times(row.submitted, row.started),
        _state(row),
        row.details or row.failure,
        restarts=row.recoveries,
    )


def observe_end(row: Row, words: Said, *, ranks: int, limit: SentinelReport | None) -> Observation:
    """How a job ended. ``limit`` is the first word of a sentinel that a limit struck, in whichever start."""
    by_rank = {rank: report for rank, report in words.reports.items() if rank < ranks}
    if limit is not None:
        by_rank[limit.node] = limit
    hint = hint_of(row.status, started=row.started is not None)
    if limit is not None and row.status == "CANCELLED":
        # By us: it was about to begin again, which a limit never leads to.
        hint = None
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
            NodeState(rank, report=report, ended=words.ended.get(rank))
            for rank, report in sorted(by_rank.items())
        ),
        row.recoveries,
    )


def first_limit(reports: Iterable[SentinelReport]) -> SentinelReport | None:
    """The first word of a sentinel that a limit struck."""
    return next((report for report in reports if report.word in LIMITS), None)


def _times(row: Row, words: Said, ranks: int) -> Times:
    """By the nodes' clocks where every rank tells; the first of several starts is known to SkyPilot only."""
    started, ended = row.started, row.ended
    if len(words.began) >= ranks and not row.recoveries:
        started = _near(min(words.began.values()), started)
    if len(words.ended) >= ranks:
        ended = _near(max(words.ended.values()), ended)
    return Times(row.submitted, started, ended)


def _near(moment: float, known: float | None) -> float | None:
    return moment if known is not None and abs(moment - known) < SKEW else known


def _state(row: Row) -> str:
    return row.status if row.schedule_state in ("", "ALIVE") else f"{row.status} ({row.schedule_state})"


def _code(failure: str) -> int | None:
    """The command's code in SkyPilot's words, of a job of one node: of several, it is srun's or Ray's, who killed the others."""
    match = _CODES.search(failure)
    if match is None:
        return None
    return int(match["one"] or match["several"])
