"""From the scheduler's data and the files in a job's folder to one observation."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ...model import NodeState
from ...model import Observation
from ...model import Phase
from ...model import Reason
from ...model import SentinelWord
from ...model import Times
from .job_folder import JobFolder
from .launcher_output import LauncherOutput
from .queue_row import QueueRow
from .records import EndRecord
from .records import modification_time
from .records import nodes_of
from .records import read_record

MAX_CLOCK_SKEW_SECONDS = 5.0
"""Seconds by which the scheduler's clock and the file system's may differ before the former is used."""

_OWN_RECORD = "by the batch script's own record"
_BY_HOW = {"over": Reason.NODE_FAILED, "broken": Reason.START_FAILED}


@dataclass(frozen=True, slots=True)
class KnownJob:
    """The data of a handle about a job."""

    token: str
    folder: JobFolder
    nodes: int
    may_restart: bool
    scheduler: str = "the scheduler"


def observe_live(job: KnownJob, row: QueueRow) -> Observation:
    """The scheduler's view of a job that has not ended, with what only its folder shows."""
    if not (job.may_restart or row.restarts):
        # The common case reads no file.
        return _live(row, Times(row.submitted, row.started), 0)
    record = read_record(job.folder)
    return _live(row, _times(job, row, record), record.restarts)


def observe_end(job: KnownJob, row: QueueRow, record: EndRecord, launcher: LauncherOutput) -> Observation:
    """How a job ended, by the scheduler, its batch script and the sentinels of its ranks."""
    nodes = nodes_of(job.folder, job.token, job.nodes, record, launcher)
    hint, code, reason = row.hint, row.exit_code, row.reason
    if hint is not Reason.START_FAILED:
        if record.ended is not None and _is_own_end(hint, record, nodes):
            hint, code = _own_hint(job, record, nodes, launcher), record.ended.code
        elif hint is None or (hint is Reason.CANCELLED and not record.starts):
            # Slurm itself cancels a job that cannot be requeued when a node's prolog fails.
            hint = _not_begun(job, nodes, launcher) or hint or launcher.stopped
    if record.ended is not None and record.ended.how == "over":
        reason = f"started again by {job.scheduler} more often than max_restarts allows"
    return Observation(
        Phase.ENDED,
        _times(job, row, record),
        row.state,
        _reason(reason, job, nodes, launcher),
        hint,
        code,
        nodes,
        record.restarts,
    )


def observe_held(job: KnownJob, row: QueueRow, record: EndRecord, launcher: LauncherOutput) -> Observation:
    """The end of a job that the scheduler holds because it could not be started."""
    nodes = nodes_of(job.folder, job.token, job.nodes, record, launcher)
    reason = _reason(row.reason, job, (), launcher)
    times = _times(job, row, record)
    return Observation(
        Phase.ENDED,
        Times(times.submitted, times.started, time.time()).in_order(),
        row.state,
        reason,
        Reason.START_FAILED,
        None,
        nodes,
        record.restarts,
    )


def observe_recorded_end(job: KnownJob, record: EndRecord, launcher: LauncherOutput) -> Observation | None:
    """The end of a job that the scheduler no longer knows, or has requeued needlessly.

    The end is in the records of its batch script or in the output of the scheduler's daemons; ``None`` if
    neither has one.
    """
    nodes = nodes_of(job.folder, job.token, job.nodes, record, launcher)
    if record.ended is None:
        hint = _not_begun(job, nodes, launcher) or launcher.stopped
        if hint is None:
            return None
    else:
        hint = _own_hint(job, record, nodes, launcher)
    ended = modification_time(job.folder.output) if record.ended is None else record.ended.at
    return Observation(
        Phase.ENDED,
        Times(_submitted(job), next(iter(record.starts), None), ended).in_order(),
        "ENDED",
        _reason(_OWN_RECORD, job, nodes, launcher, always=hint is not None),
        hint,
        None if record.ended is None else record.ended.code,
        nodes,
        record.restarts,
    )


def _live(row: QueueRow, times: Times, restarts: int) -> Observation:
    pending = row.phase is Phase.PENDING
    reason = f"restarted, {restarts} so far" if restarts and not row.reason else row.reason
    return Observation(
        row.phase,
        times,
        row.state,
        reason,
        row.hint if pending else None,
        restarts=restarts,
        suspended=row.is_suspended,
    )


def _is_own_end(hint: Reason | None, record: EndRecord, nodes: tuple[NodeState, ...]) -> bool:
    """Whether the batch script had reached its end before the scheduler's event, so that its own end counts.

    A cancel, a limit or a lost node that came too late changes nothing. A kill for memory does, unless
    it was in an earlier start: the scheduler counts over the whole job.
    """
    if record.ended is None or record.ended.how == "stopped":
        return False
    if hint is Reason.OUT_OF_MEMORY:
        return _was_in_earlier_start(record, nodes)
    return True


def _own_hint(
    job: KnownJob, record: EndRecord, nodes: tuple[NodeState, ...], launcher: LauncherOutput
) -> Reason | None:
    """What the batch script, and the processes that watched it, report beyond the ends of the ranks."""
    how = record.ended.how if record.ended is not None else ""
    if how in _BY_HOW:
        return _BY_HOW[how]
    if how == "stopped":
        return launcher.stopped
    if launcher.out_of_memory and not _was_in_earlier_start(record, nodes):
        return Reason.OUT_OF_MEMORY
    return _not_begun(job, nodes, launcher)


def _not_begun(job: KnownJob, nodes: tuple[NodeState, ...], launcher: LauncherOutput) -> Reason | None:
    """The reported reason for a command that could not begin, unless every rank reports that it did."""
    reports = [node.report for node in nodes if node.report is not None and node.report.begun is not False]
    return launcher.not_begun if len(reports) < job.nodes else None


def _was_in_earlier_start(record: EndRecord, nodes: tuple[NodeState, ...]) -> bool:
    """Whether a kill for memory was in an earlier start, because the last start ended well.

    The scheduler reports on the whole job.
    """
    return record.restarts > 0 and bool(nodes) and all(_completed(node) for node in nodes)


def _completed(node: NodeState) -> bool:
    report = node.report
    return report is not None and report.word is SentinelWord.EXITED and report.exit_code == 0


def _reason(
    text: str, job: KnownJob, nodes: tuple[NodeState, ...], launcher: LauncherOutput, *, always: bool = False
) -> str:
    """The scheduler's reason, with the last output of its daemons if a rank reported nothing."""
    silent = sum(node.report is not None for node in nodes) < job.nodes
    output = launcher.end if silent or always else ""
    return "; ".join(part for part in (text, output) if part)


def _times(job: KnownJob, row: QueueRow, record: EndRecord) -> Times:
    """A scheduler's times are whole seconds; the folder's are finer, and include the first start."""
    submitted, started, ended = row.submitted, row.started, row.ended
    if row.restarts:
        submitted = _submitted(job) or submitted
        started = record.starts[0] if record.starts else started
    elif record.starts and started is not None and abs(record.starts[0] - started) < MAX_CLOCK_SKEW_SECONDS:
        started = record.starts[0]
    if row.phase is not Phase.ENDED:
        return Times(submitted, started)
    if (
        record.ended is not None
        and ended is not None
        and abs(record.ended.at - ended) < MAX_CLOCK_SKEW_SECONDS
    ):
        ended = record.ended.at
    return Times(submitted, started, ended).in_order()


def _submitted(job: KnownJob) -> float | None:
    try:
        return job.folder.script.stat().st_mtime
    except OSError:
        return None
