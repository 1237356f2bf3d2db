"""From the observation of a job to its outcome."""

from __future__ import annotations

from dataclasses import replace

from ..model import ActionKind
from ..model import Classification
from ..model import COMMAND_ENDED
from ..model import JobSpec
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model import Phase
from ..model import Reason
from ..model import REASON_CLASSES
from ..model import ReasonClass
from ..model import Source
from ..model.text import one_line
from ..model.text import quoted_output
from .facts import never_began
from .facts import own_reports
from .job_end import command_end
from .job_end import exit_code_text
from .job_end import failed_without_report
from .job_end import first_failure
from .job_end import JobEnd
from .job_end import limit_end
from .job_end import reason_for_code
from .logs import ReadLog
from .rules import read_rules
from .rules import RuleReading

_ACTIONS = {
    ActionKind.CANCEL: Reason.CANCELLED,
    ActionKind.TEST_TIMEOUT: Reason.CANCELLED,
    ActionKind.QUEUE_TIMEOUT: Reason.QUEUE_TIMEOUT,
    ActionKind.NOT_TAKEN: Reason.QUEUE_TIMEOUT,
    ActionKind.MAX_RUNTIME: Reason.MAX_RUNTIME_REACHED,
    ActionKind.LOST: Reason.LOST,
    ActionKind.REJECTED: Reason.REJECTED,
    ActionKind.REFUSED: Reason.REJECTED,
    ActionKind.DEPENDENCY_FAILED: Reason.DEPENDENCY_FAILED,
}


def outcome(
    spec: JobSpec,
    observation: Observation,
    *,
    action: OwnAction | None,
    classification: Classification,
    log: ReadLog | None,
    submitted: float | None = None,
) -> Outcome:
    """Return how an attempt ended, and which source decided.

    The sources are consulted in the order of :class:`~pytest_clusterjobs.model.Source`. ``log(rank)``
    gives a rank's log of the last start; it is called at most once a rank, and only if a
    classify rule needs it. ``submitted`` (seconds since the epoch) is used if the cluster
    reports no time. Raises ValueError for a job that has not ended and that no action ended.
    """
    if action is None and observation.phase in {Phase.PENDING, Phase.RUNNING}:
        raise ValueError(f"a job that is {observation.phase} has no outcome yet")
    observation = own_reports(observation)
    decided = (
        _own_action(action)
        or _scheduler(observation, action)
        or limit_end(spec, observation.nodes, stopped_by_this_run=action is not None)
    )
    if decided is None:
        end, reading = _classified(spec, observation, classification, log)
    else:
        end, reading = _restarts_of(decided, spec, observation, classification, log, action)
    return _outcome(end, reading, observation, action, classification, submitted)


def _own_action(action: OwnAction | None) -> JobEnd | None:
    if action is None or action.kind is ActionKind.STOP_REST:
        return None
    return JobEnd(_ACTIONS[action.kind], Source.THIS_RUN, one_line(action.why))


def _scheduler(observation: Observation, action: OwnAction | None) -> JobEnd | None:
    """The scheduler's hard fact, if it has one.

    How the scheduler describes a command's end is not one: only the ranks can report that. A cancel is not
    one either if this run stopped the other ranks after one had failed.
    """
    hint = observation.reason_hint
    if hint is None or hint in COMMAND_ENDED or hint is Reason.UNKNOWN:
        return None
    if hint is Reason.CANCELLED and action is not None:
        return None
    began = not observation.nodes or not all(never_began(node) for node in observation.nodes)
    if REASON_CLASSES[hint] is ReasonClass.PRODUCT and not began:
        detail = f"{_native(observation)}; no rank has a record that its command began"
        return JobEnd(Reason.START_FAILED, Source.SCHEDULER, detail)
    return JobEnd(hint, Source.SCHEDULER, _native(observation))


def _native(observation: Observation) -> str:
    texts = [
        quoted_output(text, 200) for text in (observation.native_state, observation.native_reason) if text
    ]
    return f"the scheduler reports {', '.join(texts)}" if texts else "reported by the scheduler"


def _classified(
    spec: JobSpec, observation: Observation, classification: Classification, log: ReadLog | None
) -> tuple[JobEnd, RuleReading]:
    own = command_end(spec.nodes, observation)
    reading = read_rules(classification, observation, code=own.code, log=log, nodes=spec.nodes)
    if reading.problems:
        return _no_answer(reading), reading
    return _combine(own, reading, classification), reading


def _restarts_of(
    decided: JobEnd,
    spec: JobSpec,
    observation: Observation,
    classification: Classification,
    log: ReadLog | None,
    action: OwnAction | None,
) -> tuple[JobEnd, RuleReading]:
    """Let the rules count restarts for a product end that a higher source has decided."""
    if REASON_CLASSES[decided.reason] is not ReasonClass.PRODUCT:
        return decided, RuleReading()
    reading = read_rules(
        classification, observation, code=None, log=log, nodes=spec.nodes, only=("restarts",)
    )
    return (_no_answer(reading), reading) if reading.problems else (decided, reading)


def _no_answer(reading: RuleReading) -> JobEnd:
    return JobEnd(Reason.UNKNOWN, Source.NONE, f"a classify rule reads the log, but {reading.problems[0]}")


def _class_of(reason: str | None, classification: Classification) -> ReasonClass | None:
    return None if reason is None else REASON_CLASSES.get(reason) or classification.reasons.get(reason)


def _combine(own: JobEnd, reading: RuleReading, classification: Classification) -> JobEnd:
    """Apply what the rules read to the command's own end.

    The rules never turn a failure into ``job_completed``. They never turn an end that lacks the report of a
    rank into an end of the product. An infrastructure reason that only the log of such a job has is shown,
    and may be followed by a new attempt; no source confirms it, so that it meets no expectation.
    """
    code = reading.exit_code or (None if own.reason == Reason.START_FAILED else own.code)
    reason = (
        reading.reason
        if reading.reason is not None or not reading.exit_code
        else reason_for_code(reading.exit_code)
    )
    texts = "; ".join(
        dict.fromkeys(reading.texts[name] for name in ("reason", "exit_code") if name in reading.texts)
    )
    of_product = _class_of(reason, classification) is ReasonClass.PRODUCT
    if reason is not None and of_product and own.is_silent:
        return replace(own, detail=f"{own.detail} (against it: {texts})")
    if reason is None:
        conflict = reading.exit_code == 0 and own.code
        return replace(own, detail=f"{own.detail} (against it: {texts})") if conflict else own
    if reason != Reason.JOB_COMPLETED:
        source = Source.NONE if own.is_silent and reading.by_log else Source.CLASSIFY_RULE
        return JobEnd(reason, source, f"{texts}; {own.detail}", code, own.rank)
    if own.reason != Reason.JOB_COMPLETED:
        return replace(own, detail=f"{own.detail} (against it: {texts})")
    if code:
        return JobEnd(
            reason_for_code(code),
            Source.CLASSIFY_RULE,
            f"{texts}: {exit_code_text(code)} is not job_completed",
            code,
        )
    return own


def _outcome(
    end: JobEnd,
    reading: RuleReading,
    observation: Observation,
    action: OwnAction | None,
    classification: Classification,
    submitted: float | None,
) -> Outcome:
    times = observation.times
    reports = [node.report for node in observation.nodes if node.report is not None]
    restarts = max([observation.restarts, *(report.restarts for report in reports)])
    return Outcome(
        reason=end.reason,
        reason_class=REASON_CLASSES.get(end.reason) or classification.reasons[end.reason],
        source=end.source,
        detail=one_line(end.detail, 600),
        exit_code=_exit_code(end),
        restarts=restarts if reading.restarts is None else reading.restarts,
        heartbeats=_heartbeats(observation),
        nodes=observation.nodes,
        first_failing_node=_first_failing_node(end, observation),
        times=times if times.submitted is not None else replace(times, submitted=submitted),
        native_state=observation.native_state,
        native_reason=observation.native_reason,
        cost=observation.cost,
        log_complete=observation.log_complete
        and reading.log_complete
        and not any(report.log_cut for report in reports),
        action=action,
    )


def _exit_code(end: JobEnd) -> int | None:
    """The command's own exit code; ``None`` if the command never began, or did not end by itself."""
    return end.code if end.reason in COMMAND_ENDED or end.reason not in REASON_CLASSES else None


def _heartbeats(observation: Observation) -> int | None:
    """The heartbeats of rank 0, the only rank whose heartbeats count."""
    reports = (node.report for node in observation.nodes if node.rank == 0)
    return next((report.heartbeats for report in reports if report is not None), None)


def _first_failing_node(end: JobEnd, observation: Observation) -> int | None:
    if end.rank is not None:
        return end.rank
    failure = first_failure(observation.nodes)
    return failed_without_report(observation.nodes) if failure is None else failure.rank
