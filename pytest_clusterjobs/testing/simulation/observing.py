"""What the simulated cluster reports of a job: observations and logs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...model import Handle
from ...model import LogChunk
from ...model import NodeState
from ...model import Observation
from ...model import Phase
from ...model import Times
from .jobs import ENDED
from .jobs import HELD
from .jobs import SUSPENDED
from .jobs import TrueJob
from .jobs import WAITING

_PHASES = {
    "PENDING": Phase.PENDING,
    HELD: Phase.PENDING,
    WAITING: Phase.PENDING,
    "RUNNING": Phase.RUNNING,
    SUSPENDED: Phase.RUNNING,
    ENDED: Phase.ENDED,
}
CUT_CHARACTERS = 60
"""How much is missing at the beginning of a cut log: the first mark, at least in part."""
LOST = "the log was not delivered"


def handle_of(job: TrueJob, now: float) -> Handle:
    """The handle as far as it is known at ``now``."""
    if now < job.id_at:
        return Handle(None, {"token": job.token, "request": job.number})
    return Handle(str(job.number), {"token": job.token, "number": job.number})


def observe(job: TrueJob, now: float, polled: Handle | None = None) -> Observation:
    """The true observation of a job that the cluster lists. ``polled`` is the handle that is known so far."""
    epoch, traits = job.cluster.epoch, job.cluster.traits
    ended = job.ended_at is not None
    hint = job.faults.hint if job.state == HELD else job.hint if ended else None
    nodes: tuple[NodeState, ...] = ()
    if traits.ranks_in_polls and job.ranks and job.state != WAITING:
        nodes = tuple([_node(job, rank) for rank in range(len(job.ranks))])
    return Observation(
        phase=_PHASES[job.state],
        times=Times(
            epoch + job.submitted_at,
            epoch + job.started_at[0] if job.started_at else None,
            None if job.ended_at is None else epoch + job.ended_at,
        ),
        native_state=_native_state(job),
        native_reason=job.native_reason,
        reason_hint=hint,
        exit_code=_exit_code(job) if ended else None,
        nodes=nodes,
        restarts=job.restarts,
        suspended=job.state == SUSPENDED,
        log_complete=ended and is_log_complete(job, now),
        handle=new_handle(job, now, polled),
    )


def new_handle(job: TrueJob, now: float, polled: Handle | None) -> Handle | None:
    """The handle, if it has more than the polled one; otherwise ``None``."""
    known = polled is not None and polled.job_id is not None
    return None if known or now < job.id_at else handle_of(job, now)


def _native_state(job: TrueJob) -> str:
    if job.state != ENDED:
        return job.state
    if job.hint is not None:
        return job.hint.name
    return "FAILED" if _exit_code(job) else "COMPLETED"


def _exit_code(job: TrueJob) -> int | None:
    """The code of the rank that failed first, or of rank 0 if others do not count."""
    if job.cluster.traits.main_code_only and job.ranks:
        return job.ranks[0].exit_code
    failed = [rank for rank in job.ranks if rank.exit_code and not rank.dismissed]
    if failed:
        return min(failed, key=lambda rank: (rank.ended or 0.0, rank.rank)).exit_code
    return 0 if job.ranks and all(rank.exit_code == 0 or rank.dismissed for rank in job.ranks) else None


def _node(job: TrueJob, rank: int) -> NodeState:
    run = job.ranks[rank]
    return NodeState(
        rank,
        run.exit_code,
        None if run.ended is None else job.cluster.epoch + run.ended,
        run.report if job.cluster.traits.reports_in_polls else None,
        stopped_by_cluster=run.dismissed and run.ended is not None,
        host=f"node{rank}",
    )


def is_log_complete(job: TrueJob, now: float) -> bool:
    """Whether the complete log of an ended job can be read."""
    if job.started_at and job.faults.log in ("lost_log", "stuck_log"):
        return False
    return now >= job.log_at


def read_log(
    job: TrueJob, now: float, node: int, restart: int | None, cursor: Any, tail: int | None
) -> LogChunk:
    """A part of one rank's log; a cursor of the last start goes on into the next one."""
    ended = job.ended_at is not None
    last = len(job.runs) - 1
    if not 0 <= node < job.nodes or last < 0:
        return LogChunk("", [0, 0], ended)
    start, offset = cursor if cursor is not None else (last if restart is None else restart, None)
    if not 0 <= start <= last:
        return LogChunk("", [start, offset or 0], ended)
    text = job.runs[start][node].text()
    over = start < last or (ended and is_log_complete(job, now))
    gap = ""
    if start == last and ended:
        if job.faults.log_rank in (None, node):
            text, gap = _delivered(job, text, over)
        elif job.faults.log in ("lost_log", "stuck_log"):
            over = now >= job.log_at
    if offset is None:
        offset = max(0, len(text) - tail) if tail is not None else 0
    piece = text[offset:]
    if over and restart is None and start < last:
        return LogChunk(piece, [start + 1, 0], False)
    return LogChunk(piece, [start, max(len(text), offset)], over, gap)


def _delivered(job: TrueJob, text: str, complete: bool) -> tuple[str, str]:
    """What can be read of an ended job's last log, and why the rest will never come."""
    kind = job.faults.log
    if kind == "lost_log":
        return "", LOST
    if kind == "cut_log":
        # The end is there: a rank that prints nothing has a short log.
        return (text[min(CUT_CHARACTERS, max(0, text.rfind("\n[clusterjobs "))) :] if complete else ""), ""
    if complete:
        return text, ""
    if kind in ("half_log", "stuck_log"):
        return text[: len(text) // 2], ""
    # The end arrives last.
    return text[: text.rfind("\n[clusterjobs ")] if "\n[clusterjobs " in text else "", ""


def as_pending(seen: Observation) -> Observation:
    """A running job as a confused scheduler shows it."""
    return replace(seen, phase=Phase.PENDING, nodes=(), suspended=False, native_state="CONFIGURING")


def with_other_code(seen: Observation, code: int) -> Observation:
    """An end with another exit code than it had."""
    return replace(seen, exit_code=code, native_state="FAILED" if code else "COMPLETED")
