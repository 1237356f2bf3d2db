"""The part of the core that concludes: from the end of a job to its published verdict."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from math import inf

from ..model import ActionKind
from ..model import NodeState
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model import Phase
from ..model import Reason
from ..model import ReasonClass
from ..model import SentinelReport
from ..model import SentinelWord
from ..model import Times
from ..model import Verdict
from ..model.records import Attempt
from ..model.records import Result
from ..model.token import Token
from .attempt import ActiveAttempt
from .attempt import Event
from .attempt import Evidence
from .attempt import Life
from .attempt import SubmissionState
from .judging import error_result
from .judging import excerpt_ranks
from .judging import needs_reports
from .judging import needs_time
from .judging import needs_whole_logs
from .judging import verdict_on
from .limits import absence_lasts_at
from .limits import has_left
from .limits import LOG_RETRY_SECONDS
from .limits import lost_at
from .limits import NEVER_STARTS
from .messages import AskHooks
from .messages import Forget
from .messages import HooksAnswered
from .messages import LogsRead
from .messages import Publish
from .messages import ReadLogs
from .state import CoreState
from .state import Serving

RETRIED = frozenset({Reason.START_FAILED, Reason.PREEMPTED, Reason.NODE_FAILED, Reason.QUEUE_TIMEOUT})
"""The reasons after which ``infra_retries`` submits a new attempt."""

RETRY_PAUSE_SECONDS = 5.0
"""Seconds before the first retry; doubled for each further one."""

HOOK_TIMEOUT_SECONDS = 3600.0
"""Seconds after which a hook that has not answered makes an error of its cell."""

CANCELLED = "cancelled on request"

NOT_WRITABLE = "ledger not writable"


class Conclusions:
    """The part of the core that concludes. ``resubmit`` is called with the attempt that follows another."""

    def __init__(self, state: CoreState, resubmit: Callable[[ActiveAttempt], None]) -> None:
        self._state = state
        self._resubmit = resubmit

    # Evidence.

    def end(self, job: ActiveAttempt) -> None:
        """Judge an ended job, or first read the logs that the verdict depends on."""
        if job.life is not Life.ENDED or job.observation is None or not self._state.policy.judges:
            return
        if job.is_stray:
            self._forget(job)
            return
        if needs_whole_logs(job) or needs_reports(job, job.observation):
            self._read(job, whole=needs_whole_logs(job))
        else:
            self._conclude(job, Evidence())

    def end_is_settled(self, job: ActiveAttempt, further: float = 0.0) -> bool:
        """Whether an ended job's logs have had the time to arrive that its cluster asks for, and more."""
        return self._state.now.monotonic >= self._settled_at(job) + further

    def look_for_records(self, job: ActiveAttempt) -> None:
        """Look for the reports of the ranks of a job that the scheduler does not know any more."""
        if job.handle is not None:
            known = job.observation or Observation(Phase.ABSENT)
            # The job may have been started again since polls have shown how its ranks ended.
            nodes = tuple(NodeState(node.rank, host=node.host) for node in known.nodes)
            self._read(job, replace(known, nodes=nodes))

    def _read(self, job: ActiveAttempt, seen: Observation | None = None, *, whole: bool = False) -> None:
        if job.token not in self._state.cluster(job).reading:
            seen = seen or job.observation or Observation(Phase.ABSENT)
            self._queue_read(job, ReadLogs(job.backend, job.token, seen, whole))

    def _queue_read(self, job: ActiveAttempt, command: ReadLogs) -> None:
        cluster = self._state.cluster(job)
        cluster.reading[job.token] = inf
        cluster.reads.append(command)

    def logs_read(self, event: LogsRead) -> None:
        """What was read of a job's logs."""
        begun_at = self._state.clusters[event.backend].reading.pop(event.token, None)
        job = self._state.attempts.get(event.token)
        if job is None:
            return
        if job.life is Life.JUDGED and job.result is not None and begun_at is not None:
            self._ask_hooks(job, replace(job.result, logs=dict(event.excerpts)))
            return
        if job.life is Life.ABSENT:
            if self._settle_by_records(job, event):
                self.end(job)
        elif job.life is Life.ENDED and job.is_stray:
            self._forget(job)
        elif job.life is Life.ENDED and self._state.policy.judges:
            self._weigh(job, event, begun_at or 0.0)

    def _weigh(self, job: ActiveAttempt, event: LogsRead, begun_at: float) -> None:
        """Judge an ended job by its logs, unless they may still become more complete.

        What was read of them may be as old as the begin of the read.
        """
        if event.seen.phase is Phase.ABSENT or (needs_whole_logs(job) and not event.logs):
            # They were read to look for records, before the end was known.
            self._read(job, whole=needs_whole_logs(job))
            return
        known = job.observation or event.seen
        complete = known.log_complete or (bool(event.logs) and not event.missing)
        job.observation = replace(known, nodes=event.seen.nodes, log_complete=complete)
        evidence = Evidence(event.logs, event.missing)
        needs = needs_time(job, job.observation, evidence)
        if needs and event.error and not self.end_is_settled(job, LOG_RETRY_SECONDS):
            self._read(job, whole=needs_whole_logs(job))
        elif not needs or begun_at >= self._settled_at(job):
            self._conclude(job, evidence)
        elif self.end_is_settled(job):
            self._read(job, whole=needs_whole_logs(job))

    def _settled_at(self, job: ActiveAttempt) -> float:
        """When the logs of an ended job have had the time to arrive that its cluster asks for."""
        return (job.ended_at or 0.0) + self._state.cluster(job).can.log_settle

    def _settle_by_records(self, job: ActiveAttempt, event: LogsRead) -> bool:
        """A job that the scheduler no longer knows has ended if every rank left a record of it.

        The cluster may be about to start it again, or may have done so, unless its records exclude that; and
        a stop from outside has a cause that only the scheduler knows. Such a job gets until it counts as lost
        to be shown again. Returns whether it has ended.
        """
        nodes, known = event.seen.nodes, job.observation or Observation(Phase.ABSENT)
        reports = [node.report for node in nodes if node.report is not None]
        if len(nodes) < job.spec.nodes or len(reports) < len(nodes):
            return False
        # A job that waited to be started again has not ended in the start before.
        least = known.restarts + (known.phase is Phase.PENDING and job.waiting_at is not None)
        if {report.restarts for report in reports} != {max(least, reports[0].restarts)}:
            # Those of the last start have not arrived yet.
            return False
        cluster = self._state.cluster(job)
        if job.answered_at < job.submitted_at + cluster.can.find_settle:
            # The scheduler may not show it yet, and will report more than the records have.
            return False
        # The read may have taken long: an absence lasts until the last answer that showed it.
        if job.action is not None:
            is_over = has_left(job) and job.answered_at >= absence_lasts_at(job)
        elif self._may_be_shown_again(job, reports):
            is_over = job.answered_at >= lost_at(job) and job.token not in (cluster.listed or ())
        else:
            is_over = True
        if not is_over:
            return False
        # A reason why it could never start is disproved.
        hint = None if known.reason_hint in NEVER_STARTS else known.reason_hint
        job.observation = replace(known, phase=Phase.ENDED, nodes=nodes, reason_hint=hint)
        job.ended_at = self._state.now.monotonic
        job.absent_at = None
        job.move(Event.SEE_ENDED)
        job.move(Event.CONFIRM)
        return True

    def _may_be_shown_again(self, job: ActiveAttempt, reports: Sequence[SentinelReport]) -> bool:
        """Whether an absent job may be started again, or has a cause of its end that its records lack."""
        if any(report.word is SentinelWord.STOPPED for report in reports):
            return True
        has_completed = all(report.word is SentinelWord.EXITED and not report.exit_code for report in reports)
        return not has_completed and any(report.restarts < job.spec.max_restarts for report in reports)

    def end_without_logs(self, job: ActiveAttempt) -> None:
        """Judge an ended job whose logs have not been read for too long: the call does not return."""
        self._state.cluster(job).reading.pop(job.token, None)
        self._conclude(job, Evidence(missing=True))

    # Verdicts.

    def _conclude(self, job: ActiveAttempt, evidence: Evidence) -> None:
        assert job.observation is not None
        job.evidence = evidence
        job.move(Event.JUDGE)
        self._state.cluster(job).polls.drop(job.token)
        result = verdict_on(job, job.observation, evidence)
        ranks = excerpt_ranks(result, job.spec.nodes) if job.handle is not None else ()
        job.result = result
        if ranks:
            self._queue_read(
                job, ReadLogs(job.backend, job.token, job.observation, reports=False, excerpts=tuple(ranks))
            )
            job.hooks_until = self._state.now.monotonic + LOG_RETRY_SECONDS
            self._state.timers.at_most(job.token, job.hooks_until)
        else:
            self._ask_hooks(job, result)

    def give_up(self, job: ActiveAttempt) -> None:
        """Judge a job that this run has given up, or that never ran, by its action alone."""
        if job.is_stray:
            self._forget(job)
        elif job.move(Event.JUDGE):
            seen = job.observation or Observation(Phase.ABSENT)
            self._ask_hooks(job, verdict_on(job, seen, None))

    def judge_cancelled(self, job: ActiveAttempt) -> None:
        """Judge a job that a session which is gone, or its canceller, has cancelled.

        If only the ranks that outlived a failed one were stopped, the verdict needs the logs, which a check
        reads.
        """
        stops_rest = job.action is not None and job.action.kind is ActionKind.STOP_REST
        if job.life is Life.ENDED and job.action and job.observation and not stops_rest:
            job.move(Event.JUDGE)
            self._record(job, verdict_on(job, job.observation, None))

    def reject(self, job: ActiveAttempt, why: str, *, by_this_run: bool) -> None:
        """End a job that was not accepted and whose intent is or will be in the ledger."""
        now = self._state.now
        if job.submitted is None:
            job.submitted = now.time
        why = job.hide(why)
        if by_this_run:
            job.action = OwnAction(ActionKind.REFUSED, why, now.time)
        seen = Observation(Phase.ENDED, Times(now.time, None, now.time), "REJECTED", why, Reason.REJECTED)
        if job.action is not None:
            seen = Observation(Phase.ABSENT)
            self._state.outbox.action(job.token, job.action)
        self._state.outbox.intend(job.attempt())
        self._state.outbox.submitted(job.attempt())
        if job.move(Event.JUDGE):
            self._ask_hooks(job, verdict_on(job, seen, None))

    def fail(self, job: ActiveAttempt, why: str) -> None:
        """End a job without an answer, whose intent is in the ledger."""
        if job.move(Event.JUDGE):
            self._ask_hooks(job, error_result(job, why))

    def withdraw(self, job: ActiveAttempt) -> None:
        """End a job that was waiting for its submission."""
        if job.move(Event.JUDGE):
            self._ask_hooks(job, verdict_on(job, Observation(Phase.ABSENT), None))

    # Hooks.

    def waited_long_enough(self, job: ActiveAttempt) -> None:
        """The log excerpt, or the hooks, have not come in time."""
        reading = self._state.cluster(job).reading
        if job.token in reading and job.result is not None:
            del reading[job.token]
            self._ask_hooks(job, job.result)
        else:
            self.hooks_are_late(job)

    def await_hooks(self, job: ActiveAttempt) -> None:
        """Set the time by which the hooks must have answered."""
        job.hooks_until = self._state.now.monotonic + HOOK_TIMEOUT_SECONDS
        self._state.timers.at_most(job.token, job.hooks_until)

    def _ask_hooks(self, job: ActiveAttempt, result: Result) -> None:
        job.result, job.hooks_until = result, None
        if not self._state.has_hooks:
            self._record(job, result)
            return
        self.await_hooks(job)
        has_logs = job.evidence is not None
        # A cell that was withdrawn before its hooks were called has no job that they know of.
        notify = job.prepared is not None
        self._state.commands.append(
            AskHooks(job.backend, job.token, job.registration, job.spec, result, has_logs, notify)
        )

    def hooks_answered(self, event: HooksAnswered) -> None:
        """The verdict, with the remarks of the hooks."""
        job = self._state.attempts.get(event.token)
        if job is not None and job.life is Life.JUDGED:
            self._record(job, event.result)

    def hooks_are_late(self, job: ActiveAttempt) -> None:
        """The hooks have not answered in time, before or after the job."""
        why = f"a hook has not answered within {HOOK_TIMEOUT_SECONDS:.0f} s"
        if job.life is Life.JUDGED or job.move(Event.JUDGE):
            late = error_result(job, why)
            # How the job ended, or that it may still run, is known all the same.
            self._record(job, late if job.result is None else replace(late, outcome=job.result.outcome))

    # Records.

    def _record(self, job: ActiveAttempt, result: Result) -> None:
        """Write the end and the verdict, or the end alone if another attempt follows, in one transaction."""
        state = self._state
        again = self._next_attempt(job, result)
        job.result = result
        state.timers.drop(job.token)
        job.move(Event.RECORD)
        has_attempt = job.submission is not SubmissionState.WITHDRAWN
        has_attempt |= job.submitted is not None or job.is_inherited
        token = job.token if has_attempt else None
        state.outbox.ended(
            token, result.outcome, None if again else result, lambda: self._recorded(job, result, again)
        )

    def _recorded(self, job: ActiveAttempt, result: Result, again: ActiveAttempt | None) -> None:
        self.finish(job)
        # Only after the last attempt's end is in the ledger: a crash must not leave two live attempts.
        if again is None:
            self.publish(result)
        elif self._state.service is Serving.OPEN and result.key not in self._state.cancelled:
            self._resubmit(again)
        elif self._state.service is Serving.OPEN:
            # The cell was cancelled during the commit.
            again.action = OwnAction(ActionKind.CANCEL, CANCELLED, self._state.now.time)
            again.move(Event.WITHDRAW)
            self._state.attempts[again.token] = again
            self.withdraw(again)

    def _forget(self, job: ActiveAttempt) -> None:
        self._state.leave(job)
        self._state.attempts.pop(job.token, None)

    def finish(self, job: ActiveAttempt) -> None:
        """Nothing is left to do for an attempt, but to end a job that outlives its verdict."""
        state = self._state
        job.move(Event.RECORDED)
        state.leave(job)
        state.commands.append(Forget(job.token))
        if not job.wants_end and not state.policy.cancels:
            state.attempts.pop(job.token, None)
            state.timers.drop(job.token)

    def publish(self, result: Result) -> None:
        """Hand out a verdict."""
        self._state.results[result.key] = result
        self._state.commands.append(Publish(result))

    def publish_unrecorded(self, error: Exception) -> None:
        """Publish an error for every cell without a verdict: the ledger cannot be written."""
        state = self._state
        why = f"{NOT_WRITABLE}: {error}"
        jobs = {job.key: job for job in state.attempts.values()}
        for key in state.expected:
            if key not in state.results:
                job = jobs.get(key) or self._stand_in(key)
                self.publish(error_result(job, why))
        for job in list(state.attempts.values()):
            if job.life is not Life.OVER:
                job.move(Event.JUDGE)
                job.move(Event.RECORD)
                self.finish(job)

    def _stand_in(self, key: str) -> ActiveAttempt:
        state = self._state
        return ActiveAttempt(state.cells[key], 1, str(Token.of(state.run_id, key, 1)), state.secrets)

    # Further attempts.

    def _next_attempt(self, job: ActiveAttempt, result: Result) -> ActiveAttempt | None:
        """The next attempt, if any, after an infrastructure failure or a failure that is to be rerun."""
        entry = job.registration
        retry = result.outcome.reason in RETRIED and job.retries < entry.cell.infra_retries
        failed = result.judgement.verdict is Verdict.FAILED and result.ruling is None
        rerun = failed and job.reruns < entry.reruns
        continues = job.continues is not None
        confirmed = job.observation is not None and job.observation.phase is Phase.ENDED
        # A session that does not wait for jobs cannot follow up on them.
        may = self._state.policy.follows_up and self._state.service is Serving.OPEN
        may = may and job.key not in self._state.cancelled
        if not (continues or retry or rerun) or not confirmed or job.handle is None or not may:
            return None
        again = new_attempt(self._state, job.registration.key, job.number + 1)
        again.retries = job.retries + (retry and not continues)
        again.reruns = job.reruns + (rerun and not continues)
        pause = RETRY_PAUSE_SECONDS * 2.0**job.retries if retry and not continues else 0.0
        again.due_at = self._state.now.monotonic + pause
        return again


def new_attempt(state: CoreState, key: str, number: int) -> ActiveAttempt:
    """An attempt of a cell that was added, counted from 1."""
    return ActiveAttempt(state.cells[key], number, str(Token.of(state.run_id, key, number)), state.secrets)


def count_used(job: ActiveAttempt, earlier: list[Attempt]) -> None:
    """Take over the job's used retries and reruns. Attempts that a dead session cancelled do not count."""
    outcomes = [attempt.outcome for attempt in earlier if attempt.outcome is not None]
    job.retries = sum(outcome.reason in RETRIED for outcome in outcomes)
    job.reruns = sum(_has_failed(outcome) for outcome in outcomes)


def _has_failed(outcome: Outcome) -> bool:
    """Whether an attempt that another one followed was rerun: a test's deadline is a failure as well."""
    by_deadline = outcome.action is not None and outcome.action.kind is ActionKind.TEST_TIMEOUT
    return by_deadline or outcome.reason_class is ReasonClass.PRODUCT
