"""Submitting: a few threads, a bounded window, and an intent in the ledger before every call."""

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
"""How often one attempt is submitted when the answers are lost and no job is found."""


LARGEST_BATCH = 64
"""Intents in one transaction, at most."""

RECORD_EVERY = 0.1
"""Seconds for which a handle may be known to this process only; a crash in that time costs a look-up."""


class Submitter:
    """The threads that submit. ``adopt`` is given every job whose fate a poll has to tell."""

    def __init__(
        self, core: EngineState, backends: Mapping[str, Backend], adopt: Callable[[ActiveAttempt], None]
    ) -> None:
        self._core = core
        self._backends = backends
        self._adopt = adopt
        self._paces: dict[str, RateLimiter] = {}
        self._gates: dict[tuple[str, str], SubmissionBreaker] = {}
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
            unknown = (job for job in chain(self._core.waiting, self._core.in_flight) if job.handle is None)
            gates = {job.gate for job in unknown if job.gate is not None}
            return {gate.backend: gate.words for gate in gates if gate.words}

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

    def _prepare(self, job: ActiveAttempt) -> bool:
        """Let the user's hooks change what is submitted, once an attempt; whether they let it be."""
        if job.is_prepared:
            return True
        cell = job.registration.cell
        try:
            spec = self._core.extensions.prepare(cell, job.number)
        except Vetoed as error:
            if error.ruling is not None:
                job.ruling = replace(error.ruling, reason=job.hide(error.ruling.reason))
                why = job.hide(str(error))
                withdraw(self._core, {job: OwnAction(ActionKind.CANCEL, why, self._core.clock.time())})
                self._leave_gate(job)
                return False
            self._core.ledger.record(intended=[job.attempt()])
            job.submitted = self._core.clock.time()
            reject(self._core, {job: str(error)}, by_this_run=True)
            self._leave_gate(job)
            return False
        job.is_prepared = True
        if spec is not cell.spec:
            # It asks for something else now.
            self._leave_gate(job)
            job.prepared, job.gate = spec, None
        return True

    def _submit_all(self, jobs: list[ActiveAttempt]) -> list[Attempt]:
        """Submit what was intended; whatever the cluster is slow about is recorded meanwhile."""
        submitted: list[Attempt] = []
        recorded_at = self._core.clock.monotonic()
        for job in jobs:
            if self._core.stopping or self._core.detached or not self._enter(job):
                self._put_back(job)
                continue
            attempt = self._submit(job)
            if attempt is not None:
                submitted.append(attempt)
            now = self._core.clock.monotonic()
            if now - recorded_at > RECORD_EVERY:
                self._core.ledger.record(submitted=submitted)
                submitted, recorded_at = [], now
        return submitted

    def _enter(self, job: ActiveAttempt) -> bool:
        """Whether the job's gate has not been shut since it was taken from the queue."""
        with self._core.changed:
            gate, now = self._gate(job), self._core.clock.monotonic()
            if gate.is_shut(job, now):
                return False
            gate.enter(job, now)
            return True

    def _put_back(self, job: ActiveAttempt) -> None:
        """Take back the intent of a job that was not submitted; it is submitted later, if there is a later."""
        core = self._core
        core.ledger.forget([job.token])
        with core.changed:
            over = core.stopping or core.detached
            end = job.request or (None if over else self._too_late(job))
            if end is None:
                core.in_flight.discard(job)
            if end is None and not over:
                self._leave_outside(job)
            core.changed.notify_all()
        if end is not None:
            withdraw(core, {job: end})

    def _too_late(self, job: ActiveAttempt) -> OwnAction | None:
        gate, limit = self._gate(job), job.spec.queue_timeout
        if gate.waited(job.outside_at, self._core.clock.monotonic()) <= limit:
            return None
        why = f"not taken within queue_timeout ({limit:g} s): {gate.words}"
        return OwnAction(ActionKind.NOT_TAKEN, why, self._core.clock.time())

    def _leave_outside(self, job: ActiveAttempt) -> None:
        if job.outside_at is None:
            job.outside_at = self._core.clock.monotonic()
        self._core.outside.setdefault(self._gate(job), deque()).append(job)

    def _take(self, *, block: bool) -> list[ActiveAttempt]:
        """The next jobs that fit the window; none when there are none now, or (blocking) none ever.

        A long queue is taken in small batches, of which no thread gets so many that another idles.
        """
        core = self._core
        with core.changed:
            while not (core.stopping or core.detached):
                wait = self._wake()
                jobs: list[ActiveAttempt] = []
                size = min(LARGEST_BATCH, 1 + len(core.queue) // (8 * len(self._threads)))
                while core.queue and len(jobs) < size and core.has_room_for(core.queue[0]):
                    job, now = core.queue[0], core.clock.monotonic()
                    gate = self._gate(job)
                    if gate.is_shut(job, now):
                        # Those behind it may be for clusters that take theirs.
                        self._leave_outside(core.queue.popleft())
                        wait = min(wait, gate.free_at - now)
                        continue
                    pause = self._pace(job).pause(now)
                    if pause > 0:
                        wait = min(wait, pause)
                        break
                    core.queue.popleft()
                    gate.enter(job, now)
                    job.intended = core.clock.time()
                    core.in_flight.add(job)
                    jobs.append(job)
                if jobs or not block:
                    return jobs
                core.clock.wait(core.changed, None if wait == inf else wait)
        return []

    def _wake(self) -> float:
        """Queue those who are due; seconds until others are."""
        core, now = self._core, self._core.clock.monotonic()
        due = [job for job in core.delayed if job.due_at <= now]
        if due:
            core.delayed = [job for job in core.delayed if job.due_at > now]
            core.queue.extend(due)
        for gate, jobs in list(core.outside.items()):
            if gate.free_at > now:
                continue
            if not gate.words:
                # They came before those that wait there.
                core.queue.extendleft(reversed(jobs))
                jobs.clear()
            elif core.has_room_for(jobs[0]):
                # One asks for all. At the very front, slow answers could keep all threads from other clusters.
                gate.enter(jobs[0], now)
                core.queue.insert(len(self._threads), jobs.popleft())
            if not jobs:
                del core.outside[gate]
        # A gate that is free already waits for room in the window, of which there will be word.
        others = (gate.free_at - now for gate in core.outside if gate.free_at > now)
        return min((*(job.due_at - now for job in core.delayed), *others), default=inf)

    def _pace(self, job: ActiveAttempt) -> RateLimiter:
        name = job.registration.cell.backend
        if name not in self._paces:
            self._paces[name] = RateLimiter(self._backends[name].capabilities.submissions_per_second)
        return self._paces[name]

    def _gate(self, job: ActiveAttempt) -> SubmissionBreaker:
        if job.gate is None:
            name, spec = job.registration.cell.backend, job.spec
            asked = repr((spec.nodes, spec.resources, spec.options))
            job.gate = self._gates.setdefault((name, asked), SubmissionBreaker(name))
        return job.gate

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
                self._wait_outside(job, job.hide(str(error)))
                return None
            except BUGS as error:
                # The job may exist; `find` decides. A backend's bug is no reason to lose one either.
                job.why = job.hide(str(error) or repr(error))
        job.submissions += 1
        now = self._core.clock.monotonic()
        job.submitted = self._core.clock.time()
        job.submitted_at = job.answered_at = now
        # A moment ago there was no news yet: asked about each new job at once, a long queue would be one question
        # after another. Who tells of news by himself may have told already, of a job that we did not know.
        told = hasattr(backend, "subscribe")
        job.due_at = now if told else now + backend.capabilities.min_poll_interval
        self._leave_gate(job)
        if refused is not None:
            reject(self._core, {job: refused}, by_this_run=own_refusal is not None)
            return None
        self._adopt(job)
        return job.attempt() if job.handle is not None else None

    def _leave_gate(self, job: ActiveAttempt) -> None:
        """The cluster has taken the job, or has said something that is not about others."""
        with self._core.changed:
            gate = self._gate(job)
            was_shut = bool(gate.words)
            if job.handle is not None:
                gate.open()
            else:
                gate.pass_on(job)
            if was_shut:
                self._core.changed.notify_all()

    def _wait_outside(self, job: ActiveAttempt, words: str) -> None:
        """The cluster takes no job for now: this one and its like wait, as they do for our own window.

        Where no job of this run can be the reason, ``queue_timeout`` counts.
        """
        core, name = self._core, job.registration.cell.backend
        with core.changed:
            now, gate = core.clock.monotonic(), self._gate(job)
            # One whose answer was lost may well be there.
            held = (each for each in core.in_flight if each.handle is not None or each.submissions)
            has_jobs = any(each.registration.cell.backend == name and each is not job for each in held)
            gate.shut(job, words, now, holds_jobs=has_jobs)
        self._put_back(job)
        with core.changed:
            late = {
                each: end for each in core.outside.get(gate, ()) if (end := self._too_late(each)) is not None
            }
            core.drop(late)
            # Until they have their results, they are somewhere.
            core.in_flight.update(late)
        withdraw(core, late)
