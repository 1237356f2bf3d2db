"""The part of the core that submits: from the queue to the cluster's answer."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable

from ..backends.protocol import Found
from ..backends.protocol import NotSubmitted
from ..model import ActionKind
from ..model import Handle
from ..model import OwnAction
from .attempt import ActiveAttempt
from .attempt import Event
from .attempt import Life
from .attempt import MAX_ABSENCE_GAP_SECONDS
from .attempt import SubmissionState
from .cluster import ClusterState
from .cluster import MAX_AHEAD
from .conclusions import Conclusions
from .conclusions import new_attempt
from .limits import MAX_SILENCE_SECONDS
from .limits import next_poll_at
from .limits import silence_ends_at
from .messages import Accepted
from .messages import Looked
from .messages import NotAccepted
from .messages import NotSent
from .messages import Prepared
from .messages import PrepareSpec
from .messages import Rejected
from .messages import SubmissionVetoed
from .messages import Submit
from .messages import Submitted
from .messages import Unanswered
from .screen import excess
from .state import CoreState
from .state import Serving

MAX_SUBMISSIONS = 3
"""How often one attempt is submitted if the answers are lost and no job is found."""

_AHEAD = frozenset({SubmissionState.PREPARING, SubmissionState.INTENDED, SubmissionState.READY})


class Submissions:
    """The part of the core that submits. ``accepted`` is called with every job that exists from then on."""

    def __init__(
        self, state: CoreState, conclusions: Conclusions, accepted: Callable[[ActiveAttempt], None]
    ) -> None:
        self._state = state
        self._conclusions = conclusions
        self._accepted = accepted
        self._order: dict[str, int] = {}
        self.extra: Callable[[str, str, Handle], None]

    # The queue.

    def add(self, jobs: Iterable[ActiveAttempt]) -> None:
        """Queue jobs, each from its ``due_at`` on."""
        now = self._state.now.monotonic
        for job in jobs:
            self._state.attempts[job.token] = job
            self._order[job.token] = len(self._order)
            cluster = self._state.cluster(job)
            if job.due_at > now:
                cluster.delayed.set(job.token, job.due_at)
            else:
                cluster.queue.append(job)

    def admit(self) -> None:
        """Let jobs leave the queue as far as the limits, the breakers and the rates allow."""
        if self._state.service is not Serving.OPEN or self._state.outbox.error is not None:
            return
        for cluster in self._state.clusters.values():
            self._requeue(cluster)
        while (first := self._next_cluster()) is not None:
            job = first.queue[0]
            if first.breaker(job).must_wait(job, self._state.now.monotonic):
                # The jobs behind it may be for partitions that accept them.
                first.breaker(job).defer(first.queue.popleft(), self._state.now.monotonic)
            elif self._state.has_room_for(job):
                first.queue.popleft()
                self._admit(first, job)
            else:
                break
        for cluster in self._state.clusters.values():
            self._send(cluster)

    def _requeue(self, cluster: ClusterState) -> None:
        now = self._state.now.monotonic
        for token in cluster.delayed.take(now):
            if token in self._state.attempts:
                cluster.queue.append(self._state.attempts[token])
        for breaker in cluster.breakers.values():
            if not breaker.deferred or (
                breaker.last_error and not self._state.has_room_for(breaker.deferred[0])
            ):
                continue
            # These jobs were queued earlier than the ones in the queue.
            cluster.queue.extendleft(reversed(list(breaker.released(now))))

    def _next_cluster(self) -> ClusterState | None:
        """The open cluster whose next job was queued first."""
        ready = [
            cluster
            for cluster in self._state.clusters.values()
            if cluster.queue and cluster.ahead < MAX_AHEAD and cluster.capabilities is not None
        ]
        return min(ready, key=lambda each: self._order[each.queue[0].token], default=None)

    def _admit(self, cluster: ClusterState, job: ActiveAttempt) -> None:
        cluster.breaker(job).start_probe(job, self._state.now.monotonic)
        self._state.enter(job)
        cluster.ahead += 1
        if self._state.prepares and job.prepared is None:
            job.move(Event.ASK_HOOKS)
            self._conclusions.await_hooks(job)
            self._state.commands.append(PrepareSpec(job.token, job.registration, job.number))
        else:
            self._intend(cluster, job)

    def _intend(self, cluster: ClusterState, job: ActiveAttempt) -> None:
        job.prepared = job.spec
        job.intended = self._state.now.time
        job.move(Event.INTEND)
        why = excess(job.spec, cluster.name, cluster.can, self._state.limits.max_nodes)
        if why is not None:
            self.reject(job, why, by_this_run=True)
            return
        self._state.outbox.intend(job.attempt(), lambda: self._committed(cluster, job))

    def _committed(self, cluster: ClusterState, job: ActiveAttempt) -> None:
        if job.move(Event.COMMITTED):
            cluster.ready.append(job)

    def prepared(self, event: Prepared) -> None:
        """The hooks have decided on a spec."""
        job = self._state.attempts.get(event.token)
        if job is None or job.submission is not SubmissionState.PREPARING:
            return
        cluster = self._state.cluster(job)
        if event.spec is not job.registration.cell.spec:
            # The job may now ask for something else.
            cluster.breaker(job).release_probe(job)
            job.group = None
        job.prepared = event.spec
        self._intend(cluster, job)

    def vetoed(self, event: SubmissionVetoed) -> None:
        """The hooks do not want an attempt to be submitted."""
        job = self._state.attempts.get(event.token)
        if job is None or job.submission is not SubmissionState.PREPARING:
            return
        cluster = self._state.cluster(job)
        cluster.breaker(job).release_probe(job)
        why = job.hide(event.why)
        job.intended = self._state.now.time
        if event.ruling is None:
            self.reject(job, why, by_this_run=True)
        else:
            job.ruling = event.ruling
            self.withdraw(job, OwnAction(ActionKind.CANCEL, why, self._state.now.time))

    def hooks_are_late(self, job: ActiveAttempt) -> None:
        """The hooks have not decided in time."""
        cluster = self._state.cluster(job)
        cluster.breaker(job).release_probe(job)
        if self._withdrawn(job):
            self._conclusions.hooks_are_late(job)

    # Submitting.

    def _send(self, cluster: ClusterState) -> None:
        """Give jobs to the threads that are free."""
        while cluster.ready and cluster.busy_threads < cluster.can.submit_threads:
            share = max(1, len(cluster.ready) // cluster.can.submit_threads)
            jobs = self._take_ready(cluster, min(cluster.pace, share))
            if not jobs:
                return
            cluster.busy_threads += 1
            self._state.commands.append(Submit(cluster.name, [(job.spec, job.token) for job in jobs]))

    def _take_ready(self, cluster: ClusterState, size: int) -> list[ActiveAttempt]:
        jobs: list[ActiveAttempt] = []
        now = self._state.now.monotonic
        while cluster.ready and len(jobs) < size:
            job = cluster.ready[0]
            if job.submission is not SubmissionState.READY:
                cluster.ready.popleft()
            elif cluster.breaker(job).must_wait(job, now):
                cluster.ready.popleft()
                self._put_back(cluster, job)
                cluster.breaker(job).defer(job, now)
            elif not cluster.rate.take(now):
                break
            else:
                cluster.ready.popleft()
                cluster.ahead -= 1
                cluster.breaker(job).start_probe(job, now)
                job.move(Event.SEND)
                job.submitted_at = now
                self._state.timers.set(job.token, now + MAX_SILENCE_SECONDS)
                jobs.append(job)
        return jobs

    def _put_back(self, cluster: ClusterState, job: ActiveAttempt) -> None:
        """Return a job that was not submitted to those that wait."""
        if job.submission in _AHEAD:
            cluster.ahead -= 1
        job.move(Event.PUT_BACK)
        self._state.outbox.withdraw(job.token)
        self._state.leave(job)

    def submitted(self, event: Submitted) -> None:
        """The answer to a submission."""
        job = self._state.attempts.get(event.token)
        if job is None:
            return
        cluster = self._state.cluster(job)
        match event.answer:
            case Accepted() as answer:
                self._accept(cluster, job, answer)
            case NotSent():
                self._not_sent(cluster, job)
            case NotAccepted() as answer:
                self._defer(cluster, job, job.hide(answer.why))
            case Rejected() as answer if job.submission in (SubmissionState.SENT, SubmissionState.UNANSWERED):
                job.submissions += 1
                cluster.breaker(job).release_probe(job)
                self.reject(job, job.hide(answer.why), by_this_run=answer.by_this_run)
            case Unanswered() as answer:
                self.lose_answer(job, job.hide(answer.why))
            case Rejected():
                pass  # It came so late that the job was looked up, in vain, and is to be submitted again.

    def thread_is_free(self, backend: str, seconds: float, jobs: int) -> None:
        """A thread has submitted all jobs that it was given."""
        cluster = self._state.clusters[backend]
        cluster.busy_threads -= 1
        cluster.note_pace(seconds, jobs)

    def _accept(self, cluster: ClusterState, job: ActiveAttempt, answer: Accepted) -> None:
        job.submissions += 1
        if job.submission is SubmissionState.ACCEPTED and self._is_another(job, answer.handle):
            self.extra(cluster.name, job.token, answer.handle)
        self._leave_queue(cluster, job)
        if not job.move(Event.ACCEPT):
            return
        now = self._state.now
        job.handle, job.unknown_at = answer.handle, None
        job.submitted = now.time
        job.submitted_at = job.answered_at = now.monotonic
        cluster.finds.drop(job.token)
        cluster.breaker(job).accepted()
        self._state.outbox.submitted(job.attempt())
        # Delay the first poll so that new jobs are polled in batches. A notifying backend may already have
        # reported the job before it was known here: poll it now.
        delay = 0.0 if cluster.notifies else cluster.can.min_poll_interval
        cluster.polls.set(job.token, now.monotonic + delay)
        self._accepted(job)

    def _is_another(self, job: ActiveAttempt, handle: Handle) -> bool:
        """Whether a submission has made a second job, because the list showed the first one too late.

        A list and a submission may name one job in two ways, so only different ids prove it.
        """
        known = None if job.handle is None else job.handle.job_id
        return job.submissions > 1 and None not in (known, handle.job_id) and known != handle.job_id

    def _leave_queue(self, cluster: ClusterState, job: ActiveAttempt) -> None:
        """Take a job that turns out to exist out of the queue for its next submission."""
        if job.submission in _AHEAD:
            cluster.ahead -= 1
        if job.submission is SubmissionState.WAITING or job.submission in _AHEAD:
            self.remove(job)
            self._state.enter(job)

    def _not_sent(self, cluster: ClusterState, job: ActiveAttempt) -> None:
        cluster.breaker(job).release_probe(job)
        if job.submission is not SubmissionState.SENT:
            return
        self._put_back(cluster, job)
        if job.action is not None:
            self.withdraw(job, job.action)
        elif self._state.service is Serving.OPEN:
            cluster.queue.appendleft(job)
        else:
            self._forget(job)

    def lose_answer(self, job: ActiveAttempt, why: str) -> None:
        """The job may exist; ``find`` decides."""
        if job.submission is not SubmissionState.SENT:
            return
        job.move(Event.LOSE_ANSWER)
        job.unknown_at = None
        cluster, now = self._state.cluster(job), self._state.now
        job.submissions += 1
        job.why = why
        job.submitted = now.time
        job.submitted_at = job.answered_at = now.monotonic
        cluster.breaker(job).release_probe(job)
        cluster.finds.set(job.token, now.monotonic + cluster.can.find_settle)
        self._accepted(job)

    def _defer(self, cluster: ClusterState, job: ActiveAttempt, last_error: str) -> None:
        """Defer this job and similar ones, because the cluster accepts none for now.

        If no job of this run can be the reason, ``queue_timeout`` applies.
        """
        if job.submission is not SubmissionState.SENT:
            return
        now, breaker = self._state.now, cluster.breaker(job)
        # A job whose submission was not answered may exist.
        has_jobs = any(
            each.backend == cluster.name
            and each is not job
            and (each.handle is not None or each.submission is SubmissionState.UNANSWERED)
            for each in self._state.in_flight
        )
        breaker.refused(job, last_error, now.monotonic, holds_jobs=has_jobs)
        self._put_back(cluster, job)
        if job.action is not None:
            self.withdraw(job, job.action)
        elif self._state.service is not Serving.OPEN:
            self._forget(job)
        else:
            breaker.defer(job, now.monotonic)
        for each in breaker.expired(now.monotonic):
            limit = each.spec.queue_timeout
            why = f"not accepted within queue_timeout ({limit:g} s): {breaker.last_error}"
            self.withdraw(each, OwnAction(ActionKind.NOT_TAKEN, why, now.time))

    # Lookups.

    def looked(self, event: Looked) -> None:
        """The answer to a lookup."""
        job = self._state.attempts.get(event.token)
        if job is None or job.submission is not SubmissionState.UNANSWERED:
            return
        cluster, now = self._state.cluster(job), self._state.now
        if isinstance(event.answer, Found):
            self.found(job, event.answer)
        elif isinstance(event.answer, NotSubmitted):
            self._not_found(cluster, job)
        else:
            job.why = job.hide(event.answer.why)
            gap = now.monotonic - job.last_unknown_at
            if job.unknown_at is None or gap > MAX_ABSENCE_GAP_SECONDS:
                job.unknown_at = now.monotonic
            job.last_unknown_at = now.monotonic
            self._state.timers.at_most(job.token, silence_ends_at(job))
            cluster.finds.set(job.token, next_poll_at(job, now.monotonic, cluster.can.min_poll_interval))

    def found(self, job: ActiveAttempt, answer: Found) -> None:
        """The cluster has the job whose submission was not answered."""
        cluster, now = self._state.cluster(job), self._state.now
        self._leave_queue(cluster, job)
        if not job.move(Event.ACCEPT):
            return
        job.handle, job.unknown_at = answer.handle, None
        job.answered_at = now.monotonic
        if job.is_inherited:
            # The intent may be much older than the submission, which was still on its way.
            job.submitted, job.submitted_at = now.time, now.monotonic
        cluster.finds.drop(job.token)
        self._state.outbox.submitted(job.attempt())
        cluster.polls.set(job.token, now.monotonic)
        self._accepted(job)

    def _not_found(self, cluster: ClusterState, job: ActiveAttempt) -> None:
        state = self._state
        if job.result is not None:
            # It was given up meanwhile.
            self._withdrawn(job)
            if job.life is Life.OVER:
                state.attempts.pop(job.token, None)
        elif (
            not state.policy.adopts
            and job.is_inherited
            and state.policy.submits
            and state.service is Serving.OPEN
            and job.key not in state.cancelled
        ):
            self._replace(job)
        elif job.wants_end:
            self.withdraw(job, job.action)
        elif job.is_inherited and not state.policy.submits:
            # A later session submits it.
            state.expected.pop(job.key, None)
            self._forget(job)
        elif state.service is not Serving.OPEN:
            self._forget(job)
        elif job.submissions < MAX_SUBMISSIONS:
            job.move(Event.NOT_FOUND)
            state.leave(job)
            job.due_at = state.now.monotonic + 2.0 ** (job.submissions - 1)
            cluster.delayed.set(job.token, job.due_at)
        else:
            self._withdrawn(job)
            self._conclusions.fail(job, f"submitted {job.submissions} times, never accepted: {job.why}")

    def _replace(self, job: ActiveAttempt) -> None:
        """Submit a cell as a new attempt, whose token the session that submitted the last one cannot use."""
        again = new_attempt(self._state, job.key, job.number + 1)
        again.retries, again.reruns = job.retries, job.reruns
        self._state.replaced[job.key] = job.number
        self._state.outbox.withdraw(job.token)
        self._state.outbox.meta(replaced=dict(self._state.replaced))
        self._forget(job)
        self.add([again])

    # Jobs that never run.

    def reject(self, job: ActiveAttempt, why: str, *, by_this_run: bool) -> None:
        """End a job that was not accepted."""
        if self._withdrawn(job):
            self._conclusions.reject(job, why, by_this_run=by_this_run)

    def withdraw(self, job: ActiveAttempt, action: OwnAction | None) -> None:
        """End a job that has no job on the cluster, by an action of this run."""
        if not self._withdrawn(job):
            return
        self.remove(job)
        job.action = action
        if not job.is_inherited:
            # A stopped session may still submit an earlier one's token, so that no job may get it again.
            self._state.outbox.withdraw(job.token)
        self._conclusions.withdraw(job)

    def _withdrawn(self, job: ActiveAttempt) -> bool:
        """Note that there is no job and will be none. Returns False if there is one."""
        if job.submission in _AHEAD:
            self._state.cluster(job).ahead -= 1
        if not job.move(Event.WITHDRAW):
            return False
        job.move(Event.CONFIRM)
        if job.hooks_until is None:
            self._state.timers.drop(job.token)
        return True

    def remove(self, job: ActiveAttempt) -> None:
        """Take a job out of everything that waits for its submission."""
        cluster = self._state.cluster(job)
        breaker = cluster.breaker(job)
        breaker.release_probe(job)
        for queue in (cluster.queue, breaker.deferred, cluster.ready):
            if job in queue:
                queue.remove(job)
        cluster.delayed.drop(job.token)
        cluster.finds.drop(job.token)

    def drop_waiting(self) -> None:
        """Forget everything that is not submitted yet: the run ends."""
        for job in list(self._state.attempts.values()):
            if job.submission is SubmissionState.WAITING:
                self._forget(job)
            elif job.submission in _AHEAD:
                self._state.outbox.withdraw(job.token)
                self._forget(job)
        for cluster in self._state.clusters.values():
            cluster.queue.clear()
            cluster.delayed.clear()
            cluster.ready.clear()
            cluster.ahead = 0
            for breaker in cluster.breakers.values():
                breaker.deferred.clear()

    def _forget(self, job: ActiveAttempt) -> None:
        """Leave a job without a verdict."""
        job.move(Event.WITHDRAW)
        self._state.leave(job)
        self._state.timers.drop(job.token)
        self._state.cluster(job).finds.drop(job.token)
        self._state.attempts.pop(job.token, None)
