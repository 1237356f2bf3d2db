"""Turns an ended job into its outcome, its verdict and the few log lines that explain it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import replace

from ..backends.protocol import Backend
from ..judge import judge
from ..judge import outcome as judge_outcome
from ..model import Judgement
from ..model import LogChunk
from ..model import Mismatch
from ..model import NodeState
from ..model import Observation
from ..model import Outcome
from ..model import Phase
from ..model import Verdict
from ..model.records import Field
from ..model.records import Result
from ..model.records import Ruling
from ..model.text import gist
from ..model.text import printable
from .extensions import Extensions
from .extensions import NoExtensions
from .extensions import Remark
from .job import ActiveAttempt
from .logs import LogReader

EXCERPT_BYTES = 8_192
"""Bytes stored from the end of a log to explain a cell that did not pass."""

MAX_EXCERPT_RANKS = 2

MAX_EXPLANATION_CHARACTERS = 2000
"""The most characters of a hook's text about one end."""


def reader(backend: Backend, job: ActiveAttempt) -> LogReader:
    """The reader of a job's logs."""
    return LogReader(backend, job.handle, job.token, job.spec.nodes, job.hiding)


def settled_by_records(job: ActiveAttempt, logs: LogReader) -> Observation | None:
    """The end of a job that the scheduler no longer knows, if every rank left a record of it."""
    last = job.observation or Observation(Phase.ABSENT)
    found = logs.with_reports(last)
    if any(node.report is None for node in found.nodes):
        return None
    return replace(found, phase=Phase.ENDED)


def needs_time(job: ActiveAttempt, observation: Observation, logs: LogReader) -> bool:
    """Whether logs that the verdict depends on may still arrive."""
    cell = job.registration.cell
    if cell.expect.needs_logs or cell.classify.needs_logs:
        for rank in range(job.spec.nodes):
            logs.whole(rank)
    elif all(node.report is not None for node in observation.nodes):
        return False
    if any(_may_be_late(node) for node in observation.nodes):
        return True
    return logs.missing or not observation.log_complete


def _may_be_late(node: NodeState) -> bool:
    """Whether no mark of a rank has been found so far."""
    return node.report is None and not node.begun and not node.stopped_by_cluster


_ANSWERS = (Verdict.PASSED, Verdict.FAILED)


def finish(
    job: ActiveAttempt,
    observation: Observation,
    logs: LogReader | None,
    extensions: Extensions | None = None,
    *,
    notify: bool = True,
) -> Result:
    """Judge a job that has ended or that this run has given up. With ``notify`` the user's code is called."""
    extensions = extensions or NoExtensions()
    cell = job.registration.cell
    whole: Callable[[int], LogChunk] | None = logs.whole if logs is not None else None
    ended = judge_outcome(
        job.spec,
        observation,
        action=job.action,
        classification=cell.classify,
        log=whole,
        submitted=job.submitted,
    )
    judgement = judge(cell.expect, ended, log=whole, nodes=job.spec.nodes)
    ruling = job.ruling
    if logs is not None and judgement.verdict in _ANSWERS:
        remarks = extensions.check(cell, ended, lambda rank: logs.whole(rank).text)
        judgement, ruling = _with_remarks(job, judgement, ruling, remarks)
    result = Result(
        key=job.key,
        outcome=ended,
        judgement=judgement,
        attempt=job.number,
        job_id=job.handle.job_id if job.handle else None,
        url=job.handle.url if job.handle else None,
        logs=_excerpts(job, ended, judgement, logs),
        ruling=ruling,
    )
    fields, remarks = extensions.fields(cell, result)
    judgement, ruling = _with_remarks(job, judgement, ruling, remarks)
    result = replace(result, fields=_hidden(fields, job), judgement=judgement, ruling=ruling)
    if not notify:
        return result
    judgement, ruling = _with_remarks(job, judgement, ruling, extensions.ended(cell, result))
    return replace(result, judgement=judgement, ruling=ruling)


def _with_remarks(
    job: ActiveAttempt, judgement: Judgement, ruling: Ruling | None, remarks: Iterable[Remark]
) -> tuple[Judgement, Ruling | None]:
    """Judgement and ruling, with the remarks of the user's code.

    There are none for an infrastructure failure.
    """
    if judgement.verdict not in _ANSWERS:
        return judgement, ruling
    for remark in remarks:
        if isinstance(remark, Mismatch):
            miss = _bounded(remark, job.hide(remark.seen))
            judgement = replace(judgement, verdict=Verdict.FAILED, misses=(*judgement.misses, miss))
        elif ruling is None:
            ruling = replace(remark, reason=job.hide(remark.reason))
    if ruling is not None and ruling.kind == "exit" and judgement.verdict is Verdict.PASSED:
        judgement = replace(judgement, verdict=Verdict.NOT_RUN)
    return judgement, ruling


def _bounded(miss: Mismatch, text: str) -> Mismatch:
    """A mismatch shortened to fit into a row; a longer text is shown in full below the table."""
    seen = gist(text)
    whole = printable(text.strip(), MAX_EXPLANATION_CHARACTERS)
    return replace(miss, seen=seen, explanation="" if whole == seen else whole)


def _hidden(fields: Mapping[str, Field], job: ActiveAttempt) -> dict[str, Field]:
    return {name: job.hide(value) if isinstance(value, str) else value for name, value in fields.items()}


def _excerpts(
    job: ActiveAttempt, ended: Outcome, judgement: Judgement, logs: LogReader | None
) -> dict[int, str]:
    if logs is None or judgement.verdict is Verdict.PASSED:
        return {}
    first = ended.first_failing_node or 0
    ranks = [first, *(rank for rank in range(job.spec.nodes) if rank != first)][:MAX_EXCERPT_RANKS]
    texts = {rank: logs.tail(rank, EXCERPT_BYTES) for rank in ranks}
    return {rank: text for rank, text in texts.items() if text}
