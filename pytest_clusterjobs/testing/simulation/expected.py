"""Which verdicts the ground truth allows. Written from the documentation; shares no code with ``judge/``."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from math import inf

from ...model import ActionKind
from ...model import ANY
from ...model import Classification
from ...model import Expectation
from ...model import JobSpec
from ...model import MetricExpectation
from ...model import Reason
from ...model import REASON_CLASSES
from ...model import ReasonClass
from ...model import Verdict
from .cells import SimulatedCell
from .facts import Attempted
from .facts import Fact
from .facts import LOG_KINDS
from .facts import OF_TRUTH
from .facts import STOPS
from .facts import touching
from .facts import UNANSWERED
from .truth import TrueEnd

LOST_AFTER_SECONDS = 300.0

RETRIED = (Reason.START_FAILED, Reason.PREEMPTED, Reason.NODE_FAILED, Reason.QUEUE_TIMEOUT)
"""The reasons after which ``infra_retries`` allows a new attempt."""

STUCK_SECONDS = 60.0
"""A hint that a pending job can never start counts only if it lasts so long."""
STALE_SECONDS = 60.0
"""How old a stale answer about a job that was never seen running may be: the longest pause and more."""
SKEW_SECONDS = 31.0
"""How much a later session may misjudge how long a job has run, because the cluster has another clock."""
CANCELLED_BY = frozenset({"killed", "session_died", "session_resumed", "session_stopped", "superseded"})
"""After one of these, or before a resume, another process of the run may have cancelled jobs."""
UNRECORDED = frozenset({"commit_failed", "paused", "slow_answer", "slow_commit", "write_failed"})
"""After one of these a cancellation may have no record in time."""

_UNREADABLE = (UNANSWERED - {"unseen"}) | {"error_after", "session_resumed"}
"""If one of these was shortly before the verdict, the records of a job may be missing."""
_CONFUSING = frozenset({"clock_jump", "contradiction", "flapping", "stale"})
"""After one of these, whenever it was, the records of a job may not count."""
READ_SECONDS = 180.0
"""How long before a verdict the records of an absent job are read at the earliest."""

REFUSED = frozenset({"closed", "error_before", "outage", "throttled"})
"""Other reasons than jobs of the run for which submissions are not accepted."""

_WAITED_TOO_LONG = frozenset({ActionKind.DEPENDENCY_FAILED, ActionKind.QUEUE_TIMEOUT, ActionKind.REJECTED})
"""Why this run cancels a job that does not run."""

_COMMAND_ENDED = (Reason.JOB_COMPLETED, Reason.JOB_FAILED, Reason.KILLED_BY_SIGNAL)
_NO_RULES = Classification()


@dataclass(slots=True)
class Classified:
    """An end after the cell's ``classify`` rules."""

    reason: str
    kind: ReasonClass
    exit_code: int | None


def classified(end: TrueEnd, log_lines: Sequence[str], classify: Classification = _NO_RULES) -> Classified:
    """The end as the cell's rules read it: they apply only to a command that ended by itself."""
    reason, code = end.reason, end.exit_code
    if reason in _COMMAND_ENDED and classify.rules:
        read = _by_rules(code, log_lines, classify)
        # A rule never makes a pass of a failure.
        reason = reason if read in (None, Reason.JOB_COMPLETED) else str(read)
    is_own = reason in _COMMAND_ENDED or reason not in REASON_CLASSES
    return Classified(
        reason, REASON_CLASSES.get(reason) or classify.reasons[reason], code if is_own else None
    )


def _by_rules(code: int | None, log_lines: Sequence[str], classify: Classification) -> str | None:
    """The reason that the first rule with an answer gives."""
    for rule in classify.rules:
        if rule.log is not None:
            found = [match for line in log_lines if (match := re.search(rule.log, line))]
            if found:
                word = found[-1]["reason"]
                word = classify.translate.get(word, word)
                return word if word in REASON_CLASSES or word in classify.reasons else Reason.UNKNOWN
        elif rule.exit_code is not None and rule.exit_code == code:
            return rule.reason
    return None


def accepts(expect: Expectation, end: Classified) -> bool:
    """Whether the reason is an expected one; ``any`` stands for every product reason."""
    if expect.reasons == (ANY,):
        return end.kind is ReasonClass.PRODUCT
    return end.reason in (expect.reasons or ())


def meets(
    expect: Expectation,
    end: TrueEnd,
    *,
    log_lines: Sequence[str],
    classify: Classification = _NO_RULES,
) -> bool:
    """Whether the truth meets the expectation. A job that this run cancelled never meets one.

    ``log_lines`` are what the last start printed, on all ranks; empty if its command never began.
    """
    if end.reason == Reason.CANCELLED and end.by == "run":
        return False
    seen = classified(end, log_lines, classify)
    return (
        accepts(expect, seen)
        and _code_met(expect, seen.exit_code)
        and (expect.restarts is None or end.restarts in expect.restarts)
        and _heartbeats_met(expect, seen, end.heartbeats)
        and _log_met(expect, log_lines)
        and all(_metric_met(metric, log_lines) for metric in expect.metrics.values())
    )


def _code_met(expect: Expectation, code: int | None) -> bool:
    if expect.exit_codes is None:
        return True
    if expect.exit_codes == "nonzero":
        return bool(code)
    return code is not None and code in expect.exit_codes


def _heartbeats_met(expect: Expectation, seen: Classified, heartbeats: int) -> bool:
    if expect.heartbeats is not None:
        return heartbeats in expect.heartbeats
    named = seen.reason == Reason.HEARTBEAT_TIMEOUT and Reason.HEARTBEAT_TIMEOUT in (expect.reasons or ())
    return heartbeats >= 1 or not named


def _log_met(expect: Expectation, lines: Sequence[str]) -> bool:
    wanted = expect.log
    return (
        all(any(text in line for line in lines) for text in wanted.contains)
        and not any(text in line for line in lines for text in wanted.excludes)
        and all(any(re.search(pattern, line) for line in lines) for pattern in wanted.matches)
    )


_PICKS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "last": lambda numbers: numbers[-1],
    "first": lambda numbers: numbers[0],
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
}


def _metric_met(metric: MetricExpectation, lines: Sequence[str]) -> bool:
    """Covers the metrics that ``cells`` draws: ``name={number}`` with ``min`` and ``max``."""
    assert metric.reference is None
    name = metric.pattern.removesuffix("{number}")
    numbers = [float(line.split(name, 1)[1].split()[0]) for line in lines if name in line]
    if not numbers:
        return False
    value = _PICKS[metric.pick](numbers)
    return (metric.min is None or value >= metric.min) and (metric.max is None or value <= metric.max)


# From truth to verdicts.


def lines_of(cell: SimulatedCell, attempt: int, end: TrueEnd) -> Sequence[str]:
    """What the last start of an attempt printed."""
    return cell.behaviour(attempt).lines if end.begun else ()


def true_verdict(cell: SimulatedCell, attempt: int, end: TrueEnd) -> Verdict:
    """The verdict on an end that this run did not cause."""
    matrix_cell = cell.registration.cell
    lines = lines_of(cell, attempt, end)
    seen = classified(end, lines, matrix_cell.classify)
    if seen.kind is not ReasonClass.PRODUCT and not accepts(matrix_cell.expect, seen):
        return Verdict.ERROR
    met = meets(matrix_cell.expect, end, log_lines=lines, classify=matrix_cell.classify)
    return Verdict.PASSED if met else Verdict.FAILED


def allowed(
    cell: SimulatedCell,
    attempts: Sequence[Attempted],
    facts: Sequence[Fact],
    *,
    lost_after: float = LOST_AFTER_SECONDS,
    reports_in_polls: bool = True,
    logs_outlive: bool = False,
    is_held: bool = False,
    is_interrupted: bool = False,
    judged_at: float | None = None,
) -> frozenset[Verdict]:
    """The verdicts that are right for the last of these attempts, given what happened to the cell.

    Without ``reports_in_polls`` only the logs have the ranks' reports, so that every verdict needs them.
    ``logs_outlive``: the logs of a job that the cluster has forgotten can be read.
    ``judged_at``: when the verdict was made, if that is known.
    ``is_held``: a job that was given up and lives on takes the cluster's room.
    ``is_interrupted``: a session has not ended in order.
    """
    near = touching(facts, cell.key)
    found: set[Verdict] = set()
    has_records = logs_outlive and bool(attempts) and _has_records(attempts[-1], near, judged_at)
    full_only = any(fact.kind == "full" for fact in near) and not any(fact.kind in REFUSED for fact in near)
    # Polls show no reports of a job that they do not show.
    reports_in_polls = reports_in_polls and not any(fact.kind == "absent" for fact in near)
    was_taken = bool(attempts) and attempts[-1].submitted is not None
    for fact in near:
        if fact.kind in ("forgotten", "unseen") and has_records:
            continue
        if fact.kind == "not_taken" and ((full_only and not is_held) or was_taken):
            # While jobs of the run hold the cluster, queue_timeout does not count; it does again after a
            # job was given up, or cells would wait without end for a cluster that does not obey.
            continue
        if fact.kind not in LOG_KINDS or cell.needs_logs or not reports_in_polls:
            found |= fact.verdicts(lost_after)
    kinds = {fact.kind for fact in near}
    expected = cell.registration.cell.expect.reasons or ()
    if kinds & CANCELLED_BY and kinds & UNRECORDED:
        # The cancellation did not wait for its record.
        found.add(Verdict.ERROR)
        if "killed" in kinds and Reason.CANCELLED in expected:
            # A session takes it for another program's.
            found.add(Verdict.PASSED)
    last = attempts[-1] if attempts else Attempted(None)
    if last.end is None:
        found |= _without_end(expected, near)
    else:
        found |= _with_end(cell, len(attempts), last, last.end, near)
        is_unrecorded = last.end.by != "run" or last.recorded is None
        is_cancelled = Reason.CANCELLED in (last.end.reason, *last.end.also) and is_unrecorded
        if is_interrupted and is_cancelled and Reason.CANCELLED in expected:
            # The interrupted session may have cancelled the job without a record.
            found.add(Verdict.ERROR)
    if Reason.LOST in expected and any(fact.kind == "forgotten" for fact in near):
        found.add(Verdict.PASSED)
    return frozenset(found)


def _has_records(last: Attempted, near: Sequence[Fact], judged_at: float | None) -> bool:
    """Whether the logs certainly have the end records of all ranks, and could be read."""
    end = last.end
    if end is None or end.by not in ("itself", "limit") or end.reason == Reason.UNKNOWN:
        return False
    if last.was_dismissed:
        return False
    since, until = (-inf, inf) if judged_at is None else (judged_at - READ_SECONDS, judged_at)
    return not any(
        fact.kind in OF_TRUTH
        or fact.kind in LOG_KINDS
        or fact.kind in _CONFUSING
        or (fact.kind in _UNREADABLE and fact.until >= since and fact.at <= until)
        for fact in near
    )


def _without_end(expected: Sequence[str], near: Sequence[Fact]) -> set[Verdict]:
    """For a job that the cluster never had, or that is alive: only what happened counts."""
    kinds = [fact.kind for fact in near]
    if "rejected" in kinds and Reason.REJECTED in expected:
        return {Verdict.PASSED}
    return set()


def _with_end(
    cell: SimulatedCell, number: int, last: Attempted, end: TrueEnd, near: Sequence[Fact]
) -> set[Verdict]:
    spec, limit = cell.registration.cell.spec, cell.registration.test_timeout
    found: set[Verdict] = set()
    if limit is not None and last.ran >= limit - SKEW_SECONDS:
        # If the cluster's own times contradict this run's clock, nothing is certain.
        found |= {Verdict.FAILED, Verdict.ERROR} if last.ran < limit + SKEW_SECONDS else {Verdict.FAILED}
    # A job that ended by itself before a cancel had an effect is judged by why it was cancelled.
    by_run = end.by == "run" or last.recorded in _WAITED_TOO_LONG
    if last.waited >= spec.queue_timeout and by_run:
        found.add(true_verdict(cell, number, _as(end, Reason.QUEUE_TIMEOUT)))
    if end.by != "run":
        found.add(true_verdict(cell, number, end))
        found.update(true_verdict(cell, number, _other(end, reason)) for reason in end.also)
    elif end.reason != Reason.CANCELLED:
        # This run stopped the other ranks after one had ended.
        found.add(true_verdict(cell, number, end))
    elif last.active >= spec.max_runtime - SKEW_SECONDS:
        found.add(true_verdict(cell, number, _as(end, Reason.MAX_RUNTIME_REACHED)))
    # The records of an absent job do not tell which of its ranks was the first.
    if any(fact.kind in LOG_KINDS or fact.kind == "absent" or _is_long(fact) for fact in near):
        ends = (replace(end, reason=reason, exit_code=code) for reason, code in last.partial)
        found.update(true_verdict(cell, number, each) for each in ends)
    if end.by == "run" and any(fact.kind == "clock_jump" for fact in near):
        # A later session has only the wall clock to tell how long a job has run.
        found.add(Verdict.ERROR)
    if any(fact.kind == "false_limit" for fact in near):
        # After a long suspension a false report cannot be told from a true one.
        if last.ran >= spec.max_runtime:
            found.add(true_verdict(cell, number, _as(end, Reason.MAX_RUNTIME_REACHED)))
        if spec.heartbeat_timeout is not None and last.ran >= spec.heartbeat_timeout:
            found.add(true_verdict(cell, number, _as(end, Reason.HEARTBEAT_TIMEOUT)))
    if any(fact.kind == "stale" for fact in near):
        # An old answer shows the job as running when its limits are over; one such answer suffices.
        if limit is not None:
            found.add(Verdict.FAILED)
        found.add(true_verdict(cell, number, _as(end, Reason.MAX_RUNTIME_REACHED)))
        if last.recorded == ActionKind.MAX_RUNTIME:
            # The times of the end, which the cluster reports later, contradict the old answer.
            found.add(Verdict.ERROR)
        if end.by == "run" and last.waited >= spec.queue_timeout - STALE_SECONDS:
            found.add(true_verdict(cell, number, _as(end, Reason.QUEUE_TIMEOUT)))
    # If this run was about to stop the other ranks, a cancel by another user looks like its own.
    rest = last.without_cancel if end.by != "other" or last.recorded == ActionKind.STOP_REST else None
    if rest is not None and rest.by != "run" and rest.reason not in (Reason.JOB_COMPLETED, Reason.CANCELLED):
        # A rank had failed, or has a false report, and this run stopped the others.
        found.add(true_verdict(cell, number, rest) if rest.reason else Verdict.ERROR)
        found.update(true_verdict(cell, number, _other(rest, reason)) for reason in rest.also)
    late = any(fact.kind in ("cancel_ignored", "stale") for fact in near)
    if end.by == "run" and last.recorded == ActionKind.STOP_REST and late and end.restarts:
        # The cluster obeyed only after it had started the job again, with no failed rank, or an old answer
        # showed the failed rank of an earlier start.
        found.add(Verdict.ERROR)
    if by_run:
        found.update(true_verdict(cell, number, _as(end, reason)) for reason in _waiting(near, spec))
    return found


def _is_long(fact: Fact) -> bool:
    """Whether the logs may not be read in time because of it."""
    return fact.kind in UNANSWERED and fact.seconds >= LOST_AFTER_SECONDS


def _waiting(near: Sequence[Fact], spec: JobSpec) -> Iterator[Reason]:
    """The reasons for which this run may have ended a job that was held or suspended."""
    for fact in near:
        if fact.kind == "held_hinted" and fact.seconds >= STUCK_SECONDS:
            yield Reason.REJECTED
            yield Reason.DEPENDENCY_FAILED
        if fact.kind == "slow_restart":
            # queue_timeout is that of each wait.
            yield Reason.QUEUE_TIMEOUT
        if fact.kind in ("held", "suspension") and fact.seconds >= spec.queue_timeout:
            yield Reason.QUEUE_TIMEOUT


def least_seconds(cell: SimulatedCell, kind: str) -> float:
    """How old a job must be before the run may end it by this kind of action."""
    entry = cell.registration
    match kind:
        case ActionKind.REJECTED | ActionKind.DEPENDENCY_FAILED:
            return STUCK_SECONDS
        case ActionKind.QUEUE_TIMEOUT:
            return entry.cell.spec.queue_timeout - SKEW_SECONDS
        case ActionKind.MAX_RUNTIME:
            return entry.cell.spec.max_runtime - SKEW_SECONDS
        case ActionKind.TEST_TIMEOUT:
            return (entry.test_timeout or 0.0) - SKEW_SECONDS
    return 0.0


def _as(end: TrueEnd, reason: Reason) -> TrueEnd:
    """An end that this run caused, with the reason for which it did."""
    return replace(end, reason=reason.value, exit_code=None)


def _other(end: TrueEnd, reason: str) -> TrueEnd:
    """Another reading of an end."""
    return replace(end, reason=reason, exit_code=end.other_code if reason in _COMMAND_ENDED else None)


def retry_is_due(cell: SimulatedCell, attempts: Sequence[Attempted], facts: Sequence[Fact]) -> bool:
    """Whether a further attempt had to follow the last one."""
    entry = cell.registration
    last = attempts[-1] if attempts else Attempted(None)
    if last.end is None or _by_run(cell, last) or any(f.kind in STOPS for f in touching(facts, cell.key)):
        return False
    absent = any(fact.kind == "absent" for fact in touching(facts, cell.key))
    if last.recorded == ActionKind.STOP_REST and absent and last.concluded == Reason.UNKNOWN:
        # It counted as gone before the cluster could report why.
        return False
    stopped = [each.recorded for each in attempts[:-1] if _by_run(cell, each)]
    if any(kind not in (ActionKind.CANCEL, ActionKind.QUEUE_TIMEOUT) for kind in stopped):
        # What it was judged to be is not part of the truth.
        return False
    ends = [
        (i + 1, _as_concluded(each, each.end))
        for i, each in enumerate(attempts)
        if each.end is not None and not _by_run(cell, each)
    ]
    reasons = [_reason(cell, number, end) for number, end in ends]
    # An attempt that a dead session or its reaper has cancelled counts for nothing.
    retried = stopped.count(ActionKind.QUEUE_TIMEOUT) + sum(each.reason in RETRIED for each in reasons[:-1])
    reruns = sum(reason.kind is ReasonClass.PRODUCT for reason in reasons[:-1])
    if reasons[-1].reason in RETRIED and retried < entry.cell.infra_retries:
        return True
    return true_verdict(cell, *ends[-1]) is Verdict.FAILED and reruns < entry.reruns


def _by_run(cell: SimulatedCell, attempt: Attempted) -> bool:
    """Whether this run ended the job, or had a reason to when the job ended by itself."""
    end, kind = attempt.end, attempt.recorded
    if end is None or attempt.submitted is None:
        return False
    is_limit = kind == ActionKind.TEST_TIMEOUT or kind in _WAITED_TOO_LONG
    return end.by == "run" or (is_limit and end.at - attempt.submitted >= least_seconds(cell, kind or ""))


def _as_concluded(attempt: Attempted, end: TrueEnd) -> TrueEnd:
    """The end as the ledger has it, if the truth has two readings and this is the other one."""
    if attempt.concluded in end.also:
        return _other(end, attempt.concluded)
    rest = attempt.without_cancel
    if attempt.recorded == ActionKind.STOP_REST and rest is not None:
        # Whether this run or another user has stopped the other ranks cannot be told.
        if attempt.concluded == rest.reason:
            return rest
        if attempt.concluded in rest.also:
            return _other(rest, attempt.concluded)
    return end


def may_follow(cell: SimulatedCell, attempts: Sequence[Attempted], *, undisturbed: bool) -> bool:
    """Whether the session that had the last of these attempts may have made a further one.

    ``undisturbed``: only the truth counts; otherwise only the number of attempts does.
    """
    entry, last = cell.registration, attempts[-1]
    most = entry.cell.infra_retries + entry.reruns
    counted = [each for each in attempts[:-1] if each.end is not None and each.recorded != ActionKind.CANCEL]
    if last.end is None:
        return True
    if last.end.by == "run" and last.recorded == ActionKind.CANCEL:
        return False
    if not undisturbed or _by_run(cell, last):
        return len(counted) < most
    retried = reruns = 0
    for number, each in enumerate(attempts[:-1], 1):
        if each.end is None or each.recorded == ActionKind.CANCEL:
            continue
        if _by_run(cell, each):
            retried += each.recorded == ActionKind.QUEUE_TIMEOUT
            continue
        retried += bool(_reasons(cell, number, each) <= {*RETRIED})
        reruns += true_verdict(cell, number, _as_concluded(each, each.end)) is Verdict.FAILED
    number = len(attempts)
    if _reasons(cell, number, last) & {*RETRIED} and retried < entry.cell.infra_retries:
        return True
    concluded = _as_concluded(last, last.end)
    return true_verdict(cell, number, concluded) is Verdict.FAILED and reruns < entry.reruns


def _reasons(cell: SimulatedCell, number: int, attempt: Attempted) -> set[str]:
    """All reasons that may be concluded."""
    end = attempt.end
    if end is None:
        return set()
    every = (end.reason, *end.also, *(reason for reason, _ in attempt.partial))
    return {_reason(cell, number, replace(end, reason=reason)).reason for reason in every}


def _reason(cell: SimulatedCell, number: int, end: TrueEnd) -> Classified:
    return classified(end, lines_of(cell, number, end), cell.registration.cell.classify)
