"""From what DescribeJobs shows of a job and its nodes to one observation."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from ...model import NodeState
from ...model import Observation
from ...model import Phase
from ...model import Reason
from ...model import SentinelReport
from ...model import Times
from .detail import Detail
from .status_reasons import at_end
from .status_reasons import StatusReason
from .status_reasons import while_waiting

PHASES: Mapping[str, Phase] = {
    "SUBMITTED": Phase.PENDING,
    "PENDING": Phase.PENDING,
    "RUNNABLE": Phase.PENDING,
    "SCHEDULED": Phase.PENDING,
    "STARTING": Phase.PENDING,
    "RUNNING": Phase.RUNNING,
    "SUCCEEDED": Phase.ENDED,
    "FAILED": Phase.ENDED,
}

SWALLOWED = (
    "the log was read to its end and has no mark that the command began"
    " (an image's ENTRYPOINT that swallows it, or no sh in the image?)"
)

STOPPING_FOR = 60.0
"""Seconds after the main node's end in which the others must be shown as ended; AWS kills them after 30."""

NOTICED = 60.0
"""Seconds by which AWS may notice a lost or never started node after the failure that it caused elsewhere."""

_BEFORE_ALL = frozenset({Reason.NODE_FAILED, Reason.PREEMPTED, Reason.START_FAILED})
"""Reasons that make the other nodes fail, too."""

_STOPS = frozenset({137, 143})


@dataclass(frozen=True, slots=True)
class Told:
    """What the log of one rank's last start reports."""

    report: SentinelReport | None = None
    complete: bool = False
    page: str | None = None
    begun: bool | None = None
    """Without a report: whether the command began; ``None`` if unknown (yet)."""
    unread: str = ""
    """Without a report: why the log was not, or cannot be, read to its end."""


@dataclass(frozen=True, slots=True)
class DescribedJob:
    """A job and its nodes as they were described together."""

    detail: Detail
    nodes: Mapping[int, Detail] = field(default_factory=dict)
    """By rank; only for a multi-node job that runs or has run."""

    @property
    def ranks(self) -> Mapping[int, Detail]:
        """The data on each rank."""
        return self.nodes if self.detail.is_multinode else {0: self.detail}


def observe(job: DescribedJob, told: Mapping[int, Told], *, now: float | None = None) -> Observation:
    """The observation of a job; ``told`` has the reports from the ranks' logs, as far as these were read.

    With ``now`` (seconds since the epoch) a job does not count as ended while its nodes are being stopped.
    """
    detail = job.detail
    phase = PHASES.get(detail.status, Phase.PENDING)
    if now is not None and is_stopping(job, now):
        return _live(job, Phase.RUNNING)
    if phase is not Phase.ENDED:
        return _live(job, phase)
    nodes = tuple(_node(job, rank, told.get(rank, Told())) for rank in sorted(job.ranks))
    row = _row(job, nodes)
    complete = all(told.get(rank, Told()).complete for rank in job.ranks)
    swallowed = row is None and _was_swallowed(nodes)
    hint = None if row is None else row.reason
    return Observation(
        Phase.ENDED,
        Times(detail.created, detail.started, detail.stopped),
        detail.status,
        words(job, SWALLOWED if swallowed else ""),
        Reason.START_FAILED if swallowed else hint,
        detail.last.exit_code,
        nodes,
        detail.restarts,
        log_complete=complete,
    )


def is_stopping(job: DescribedJob, now: float) -> bool:
    """Whether the job has ended with its main node and other nodes still run: their ends are unknown then."""
    stopped = job.detail.stopped
    recent = stopped is not None and now - stopped < STOPPING_FOR
    return job.detail.is_over and recent and not all(node.is_over for node in job.nodes.values())


def words(job: DescribedJob, more: str = "") -> str:
    """AWS's own texts on a job and its nodes, each once."""
    texts = [job.detail.status_reason, *job.detail.last.reasons]
    for node in job.nodes.values():
        texts += [*node.last.reasons, node.last.status_reason]
    return "; ".join(dict.fromkeys(text.strip() for text in [*texts, more] if text.strip()))


def end_row(detail: Detail) -> StatusReason | None:
    """The hard fact in how a job, or a node, ended; ``None`` if only exit codes show how.

    A flag on a job that had succeeded came too late.
    """
    last, succeeded = detail.last, detail.status == "SUCCEEDED"
    row = at_end(
        terminated=detail.terminated and not succeeded,
        cancelled=detail.cancelled and not succeeded,
        status_reason=detail.status_reason or last.status_reason,
        container_reasons=last.reasons,
    )
    return None if row is None or row.reason is None else row


def _node_row(job: DescribedJob, detail: Detail) -> StatusReason | None:
    """The hard fact in how a node ended.

    A termination's flag and text apply to the whole job, not to a node.
    """
    texts = dict.fromkeys([detail.status_reason, detail.last.status_reason])
    if detail.terminated or detail.cancelled:
        texts.pop(job.detail.status_reason, None)
    rows = (
        at_end(terminated=False, cancelled=False, status_reason=text, container_reasons=detail.last.reasons)
        for text in texts or [""]
    )
    return next((row for row in rows if row is not None and row.reason is not None), None)


def failed(job: DescribedJob) -> list[NodeState]:
    """Ranks of a live multi-node job that failed in its present start, which AWS Batch ignores."""
    if job.detail.status != "RUNNING":
        return []
    return [
        NodeState(rank, node.last.exit_code, ended=_stopped(node), host=node.last.instance or None)
        for rank, node in sorted(job.nodes.items())
        if node.status == "FAILED" and _is_of_this_start(job, node)
    ]


def _live(job: DescribedJob, phase: Phase) -> Observation:
    detail = job.detail
    waiting = while_waiting(detail.status_reason) if detail.status == "RUNNABLE" else None
    return Observation(
        phase,
        Times(detail.created, detail.started),
        detail.status,
        detail.status_reason,
        None if waiting is None else waiting.reason,
        nodes=tuple(failed(job)),
        restarts=detail.restarts,
    )


def _is_of_this_start(job: DescribedJob, node: Detail) -> bool:
    """Whether the data on a node belongs to the present start, not to an earlier start of the job."""
    finished = job.detail.finished
    before = finished[-1].stopped if finished else None
    began = node.last.started or _stopped(node)
    return before is None or (began is not None and began > before)


def _row(job: DescribedJob, nodes: Sequence[NodeState]) -> StatusReason | None:
    """The hard fact of a job: its own, or else that of the rank that failed first.

    A termination of the job does not outweigh what had happened to a rank before. A node that was lost or
    never started comes before the failures that it may have caused elsewhere, although AWS may have noticed
    those first.
    """
    own = end_row(job.detail)
    if not job.nodes or not (own is None or own.reason is Reason.CANCELLED):
        return own
    rows = {node.rank: _node_row(job, job.nodes[node.rank]) for node in nodes}
    bad = [
        node
        for node in nodes
        if rows[node.rank] is not None or (node.exit_code != 0 and not node.stopped_by_cluster)
    ]
    first = min((node.ended for node in bad if node.ended is not None), default=None)
    facts = [
        (node.ended or 0.0, node.rank, row)
        for node in bad
        if (row := rows[node.rank]) is not None and _may_be_first(node, row, first, own)
    ]
    return min(facts)[2] if facts else own


def _may_be_first(node: NodeState, row: StatusReason, first: float | None, own: StatusReason | None) -> bool:
    """Whether a rank's hard fact may precede every other failure, the earliest of which was at ``first``."""
    if node.ended is None or first is None:
        return True
    # After a job's termination its machines may disappear at any time.
    patience = NOTICED if own is None and row.reason in _BEFORE_ALL else 0.0
    return node.ended <= first + patience


def _node(job: DescribedJob, rank: int, told: Told) -> NodeState:
    detail = job.ranks[rank]
    return NodeState(
        rank,
        detail.last.exit_code,
        ended=_stopped(detail),
        report=told.report,
        begun=None if told.report is not None else told.begun,
        unread="" if told.report is not None else told.unread,
        stopped_by_cluster=_was_stopped(job, rank, detail),
        host=detail.last.instance or None,
        log=told.page,
    )


def _was_stopped(job: DescribedJob, rank: int, detail: Detail) -> bool:
    """Whether AWS Batch stopped this rank after a clean end of the main node: not if it was over by then."""
    main = job.ranks.get(0)
    if rank == 0 or main is None or main.last.exit_code != 0:
        return False
    if detail.last.exit_code not in {None, *_STOPS} or _node_row(job, detail) is not None:
        return False
    stopped, end = _stopped(detail), _stopped(main)
    return stopped is None or end is None or stopped >= end


def _was_swallowed(nodes: Sequence[NodeState]) -> bool:
    """Whether every rank ended without a mark of its sentinel and not by a kill, which would explain that."""
    return bool(nodes) and all(node.begun is False and node.exit_code not in _STOPS for node in nodes)


def _stopped(detail: Detail) -> float | None:
    return detail.last.stopped or detail.stopped
