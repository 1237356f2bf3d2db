"""Submitting: a few threads, a bounded window, and an intent in the ledger before every call."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from collections.abc import Mapping

from ..backends.protocol import Backend
from ..backends.protocol import SubmissionRejected
from ..jobs import ActionKind
from ..jobs import Observation
from ..jobs import OwnAction
from ..jobs import Phase
from ..jobs import Reason
from ..jobs import Times
from .core import Core
from .extensions import Vetoed
from .finish import finish
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
        self._next_slot: dict[str, float] = {}
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
        if job.submissions:
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
        return True

    def _submit_all(self, jobs: list[Job]) -> list[Attempt]:
        """Submit what was intended; whatever the cluster is slow about is recorded meanwhile."""
        submitted: list[Attempt] = []
        recorded_at = self._core.clock.monotonic()
        for job in jobs:
            if self._core.stopping:
                self._forget(job)
                continue
            attempt = self._submit(job)
            if attempt is not None:
                submitted.append(attempt)
            if job.submitted_at - recorded_at > RECORD_EVERY:
                self._core.ledger.record(submitted=submitted)
                submitted, recorded_at = [], job.submitted_at
        return submitted

    def _forget(self, job: Job) -> None:
        """Take back the intent of a job that was not submitted."""
        self._core.ledger.forget([job.token])
        with self._core.changed:
            self._core.in_flight.discard(job)
            self._core.changed.notify_all()

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
                    pause = self._pause(core.queue[0])
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
        core = self._core
        now = core.clock.monotonic()
        for job in [job for job in core.delayed if job.due_at <= now]:
            core.delayed.remove(job)
            core.queue.append(job)
        return min((job.due_at - now for job in core.delayed), default=None)

    def _pause(self, job: Job) -> float:
        """Seconds until the backend's submission rate allows another; takes the slot when it is 0."""
        name = job.registration.cell.backend
        rate = self._backends[name].capabilities.submissions_per_second
        if rate is None:
            return 0.0
        now = self._core.clock.monotonic()
        free_at = self._next_slot.get(name, 0.0)
        if free_at > now:
            return free_at - now
        self._next_slot[name] = max(now, free_at) + 1.0 / rate
        return 0.0

    def _submit(self, job: Job) -> Attempt | None:
        backend = self._backends[job.registration.cell.backend]
        own_refusal = self._refusal(job, backend)
        refusal = own_refusal
        job.submissions += 1
        if own_refusal is None:
            try:
                job.handle = backend.submit(job.spec, job.token)
            except SubmissionRejected as error:
                refusal = redact(str(error), job.spec.secrets)
            except Exception as error:
                # The job may exist; `find` decides. A backend's bug is no reason to lose one either.
                job.why = redact(str(error) or repr(error), job.spec.secrets)
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
        self._adopt(job)
        return job.attempt() if job.handle is not None else None

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
