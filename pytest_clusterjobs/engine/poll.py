"""Polls jobs, with one thread per backend, one due time per job and full batches, and handles their ends."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import BUGS
from ..backends.protocol import Found
from ..backends.protocol import Notifying
from ..backends.protocol import NotSubmitted
from ..backends.protocol import Throttled
from ..model import ActionKind
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from ..model.batches import batched
from ..model.records import Result
from .answers import answer
from .job import ActiveAttempt
from .job import CANCEL_GIVE_UP_SECONDS
from .job import CANCEL_RETRY_SECONDS
from .job import due_action
from .job import LOST_AFTER_SECONDS
from .job import MAX_SILENCE_SECONDS
from .job import rest_to_stop
from .judging import finish
from .judging import needs_time
from .judging import reader
from .judging import settled_by_records
from .logs import LogReader
from .poll_schedule import due_batch
from .poll_schedule import MAX_POLL_INTERVAL_SECONDS
from .poll_schedule import next_poll_at
from .refuse import reject
from .round import Round
from .state import EngineState
from .submit import MAX_SUBMISSIONS

SESSION_ENDED = "the session ended"
"""Why a job is cancelled when its session no longer waits for it."""

MIN_ROUND_SPACING_SECONDS = 0.05
"""The shortest time, in seconds, between two rounds: a burst of ends then needs one call and one
transaction."""


class Poller:
    """The thread that polls one backend's jobs and cancels them."""

    def __init__(
        self,
        core: EngineState,
        name: str,
        backend: Backend,
        retry: Callable[[ActiveAttempt, Result], ActiveAttempt | None],
    ) -> None:
        self._core = core
        self._name = name
        self._backend = backend
        self._capabilities = backend.capabilities
        self._retry = retry
        self._jobs: dict[str, ActiveAttempt] = {}
        self._woken_up: set[str] = set()
        """Tokens of jobs for which the backend has reported news since their last poll."""
        self._failures = 0
        self._quiet_until = 0.0
        self._round_at = 0.0
        self._closed = False
        self.api_error = ""
        """The last error of the cluster's API; empty if it works."""
        self._thread = threading.Thread(target=self._run, name=f"clusterjobs-poll-{name}", daemon=True)
        if isinstance(backend, Notifying):
            backend.subscribe(self._woken)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def adopt(self, job: ActiveAttempt) -> None:
        """Take over a job that was submitted, or whose submission was not answered."""
        with self._core.changed:
            self._jobs[job.token] = job
            self._core.changed.notify_all()

    def close(self) -> None:
        """End the thread; jobs are left as they are."""
        with self._core.changed:
            self._closed = True
            self._core.changed.notify_all()

    def _woken(self, tokens: Collection[str]) -> None:
        now = self._core.clock.monotonic()
        with self._core.changed:
            for token in tokens:
                if token in self._jobs:
                    self._woken_up.add(token)
                    self._jobs[token].due_at = now
            self._core.changed.notify_all()

    def _run(self) -> None:
        try:
            while (due := self._wait()) is not None:
                self._run_round(due)
        except BaseException as error:
            self._core.fail(error)

    # Scheduling.

    def _wait(self) -> list[ActiveAttempt] | None:
        """Block until a job is due. Returns the batch to poll, or None when closed."""
        core = self._core
        with core.changed:
            while not self._closed:
                now = core.clock.monotonic()
                next_at = min((self._wanted_at(job) for job in self._jobs.values()), default=None)
                if next_at is not None:
                    next_at = max(next_at, self._quiet_until, self._round_at + MIN_ROUND_SPACING_SECONDS)
                    if next_at <= now:
                        batch = due_batch(self._jobs.values(), self._wanted_at, now, self._capabilities)
                        self._woken_up.difference_update(job.token for job in batch)
                        return batch
                core.clock.wait(core.changed, None if next_at is None else next_at - now)
        return None

    def _wanted_at(self, job: ActiveAttempt) -> float:
        return 0.0 if self._request(job) is not None else job.due_at

    def _request(self, job: ActiveAttempt) -> OwnAction | None:
        """The action requested for the job that has not been performed yet."""
        if job.action is not None:
            return None
        if job.request is None and self._core.stopping:
            job.request = OwnAction(ActionKind.CANCEL, SESSION_ENDED, self._core.clock.time())
        return job.request

    def _schedule(self, job: ActiveAttempt, now: float) -> None:
        job.due_at = next_poll_at(job, now, self._capabilities)
        with self._core.changed:
            if job.token in self._woken_up:
                # The news arrived while its poll was under way, which may have missed it.
                job.due_at = now

    # One round.

    def _run_round(self, due: list[ActiveAttempt]) -> None:
        self._round_at = self._core.clock.monotonic()
        updates = Round()
        known = [job for job in due if job.handle is not None]
        try:
            self._look_up(job for job in due if job.handle is None)
            if known:
                self._poll_batches(known, updates)
            self._failures = 0
            self._report_api_error("")
        except BackendError as error:
            self._back_off(error)
        now = self._core.clock.monotonic()
        for job in due:
            if job not in updates.done and job.token in self._jobs:
                self._check_silence(job, now, updates)
                self._schedule(job, now)
        self._cancel_where_due(due, updates)
        self._write(updates)

    def _poll_batches(self, jobs: list[ActiveAttempt], updates: Round) -> None:
        for due in batched(jobs, self._capabilities.ids_per_poll):
            batch = {job.token: job for job in due}
            handles = {token: job.handle for token, job in batch.items() if job.handle is not None}
            seen = answer(self._backend.poll, handles)
            self._learn_actions(batch, seen)
            for token, observation in seen.items():
                if token in batch:
                    self._apply(batch[token], observation, updates)

    def _learn_actions(self, batch: Mapping[str, ActiveAttempt], seen: Mapping[str, Observation]) -> None:
        """Look up actions of ``clusterjobs kill``, which may have ended jobs that were not cancelled here."""
        gone = [
            token
            for token, observation in seen.items()
            if observation.phase in (Phase.ENDED, Phase.ABSENT)
            and token in batch
            and _may_be_cancelled_elsewhere(batch[token])
        ]
        for token, action in self._core.ledger.actions(gone).items():
            batch[token].action = action

    def _apply(self, job: ActiveAttempt, seen: Observation, updates: Round) -> None:
        now = self._core.clock.monotonic()
        if not job.has_been_polled:
            updates.first_polled.add(job)
        if job.see(seen, now) and job.observation is not None:
            updates.changed.append((job.token, job.observation, seen.handle))
        observation = job.observation
        if observation is None or (job.absent_at == now and seen.phase is Phase.ABSENT):
            # As soon as the job is missing, look for the records that it left.
            observation = self._records_of(job) or observation
        if observation is not None and observation.phase is Phase.ENDED:
            self._end(job, observation, updates)
            return
        action = due_action(job, now, self._core.clock.time())
        if action is None and not self._capabilities.stops_rest:
            action = rest_to_stop(job, now, self._core.clock.time())
        if action is not None and job.action is None:
            if action.kind is ActionKind.LOST and (found := self._records_of(job)) is not None:
                self._end(job, found, updates)
                return
            self._take_action(job, action, updates)

    def _records_of(self, job: ActiveAttempt) -> Observation | None:
        try:
            return settled_by_records(job, reader(self._backend, job))
        except BackendError:
            return None

    def _end(self, job: ActiveAttempt, observation: Observation, updates: Round) -> None:
        """Judge an ended job, unless logs that the verdict depends on are still settling."""
        logs = reader(self._backend, job)
        observation = logs.with_reports(observation)
        settling = self._core.clock.monotonic() - (job.ended_at or 0.0) < self._capabilities.log_settle
        if settling and needs_time(job, observation, logs):
            return
        self._finish(job, observation, logs, updates)

    def _finish(
        self, job: ActiveAttempt, observation: Observation, logs: LogReader | None, updates: Round
    ) -> None:
        result = finish(job, observation, logs, self._core.config.extensions)
        updates.ended.append((job.token, result.outcome))
        updates.done.add(job)
        resubmitted = self._retry(job, result)
        if resubmitted is None:
            updates.results.append(result)
        else:
            updates.resubmitted.append(resubmitted)

    def _take_action(self, job: ActiveAttempt, action: OwnAction, updates: Round) -> None:
        """Take an action on a job. It is recorded first, then requested, and later confirmed by polls."""
        job.action = action
        self._core.ledger.record_action(action, [job.token])
        updates.to_cancel.append(job)
        if action.kind is ActionKind.LOST:
            self._finish(job, job.observation or Observation(Phase.ABSENT), None, updates)

    def _check_silence(self, job: ActiveAttempt, now: float, updates: Round) -> None:
        silent = now - job.answered_at
        limit = MAX_SILENCE_SECONDS if job.handle is not None else LOST_AFTER_SECONDS
        if silent < limit or job.action is not None:
            return
        cause = f": {self.api_error or job.why}" if self.api_error or job.why else ""
        why = f"the cluster has not reported it for {silent:.0f} s{cause}"
        self._take_action(job, OwnAction(ActionKind.LOST, why, self._core.clock.time()), updates)

    def _cancel_where_due(self, due: Iterable[ActiveAttempt], updates: Round) -> None:
        now = self._core.clock.monotonic()
        for job in due:
            request = self._request(job)
            if job in updates.done:
                continue
            if request is not None:
                self._take_action(job, request, updates)
            elif job.action is not None and job not in updates.to_cancel:
                self._repeat_cancellation(job, now, updates)
        handles = {job.token: job.handle for job in updates.to_cancel if job.handle is not None}
        if not handles:
            return
        for job in updates.to_cancel:
            # Counted from the first request, answered or not: a job that cannot be cancelled is given up in
            # the end.
            job.cancel_since = job.cancel_since or now
        try:
            self._backend.cancel(handles)
        except BUGS as error:
            self._back_off(BackendError(f"cancel: {error}"))
            return
        for job in updates.to_cancel:
            job.cancelled_at = now
            job.due_at = min(job.due_at, now + self._capabilities.min_poll_interval)

    def _repeat_cancellation(self, job: ActiveAttempt, now: float, updates: Round) -> None:
        """Repeat a cancellation that no poll has confirmed; in the end give up, and report that."""
        if job.cancelled_at is None or now - job.cancelled_at >= CANCEL_RETRY_SECONDS:
            updates.to_cancel.append(job)
        if job.cancel_since is not None and now - job.cancel_since >= CANCEL_GIVE_UP_SECONDS:
            why = (
                f"no poll confirmed its cancellation within {CANCEL_GIVE_UP_SECONDS:.0f} s; "
                "it may still be running"
            )
            job.action = OwnAction(ActionKind.LOST, why, self._core.clock.time())
            self._finish(job, job.observation or Observation(Phase.ABSENT), None, updates)

    def _write(self, updates: Round) -> None:
        if updates.changed or updates.ended or updates.results:
            self._core.ledger.observe(
                self._core.clock.time(), changed=updates.changed, ended=updates.ended, results=updates.results
            )
        with self._core.changed:
            for job in updates.done:
                self._jobs.pop(job.token, None)
                self._woken_up.discard(job.token)
                self._core.in_flight.discard(job)
            if not self._core.stopping:
                # Only after the last attempt's end is in the ledger: a crash must not leave two live
                # attempts.
                self._core.delayed.extend(updates.resubmitted)
            for result in updates.results:
                self._core.complete(result)
            for job in updates.first_polled:
                job.has_been_polled = True
            if updates.done or updates.first_polled:
                self._core.changed.notify_all()

    # Errors.

    def _look_up(self, jobs: Iterable[ActiveAttempt]) -> None:
        """Look up submissions that were not answered, and repeat those that did not arrive."""
        for job in jobs:
            now = self._core.clock.monotonic()
            if now - job.submitted_at < self._capabilities.find_settle:
                continue
            found = answer(self._backend.find, job.token)
            if isinstance(found, Found):
                job.handle = found.handle
                job.answered_at = now
                self._core.ledger.record(submitted=[job.attempt()])
            elif isinstance(found, NotSubmitted):
                self._resubmit(job)

    def _resubmit(self, job: ActiveAttempt) -> None:
        with self._core.changed:
            self._jobs.pop(job.token, None)
            resubmitted = job.submissions < MAX_SUBMISSIONS and not self._core.stopping
            if resubmitted:
                self._core.in_flight.discard(job)
                job.due_at = self._core.clock.monotonic() + 2.0 ** (job.submissions - 1)
                self._core.delayed.append(job)
                self._core.changed.notify_all()
        if not resubmitted:
            cause = f"submitted {job.submissions} times, never accepted: {job.why}"
            reject(self._core, {job: cause})

    def _report_api_error(self, message: str) -> None:
        """Report an API error, also in the ledger. The cause may be the disk that the cluster itself uses."""
        if message != self.api_error:
            self.api_error = message
            self._core.ledger.set_meta(**{f"trouble.{self._name}": message or None})

    def _back_off(self, error: BackendError) -> None:
        self._report_api_error(self._core.secrets.hide(str(error)))
        self._failures += 1
        base = self._capabilities.min_poll_interval * (4.0 if isinstance(error, Throttled) else 1.0)
        pause = min(MAX_POLL_INTERVAL_SECONDS, max(base, 0.1) * 2.0 ** min(self._failures - 1, 10))
        self._quiet_until = self._core.clock.monotonic() + pause * random.uniform(0.75, 1.25)


def _may_be_cancelled_elsewhere(job: ActiveAttempt) -> bool:
    """Whether another process may have ended a job: this run has not ended it, nor seen its end before."""
    return job.ended_at is None and (job.action is None or job.action.kind is ActionKind.STOP_REST)
