"""The core: the whole logic of a run as a function of events.

``Core.handle(event, now)`` returns commands. It does no I/O, reads no clock, draws no random number and
starts no thread, so that the same events at the same times give the same commands. Run, launch, check,
resume, kill, sweep and reap are policies of it (:mod:`.policy`). A submission is given out only after the
driver has reported the commit of its intent, and a verdict only after its own commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from math import inf

from ..model import ActionKind
from ..model import OwnAction
from ..model import Phase
from ..model import Verdict
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from .adoption import Adoption
from .attempt import ActiveAttempt
from .attempt import adopted
from .attempt import HAS_ENDED
from .attempt import Life
from .cluster import ClusterState
from .conclusions import Conclusions
from .conclusions import count_used
from .conclusions import new_attempt
from .messages import AnyEvent
from .messages import CallFailed
from .messages import CancelAnswered
from .messages import CancelCells
from .messages import CellsAdded
from .messages import Command
from .messages import CommitFailed
from .messages import Committed
from .messages import Detach
from .messages import HooksAnswered
from .messages import LedgerRead
from .messages import Listed
from .messages import LogsRead
from .messages import Looked
from .messages import News
from .messages import Now
from .messages import Opened
from .messages import OpenFailed
from .messages import Polled
from .messages import Prepared
from .messages import Resumed
from .messages import SessionSuperseded
from .messages import Settle
from .messages import Stop
from .messages import SubmissionVetoed
from .messages import Submitted
from .messages import SubmitterGone
from .messages import ThreadFree
from .messages import Tick
from .policy import Policy
from .secrets import Secrets
from .state import CoreState
from .state import Limits
from .state import Serving
from .submissions import Submissions
from .tracking import SESSION_ENDED
from .tracking import Tracking

MIN_STOP_SECONDS = 30.0
"""A turn that comes so many seconds later than promised shows that this process was stopped."""


class Core:
    """The whole logic of a run. ``state`` may be read between two turns; only ``handle`` changes it."""

    def __init__(
        self,
        policy: Policy,
        run_id: str,
        secrets: Secrets,
        limits: Limits | None = None,
        *,
        has_hooks: bool = False,
        prepares: bool = False,
    ) -> None:
        self.state = CoreState(
            policy, run_id, secrets, limits or Limits(), has_hooks=has_hooks, prepares=prepares
        )
        self.state.outbox.is_foreign = bool(policy.cancels)
        self._conclusions = Conclusions(self.state, lambda job: self._submissions.add([job]))
        self._tracking = Tracking(self.state, self._conclusions)
        self._submissions = Submissions(self.state, self._conclusions, self._tracking.accepted)
        self._tracking.submissions = self._submissions
        self.adoption = Adoption(self.state, self._tracking, self._submissions, self._conclusions)
        self._submissions.extra = self.adoption.adopt_extra
        self.broken: Exception | None = None
        """Why the ledger cannot be used any more."""
        self.is_superseded = False
        """Whether a later session has begun: from then on nothing is done."""
        self._handlers = {
            CellsAdded: self._add,
            Resumed: self._resume,
            Submitted: self._submissions.submitted,
            ThreadFree: self._thread_free,
            Prepared: self._submissions.prepared,
            SubmissionVetoed: self._submissions.vetoed,
            Looked: self._looked,
            Polled: self._tracking.polled,
            Listed: self._listed,
            CallFailed: self._tracking.call_failed,
            LogsRead: self._logs_read,
            CancelAnswered: self._tracking.cancel_answered,
            HooksAnswered: self._conclusions.hooks_answered,
            Committed: self._committed,
            CommitFailed: self._commit_failed,
            SessionSuperseded: self._superseded,
            Opened: self._opened,
            OpenFailed: self.adoption.open_failed,
            LedgerRead: self.adoption.ledger_read,
            CancelCells: self._cancel_cells,
            Stop: self._stop,
            Detach: self._detach,
            SubmitterGone: self.adoption.submitter_gone,
            Settle: self.adoption.settle,
            News: self._news,
            Tick: lambda event: None,
        }

    def handle(self, event: AnyEvent, now: Now) -> Sequence[Command]:
        """Take one turn: the commands that follow from an event."""
        state = self.state
        if self.is_superseded:
            return ()
        self._note_stop(now)
        state.now = now
        self._handlers[type(event)](event)  # type: ignore[operator]
        return self._finish_turn(now)

    def _note_stop(self, now: Now) -> None:
        """Do not count the time in which this process was stopped as silence of the outside.

        That is how much later than promised the turn comes (``kill -STOP``, Ctrl-Z, a frozen container).
        """
        state = self.state
        if now.monotonic - state.now.monotonic < MIN_STOP_SECONDS:
            return
        if now.monotonic - max(self.wake_at, state.now.monotonic) >= MIN_STOP_SECONDS:
            state.outbox.count_anew(now.monotonic)
            for job in state.attempts.values():
                job.count_anew(now.monotonic)

    def _finish_turn(self, now: Now) -> Sequence[Command]:
        """Do what is due, and what the event has made possible."""
        state = self.state
        if self.is_superseded:
            return ()
        for token in state.timers.take(now.monotonic):
            job = state.attempts.get(token)
            if job is not None:
                self._tracking.check(job)
        self.adoption.turn()
        self._flush()
        self._submissions.admit()
        for cluster in state.clusters.values():
            self._tracking.call(cluster)
        self._flush()
        commands, state.commands = state.commands, []
        return commands

    @property
    def wake_at(self) -> float:
        """When, in monotonic seconds, the core is to get a Tick at the latest; infinity if never."""
        if self.is_superseded:
            return inf
        state = self.state
        now = state.now.monotonic
        times = [
            cluster.wake_at(now) for cluster in state.clusters.values() if cluster.capabilities is not None
        ]
        for at in (state.timers.next_at, state.outbox.wake_at, self.adoption.wake_at):
            if at is not None:
                times.append(at)
        # Not much later than now, so that a stop is noticed before a deadline that lies within it.
        return min(*times, now + MIN_STOP_SECONDS) if times else inf

    # The ledger.

    @property
    def is_recorded(self) -> bool:
        """Whether the ledger has everything that was done."""
        return self.state.outbox.is_empty and self.broken is None

    def _flush(self) -> None:
        """Give out the next commit, and what rests on nothing that is not in the ledger."""
        outbox = self.state.outbox
        while True:
            commit = outbox.next(self.state.now.monotonic)
            if commit is not None:
                self.state.commands.append(commit)
            if outbox.error is not None and self.broken is None:
                self._ledger_lost(outbox.error)
            idle = outbox.take_idle()
            for then in idle:
                then()
            if not idle:
                return

    def _committed(self, event: Committed) -> None:
        for then in self.state.outbox.committed():
            then()

    def _commit_failed(self, event: CommitFailed) -> None:
        self.state.outbox.failed(event.error, self.state.now.monotonic, for_good=event.for_good)

    def _ledger_lost(self, error: Exception) -> None:
        """Submit nothing more, end every job, and publish from memory: the ledger cannot be written."""
        self.broken = error
        self.adoption.unwritten = str(error)
        if self.state.policy.cancels:
            return
        # The jobs are cancelled first: an attempt with a verdict and no cancellation is forgotten.
        self._stop(Stop())
        self._conclusions.publish_unrecorded(error)

    def _superseded(self, event: SessionSuperseded) -> None:
        """Leave everything to the later session."""
        self.broken = event.error
        self.is_superseded = True
        self.state.commands.clear()
        self.state.attempts.clear()

    # Cells.

    def _add(self, event: CellsAdded) -> None:
        self._register(event.cells)
        self._queue([new_attempt(self.state, entry.key, 1) for entry in event.cells], event)
        self._cancel_as_asked(event.cells)

    def _register(self, cells: Sequence[Registration]) -> None:
        for entry in cells:
            self.state.cells[entry.key] = entry
            self.state.expected[entry.key] = None
            self.state.clusters.setdefault(entry.cell.backend, ClusterState(entry.cell.backend))

    def _queue(self, jobs: Sequence[ActiveAttempt], event: CellsAdded | Resumed) -> None:
        """Queue the jobs that can be submitted. The others get their results immediately."""
        possible = []
        for job in jobs:
            job.intended = self.state.now.time
            why = event.refused.get(job.key) or event.rejected.get(job.key)
            if why is None:
                possible.append(job)
            else:
                self.state.attempts[job.token] = job
                self._submissions.reject(job, why, by_this_run=job.key in event.refused)
        if self.state.service is Serving.OPEN:
            self._submissions.add(possible)

    def _resume(self, event: Resumed) -> None:
        """Continue cells where another process left them."""
        self._register(event.cells)
        self.state.replaced.update(event.replaced)
        waiting = []
        policy = self.state.policy
        for entry in event.cells:
            result = event.results.get(entry.key)
            attempts = list(event.attempts.get(entry.key, ()))
            if result is not None and not (policy.submits and result.judgement.verdict is Verdict.NOT_RUN):
                self._conclusions.publish(result)
            elif attempts and attempts[-1].is_live:
                self._continue(entry, attempts, incomplete=event.incomplete)
            elif policy.submits:
                last = max(
                    attempts[-1].number if attempts else 0,
                    result.attempt if result is not None else 0,
                    event.replaced.get(entry.key, 0),
                )
                job = new_attempt(self.state, entry.key, last + 1)
                count_used(job, attempts)
                waiting.append(job)
            else:
                self.state.expected.pop(entry.key, None)
        self._queue(waiting, event)
        self._cancel_as_asked(event.cells)

    def _cancel_as_asked(self, cells: Iterable[Registration]) -> None:
        """Cancel what was to be cancelled before it was known: a request may overtake its cell."""
        cancelled = self.state.cancelled
        asked = {entry.key: cancelled[entry.key] for entry in cells if entry.key in cancelled}
        if asked:
            # To look at all attempts for each added cell would take quadratic time.
            self._cancel(asked)

    def _continue(self, entry: Registration, attempts: list[Attempt], *, incomplete: bool) -> None:
        state = self.state
        job = adopted(entry, attempts[-1], state.secrets, state.now.monotonic, state.now.time)
        if state.policy.resumes and job.action is not None and job.action.kind is ActionKind.CANCEL:
            job.continues = job.action
        # An action is written before the end that it causes.
        job.may_lack_action = incomplete and job.action is None and job.life is not Life.ENDED
        count_used(job, attempts[:-1])
        self.adoption.adopt(job)
        if job.action is not None and job.life is not Life.ENDED:
            self._tracking.act(job, job.action)

    def _cancel_cells(self, event: CancelCells) -> None:
        asked = dict.fromkeys(event.keys, event.why)
        self.state.cancelled.update(asked)
        self._cancel(asked)

    def _cancel(self, asked: Mapping[str, str]) -> None:
        """Cancel cells; ``asked`` says why, by key."""
        for job in list(self.state.attempts.values()):
            if job.key not in asked or job.action is not None:
                continue
            action = OwnAction(ActionKind.CANCEL, asked[job.key], self.state.now.time)
            if job.is_live:
                if job.life not in HAS_ENDED:
                    self._tracking.act(job, action)
            else:
                self._submissions.withdraw(job, action)

    # Answers that concern several parts.

    def _looked(self, event: Looked) -> None:
        self._tracking.looked(event.backend)
        self._submissions.looked(event)

    def _listed(self, event: Listed) -> None:
        self._tracking.listed(event)
        self.adoption.listed(event)

    def _logs_read(self, event: LogsRead) -> None:
        self._tracking.logs_read(event)
        self._conclusions.logs_read(event)
        self._tracking.has_no_records(event.token, failed=bool(event.error))

    def _thread_free(self, event: ThreadFree) -> None:
        self._submissions.thread_is_free(event.backend, event.seconds, event.jobs)

    def _opened(self, event: Opened) -> None:
        cluster = self.state.clusters.setdefault(event.backend, ClusterState(event.backend))
        cluster.open(event.capabilities, notifies=event.notifies)

    def _news(self, event: News) -> None:
        cluster = self.state.clusters.get(event.backend)
        if cluster is None:
            return
        for token in event.tokens:
            if token in cluster.polling:
                cluster.woken[token] = None
            elif token in cluster.polls:
                cluster.polls.set(token, self.state.now.monotonic)

    # The end.

    def _stop(self, event: Stop) -> None:
        state = self.state
        if state.service is Serving.OPEN:
            state.service = Serving.STOPPING
            if state.policy.resumes:
                self.adoption.sweep()
        self._submissions.drop_waiting()
        self._tracking.cancel_all(OwnAction(ActionKind.CANCEL, SESSION_ENDED, state.now.time))

    def _detach(self, event: Detach) -> None:
        self.state.service = Serving.DETACHED
        self._submissions.drop_waiting()

    # What is left to do.

    @property
    def is_sweeping(self) -> bool:
        """Whether a cluster's list is still to be read."""
        state = self.state
        wanted = state.policy.resumes and state.service is Serving.STOPPING
        return wanted and any(cluster.is_listing and not cluster.error for cluster in state.clusters.values())

    @property
    def unfinished(self) -> Sequence[ActiveAttempt]:
        """The attempts that have a job, or may have one, and no recorded end or no confirmed one."""
        return [job for job in self.state.attempts.values() if job.wants_end or job.is_live]

    @property
    def is_cancelling(self) -> bool:
        """Whether a job is to be cancelled, and its end is not confirmed."""
        return any(job.wants_end for job in self.state.attempts.values())

    def is_undecided(self, job: ActiveAttempt) -> bool:
        """Whether a submitted job has no first answer yet, or a verdict on it is being made."""
        if job.is_live and not job.has_been_polled:
            return True
        return job.life in (Life.JUDGED, Life.RECORDING) or job.token in self.state.cluster(job).reading

    def result(self, key: str) -> Result | None:
        """The published verdict on a cell, or None."""
        return self.state.results.get(key)

    def phase_of(self, job: ActiveAttempt) -> Phase:
        """The phase of a job in flight, as far as it is known."""
        return job.observation.phase if job.observation is not None else Phase.PENDING
