"""From Slurm's data and the files in a job's folder to one observation."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ...model import NodeState
from ...model import Observation
from ...model import Phase
from ...model import Reason
from ...model import SentinelWord
from ...model import Times
from .launcher_output import LauncherOutput
from .launcher_output import what_was_said
from .places import JobFolder
from .queue import QueueRow
from .records import changed
from .records import EndRecord
from .records import nodes_of
from .records import read_record
from .states import end_hint
from .states import is_suspended
from .states import pending_hint

SKEW = 5.0
"""Seconds by which Slurm's clock and the file system's may differ before the former is used."""

_OWN_RECORD = "by the batch script's own record"
_BEGUN_TOO_OFTEN = "started again by Slurm more often than max_restarts allows"
_BY_HOW = {"over": Reason.NODE_FAILED, "broken": Reason.START_FAILED}
_NO_FOLDER = "the batch script could not be started: is the job's folder there, and writable, on the node?"


@dataclass(frozen=True, slots=True)
class KnownJob:
    """The data of a handle about a job."""

    token: str
    folder: JobFolder
    nodes: int
    may_restart: bool


def observe_live(job: KnownJob, row: QueueRow) -> Observation:
    """Slurm's view of a job that has not ended, with what only its folder shows."""
    if not (job.may_restart or row.restarts):
        # The common case reads no file.
        return _live(row, Times(row.submitted, row.started), 0)
    record = read_record(job.folder)
    return _live(row, _times(job, row, record), record.restarts)


def observe_end(job: KnownJob, row: QueueRow, record: EndRecord) -> Observation:
    """How a job ended, by Slurm, its batch script and the sentinels of its ranks."""
    nodes = nodes_of(job.folder, job.token, job.nodes, record)
    said = what_was_said(job.folder)
    hint = end_hint(row.state, row.reason, row.status, row.derived, started=bool(row.nodes))
    code = None if row.status is None else row.status.exit_code
    reason = row.reason
    if hint is Reason.START_FAILED:
        reason = f"{reason}: {_NO_FOLDER}"
    elif _stands(hint, record, nodes):
        hint, code = (
            _own_hint(job, record, nodes, said),
            record.ended.code if record.ended is not None else code,
        )
    elif hint is None or (hint is Reason.CANCELLED and not record.starts):
        # Slurm itself cancels a job that cannot be requeued when a node's prolog fails.
        hint = _not_begun(job, nodes, said) or hint or said.stopped
    if record.ended is not None and record.ended.how == "over":
        reason = _BEGUN_TOO_OFTEN
    return Observation(
        Phase.ENDED,
        _times(job, row, record),
        row.state,
        _reason(reason, job, nodes, said),
        hint,
        code,
        nodes,
        record.restarts,
    )


def observe_held(job: KnownJob, row: QueueRow, record: EndRecord) -> Observation:
    """The end of a job that Slurm holds because it could not be started: it would be pending for ever."""
    nodes = nodes_of(job.folder, job.token, job.nodes, record)
    words = _reason(row.reason, job, (), what_was_said(job.folder))
    times = _times(job, row, record)
    return Observation(
        Phase.ENDED,
        Times(times.submitted, times.started, time.time()).in_order(),
        row.state,
        words,
        Reason.START_FAILED,
        None,
        nodes,
        record.restarts,
    )


def from_record(job: KnownJob, record: EndRecord) -> Observation | None:
    """The end of a job that Slurm has forgotten or requeued needlessly.

    The end is in the records of its batch script or of Slurm's daemons, if these left one.
    """
    nodes = nodes_of(job.folder, job.token, job.nodes, record)
    said = what_was_said(job.folder)
    if record.ended is None:
        hint = _not_begun(job, nodes, said) or said.stopped
        if hint is None:
            return None
    else:
        hint = _own_hint(job, record, nodes, said)
    ended = changed(job.folder.output) if record.ended is None else record.ended.at
    return Observation(
        Phase.ENDED,
        Times(_submitted(job), next(iter(record.starts), None), ended).in_order(),
        "ENDED",
        _reason(_OWN_RECORD, job, nodes, said, always=hint is not None),
        hint,
        None if record.ended is None else record.ended.code,
        nodes,
        record.restarts,
    )


def _live(row: QueueRow, times: Times, restarts: int) -> Observation:
    pending = row.phase is Phase.PENDING
    words = f"restarted, {restarts} so far" if restarts and not row.reason else row.reason
    return Observation(
        row.phase,
        times,
        row.state,
        words,
        pending_hint(row.reason) if pending else None,
        restarts=restarts,
        suspended=is_suspended(row.state),
    )


def _stands(hint: Reason | None, record: EndRecord, nodes: tuple[NodeState, ...]) -> bool:
    """Whether the job's own end stands, because the batch script had reached it before Slurm's event.

    A cancel, a limit or a lost node that came too late changes nothing. A kill for memory does, unless
    it was in an earlier start: Slurm counts over the whole job.
    """
    if record.ended is None or record.ended.how == "stopped":
        return False
    if hint is Reason.OUT_OF_MEMORY:
        return _was_before(record, nodes)
    return True


def _own_hint(
    job: KnownJob, record: EndRecord, nodes: tuple[NodeState, ...], said: LauncherOutput
) -> Reason | None:
    """What the batch script, and the processes that watched it, report beyond the ends of the ranks."""
    how = record.ended.how if record.ended is not None else ""
    if how in _BY_HOW:
        return _BY_HOW[how]
    if how == "stopped":
        return said.stopped
    if said.out_of_memory and not _was_before(record, nodes):
        return Reason.OUT_OF_MEMORY
    return _not_begun(job, nodes, said)


def _not_begun(job: KnownJob, nodes: tuple[NodeState, ...], said: LauncherOutput) -> Reason | None:
    """The reported reason for a command that could not begin, unless every rank reports that it did."""
    reports = [node.report for node in nodes if node.report is not None and node.report.begun is not False]
    return said.not_begun if len(reports) < job.nodes else None


def _was_before(record: EndRecord, nodes: tuple[NodeState, ...]) -> bool:
    """Whether a kill for memory was in an earlier start, because the last start ended well.

    Slurm reports on the whole job.
    """
    return record.restarts > 0 and bool(nodes) and all(_completed(node) for node in nodes)


def _completed(node: NodeState) -> bool:
    report = node.report
    return report is not None and report.word is SentinelWord.EXITED and report.exit_code == 0


def _reason(
    text: str, job: KnownJob, nodes: tuple[NodeState, ...], said: LauncherOutput, *, always: bool = False
) -> str:
    """Slurm's reason, with the last output of its daemons if a rank of a job that began reported nothing."""
    silent = sum(node.report is not None for node in nodes) < job.nodes
    words = said.end if silent or always else ""
    return "; ".join(part for part in (text, words) if part)


def _times(job: KnownJob, row: QueueRow, record: EndRecord) -> Times:
    """Slurm's times are whole seconds; the folder's are finer, and include the first of several starts."""
    submitted, started, ended = row.submitted, row.started, row.ended
    if row.restarts:
        submitted = _submitted(job) or submitted
        started = record.starts[0] if record.starts else started
    elif record.starts and started is not None and abs(record.starts[0] - started) < SKEW:
        started = record.starts[0]
    if row.phase is not Phase.ENDED:
        return Times(submitted, started)
    if record.ended is not None and ended is not None and abs(record.ended.at - ended) < SKEW:
        ended = record.ended.at
    return Times(submitted, started, ended).in_order()


def _submitted(job: KnownJob) -> float | None:
    try:
        return job.folder.script.stat().st_mtime
    except OSError:
        return None
