"""Turns DescribeJobs' data on a job and its nodes into one observation."""

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
from .job_detail import JobDetail
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

NOT_STARTED = (
    "the log was read to its end and has no mark that the command began"
    " (does the image's ENTRYPOINT run the command, and does the image have sh?)"
)

MAX_NODE_STOP_SECONDS = 60.0
"""Seconds after the main node's end in which AWS may show others as running; it kills them after 30 s."""

MAX_NOTICE_DELAY_SECONDS = 60.0
"""Seconds after a failure in which AWS may notice its cause: a node that was lost or never started."""

_CAUSES_OF_FAILURES = frozenset({Reason.NODE_FAILED, Reason.PREEMPTED, Reason.START_FAILED})
"""Reasons of one node that make the other nodes fail, too."""

_KILL_EXIT_CODES = frozenset({137, 143})


@dataclass(frozen=True, slots=True)
class RankLog:
    """What the log of one rank's last start shows about its end."""

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

    detail: JobDetail
    nodes: Mapping[int, JobDetail] = field(default_factory=dict)
    """By rank; only for a multi-node job that runs or has run."""

    @property
    def ranks(self) -> Mapping[int, JobDetail]:
        """The data on each rank."""
        return self.nodes if self.detail.is_multinode else {0: self.detail}


def observe(job: DescribedJob, logs: Mapping[int, RankLog], *, now: float | None = None) -> Observation:
    """The observation of a job; ``logs`` has the logs of the ranks, as far as they were read.

    With ``now`` (seconds since the epoch) a job does not count as ended while its nodes are being stopped.
    """
    detail = job.detail
    phase = PHASES.get(detail.status, Phase.PENDING)
    if now is not None and is_stopping(job, now):
        return _live(job, Phase.RUNNING)
    if phase is not Phase.ENDED:
        return _live(job, phase)
    nodes = tuple(_node(job, rank, logs.get(rank, RankLog())) for rank in sorted(job.ranks))
    reason = _job_reason(job, nodes)
    hint = None if reason is None else reason.reason
    complete = all(logs.get(rank, RankLog()).complete for rank in job.ranks)
    never_began = reason is None and _never_began(nodes)
    return Observation(
        Phase.ENDED,
        Times(detail.created, detail.started, detail.stopped),
        detail.status,
        native_reason_of(job, NOT_STARTED if never_began else ""),
        Reason.START_FAILED if never_began else hint,
        detail.last.exit_code,
        nodes,
        detail.restarts,
        log_complete=complete,
    )


def is_stopping(job: DescribedJob, now: float) -> bool:
    """Whether the job has ended with its main node, and the ends of other nodes are not known yet."""
    stopped = job.detail.stopped
    recent = stopped is not None and now - stopped < MAX_NODE_STOP_SECONDS
    return job.detail.is_over and recent and not all(node.is_over for node in job.nodes.values())


def native_reason_of(job: DescribedJob, hint: str = "") -> str:
    """AWS's own texts on a job and its nodes, each once, and a ``hint`` of this backend."""
    texts = [job.detail.status_reason, *job.detail.last.reasons]
    for node in job.nodes.values():
        texts += [*node.last.reasons, node.last.status_reason]
    return "; ".join(dict.fromkeys(text.strip() for text in [*texts, hint] if text.strip()))


def end_reason(detail: JobDetail) -> StatusReason | None:
    """AWS's reason for the end of a job, or of a node; ``None`` if only exit codes show how it ended.

    The flags of a job that succeeded are ignored: it was terminated or cancelled too late.
    """
    last, succeeded = detail.last, detail.status == "SUCCEEDED"
    row = at_end(
        terminated=detail.terminated and not succeeded,
        cancelled=detail.cancelled and not succeeded,
        status_reason=detail.status_reason or last.status_reason,
        container_reasons=last.reasons,
    )
    return None if row is None or row.reason is None else row


def _node_reason(job: DescribedJob, detail: JobDetail) -> StatusReason | None:
    """AWS's reason for the end of a node.

    The flag and the text of a termination are ignored, because they apply to the whole job.
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
    """The ranks of a running multi-node job that failed in its present start. AWS Batch ignores them."""
    if job.detail.status != "RUNNING":
        return []
    return [
        NodeState(rank, node.last.exit_code, ended=_end_of(node), host=node.last.instance or None)
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


def _is_of_this_start(job: DescribedJob, node: JobDetail) -> bool:
    """Whether the data on a node belongs to the present start of the job, not to an earlier one."""
    finished = job.detail.finished
    before = finished[-1].stopped if finished else None
    began = node.last.started or _end_of(node)
    return before is None or (began is not None and began > before)


def _job_reason(job: DescribedJob, nodes: Sequence[NodeState]) -> StatusReason | None:
    """AWS's reason for the end of a job: its own, or that of the rank that failed first.

    The reason of a rank that failed before the job was terminated takes precedence over the termination. A
    node that was lost or never started takes precedence over the failures that it may have caused, although
    AWS may have noticed those first.
    """
    own = end_reason(job.detail)
    if not job.nodes or not (own is None or own.reason is Reason.CANCELLED):
        return own
    reasons = {node.rank: _node_reason(job, job.nodes[node.rank]) for node in nodes}
    failures = [
        node
        for node in nodes
        if reasons[node.rank] is not None or (node.exit_code != 0 and not node.stopped_by_cluster)
    ]
    first = min((node.ended for node in failures if node.ended is not None), default=None)
    candidates = [
        (node.ended or 0.0, node.rank, reason)
        for node in failures
        if (reason := reasons[node.rank]) is not None and _may_be_first(node, reason, first, own)
    ]
    return min(candidates)[2] if candidates else own


def _may_be_first(
    node: NodeState, reason: StatusReason, first: float | None, own: StatusReason | None
) -> bool:
    """Whether a rank may have failed before all others, the earliest of which failed at ``first``."""
    if node.ended is None or first is None:
        return True
    # The machines of a terminated job may disappear at any time.
    delay = MAX_NOTICE_DELAY_SECONDS if own is None and reason.reason in _CAUSES_OF_FAILURES else 0.0
    return node.ended <= first + delay


def _node(job: DescribedJob, rank: int, log: RankLog) -> NodeState:
    detail = job.ranks[rank]
    return NodeState(
        rank,
        detail.last.exit_code,
        ended=_end_of(detail),
        report=log.report,
        begun=None if log.report is not None else log.begun,
        unread="" if log.report is not None else log.unread,
        stopped_by_cluster=_was_stopped_after_main(job, rank, detail),
        host=detail.last.instance or None,
        log=log.page,
    )


def _was_stopped_after_main(job: DescribedJob, rank: int, detail: JobDetail) -> bool:
    """Whether AWS Batch stopped this rank because the main node had ended with exit code 0."""
    main = job.ranks.get(0)
    if rank == 0 or main is None or main.last.exit_code != 0:
        return False
    if detail.last.exit_code not in {None, *_KILL_EXIT_CODES} or _node_reason(job, detail) is not None:
        return False
    stopped, end = _end_of(detail), _end_of(main)
    return stopped is None or end is None or stopped >= end


def _never_began(nodes: Sequence[NodeState]) -> bool:
    """Whether no rank has a mark of its sentinel, and no rank was killed, which would explain that."""
    return bool(nodes) and all(
        node.begun is False and node.exit_code not in _KILL_EXIT_CODES for node in nodes
    )


def _end_of(detail: JobDetail) -> float | None:
    return detail.last.stopped or detail.stopped
