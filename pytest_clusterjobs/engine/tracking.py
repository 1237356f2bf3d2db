"""The part of the core that tracks jobs: polls, limits, cancellations, and what the cluster lists."""

from __future__ import annotations

from math import inf

from ..backends.protocol import Found
from ..model import ActionKind
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from . import limits
from .attempt import ActiveAttempt
from .attempt import Cancellation
from .attempt import Event
from .attempt import HAS_ENDED
from .attempt import Life
from .attempt import SubmissionState
from .cluster import ClusterState
from .conclusions import Conclusions
from .messages import CallFailed
from .messages import Cancel
from .messages import CancelAnswered
from .messages import Find
from .messages import Listed
from .messages import ListJobs
from .messages import LogsRead
from .messages import Polled
from .messages import PollJobs
from .messages import ReadLogs
from .state import CoreState
from .state import Serving
from .submissions import Submissions

SESSION_ENDED = "the session ended"
"""Why a job is cancelled when its session no longer waits for it."""

CANCEL_COMMIT_WAIT_SECONDS = 2.0
"""The most seconds for which a cancellation waits for the record of its action."""

READS_FIRST_SECONDS = 5.0
"""Seconds after a poll in which logs are read before the next poll."""

LIST_INTERVAL_SECONDS = 5.0
"""Seconds between two readings of a cluster's list while the absence of jobs is to be confirmed."""

_HAS_VERDICT = frozenset({Life.JUDGED, Life.RECORDING, Life.OVER})


class Tracking:
    """The part of the core that tracks jobs."""

    def __init__(self, state: CoreState, conclusions: Conclusions) -> None:
        self._state = state
        self._conclusions = conclusions
        self.submissions: Submissions

    # Calls.

    def call(self, cluster: ClusterState) -> None:
        """Give the backend's thread its next call, if it is free and one is due.

        The kinds of calls take turns, so that none keeps another waiting.
        """
        if cluster.is_busy or cluster.capabilities is None:
            return
        for kind in cluster.kinds:
            if self._serve(cluster, kind):
                cluster.kinds.remove(kind)
                cluster.kinds.append(kind)
                return

    def _serve(self, cluster: ClusterState, kind: type) -> bool:
        """Give out a call of a kind, if one is due."""
        now = self._state.now.monotonic
        if kind is Cancel:
            return bool(cluster.cancels) and cluster.cancelling.until <= now and self._cancel(cluster)
        if cluster.asking.until > now:
            return False
        if kind is PollJobs:
            reads = cluster.reads and cluster.log_reading.until <= now
            if reads and now < cluster.round_at + READS_FIRST_SECONDS:
                # The backend may still have what it has read for the poll.
                return False
            return cluster.begin_round(now) and self._poll(cluster)
        if kind is Find:
            return self._find(cluster)
        if kind is ListJobs and cluster.list_at <= now:
            cluster.list_at = inf
            self._give(cluster, ListJobs(cluster.name))
            return True
        return kind is ReadLogs and cluster.log_reading.until <= now and self._read(cluster)

    def _find(self, cluster: ClusterState) -> bool:
        while (token := cluster.finds.take_one(self._state.now.monotonic)) is not None:
            if token in self._state.attempts:
                self._give(cluster, Find(cluster.name, token))
                return True
        return False

    def _read(self, cluster: ClusterState) -> bool:
        if not cluster.reads:
            return False
        read = cluster.reads.popleft()
        if read.token in cluster.reading:
            cluster.reading[read.token] = self._state.now.monotonic
        self._give(cluster, read)
        return True

    def _give(self, cluster: ClusterState, command: object) -> None:
        cluster.is_busy = True
        self._state.commands.append(command)  # type: ignore[arg-type]

    def _poll(self, cluster: ClusterState) -> bool:
        while cluster.round:
            handles = {}
            for token in cluster.round.popleft():
                job = self._state.attempts.get(token)
                if job is not None and job.handle is not None:
                    handles[token] = job.handle
            if handles:
                cluster.round_at = self._state.now.monotonic
                cluster.polling, cluster.polling_since = dict.fromkeys(handles), self._state.now.monotonic
                self._give(cluster, PollJobs(cluster.name, handles))
                return True
        return False

    def _cancel(self, cluster: ClusterState) -> bool:
        now = self._state.now.monotonic
        handles = {}
        for token in list(cluster.cancels):
            job = self._state.attempts.get(token)
            del cluster.cancels[token]
            if job is not None and job.cancellation is Cancellation.DUE and job.handle is not None:
                handles[token] = job.handle
                job.move(Event.ASK)
                if job.cancel_since is None:
                    job.cancel_since = now
                    self._set_timer(job)
        if handles:
            self._give(cluster, Cancel(cluster.name, handles))
        return bool(handles)

    # Answers.

    def polled(self, event: Polled) -> None:
        """What a poll has shown."""
        state, cluster = self._state, self._state.clusters[event.backend]
        cluster.is_busy = False
        now = state.now.monotonic
        polling, cluster.polling = cluster.polling, {}
        woken, cluster.woken = cluster.woken, {}
        if event.error:
            self._asking_failed(cluster, event.error, throttled=event.throttled)
            # The rest of the round would fail as well.
            polling.update((token, None) for batch in cluster.round for token in batch)
            cluster.round.clear()
        else:
            self._asking_succeeded(cluster)
        for token in polling:
            job = state.attempts.get(token)
            if job is None:
                continue
            seen = event.seen.get(token)
            if seen is not None:
                self._seen(job, seen, event.actions.get(token))
            else:
                self.check(job)
            if state.policy.cancels and job.life not in HAS_ENDED and job.cancellation is Cancellation.NONE:
                # Also if the poll failed: the cluster may still accept cancellations.
                self.act(job, self._own_cancel())
            if token in state.attempts and (job.life not in _HAS_VERDICT or job.wants_end):
                at = limits.next_poll_at(job, now, cluster.can.min_poll_interval)
                # The news arrived while the poll was under way, which may have missed it.
                cluster.polls.set(token, now if token in woken else at)

    def _seen(self, job: ActiveAttempt, seen: Observation, recorded: OwnAction | None) -> None:
        state = self._state
        now, at = state.now
        if job.life in _HAS_VERDICT:
            self._outlives(job, seen)
            return
        if recorded is not None and (job.action is None or job.action.kind is ActionKind.STOP_REST):
            # ``clusterjobs kill`` has ended it, or is about to.
            job.action = recorded
        if job.see(seen, now) and job.observation is not None and not job.is_stray:
            state.outbox.observed(job.token, job.observation, seen.handle)
        if job.life is Life.ENDED:
            job.move(Event.CONFIRM)
            self._conclusions.end(job)
            self._set_timer(job)
            return
        if job.life is Life.ABSENT and job.absent_at is not None:
            self._look_for_records(job, now)
        stops_rest = job.action is not None and job.action.kind is ActionKind.STOP_REST
        if stops_rest and job.rank_failed_at is None and job.move(Event.RETRACT):
            # The cluster has started the job again before it was asked to end the other ranks.
            job.action = None
        if job.action is not None and job.cancellation is Cancellation.NONE:
            self.act(job, job.action)
        if self._confirm_absence(job) or job.action is not None:
            return
        # The answer may be as old as the begin of the poll: a limit that was reached since does not count.
        asked = state.cluster(job).polling_since
        action = limits.due_action(job, asked, at)
        if action is None and not state.cluster(job).can.stops_rest:
            action = limits.rest_to_stop(job, asked, at)
        if action is None:
            return
        if action.kind is not ActionKind.LOST:
            self.act(job, action)
        elif state.policy.gives_up:
            # It is lost if the logs have no record of its end either.
            self._conclusions.look_for_records(job)

    def _look_for_records(self, job: ActiveAttempt, now: float) -> None:
        """Look for the records that a job left: as soon as it is missing, and once its absence has lasted."""
        if (
            job.absent_at == now
            or job.records_at is None
            or job.records_at < limits.absence_lasts_at(job) <= now
        ):
            job.records_at = now
            self._conclusions.look_for_records(job)

    def has_no_records(self, token: str, *, failed: bool) -> None:
        """The logs of a job were read, or could not be. If it has been absent for too long, it is lost."""
        job = self._state.attempts.get(token)
        if job is None or job.life is not Life.ABSENT or job.action is not None:
            return
        if failed and self._state.now.monotonic < limits.lost_at(job) + limits.LOG_RETRY_SECONDS:
            return
        action = limits.due_action(job, *self._state.now)
        if action is not None and self._state.policy.gives_up:
            self.act(job, action)

    def _outlives(self, job: ActiveAttempt, seen: Observation) -> None:
        """Apply a poll result to a job that has its verdict already and is being ended."""
        now = self._state.now.monotonic
        if seen.phase is Phase.ENDED:
            self._confirmed(job)
        elif seen.phase is Phase.ABSENT:
            job.absent_at = now if job.absent_at is None else job.absent_at
            self._confirm_absence(job)
        else:
            job.absent_at = job.unlisted_at = None

    def _confirmed(self, job: ActiveAttempt) -> None:
        job.move(Event.CONFIRM)
        if job.life is Life.OVER:
            self._state.attempts.pop(job.token, None)
            self._state.timers.drop(job.token)

    def _asking_failed(self, cluster: ClusterState, error: str, *, throttled: bool) -> None:
        cluster.asking.failed(self._state.now.monotonic, throttled=throttled)
        self.report(cluster, error)

    def _asking_succeeded(self, cluster: ClusterState) -> None:
        cluster.asking.succeeded()
        self.report(cluster, "")

    def report(self, cluster: ClusterState, error: str) -> None:
        """Report an API error, also in the ledger. The cause may be the disk that the cluster itself uses."""
        error = self._state.secrets.hide(error)
        if error != cluster.error:
            cluster.error = error
            if not self._state.policy.cancels:
                self._state.outbox.meta(**{f"trouble.{cluster.name}": error or None})

    def call_failed(self, event: CallFailed) -> None:
        """A lookup or a list got no usable answer."""
        cluster = self._state.clusters[event.backend]
        cluster.is_busy = False
        self._asking_failed(cluster, event.error, throttled=event.throttled)
        if event.token is None:
            cluster.listed = None
            cluster.list_at = self._state.now.monotonic
        elif (job := self._state.attempts.get(event.token)) is not None:
            cluster.finds.set(event.token, self._state.now.monotonic)
            # It counts how long the cluster answers without interruption that it cannot tell.
            job.unknown_at = None
            self.check(job)

    def logs_read(self, event: LogsRead) -> None:
        """Logs were read, or could not be read."""
        cluster = self._state.clusters[event.backend]
        cluster.is_busy = False
        if event.error:
            cluster.log_reading.failed(self._state.now.monotonic)
            self.report(cluster, event.error)
        else:
            cluster.log_reading.succeeded()

    def looked(self, backend: str) -> None:
        """A lookup got an answer."""
        cluster = self._state.clusters[backend]
        cluster.is_busy = False
        self._asking_succeeded(cluster)

    # Cancellations.

    def accepted(self, job: ActiveAttempt) -> None:
        """A job exists, or may exist, from now on."""
        self._set_timer(job)
        if job.cancellation is Cancellation.DUE and job.handle is not None:
            self._state.cluster(job).cancels[job.token] = None
        elif self._state.service is Serving.STOPPING:
            self.act(job, OwnAction(ActionKind.CANCEL, SESSION_ENDED, self._state.now.time))

    def _own_cancel(self) -> OwnAction:
        return OwnAction(ActionKind.CANCEL, self._state.policy.cancels, self._state.now.time)

    def act(self, job: ActiveAttempt, action: OwnAction) -> None:
        """Take an action on a job: record it, and have the cluster end the job.

        The record goes first, but a ledger that does not answer delays the cancellation only for a moment.
        """
        state = self._state
        is_new = job.action is None
        if is_new:
            job.action = action
        if job.move(Event.REQUEST):
            job.requested_at = state.now.monotonic
            if is_new:
                state.outbox.action(job.token, action, lambda: self._may_cancel(job))
                state.timers.at_most(job.token, state.now.monotonic + CANCEL_COMMIT_WAIT_SECONDS)
            if not is_new or state.outbox.error is not None:
                self._may_cancel(job)
        if action.kind is ActionKind.LOST:
            self._conclusions.give_up(job)

    def _may_cancel(self, job: ActiveAttempt) -> None:
        if job.move(Event.MAY_CANCEL) and job.handle is not None:
            self._state.cluster(job).cancels[job.token] = None

    def cancel_answered(self, event: CancelAnswered) -> None:
        """The cluster was asked to end jobs."""
        state, cluster = self._state, self._state.clusters[event.backend]
        cluster.is_busy = False
        now = state.now.monotonic
        if event.error:
            cluster.cancelling.failed(now, throttled=event.throttled)
            self.report(cluster, f"cancel: {event.error}")
        else:
            cluster.cancelling.succeeded()
        for token in event.tokens:
            job = state.attempts.get(token)
            if job is None or job.cancellation is not Cancellation.SENT:
                continue
            if event.error:
                job.move(Event.FAIL)
                cluster.cancels[token] = None
            else:
                job.move(Event.ACKNOWLEDGE)
                job.cancelled_at = now
                cluster.polls.at_most(token, now + cluster.can.min_poll_interval)
            self._set_timer(job)

    def cancel_all(self, action: OwnAction) -> None:
        """End every job that exists, or may exist."""
        for job in list(self._state.attempts.values()):
            if job.is_live and job.life is not Life.ENDED:
                self.act(job, action)

    # Absence.

    def _confirm_absence(self, job: ActiveAttempt) -> bool:
        """Treat a job's absence as its end if its cancellation was requested and it stays absent.

        The cluster's list must lack it too: an absence from polls alone may be a gap. Returns whether it has
        ended.
        """
        if job.absent_at is None:
            return False
        cluster, now = self._state.cluster(job), self._state.now.monotonic
        was_asked = job.cancellation in (Cancellation.SENT, Cancellation.ACKNOWLEDGED)
        if was_asked or job.absent_at < now:
            # At first the records of a job that has just ended may be enough.
            pause = LIST_INTERVAL_SECONDS if cluster.listed is not None else 0
            cluster.list_at = min(cluster.list_at, now + pause)
        if was_asked and limits.has_left(job):
            self._is_gone(job)
            return True
        return False

    def _is_gone(self, job: ActiveAttempt) -> None:
        if job.life in _HAS_VERDICT:
            self._confirmed(job)
            return
        last = job.observation or Observation(Phase.ABSENT)
        changed = job.see(limits.gone(last), self._state.now.monotonic)
        if changed and job.observation is not None and not job.is_stray:
            self._state.outbox.observed(job.token, job.observation, None)
        job.move(Event.CONFIRM)
        self._conclusions.end(job)

    def take_end(self, job: ActiveAttempt, seen: Observation) -> None:
        """Take over an end that another process has seen."""
        job.see(seen, self._state.now.monotonic)
        job.move(Event.CONFIRM)
        self._conclusions.end(job)

    def listed(self, event: Listed) -> None:
        """The live jobs of the run that the cluster lists."""
        state, cluster = self._state, self._state.clusters[event.backend]
        cluster.is_busy = False
        self._asking_succeeded(cluster)
        cluster.listed, cluster.is_listing = event.handles, False
        now = state.now.monotonic
        for token, handle in event.handles.items():
            job = state.attempts.get(token)
            if job is not None and job.handle is None:
                self.submissions.found(job, Found(handle))
        for job in list(state.attempts.values()):
            if job.backend != cluster.name or job.absent_at is None:
                continue
            if job.token in event.handles or now - job.submitted_at < cluster.can.find_settle:
                job.unlisted_at = None
                continue
            job.last_unlisted_at = now
            if job.unlisted_at is None:
                job.unlisted_at = now

    # Timers.

    def check(self, job: ActiveAttempt) -> None:
        """Check a job although no event concerns it: its limits and its cancellation."""
        state = self._state
        now, at = state.now
        hooks_are_late = job.hooks_until is not None and now >= job.hooks_until
        if job.submission is SubmissionState.PREPARING and hooks_are_late:
            self.submissions.hooks_are_late(job)
        elif job.submission is SubmissionState.SENT and now >= limits.unsubmitted_at(job):
            # Not submitted again, even if it is not found: the call may still have its effect.
            self.act(job, OwnAction(ActionKind.LOST, "the submission has not returned", at))
        if job.life is Life.JUDGED and hooks_are_late:
            self._conclusions.waited_long_enough(job)
        if job.life is Life.ENDED and state.policy.judges and not job.is_stray:
            if self._conclusions.end_is_settled(job, 2 * limits.LOG_RETRY_SECONDS):
                self._conclusions.end_without_logs(job)
            elif self._conclusions.end_is_settled(job):
                self._conclusions.end(job)
        self._check_cancellation(job, now, at)
        lost = limits.silence(job, now, at, state.cluster(job).error)
        if lost is not None and self._may_be_lost(job):
            # A job that may exist and cannot be found cannot be cancelled either.
            job.action = None
            self.act(job, lost)
        self._set_timer(job)

    def _may_be_lost(self, job: ActiveAttempt) -> bool:
        """Whether the silence of the cluster about a job would make it lost."""
        is_open = job.action is None or job.submission is SubmissionState.UNANSWERED
        return (
            is_open
            and job.is_live
            and job.submission is not SubmissionState.SENT
            and job.life is not Life.ENDED
            and job.life not in _HAS_VERDICT
            and self._state.policy.gives_up
        )

    def _check_cancellation(self, job: ActiveAttempt, now: float, at: float) -> None:
        if job.cancellation is Cancellation.RECORDING:
            if now >= job.requested_at + CANCEL_COMMIT_WAIT_SECONDS:
                self._may_cancel(job)
        elif job.cancellation is Cancellation.ACKNOWLEDGED and self._is_repeat_due(job, now):
            job.move(Event.REPEAT)
            self._state.cluster(job).cancels[job.token] = None
        since = job.cancel_since
        if not job.wants_end or since is None or not self._state.policy.gives_up:
            return
        if now >= since + limits.CANCEL_GIVE_UP_SECONDS and job.life not in _HAS_VERDICT:
            # The verdict does not wait any longer; the cancellation goes on.
            job.action = limits.unconfirmed(at)
            self._conclusions.give_up(job)

    def _is_repeat_due(self, job: ActiveAttempt, now: float) -> bool:
        return job.cancelled_at is not None and now >= job.cancelled_at + limits.CANCEL_RETRY_SECONDS

    def _set_timer(self, job: ActiveAttempt) -> None:
        """Set when to check a job if no event concerns it until then."""
        state = self._state
        if job.token not in state.attempts:
            return
        times = [] if job.hooks_until is None else [job.hooks_until]
        now = state.now.monotonic
        if job.cancellation is Cancellation.RECORDING:
            times.append(job.requested_at + CANCEL_COMMIT_WAIT_SECONDS)
        if job.cancellation is Cancellation.ACKNOWLEDGED and job.cancelled_at is not None:
            times.append(job.cancelled_at + limits.CANCEL_RETRY_SECONDS)
        gives_up = state.policy.gives_up and job.life not in _HAS_VERDICT
        if job.wants_end and job.cancel_since is not None and gives_up:
            times.append(job.cancel_since + limits.CANCEL_GIVE_UP_SECONDS)
        if job.life is Life.ENDED and job.ended_at is not None:
            settled_at = job.ended_at + state.cluster(job).can.log_settle
            times += [settled_at, settled_at + 2 * limits.LOG_RETRY_SECONDS]
        if self._may_be_lost(job):
            times.append(limits.silence_ends_at(job))
        if job.submission is SubmissionState.SENT:
            times.append(limits.unsubmitted_at(job))
        later = [each for each in times if each > now]
        if later:
            state.timers.at_most(job.token, min(later))
