"""Submits jobs in a few threads, within the run's limits. The ledger has an intent before every call."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from math import inf

from ..backends.protocol import Backend
from ..backends.protocol import BUGS
from ..backends.protocol import Notifying
from ..backends.protocol import SubmissionRejected
from ..backends.protocol import Throttled
from ..model import ActionKind
from ..model import OwnAction
from ..model.records import Attempt
from .breaker import RateLimiter
from .breaker import SubmissionBreaker
from .extensions import Vetoed
from .job import ActiveAttempt
from .refuse import refusal
from .refuse import reject
from .refuse import withdraw
from .state import EngineState

MAX_SUBMISSIONS = 3
"""How often one attempt is submitted if the answers are lost and no job is found."""


MAX_INTENTS_PER_TRANSACTION = 64
"""The most intents in one transaction."""

RECORD_INTERVAL_SECONDS = 0.1
"""Seconds for which only this process may know a handle; after a crash in that time the job is looked up."""


class Submitter:
    """The threads that submit jobs. ``adopt`` is called with every job that must be polled from then on."""

    def __init__(
        self, core: EngineState, backends: Mapping[str, Backend], adopt: Callable[[ActiveAttempt], None]
    ) -> None:
        self._core = core
        self._backends = backends
        self._adopt = adopt
        self._rate_limiters: dict[str, RateLimiter] = {}
        self._notifying: dict[str, bool] = {}
        self._breakers: dict[tuple[str, str], SubmissionBreaker] = {}
        self._threads: list[threading.Thread] = []

    def start(self, count: int) -> None:
        """Raise the number of threads to ``count``."""
        while len(self._threads) < count:
            thread = threading.Thread(target=self._run, name="clusterjobs-submit", daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self) -> None:
        """Wait for submissions under way."""
        for thread in self._threads:
            thread.join()

    @property
    def refusals(self) -> Mapping[str, str]:
        """Why clusters accept no jobs for now, by backend NAME."""
        with self._core.changed:
            unknown = (job for job in chain(self._core.waiting, self._core.in_flight) if job.handle is None)
            breakers = {job.breaker for job in unknown if job.breaker is not None}
            return {breaker.backend: breaker.last_error for breaker in breakers if breaker.last_error}

    def _run(self) -> None:
        try:
            submitted: list[Attempt] = []
            while True:
                taken = self._take(block=not submitted)
                jobs = [job for job in taken if self._prepare(job)]
                # Record the last submissions and the next intents in one transaction, which halves the
                # commits.
                if submitted or jobs:
                    self._core.ledger.record(submitted=submitted, intended=[job.attempt() for job in jobs])
                if not taken and not submitted:
                    return
                submitted = self._submit_all(jobs)
        except BaseException as error:
            self._core.fail(error)

    def _prepare(self, job: ActiveAttempt) -> bool:
        """Let the user's hooks change the spec, once per attempt. Returns whether to submit the job."""
        if job.is_prepared:
            return True
        cell = job.registration.cell
        try:
            spec = self._core.config.extensions.prepare(cell, job.number)
        except Vetoed as error:
            if error.ruling is not None:
                job.ruling = replace(error.ruling, reason=job.hide(error.ruling.reason))
                why = job.hide(str(error))
                withdraw(self._core, {job: OwnAction(ActionKind.CANCEL, why, self._core.clock.time())})
                self._settle_breaker(job)
                return False
            self._core.ledger.record(intended=[job.attempt()])
            job.submitted = self._core.clock.time()
            reject(self._core, {job: str(error)}, by_this_run=True)
            self._settle_breaker(job)
            return False
        job.is_prepared = True
        if spec is not cell.spec:
            # The job may now ask for something else.
            self._settle_breaker(job)
            job.prepared, job.breaker = spec, None
        return True

    def _submit_all(self, jobs: list[ActiveAttempt]) -> list[Attempt]:
        """Submit the intended jobs. If the cluster is slow, finished submissions are recorded meanwhile."""
        submitted: list[Attempt] = []
        recorded_at = self._core.clock.monotonic()
        for job in jobs:
            if self._core.stopping or self._core.detached or not self._start_probe(job):
                self._put_back(job)
                continue
            attempt = self._submit(job)
            if attempt is not None:
                submitted.append(attempt)
            now = self._core.clock.monotonic()
            if now - recorded_at > RECORD_INTERVAL_SECONDS:
                self._core.ledger.record(submitted=submitted)
                submitted, recorded_at = [], now
        return submitted

    def _start_probe(self, job: ActiveAttempt) -> bool:
        """Whether the job's breaker still lets it pass, after it was taken from the queue."""
        with self._core.changed:
            breaker, now = self._breaker(job), self._core.clock.monotonic()
            if breaker.must_wait(job, now):
                return False
            breaker.start_probe(job, now)
            return True

    def _put_back(self, job: ActiveAttempt) -> None:
        """Delete the intent of a job that was not submitted.

        It is submitted later, unless the run is stopping.
        """
        core = self._core
        core.ledger.delete_intents([job.token])
        with core.changed:
            over = core.stopping or core.detached
            end = job.request or (None if over else self._expired(job))
            if end is None:
                core.in_flight.discard(job)
            if end is None and not over:
                self._enqueue_deferred(job)
            core.changed.notify_all()
        if end is not None:
            withdraw(core, {job: end})

    def _expired(self, job: ActiveAttempt) -> OwnAction | None:
        breaker, limit = self._breaker(job), job.spec.queue_timeout
        if breaker.waited(job.deferred_at, self._core.clock.monotonic()) <= limit:
            return None
        why = f"not accepted within queue_timeout ({limit:g} s): {breaker.last_error}"
        return OwnAction(ActionKind.NOT_TAKEN, why, self._core.clock.time())

    def _enqueue_deferred(self, job: ActiveAttempt) -> None:
        if job.deferred_at is None:
            job.deferred_at = self._core.clock.monotonic()
        self._core.deferred.setdefault(self._breaker(job), deque()).append(job)

    def _take(self, *, block: bool) -> list[ActiveAttempt]:
        """The next jobs within the limits; empty if there are none now, or with ``block`` at the run's end.

        A long queue is taken in small batches, so that no thread takes so many that another is idle.
        """
        core = self._core
        with core.changed:
            while not (core.stopping or core.detached):
                wait = self._wake()
                jobs: list[ActiveAttempt] = []
                size = min(MAX_INTENTS_PER_TRANSACTION, 1 + len(core.queue) // (8 * len(self._threads)))
                while core.queue and len(jobs) < size and core.has_room_for(core.queue[0]):
                    job, now = core.queue[0], core.clock.monotonic()
                    breaker = self._breaker(job)
                    if breaker.must_wait(job, now):
                        # The jobs behind it may be for clusters that accept them.
                        self._enqueue_deferred(core.queue.popleft())
                        wait = min(wait, breaker.retry_at - now)
                        continue
                    pause = self._rate_limiter(job).pause(now)
                    if pause > 0:
                        wait = min(wait, pause)
                        break
                    core.queue.popleft()
                    breaker.start_probe(job, now)
                    job.intended = core.clock.time()
                    core.in_flight.add(job)
                    jobs.append(job)
                if jobs or not block:
                    return jobs
                core.clock.wait(core.changed, None if wait == inf else wait)
        return []

    def _wake(self) -> float:
        """Queue the jobs that are due. Returns the seconds until others are."""
        core, now = self._core, self._core.clock.monotonic()
        due = [job for job in core.delayed if job.due_at <= now]
        if due:
            core.delayed = [job for job in core.delayed if job.due_at > now]
            core.queue.extend(due)
        for breaker, jobs in list(core.deferred.items()):
            if breaker.retry_at > now:
                continue
            if not breaker.last_error:
                # These jobs were queued earlier than the ones in the queue.
                core.queue.extendleft(reversed(jobs))
                jobs.clear()
            elif core.has_room_for(jobs[0]):
                # Try one for all. At the very front, slow answers could block all threads for other clusters.
                breaker.start_probe(jobs[0], now)
                core.queue.insert(len(self._threads), jobs.popleft())
            if not jobs:
                del core.deferred[breaker]
        # A breaker whose pause is over waits until the limits allow a job; the thread is notified of that.
        others = (breaker.retry_at - now for breaker in core.deferred if breaker.retry_at > now)
        return min((*(job.due_at - now for job in core.delayed), *others), default=inf)

    def _rate_limiter(self, job: ActiveAttempt) -> RateLimiter:
        name = job.registration.cell.backend
        if name not in self._rate_limiters:
            self._rate_limiters[name] = RateLimiter(self._backends[name].capabilities.submissions_per_second)
        return self._rate_limiters[name]

    def _is_notifying(self, name: str) -> bool:
        # Kept: a check of a protocol takes about 10 us, and there may be thousands of jobs.
        if name not in self._notifying:
            self._notifying[name] = isinstance(self._backends[name], Notifying)
        return self._notifying[name]

    def _breaker(self, job: ActiveAttempt) -> SubmissionBreaker:
        if job.breaker is None:
            name, spec = job.registration.cell.backend, job.spec
            request = repr((spec.nodes, spec.resources, spec.options))
            job.breaker = self._breakers.setdefault((name, request), SubmissionBreaker(name))
        return job.breaker

    def _submit(self, job: ActiveAttempt) -> Attempt | None:
        backend = self._backends[job.registration.cell.backend]
        self._core.secrets.learn([job.spec])
        own_refusal = refused = refusal(self._core, job, backend)
        if own_refusal is None:
            try:
                job.handle = backend.submit(job.spec, job.token)
            except SubmissionRejected as error:
                refused = str(error)
            except Throttled as error:
                self._defer(job, job.hide(str(error)))
                return None
            except BUGS as error:
                # The job may exist; `find` decides. A bug in a backend must not lose a job either.
                job.why = job.hide(str(error) or repr(error))
        job.submissions += 1
        now = self._core.clock.monotonic()
        job.submitted = self._core.clock.time()
        job.submitted_at = job.answered_at = now
        # Delay the first poll so that new jobs are polled in batches. A notifying backend may already have
        # reported the job before it was known here: poll it now.
        is_notifying = self._is_notifying(job.registration.cell.backend)
        job.due_at = now if is_notifying else now + backend.capabilities.min_poll_interval
        self._settle_breaker(job)
        if refused is not None:
            reject(self._core, {job: refused}, by_this_run=own_refusal is not None)
            return None
        self._adopt(job)
        return job.attempt() if job.handle is not None else None

    def _settle_breaker(self, job: ActiveAttempt) -> None:
        """Update the breaker: the cluster accepted the job, or its answer says nothing about other jobs."""
        with self._core.changed:
            breaker = self._breaker(job)
            was_refusing = bool(breaker.last_error)
            if job.handle is not None:
                breaker.accepted()
            else:
                breaker.release_probe(job)
            if was_refusing:
                self._core.changed.notify_all()

    def _defer(self, job: ActiveAttempt, last_error: str) -> None:
        """Defer this job and similar ones, because the cluster accepts none for now.

        If no job of this run can be the reason, ``queue_timeout`` applies.
        """
        core, name = self._core, job.registration.cell.backend
        with core.changed:
            now, breaker = core.clock.monotonic(), self._breaker(job)
            # A job whose submission was not answered may exist.
            held = (each for each in core.in_flight if each.handle is not None or each.submissions)
            has_jobs = any(each.registration.cell.backend == name and each is not job for each in held)
            breaker.refused(job, last_error, now, holds_jobs=has_jobs)
        self._put_back(job)
        with core.changed:
            expired = {
                each: end
                for each in core.deferred.get(breaker, ())
                if (end := self._expired(each)) is not None
            }
            core.drop(expired)
            # Keep them counted until their results are published.
            core.in_flight.update(expired)
        withdraw(core, expired)
