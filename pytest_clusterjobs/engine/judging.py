"""Turns an ended job into its outcome and its verdict. Pure functions, except the calls of user code."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace

from ..judge import judge
from ..judge import outcome as judge_outcome
from ..judge.facts import TOLERANCE_SECONDS
from ..judge.facts import TOLERANCE_SHARE
from ..model import ActionKind
from ..model import Judgement
from ..model import LogChunk
from ..model import Mismatch
from ..model import NodeState
from ..model import Observation
from ..model import Outcome
from ..model import Reason
from ..model import ReasonClass
from ..model import SentinelReport
from ..model import SentinelWord
from ..model import Source
from ..model import Verdict
from ..model.notation import format_duration
from ..model.records import Field
from ..model.records import Result
from ..model.records import Ruling
from ..model.text import gist
from ..model.text import printable
from .attempt import ActiveAttempt
from .attempt import Evidence
from .extensions import Extensions
from .extensions import Remark
from .messages import AskHooks

EXCERPT_BYTES = 8_192
"""Bytes stored from the end of a log to explain a cell that did not pass."""

MAX_EXCERPT_RANKS = 2

MAX_EXPLANATION_CHARACTERS = 2000
"""The most characters of a hook's text about one end."""

_ANSWERS = (Verdict.PASSED, Verdict.FAILED)

_UNKNOWN_CANCELLER = (
    "an earlier session of this run was interrupted, and may have cancelled the job itself; "
    "run the cell again"
)


def needs_whole_logs(job: ActiveAttempt) -> bool:
    """Whether the verdict depends on the whole logs of all ranks."""
    cell = job.registration.cell
    return cell.expect.needs_logs or cell.classify.needs_logs


def needs_reports(job: ActiveAttempt, observation: Observation) -> bool:
    """Whether the cluster has not reported how every rank ended, so that the logs are searched for it."""
    reported = sum(node.report is not None for node in observation.nodes)
    return reported < max(job.spec.nodes, len(observation.nodes))


def needs_time(job: ActiveAttempt, observation: Observation, evidence: Evidence) -> bool:
    """Whether logs that the verdict depends on may still arrive."""
    if not needs_whole_logs(job) and all(node.report is not None for node in observation.nodes):
        return False
    if any(_may_be_late(node) for node in observation.nodes):
        return True
    return evidence.missing or not observation.log_complete


def _may_be_late(node: NodeState) -> bool:
    """Whether no mark of a rank has been found so far."""
    return node.report is None and not node.begun and not node.stopped_by_cluster


def contradiction(job: ActiveAttempt, seen: Observation) -> str:
    """Why a limit that this run enforced cannot have been reached, by the cluster's own clock; or empty.

    A resumed session knows a job's age by the time of day only, which may have jumped.
    """
    times, action, spec = seen.times, job.action, job.spec
    if action is None:
        return ""
    waited_again = job.waiting_at is not None or job.waited > 0 or seen.restarts > 0
    first_wait_only = times.started is None or not waited_again
    begun = times.ended if times.started is None else times.started
    limit, since, until = {
        ActionKind.MAX_RUNTIME: (spec.max_runtime, times.started, times.ended),
        ActionKind.TEST_TIMEOUT: (job.registration.test_timeout, times.started, times.ended),
        ActionKind.QUEUE_TIMEOUT: (spec.queue_timeout, times.submitted if first_wait_only else None, begun),
    }.get(action.kind, (None, None, None))
    if limit is None:
        return ""
    if since is None or until is None:
        unconfirmed = job.is_inherited and times.ended is None
        return f"{action.why}; the cluster does not report how long it really was" if unconfirmed else ""
    lasted = until - since
    if lasted >= limit - max(TOLERANCE_SECONDS, TOLERANCE_SHARE * limit):
        return ""
    return f"{action.why}, but the cluster reports {format_duration(max(0.0, lasted))} only"


def _has_own_cause(job: ActiveAttempt, seen: Observation) -> bool:
    """Whether the cluster names a cause other than a cancellation, or the ranks one within the job."""
    if seen.reason_hint is not None:
        # A cancellation that it reports is the one of this run.
        return seen.reason_hint is not Reason.CANCELLED
    reports = [node.report for node in seen.nodes if node.report is not None]
    if len(reports) < job.spec.nodes:
        return False
    stopped = [report for report in reports if report.word is SentinelWord.STOPPED]
    # A rank that failed by itself explains that the others were stopped.
    return not stopped or any(_has_failed(report) for report in reports)


def _has_failed(report: SentinelReport) -> bool:
    return report.word is not SentinelWord.STOPPED and bool(
        report.exit_code or report.word is not SentinelWord.EXITED
    )


def verdict_on(job: ActiveAttempt, observation: Observation, evidence: Evidence | None) -> Result:
    """Judge a job that has ended or that this run has given up; ``evidence`` is what its logs show."""
    action = job.action
    if why := contradiction(job, observation):
        if not _has_own_cause(job, observation):
            return error_result(job, why)
        # The job had ended before it was asked to: the action did not end it.
        action = None
    cell = job.registration.cell
    whole: Callable[[int], LogChunk] | None = None
    if evidence is not None:
        logs = evidence.logs
        whole = lambda rank: logs.get(rank, LogChunk("", complete=False))  # noqa: E731
    ended = judge_outcome(
        job.spec,
        observation,
        action=action,
        classification=cell.classify,
        log=whole,
        submitted=job.submitted,
    )
    judgement = judge(cell.expect, ended, log=whole, nodes=job.spec.nodes)
    is_cancelled = ended.reason is Reason.CANCELLED and action is None
    if is_cancelled and job.may_lack_action and judgement.verdict is Verdict.PASSED:
        judgement = Judgement(Verdict.ERROR, (Mismatch("verdict", "", _UNKNOWN_CANCELLER),))
    return _result(job, ended, judgement)


def error_result(job: ActiveAttempt, why: str) -> Result:
    """An error of this run about a job, whatever its end was or will be."""
    outcome = Outcome(Reason.UNKNOWN, ReasonClass.INFRA, Source.THIS_RUN, why, action=job.action)
    return _result(job, outcome, Judgement(Verdict.ERROR, (Mismatch("verdict", "", why),)))


def _result(job: ActiveAttempt, outcome: Outcome, judgement: Judgement) -> Result:
    return Result(
        key=job.key,
        outcome=outcome,
        judgement=judgement,
        attempt=job.number,
        job_id=job.handle.job_id if job.handle else None,
        url=job.handle.url if job.handle else None,
        ruling=job.ruling,
    )


def excerpt_ranks(result: Result, nodes: int) -> Sequence[int]:
    """The ranks whose last lines explain a verdict; none if the cell has passed."""
    if result.judgement.verdict is Verdict.PASSED:
        return ()
    first = result.outcome.first_failing_node or 0
    return [first, *(rank for rank in range(nodes) if rank != first)][:MAX_EXCERPT_RANKS]


# The user's code.


def consult(
    extensions: Extensions,
    question: AskHooks,
    log: Callable[[int], str],
    hide: Callable[[str], str],
) -> Result:
    """The verdict with the remarks of the user's code on it. ``log(rank)`` is a rank's whole log."""
    cell, result = question.registration.cell, question.result
    if question.check and result.judgement.verdict in _ANSWERS:
        result = _with_remarks(result, extensions.check(cell, result.outcome, log), hide)
    fields, remarks = extensions.fields(cell, result)
    result = _with_remarks(replace(result, fields=_hidden(fields, hide)), remarks, hide)
    if not question.notify:
        return result
    return _with_remarks(result, extensions.ended(cell, result), hide)


def _with_remarks(result: Result, remarks: Iterable[Remark], hide: Callable[[str], str]) -> Result:
    """The verdict, with the remarks of the user's code.

    There are none for an infrastructure failure.
    """
    judgement, ruling = result.judgement, result.ruling
    if judgement.verdict not in _ANSWERS:
        return result
    for remark in remarks:
        if isinstance(remark, Mismatch):
            miss = _bounded(remark, hide(remark.seen))
            judgement = replace(judgement, verdict=Verdict.FAILED, misses=(*judgement.misses, miss))
        elif ruling is None:
            ruling = replace(remark, reason=hide(remark.reason))
    return replace(result, judgement=_ended_early(judgement, ruling), ruling=ruling)


def _ended_early(judgement: Judgement, ruling: Ruling | None) -> Judgement:
    if ruling is not None and ruling.kind == "exit" and judgement.verdict is Verdict.PASSED:
        return replace(judgement, verdict=Verdict.NOT_RUN)
    return judgement


def _bounded(miss: Mismatch, text: str) -> Mismatch:
    """A mismatch shortened to fit into a row; a longer text is shown in full below the table."""
    seen = gist(text)
    whole = printable(text.strip(), MAX_EXPLANATION_CHARACTERS)
    return replace(miss, seen=seen, explanation="" if whole == seen else whole)


def _hidden(fields: Mapping[str, Field], hide: Callable[[str], str]) -> dict[str, Field]:
    return {name: hide(value) if isinstance(value, str) else value for name, value in fields.items()}
