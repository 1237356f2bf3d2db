"""From an outcome to a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from ..model import ActionKind
from ..model import Expectation
from ..model import Judgement
from ..model import LogExpectation
from ..model import Mismatch
from ..model import Outcome
from ..model import Reason
from ..model import ReasonClass
from ..model import Source
from ..model import Verdict
from ..model.notation import format_duration
from ..model.text import one_line
from ..model.text import quoted_output
from .logs import Log
from .logs import read_log
from .logs import ReadLog
from .metrics import bounds_text
from .metrics import metric_miss
from .metrics import read_metric
from .patterns import BadPattern
from .searching import first_match
from .tokens import Unreadable

_VERDICT_OF_ACTION = {
    ActionKind.CANCEL: (Verdict.NOT_RUN, "stopped by this run: {why}"),
    ActionKind.TEST_TIMEOUT: (Verdict.FAILED, "stopped by the test's deadline: {why}"),
    ActionKind.REFUSED: (Verdict.ERROR, "rejected by this run"),
    ActionKind.NOT_TAKEN: (Verdict.ERROR, "{why}"),
}
"""Actions of this run that never meet an expectation: the verdict, and the message."""


def judge(expect: Expectation, outcome: Outcome, *, log: ReadLog | None, nodes: int) -> Judgement:
    """Compare ``outcome`` with ``expect``; the judgement lists everything that is unmet.

    ``log(rank)`` gives a rank's log of the last start. It is called at most once for each of the
    ``nodes`` ranks, and only if the expectation is about what the job printed and the reason
    leaves the verdict open.
    """
    if outcome.action is not None and outcome.action.kind in _VERDICT_OF_ACTION:
        return _ended_by_this_run(expect, outcome)
    if not _accepted(expect, outcome) and outcome.reason_class is not ReasonClass.PRODUCT:
        return Judgement(Verdict.ERROR, (_reason_miss(expect, outcome),))
    if outcome.source is Source.NONE and outcome.reason != Reason.UNKNOWN:
        seen = f"{outcome.reason} by the log alone: a rank has left no report"
        return Judgement(Verdict.ERROR, (Mismatch("reason", expected_reason(expect), seen),))
    misses = tuple(_plain_misses(expect, outcome))
    if not expect.needs_logs:
        return Judgement(Verdict.FAILED if misses else Verdict.PASSED, misses)
    return _with_logs(expect, misses, _read(expect, outcome, log, nodes))


def expected_reason(expect: Expectation) -> str:
    """The expected reasons: ``job_failed``, ``job_failed or killed_by_signal``, ``any product reason``."""
    if expect.accepts_any:
        return "any product reason"
    reasons = expect.reasons or ()
    return "anything (its test judges)" if {*Reason} <= {*reasons} else " or ".join(reasons)


def expected_exit_code(expect: Expectation) -> str:
    """The expected exit codes in a message: ``3``, ``1 or 2``, ``nonzero``; empty if they are not judged."""
    if expect.exit_codes is None or isinstance(expect.exit_codes, str):
        return expect.exit_codes or ""
    return " or ".join(map(str, expect.exit_codes))


def _ended_by_this_run(expect: Expectation, outcome: Outcome) -> Judgement:
    """A test's deadline gives ``failed``, a cancel by this run ``not run``, no submission ``error``.

    These never meet an expectation, not even ``cancelled``, ``rejected`` or ``queue_timeout``. Those describe
    a job that was cancelled or waited on the cluster, or that the cluster rejected, and this run has seen
    none of that.
    """
    assert outcome.action is not None
    verdict, text = _VERDICT_OF_ACTION[outcome.action.kind]
    seen = text.format(why=one_line(outcome.action.why))
    return Judgement(verdict, (Mismatch("reason", expected_reason(expect), seen),))


def _accepted(expect: Expectation, outcome: Outcome) -> bool:
    """Whether the reason is an expected one.

    ``any`` accepts every product reason and no other: the author does not mind how the product
    ends. A job that never began, or that was taken away, shows nothing about the product, and
    a pass would be a false green. Such ends, ``cancelled`` and ``unknown`` can be named.
    """
    if expect.accepts_any:
        return outcome.reason_class is ReasonClass.PRODUCT
    return outcome.reason in (expect.reasons or ())


def _reason_miss(expect: Expectation, outcome: Outcome) -> Mismatch:
    return Mismatch("reason", expected_reason(expect), outcome.reason)


def _plain_misses(expect: Expectation, outcome: Outcome) -> Iterator[Mismatch]:
    if not _accepted(expect, outcome):
        yield _reason_miss(expect, outcome)
    if not _code_met(expect, outcome.exit_code):
        yield Mismatch("exit_code", expected_exit_code(expect), _shown(outcome.exit_code))
    ranges = (
        ("restarts", expect.restarts, outcome.restarts),
        ("run_time", expect.run_time, outcome.run_seconds),
    )
    for name, wanted_range, value in ranges:
        if wanted_range is not None and (value is None or value not in wanted_range):
            seen = format_duration(value, "none") if name == "run_time" else _shown(value)
            yield Mismatch(name, str(wanted_range), seen)
    yield from _heartbeat_misses(expect, outcome)


def _heartbeat_misses(expect: Expectation, outcome: Outcome) -> Iterator[Mismatch]:
    """Compare the count of heartbeats; by default an expected ``heartbeat_timeout`` requires one.

    A job without a heartbeat always ends in that timeout, which does not show what happens when it stalls. If
    a rule reads the timeout from a wrapper's output, it is about the wrapper's own clock, which the count of
    heartbeats does not cover.
    """
    seen = _shown(outcome.heartbeats)
    timed_out = outcome.reason == Reason.HEARTBEAT_TIMEOUT and outcome.source is not Source.CLASSIFY_RULE
    if timed_out and outcome.heartbeats == 0:
        seen = "0: the job never touched $CLUSTERJOBS_HEARTBEAT_FILE; output does not count"
    if expect.heartbeats is not None:
        if outcome.heartbeats is None or outcome.heartbeats not in expect.heartbeats:
            yield Mismatch("heartbeats", str(expect.heartbeats), seen)
    elif timed_out and Reason.HEARTBEAT_TIMEOUT in (expect.reasons or ()) and not outcome.heartbeats:
        advice = "for a job without heartbeats, expect heartbeats: '>=0'"
        yield Mismatch("heartbeats", ">=1 (implied by heartbeat_timeout)", f"{seen} ({advice})")


def _code_met(expect: Expectation, code: int | None) -> bool:
    if expect.exit_codes is None:
        return True
    if expect.exit_codes == "nonzero":
        return code is not None and code != 0
    return code in expect.exit_codes


def _shown(value: float | None) -> str:
    return "none" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class _LogFindings:
    """What the logs show about an expectation."""

    misses: tuple[Mismatch, ...] = ()
    gaps: tuple[str, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)


def _with_logs(expect: Expectation, misses: tuple[Mismatch, ...], found: _LogFindings) -> Judgement:
    """Combine both; findings in a log with a gap are inconclusive, but a mismatch elsewhere still counts."""
    if found.gaps:
        gap = Mismatch("log", "complete", "; ".join(found.gaps))
        certain = tuple(miss for miss in found.misses if miss.field == "log.excludes")
        return Judgement(Verdict.FAILED if misses else Verdict.ERROR, (*misses, *certain, gap), found.metrics)
    misses += found.misses
    return Judgement(Verdict.FAILED if misses else Verdict.PASSED, misses, found.metrics)


def _read(expect: Expectation, outcome: Outcome, log: ReadLog | None, nodes: int) -> _LogFindings:
    logs = [read_log(log, rank) for rank in _ranks(expect, nodes)]
    gaps = tuple(each.gap for each in logs if each.gap)
    if not gaps and not outcome.log_complete:
        gaps = ("the cluster reports that the log is incomplete",)
    misses = list(_log_misses(expect.log, logs))
    metrics: dict[str, float] = {}
    for name, metric in expect.metrics.items():
        read = [each for each in logs if metric.node in {None, each.rank}]
        try:
            metrics[name] = read_metric(metric, read)
        except Unreadable as error:
            misses.append(Mismatch(f"metrics.{name}", bounds_text(metric), str(error)))
            continue
        miss = metric_miss(name, metric, metrics[name])
        misses += [] if miss is None else [miss]
    return _LogFindings(tuple(misses), gaps, metrics)


def _ranks(expect: Expectation, nodes: int) -> Sequence[int]:
    """The ranks whose logs are needed."""
    wanted_nodes = {metric.node for metric in expect.metrics.values()}
    if expect.log != LogExpectation() or None in wanted_nodes:
        return range(nodes)
    return sorted(node for node in wanted_nodes if node is not None and node < nodes)


def _log_misses(expect: LogExpectation, logs: Sequence[Log]) -> Iterator[Mismatch]:
    for text in expect.contains:
        if not any(text in log.text for log in logs):
            yield Mismatch("log.contains", quoted_output(text), "not in the log")
    for text in expect.excludes:
        ranks = [str(log.rank) for log in logs if text in log.text]
        if ranks:
            yield Mismatch(
                "log.excludes", f"no {quoted_output(text)}", f"in the log of rank {', '.join(ranks)}"
            )
    for pattern in expect.matches:
        try:
            found = any(first_match(pattern, log.text) is not None for log in logs)
        except BadPattern as error:
            yield Mismatch("log.matches", quoted_output(pattern), str(error))
            continue
        if not found:
            yield Mismatch("log.matches", quoted_output(pattern), "no match in the log")
