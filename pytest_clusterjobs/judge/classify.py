"""From what was observed of a job to its outcome."""

from __future__ import annotations

from dataclasses import replace

from ..jobs import ActionKind
from ..jobs import Classification
from ..jobs import COMMAND_ENDED
from ..jobs import JobSpec
from ..jobs import Observation
from ..jobs import Outcome
from ..jobs import OwnAction
from ..jobs import Phase
from ..jobs import Reason
from ..jobs import REASON_CLASSES
from ..jobs import ReasonClass
from ..jobs import Source
from .ends import by_code
from .ends import code_words
from .ends import command_end
from .ends import End
from .ends import failed_without_report
from .ends import first_failure
from .ends import struck
from .facts import never_began
from .facts import own_reports
from .logs import ReadLog
from .rules import read_rules
from .rules import Reading
from .text import one_line
from .text import quoted

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
    """Say how an attempt ended, and who says so.

    The sources are asked in the order of :class:`~pytest_clusterjobs.jobs.Source`. ``log(rank)``
    gives a rank's log of the last start; it is called at most once a rank, and only when a
    classify rule needs it. ``submitted`` (seconds since the epoch) stands in where the cluster
    does not tell. Raises ValueError for a job that has not ended and that no action ended.
    """
    if action is None and observation.phase in {Phase.PENDING, Phase.RUNNING}:
        raise ValueError(f"a job that is {observation.phase} has no outcome yet")
    observation = own_reports(observation)
    decided = (
        _own_action(action)
        or _scheduler(observation, action)
        or struck(spec, observation.nodes, stops_are_ours=action is not None)
    )
    if decided is None:
        end, reading = _classified(spec, observation, classification, log)
    else:
        end, reading = _restarts_of(decided, spec, observation, classification, log, action)
    return _outcome(end, reading, observation, action, classification, submitted)


def _own_action(action: OwnAction | None) -> End | None:
    if action is None or action.kind is ActionKind.STOP_REST:
        return None
    return End(_ACTIONS[action.kind], Source.THIS_RUN, one_line(action.why))


def _scheduler(observation: Observation, action: OwnAction | None) -> End | None:
    """The scheduler's hard fact, if it has one.

    Its words for a command's end are none: only the ranks can tell that. A cancel is none either
    when it is this run that stopped the other ranks after one had failed.
    """
    hint = observation.reason_hint
    if hint is None or hint in COMMAND_ENDED or hint is Reason.UNKNOWN:
        return None
    if hint is Reason.CANCELLED and action is not None:
        return None
    began = not observation.nodes or not all(never_began(node) for node in observation.nodes)
    if REASON_CLASSES[hint] is ReasonClass.PRODUCT and not began:
        detail = f"{_native(observation)}; no rank has a record that its command began"
        return End(Reason.START_FAILED, Source.SCHEDULER, detail)
    return End(hint, Source.SCHEDULER, _native(observation))


def _native(observation: Observation) -> str:
    words = [quoted(text, 200) for text in (observation.native_state, observation.native_reason) if text]
    return f"the scheduler reports {', '.join(words)}" if words else "reported by the scheduler"


def _classified(
    spec: JobSpec, observation: Observation, classification: Classification, log: ReadLog | None
) -> tuple[End, Reading]:
    own = command_end(spec.nodes, observation)
    reading = read_rules(classification, observation, code=own.code, log=log, nodes=spec.nodes)
    if reading.problems:
        return _no_answer(reading), reading
    return _combine(own, reading, classification), reading


def _restarts_of(
    decided: End,
    spec: JobSpec,
    observation: Observation,
    classification: Classification,
    log: ReadLog | None,
    action: OwnAction | None,
) -> tuple[End, Reading]:
    """Let the rules count restarts under a product's end that a higher source has decided."""
    if REASON_CLASSES[decided.reason] is not ReasonClass.PRODUCT:
        return decided, Reading()
    reading = read_rules(
        classification, observation, code=None, log=log, nodes=spec.nodes, only=("restarts",)
    )
    return (_no_answer(reading), reading) if reading.problems else (decided, reading)


def _no_answer(reading: Reading) -> End:
    return End(Reason.UNKNOWN, Source.NOBODY, f"a classify rule reads the log, but {reading.problems[0]}")


def _class_of(reason: str | None, classification: Classification) -> ReasonClass | None:
    return None if reason is None else REASON_CLASSES.get(reason) or classification.reasons.get(reason)


def _combine(own: End, reading: Reading, classification: Classification) -> End:
    """Put the rules' words over the command's own end; they never turn a failure into ``job_completed``.

    Nor do they make an end of the product's of one that lacks the report of a rank.
    """
    code = reading.exit_code or (None if own.reason == Reason.START_FAILED else own.code)
    reason = (
        reading.reason if reading.reason is not None or not reading.exit_code else by_code(reading.exit_code)
    )
    words = "; ".join(
        dict.fromkeys(reading.words[name] for name in ("reason", "exit_code") if name in reading.words)
    )
    of_product = _class_of(reason, classification) is ReasonClass.PRODUCT
    if reason is not None and of_product and own.is_silent:
        return replace(own, detail=f"{own.detail} (against it: {words})")
    if reason is None:
        conflict = reading.exit_code == 0 and own.code
        return replace(own, detail=f"{own.detail} (against it: {words})") if conflict else own
    if reason != Reason.JOB_COMPLETED:
        return End(reason, Source.CLASSIFY_RULE, f"{words}; {own.detail}", code, own.rank)
    if own.reason != Reason.JOB_COMPLETED:
        return replace(own, detail=f"{own.detail} (against it: {words})")
    if code:
        return End(
            by_code(code), Source.CLASSIFY_RULE, f"{words}: {code_words(code)} is not job_completed", code
        )
    return own


def _outcome(
    end: End,
    reading: Reading,
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


def _exit_code(end: End) -> int | None:
    """The command's own code: none if it never began, or if something other than itself ended it."""
    return end.code if end.reason in COMMAND_ENDED or end.reason not in REASON_CLASSES else None


def _heartbeats(observation: Observation) -> int | None:
    """Those of rank 0, which count."""
    reports = (node.report for node in observation.nodes if node.rank == 0)
    return next((report.heartbeats for report in reports if report is not None), None)


def _first_failing_node(end: End, observation: Observation) -> int | None:
    if end.rank is not None:
        return end.rank
    failure = first_failure(observation.nodes)
    return failed_without_report(observation.nodes) if failure is None else failure.rank
