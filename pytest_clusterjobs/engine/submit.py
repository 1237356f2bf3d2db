"""Submitting: a few threads, a bounded window, and an intent in the ledger before every call."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from collections.abc import Mapping

from ..backends.protocol import Backend
from ..backends.protocol import SubmissionRejected
from ..backends.protocol import Throttled
from ..jobs import ActionKind
from ..jobs import Observation
from ..jobs import OwnAction
from ..jobs import Phase
from ..jobs import Reason
from ..jobs import Times
from .core import Core
from .extensions import Vetoed
from .finish import finish
from .gate import Gate
from .job import Job
from .records import Attempt
from .redact import redact

MAX_SUBMISSIONS = 3
"""How often one attempt is submitted when the answers are lost and no job is found."""


LARGEST_BATCH = 64
"""Intents in one transaction, at most."""

RECORD_EVERY = 0.1
"""Seconds for which a handle may be known to this process only; a crash in that time costs a look-up."""


class Submitter:
    """The threads that submit. ``adopt`` is given every job whose fate a poll has to tell."""

    def __init__(self, core: Core, backends: Mapping[str, Backend], adopt: Callable[[Job], None]) -> None:
        self._core = core
        self._backends = backends
        self._adopt = adopt
        self._gates: dict[str, Gate] = {}
        self._threads: list[threading.Thread] = []

    def start(self, count: int) -> None:
        """Bring the number of threads up to ``count``."""
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
        """Why clusters take no jobs for now, by backend NAME."""
        with self._core.changed:
            waiting = {job.registration.cell.backend for job in self._core.delayed}
            return {name: gate.words for name, gate in self._gates.items() if gate.words and name in waiting}

    def _run(self) -> None:
        try:
            submitted: list[Attempt] = []
            while True:
                taken = self._take(block=not submitted)
                jobs = [job for job in taken if self._prepare(job)]
                # What was just submitted and what comes next are one transaction: half the commits.
                if submitted or jobs:
                    self._core.ledger.record(submitted=submitted, intended=[job.attempt() for job in jobs])
                if not taken and not submitted:
                    return
                submitted = self._submit_all(jobs)
        except BaseException as error:
            self._core.fail(error)

    def _prepare(self, job: Job) -> bool:
        """Let the user's hooks change what is submitted, once an attempt; whether they let it be."""
        if job.is_prepared:
            return True
        cell = job.registration.cell
        try:
            spec = self._core.extensions.prepare(cell, job.number)
        except Vetoed as error:
            self._core.ledger.record(intended=[job.attempt()])
            job.submitted = self._core.clock.time()
            reject(self._core, job, str(error), by_this_run=True)
            return False
        job.prepared = None if spec is cell.spec else spec
        job.is_prepared = True
        return True

    def _submit_all(self, jobs: list[Job]) -> list[Attempt]:
        """Submit what was intended; whatever the cluster is slow about is recorded meanwhile."""
        submitted: list[Attempt] = []
        recorded_at = self._core.clock.monotonic()
        for job in jobs:
            if self._core.stopping or self._is_shut(job):
                self._put_back(job)
                continue
            attempt = self._submit(job)
            if attempt is not None:
                submitted.append(attempt)
            if job.submitted_at - recorded_at > RECORD_EVERY:
                self._core.ledger.record(submitted=submitted)
                submitted, recorded_at = [], job.submitted_at
        return submitted

    def _put_back(self, job: Job) -> None:
        """Take back the intent of a job that was not submitted; it is submitted later, if there is a later."""
        core = self._core
        core.ledger.forget([job.token])
        with core.changed:
            over = core.stopping or core.detached
            end = job.request or (None if over else self._too_late(job))
            if end is None:
                core.in_flight.discard(job)
            if end is None and not over:
                self._delay(job)
            core.changed.notify_all()
        if end is not None:
            withdraw(core, job, end)

    def _too_late(self, job: Job) -> OwnAction | None:
        gate, limit = self._gate(job), job.spec.queue_timeout
        if gate.waited(self._core.clock.monotonic()) <= limit:
            return None
        why = f"not taken within queue_timeout ({limit:g} s): {gate.words}"
        return OwnAction(ActionKind.QUEUE_TIMEOUT, why, self._core.clock.time())

    def _delay(self, job: Job) -> None:
        job.due_at = self._gate(job).free_at
        self._core.delayed.append(job)

    def _take(self, *, block: bool) -> list[Job]:
        """The next jobs that fit the window; none when there are none now, or (blocking) none ever.

        A long queue is taken in small batches, of which no thread gets so many that another idles.
        """
        core = self._core
        with core.changed:
            while not (core.stopping or core.detached):
                wait = self._wake_delayed()
                jobs: list[Job] = []
                size = min(LARGEST_BATCH, 1 + len(core.queue) // (8 * len(self._threads)))
                while core.queue and len(jobs) < size and core.has_room_for(core.queue[0]):
                    if self._is_shut(core.queue[0]):
                        # Those behind it may be for clusters that take theirs.
                        self._delay(core.queue.popleft())
                        wait = self._wake_delayed()
                        continue
                    pause = self._gate(core.queue[0]).pause(core.clock.monotonic())
                    if pause > 0:
                        wait = pause if wait is None else min(wait, pause)
                        break
                    job = core.queue.popleft()
                    job.intended = core.clock.time()
                    core.in_flight.add(job)
                    jobs.append(job)
                if jobs or not block:
                    return jobs
                core.clock.wait(core.changed, wait)
        return []

    def _wake_delayed(self) -> float | None:
        """Queue those who are due; seconds until the next one is."""
        core = self._core
        now = core.clock.monotonic()
        due = [job for job in core.delayed if job.due_at <= now]
        if due:
            core.delayed = [job for job in core.delayed if job.due_at > now]
            core.queue.extend(due)
        return min((job.due_at - now for job in core.delayed), default=None)

    def _gate(self, job: Job) -> Gate:
        name = job.registration.cell.backend
        if name not in self._gates:
            self._gates[name] = Gate(self._backends[name].capabilities.submissions_per_second)
        return self._gates[name]

    def _is_shut(self, job: Job) -> bool:
        with self._core.changed:
            return self._gate(job).is_shut(self._core.clock.monotonic())

    def _submit(self, job: Job) -> Attempt | None:
        backend = self._backends[job.registration.cell.backend]
        own_refusal = self._refusal(job, backend)
        refusal = own_refusal
        if own_refusal is None:
            try:
                job.handle = backend.submit(job.spec, job.token)
            except SubmissionRejected as error:
                refusal = redact(str(error), job.spec.secrets)
            except Throttled as error:
                self._wait_outside(job, redact(str(error), job.spec.secrets))
                return None
            except Exception as error:
                # The job may exist; `find` decides. A backend's bug is no reason to lose one either.
                job.why = redact(str(error) or repr(error), job.spec.secrets)
        job.submissions += 1
        now = self._core.clock.monotonic()
        job.submitted = self._core.clock.time()
        job.submitted_at = job.answered_at = now
        # A moment ago there was no news yet: asked about each new job at once, a long queue would be one question
        # after another. Who tells of news by himself may have told already, of a job that we did not know.
        told = hasattr(backend, "subscribe")
        job.due_at = now if told else now + backend.capabilities.min_poll_interval
        if refusal is not None:
            reject(self._core, job, refusal, by_this_run=own_refusal is not None)
            return None
        if job.handle is not None:
            with self._core.changed:
                self._gate(job).open()
        self._adopt(job)
        return job.attempt() if job.handle is not None else None

    def _wait_outside(self, job: Job, words: str) -> None:
        """The cluster takes no job for now: this one and those behind it wait, as they do for our own window.

        Where no job of this run can be the reason, ``queue_timeout`` counts.
        """
        core, name = self._core, job.registration.cell.backend
        with core.changed:
            held = (each for each in core.in_flight if each.handle is not None)
            has_jobs = any(each.registration.cell.backend == name for each in held)
            self._gate(job).shut(words, core.clock.monotonic(), holds_jobs=has_jobs)
        self._put_back(job)
        with core.changed:
            waiting = [
                each for each in (*core.delayed, *core.queue) if each.registration.cell.backend == name
            ]
            late = {each: end for each in waiting if (end := self._too_late(each)) is not None}
            core.drop(late)
            # Until they have their results, they are somewhere.
            core.in_flight.update(late)
        for each, end in late.items():
            withdraw(core, each, end)

    def _refusal(self, job: Job, backend: Backend) -> str | None:
        missing = [name for name in job.spec.secrets if name not in os.environ]
        if missing and not backend.capabilities.knows_secrets:
            return f"secret {missing[0]} is not in the environment of this process"
        limit = self._core.max_nodes
        if limit is not None and job.spec.nodes > limit:
            return f"needs {job.spec.nodes} nodes, --cluster-max-nodes allows {limit}"
        return None


def withdraw(core: Core, job: Job, action: OwnAction) -> None:
    """End a job that waited for its submission."""
    job.action = action
    result = finish(job, Observation(Phase.ABSENT), None, core.extensions)
    core.ledger.observe(core.clock.time(), results=[result])
    with core.changed:
        core.in_flight.discard(job)
        core.complete(result)


def reject(core: Core, job: Job, why: str, *, by_this_run: bool = False) -> None:
    """End a job that was not accepted."""
    now = core.clock.time()
    seen = Observation(Phase.ABSENT)
    if by_this_run:
        job.action = OwnAction(ActionKind.REFUSED, why, now)
    elif job.action is None:
        seen = Observation(Phase.ENDED, Times(now, None, now), "REJECTED", why, Reason.REJECTED)
    result = finish(job, seen, None, core.extensions)
    core.ledger.record(submitted=[job.attempt()])
    if job.action is not None:
        core.ledger.act(job.action, [job.token])
    core.ledger.observe(now, ended=[(job.token, result.outcome)], results=[result])
    with core.changed:
        core.in_flight.discard(job)
        core.complete(result)
    core.extensions.ended(job.registration.cell, result)
